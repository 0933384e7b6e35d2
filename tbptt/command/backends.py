"""``tbptt backends``: what is installed, and which engine would be chosen."""

from __future__ import annotations

import argparse
from importlib import metadata
from typing import Any

from tbptt import backends
from tbptt.errors import BackendError


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "backends",
        help="say which engines there are, on which devices, and which one would be chosen",
        description="Say which engines are registered and installed, their versions and devices, and which one would be chosen "
        "here and why. Engines that are installed are imported for it.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from rich.console import Console
    from rich.table import Table

    table = Table("backend", "stands on", "devices", "registered by")
    for name, point in ((name, backends.registered()[name]) for name in backends.in_order(backends.registered())):
        table.add_row(name, *_state(name), point.value)
    console = Console()
    console.print(table)
    chosen = backends.current_backend()
    console.print(
        f"chosen: {chosen.name}, on {backends.current_device(chosen)}. {chosen.reason}.",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _state(name: str) -> tuple[str, str]:
    missing = backends.missing_requirements(backends.registered()[name])
    if missing:
        return f"not installed: {', '.join(missing)}", ""
    versions = [f"{needed} {metadata.version(needed)}" for needed in backends.requirements_of(name)]
    try:
        devices = ", ".join(backends.load(name).devices.available())
    except BackendError as error:
        devices = str(error)
    return ", ".join(versions), devices
