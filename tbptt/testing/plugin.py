"""The pytest plug-in: the fixture ``backend`` runs a test once on each engine.

    def test_my_layer(backend):
        assert tbptt.ops.to_numpy(my_layer(tbptt.ops.ones((2, 3)))).sum() == 6

``pytest --tbptt-backend torch`` runs on that one alone (repeat the option for several; ``module:attribute`` names one that is
not registered). An engine that is named and not there is an error, never a skip. A fixture or a parametrized argument ``backend``
of the project's own goes before this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tbptt import backends
from tbptt.errors import BackendError
from tbptt.protocols import Backend

_CHOSEN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("tbptt").addoption(
        "--tbptt-backend",
        action="append",
        metavar="NAME",
        help="run tests that ask for the fixture 'backend' on this engine alone (may be repeated; default: all installed)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find out which engines there will be.

    Raises:
        pytest.UsageError: if one is named that is not there.
    """
    named = config.getoption("--tbptt-backend")
    for name in named or []:
        try:
            backends.check(name)
        except BackendError as error:
            raise pytest.UsageError(f"--tbptt-backend {name}: {error}") from error
    config.stash[_CHOSEN] = backends.in_order(named or backends.installed())


@pytest.hookimpl(trylast=True)  # after the project's own, which may have given the argument values
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for our fixture once on each engine.

    Raises:
        pytest.UsageError: if there is no engine at all.
    """
    if "backend" not in metafunc.fixturenames or not _is_ours(metafunc):
        return
    names = metafunc.config.stash[_CHOSEN]
    if not names:
        listing = ", ".join(f"'tbptt[{name}]'" for name in sorted(backends.registered()))
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} asks for an engine, and none is installed. Install one of {listing}."
        )
    metafunc.parametrize("backend", names, indirect=True)


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    found: Any = metafunc._arg2fixturedefs.get("backend")
    is_given = any("backend" in call.params for call in metafunc._calls)
    return not is_given and bool(found) and found[-1].func.__module__ == __name__


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The engine of this run of the test, current while it runs."""
    if not hasattr(request, "param"):
        pytest.fail(
            f"{request.node.nodeid} asks for the fixture 'backend' in a way in which pytest runs a test only once (in a "
            f"unittest.TestCase, or by getfixturevalue), and not on each engine. Make it a plain function or class that takes "
            f"backend as an argument or by pytest.mark.usefixtures, or choose the engine with tbptt.backends.use_backend.",
            pytrace=False,
        )
    for name in request.config.stash[_CHOSEN]:  # all of them, since their order matters
        backends.load(name)
    with backends.use_backend(request.param) as record:
        yield record
