"""Who is called at a moment of the run, in which order, and with which of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tbptt import backends
from tbptt.hooks import MODULE_ONLY, MOMENTS
from tbptt.trainer.profiler import Profiler


def overridden(owner: Any, name: str) -> Callable[..., Any] | None:
    """The owner's own function of that name: not a base class' default, nor what an engine's class happens to have."""
    function: Callable[..., Any] | None = getattr(owner, name, None)
    if not callable(function):
        return None
    if name not in getattr(owner, "__dict__", {}):
        definer = next((cls for cls in type(owner).__mro__ if name in vars(cls)), None)
        if definer is not None and (
            "is_base_of_hooks" in vars(definer)
            or any(backend.interop.is_native_class(definer) for backend in backends.loaded())
        ):
            return None
    return function


def fitted(function: Callable[..., Any], offered: Sequence[str]) -> Callable[..., Any]:
    """The function, called with every argument of `offered` by place and handed those it takes.

    A parameter named like an argument gets that one; a parameter of another name gets the first argument nobody took. So
    ``training_step(batch, batch_idx, hiddens)``, ``(batch, i, h)`` and a hook with or without ``optimizer_idx`` all work.

    >>> from tbptt.trainer.dispatch import fitted
    >>> fitted(lambda closure, epoch: (closure, epoch), ("epoch", "optimizer", "closure"))(1, 2, 3)
    (3, 1)
    """
    places = places_of(function, offered)
    if places is None or places == list(range(len(offered))):
        return function
    return lambda *arguments: function(*[arguments[place] for place in places])


def places_of(function: Callable[..., Any], offered: Sequence[str]) -> list[int] | None:
    """For each parameter the place of its argument in `offered`; None where the function takes all by ``*args``."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    free = [place for place, name in enumerate(offered) if name not in names]
    places = []
    for name in names:
        if name in offered:
            places.append(offered.index(name))
        elif free:
            places.append(free.pop(0))
    return places


def named(function: Callable[..., Any], offered: Sequence[str]) -> tuple[str, ...]:
    """Which of these arguments a function takes by name.

    >>> from tbptt.trainer.dispatch import named
    >>> named(lambda origin, batch_size: None, ("batch_size", "previous", "origin"))
    ('batch_size', 'origin')

    Raises:
        TypeError: if it needs others.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return tuple(offered)
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and p.name not in offered
    ]
    if needed:
        raise TypeError(f"it needs {', '.join(needed)}")
    names = [parameter.name for parameter in parameters]
    return tuple(name for name in offered if name in names)


class Hooks:
    """Calls a moment on everybody who overrides it: callbacks, data module, module, then the callbacks that watch the module.

    Args:
        trainer: handed to callbacks.
        model: whose hooks are asked too; handed to callbacks.
        callbacks: in their order.
        datamodule: asked before the module.
        profiler: told how long each moment took.
    """

    def __init__(
        self,
        trainer: Any,
        model: Any,
        callbacks: Sequence[Any] = (),
        datamodule: Any = None,
        profiler: Profiler | None = None,
    ) -> None:
        self._profiler = profiler
        late = [callback for callback in callbacks if getattr(callback, "after_module", False)]
        early = [callback for callback in callbacks if callback not in late]
        self._before: dict[str, list[Callable[..., Any]]] = {}
        self._after: dict[str, list[Callable[..., Any]]] = {}
        for moment, offered in MOMENTS.items():
            own = [overridden(owner, moment) for owner in (datamodule, model) if owner is not None]
            functions = [fitted(function, offered) for function in own if function]
            asked = moment not in MODULE_ONLY
            before = self._of_callbacks(early, moment, trainer, model) if asked else []
            self._before[moment] = before + functions
            self._after[moment] = self._of_callbacks(late, moment, trainer, model) if asked else []
        self._of_module = {
            moment: fitted(function, offered)
            for moment, offered in MOMENTS.items()
            if (function := overridden(model, moment)) is not None
        }
        self._has = {moment: bool(self._before[moment] or self._after[moment]) for moment in MOMENTS}

    @staticmethod
    def _of_callbacks(callbacks: Sequence[Any], moment: str, trainer: Any, model: Any) -> list[Callable[..., Any]]:
        def bound(function: Callable[..., Any]) -> Callable[..., Any]:
            call = fitted(function, ("trainer", "module", *MOMENTS[moment]))
            return lambda *arguments: call(trainer, model, *arguments)

        return [bound(function) for callback in callbacks if (function := overridden(callback, moment))]

    def has(self, moment: str) -> bool:
        """Whether anybody overrides it."""
        return self._has[moment]

    def any(self, *moments: str) -> bool:
        """Whether anybody overrides one of these."""
        return any(self._has[moment] for moment in moments)

    def of_module(self, moment: str) -> Callable[..., Any] | None:
        """The module's own function for it, if it overrides it."""
        return self._of_module.get(moment)

    def __call__(self, moment: str, *arguments: Any) -> Any:
        """Call it on everybody; the answer is the last one that is not None."""
        return self._run(moment, self._before[moment] + self._after[moment], arguments)

    def before(self, moment: str, *arguments: Any) -> Any:
        """Call it on ordinary callbacks and the module."""
        return self._run(moment, self._before[moment], arguments)

    def after(self, moment: str, *arguments: Any) -> Any:
        """Call it on the callbacks that watch what the module did."""
        return self._run(moment, self._after[moment], arguments)

    def _run(self, moment: str, functions: Sequence[Callable[..., Any]], arguments: tuple[Any, ...]) -> Any:
        answer = None
        for function in functions:
            if self._profiler:
                with self._profiler.profile(moment):
                    given = function(*arguments)
            else:
                given = function(*arguments)
            answer = given if given is not None else answer
        return answer

    def passed_on(self, moment: str, value: Any, *arguments: Any) -> Any:
        """Call a moment that may replace its first argument, each getting what the one before gave."""
        for function in self._before[moment]:
            value = function(value, *arguments)
        return value
