"""The console script ``tbptt``: a module for each of its commands."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from tbptt.errors import TbpttError

FAILED = 2
"""Exit status where something went wrong, wrong arguments included."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    from tbptt.command import backends, compare

    parser = argparse.ArgumentParser(
        prog="tbptt", description="Truncated backpropagation through time on several engines."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (compare, backends):
        command.add_to(commands)
    given, script_arguments = split(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    options.script_arguments = script_arguments
    try:
        status: int = options.run(options)
    except TbpttError as error:
        print(f"tbptt: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # no such folder, no right to write, no room
        print(f"tbptt: {error}", file=sys.stderr)
        return FAILED
    except SystemExit:  # rich's, with status 1, where nobody reads what is printed
        return FAILED
    except KeyboardInterrupt:
        print("tbptt: interrupted", file=sys.stderr)
        return 130
    except Exception:  # a mistake of ours; Python's own status for it, 1, would say that the runs differ
        traceback.print_exc()
        return FAILED
    return status


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those after ``--``, which are the script's.

    >>> from tbptt.command import split
    >>> split(["compare", "train.py", "--", "--width", "8"])
    (['compare', 'train.py'], ['--width', '8'])
    """
    given = list(arguments)
    if "--" not in given:
        return given, []
    place = given.index("--")
    return given[:place], given[place + 1 :]
