"""Names of checkpoint files: templates filled with metrics, and a number where another file has the name."""

from __future__ import annotations

import re
from pathlib import Path

from tbptt.errors import ConfigurationError

SUFFIX = ".safetensors"
DEFAULT_NAME = "{epoch}-{step}"

_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")


def names_in(template: str) -> set[str]:
    """The metrics a template asks for.

    >>> from tbptt.callbacks.checkpoint_names import names_in
    >>> sorted(names_in("{epoch}-{val_loss:.2f}"))
    ['epoch', 'val_loss']
    """
    return {field.group(1) for field in _FIELD.finditer(template)}


def fill_name(template: str, metrics: dict[str, float], insert_names: bool = True) -> str:
    """The template with its metrics; with `insert_names` each value follows ``name=``. A slash in a name becomes ``_``.

    >>> from tbptt.callbacks.checkpoint_names import fill_name
    >>> fill_name("{epoch:03d}-{val/loss:.1e}", {"epoch": 5, "val/loss": 0.012})
    'epoch=005-val_loss=1.2e-02'
    >>> fill_name("after-{epoch}", {"epoch": 5}, insert_names=False)
    'after-5'

    Raises:
        ConfigurationError: if there is no such metric, or its format does not fit a number.
    """

    def value_of(field: re.Match[str]) -> str:
        name, form = field.group(1), field.group(2) or ""
        if name not in metrics:
            raise ConfigurationError(
                f"The file name {template!r} asks for {name!r}, and nothing of that name has been logged. There is: "
                f"{', '.join(sorted(metrics))}."
            )
        try:
            text = format(metrics[name], form)
        except ValueError as error:
            raise ConfigurationError(
                f"The file name {template!r} cannot show {name} = {metrics[name]!r} as {form!r}: {error}. "
                f"Metrics are floats ('.2f'), epoch and step whole numbers ('03d')."
            ) from error
        return f"{name.replace('/', '_')}={text}" if insert_names else text

    return _FIELD.sub(value_of, template)


def free_path(path: Path, own: str = "") -> str:
    """The path, or its first version ``-v1``, ``-v2``, ... that no file but `own` has.

    >>> import pathlib
    >>> from tbptt.callbacks.checkpoint_names import free_path
    >>> free_path(pathlib.Path("nowhere", "best.safetensors"))
    'nowhere/best.safetensors'
    """
    candidate, version = path, 0
    while candidate.exists() and str(candidate) != own:
        version += 1
        candidate = path.with_name(f"{path.name.removesuffix(SUFFIX)}-v{version}{SUFFIX}")
    return str(candidate)
