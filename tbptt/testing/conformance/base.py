"""What the classes of the suite share: the backend under test, and excuses that must hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from tbptt import backends
from tbptt.protocols import Backend


class Conformance:
    """Tests of one promise.

    Attributes:
        backend: what is tested: a `Backend` record, a registered name, or ``"module:attribute"``.
        lacks: tests that are known to fail, by name (``"test_x"``, or ``"test_x[a]"`` for one case of it), each with the reason.
            Such a test must fail: an excuse that is not needed any more fails itself.
    """

    backend: ClassVar[Backend | str]
    lacks: ClassVar[Mapping[str, str]] = {}

    engine: Backend
    """The record, while a test runs."""

    @pytest.fixture(autouse=True)
    def _under_test(self, request: pytest.FixtureRequest) -> Iterator[None]:
        reason = self.lacks.get(request.node.name) or self.lacks.get(request.node.originalname)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        with backends.use_backend(self.backend) as record:
            self.engine = record
            yield

    def test_every_excuse_names_a_test_and_gives_a_reason(self, request: pytest.FixtureRequest) -> None:
        """What `lacks` names is there."""
        unknown = [name for name in self.lacks if not hasattr(self, name.partition("[")[0])]
        if not _is_selection(request.config):
            cases = {item.name for item in request.session.items if getattr(item, "cls", None) is type(self)}
            unknown += [name for name in self.lacks if "[" in name and name not in {*cases, *unknown}]
        assert not unknown, f"lacks names tests that do not exist: {unknown}"
        assert all(_is_reason(reason) for reason in self.lacks.values()), "an excuse needs a reason"


def _is_selection(config: pytest.Config) -> bool:
    """Whether only some of the cases may have been asked for."""
    options = ("keyword", "markexpr", "deselect", "lf")
    return any(config.getoption(name, None) for name in options) or any("::" in argument for argument in config.args)


def _is_reason(reason: Any) -> bool:
    return isinstance(reason, str) and bool(reason.strip())
