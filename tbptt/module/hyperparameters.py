"""The arguments a module was made with, kept beside its weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from types import FrameType
from typing import Any

from tbptt.errors import ConfigurationError


class Hyperparameters(MutableMapping[str, Any]):
    """Names and values, read as attributes or as a dict.

    Not a dict: a module looks into the dicts among its attributes for layers, and these are not its layers.

    >>> from tbptt.module.hyperparameters import Hyperparameters
    >>> hparams = Hyperparameters({"width": 8})
    >>> hparams.width, hparams["width"], dict(hparams)
    (8, 8, {'width': 8})
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(values or {})

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        del self.__dict__[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(self.__dict__) or "none"
        raise AttributeError(f"There is no hyperparameter {name!r}; saved were: {known}.")

    def __repr__(self) -> str:
        return f"Hyperparameters({self.__dict__!r})"


class HasHyperparameters:
    """``save_hyperparameters`` and ``hparams``."""

    _hparams: Hyperparameters | None = None
    hparams_name: str | None = None
    """The argument of ``__init__`` that held them all, where `save_hyperparameters` was given one mapping or namespace."""

    @property
    def hparams(self) -> Hyperparameters:
        """What `save_hyperparameters` saved."""
        if self._hparams is None:
            self._hparams = Hyperparameters()
        return self._hparams

    def save_hyperparameters(self, *what: Any, ignore: str | list[str] | tuple[str, ...] = ()) -> None:
        """Keep the arguments of ``__init__`` in ``self.hparams``, and with that in checkpoints and loggers.

        >>> import tbptt
        >>> class Model(tbptt.Module):
        ...     def __init__(self, width, layers=2):
        ...         super().__init__()
        ...         self.save_hyperparameters()
        >>> dict(Model(8).hparams)
        {'width': 8, 'layers': 2}

        Args:
            what: names of arguments, to keep these alone; or one mapping or namespace whose entries are kept instead.
            ignore: names of arguments to leave out.

        Raises:
            ConfigurationError: for a name that is no argument.
        """
        left_out = {ignore} if isinstance(ignore, str) else set(ignore)
        frame = inspect.currentframe()
        arguments = _init_arguments(frame.f_back if frame else None, self)
        if len(what) == 1 and not isinstance(what[0], str):
            kept = dict(what[0]) if isinstance(what[0], Mapping) else dict(vars(what[0]))
            self.hparams_name = next((name for name, value in arguments.items() if value is what[0]), None)
        else:
            unknown = [name for name in what if name not in arguments]
            if unknown:
                raise ConfigurationError(
                    f"save_hyperparameters({', '.join(map(repr, what))}): {unknown[0]!r} is no argument of __init__. Expected "
                    f"some of {', '.join(arguments) or 'no names, for there are no arguments'}; call it inside __init__."
                )
            kept = {name: arguments[name] for name in what} if what else arguments
        self.hparams.update({name: value for name, value in kept.items() if name not in left_out})


def _init_arguments(frame: FrameType | None, owner: Any) -> dict[str, Any]:
    """Arguments of every ``__init__`` of this object that is running, those of a base class overridden by its subclass'."""
    found: dict[str, Any] = {}
    while frame is not None and frame.f_code.co_name == "__init__":
        names, star, star_star, values = inspect.getargvalues(frame)
        if not names or values.get(names[0]) is not owner:
            break
        own = {name: values[name] for name in names[1:]} | {name: values[name] for name in _keyword_only(frame)}
        own |= {star: values[star]} if star and values[star] else {}
        own |= values[star_star] if star_star else {}
        found |= own
        frame = frame.f_back
    return found


def _keyword_only(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
