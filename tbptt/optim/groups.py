"""Parameter groups: what an optimizer was given, put in order and checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, TypeAlias

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.errors import ConfigurationError
from tbptt.ownership import unwrap_parameter
from tbptt.protocols.backend import Backend
from tbptt.types import Number, Parameter, Tree

Rate: TypeAlias = Number | Callable[[int], Number]
"""A learning rate: a number, or a function of the number of updates done so far, from 0."""
Group: TypeAlias = dict[str, Any]
"""``{"params": [...], "lr": ..., ...}``: parameters, and the hyperparameters they are updated with."""


def make_groups(params: Iterable[Any] | Tree, defaults: Mapping[str, Any]) -> list[Group]:
    """Groups with a list of parameters and every hyperparameter each.

    Raises:
        ConfigurationError: if there is nothing in it, parameters and groups are mixed, or a key is unknown.
    """
    if owner_of(unwrap_parameter(params)) is not None or not isinstance(params, Iterable):
        raise ConfigurationError(
            f"An optimizer takes an iterable of parameters or of groups; received one {type(params).__name__}. "
            f"Pass module.parameters(), or a list."
        )
    entries = tree.leaves(params) if isinstance(params, Mapping) else list(params)
    grouped = [isinstance(entry, Mapping) for entry in entries]
    if any(grouped) and not all(grouped):
        raise ConfigurationError(
            "An optimizer takes parameters or groups {'params': [...]}, not both in one list. Put all into groups."
        )
    groups = []
    for entry in entries if any(grouped) else [{"params": entries}]:
        unknown = sorted(set(entry) - {"params", *defaults})
        if unknown or "params" not in entry:
            raise ConfigurationError(
                f"A parameter group needs 'params' and may have {', '.join(sorted(defaults))}; received a group with "
                f"the keys {', '.join(map(str, entry))}."
            )
        given = unwrap_parameter(entry["params"])
        members = [given] if owner_of(given) is not None else [unwrap_parameter(member) for member in given]
        if not members:
            raise ConfigurationError(
                "There is no parameter to optimize: an optimizer or a parameter group was given an empty list. Does "
                "the module keep its layers as attributes, and was the generator of its parameters not used up before?"
            )
        groups.append({"params": members, **defaults, **{key: entry[key] for key in entry if key != "params"}})
    return groups


def common_backend(parameters: list[Parameter]) -> Backend:
    """The engine whose parameters these are.

    Raises:
        ConfigurationError: if one is no parameter, is there twice, or belongs to another engine than the first.
    """
    first: Backend | None = None
    seen: dict[int, int] = {}
    for i, parameter in enumerate(parameters):
        owner = owner_of(parameter)
        if owner is None or not owner.tensors.is_parameter(parameter):
            raise ConfigurationError(
                f"Number {i} of what the optimizer was given is no parameter but a {type(parameter).__module__}."
                f"{type(parameter).__qualname__}. Pass module.parameters(), or make one with nn.Parameter."
            )
        first = first or owner
        if owner.name != first.name:
            raise ConfigurationError(
                f"Parameter 0 belongs to {first.name}, parameter {i} to {owner.name}. An optimizer updates the "
                f"parameters of one engine; make one for each."
            )
        if seen.setdefault(id(parameter), i) != i:
            raise ConfigurationError(
                f"Parameters {seen[id(parameter)]} and {i} are the same one, which would be updated twice. "
                f"Give each parameter once, in one group."
            )
    assert first is not None  # make_groups lets no empty list through
    return first


def rate_at(rate: Rate, step: int) -> float:
    """The learning rate after `step` updates.

    Raises:
        ConfigurationError: if it is negative or no number.
    """
    value = rate(step) if callable(rate) else rate
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number >= 0:
        source = f"The function given as lr returned {value!r} at step {step}" if callable(rate) else f"lr is {value!r}"
        raise ConfigurationError(f"{source}; expected a number that is 0 or more, or a function of the step.")
    return number


def common_rate(rates: list[float]) -> float:
    """The learning rate that all groups have.

    Raises:
        ConfigurationError: if theirs differ.
    """
    if any(rate != rates[0] for rate in rates):
        raise ConfigurationError(
            f"The parameter groups have different learning rates, {rates}, so there is no single optimizer.lr. "
            f"Read optimizer.rates(), or optimizer.param_groups[i]['lr']."
        )
    return rates[0]


def check_not_negative(group: Group, *names: str) -> None:
    """ConfigurationError if one of these hyperparameters is not a number from 0 up."""
    for name in names:
        value = group[name]
        if not isinstance(value, Real) or not float(value) >= 0:
            raise ConfigurationError(f"{name} is {value!r}; expected a number that is 0 or more.")


def check_decay(name: str, value: Any) -> None:
    """ConfigurationError if this is not the factor of a running average: at least 0 and less than 1."""
    if not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise ConfigurationError(f"{name} is {value!r}; expected a number in [0, 1), as a running average decays.")
