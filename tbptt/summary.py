"""What a model consists of: layers, parameters, and the sizes between layers. As Lightning's `ModelSummary` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tbptt import backends, dtypes, tree
from tbptt.errors import ConfigurationError
from tbptt.nn import module as modules
from tbptt.ownership import owner_of_module
from tbptt.protocols import Backend
from tbptt.types import Parameter, Tree

UNKNOWN = "?"


class Row(NamedTuple):
    """One line of the table."""

    name: str
    """Dotted, from the model; empty for parameters that no module in the table holds."""
    type: str
    parameters: int
    """Elements of all of them, trained or not."""
    in_sizes: str
    """Of the first call; ``"?"`` where nobody saw one (native modules)."""
    out_sizes: str


class ModelSummary:
    """A table of a model's modules; ``print`` it.

    Sizes are found by calling a model of ours on its attribute `example_input_array`, if there is one: an array, a tuple of
    arguments or a dict of named ones, in evaluation mode and without gradients. Native models have rows, and no sizes.

    >>> import tbptt
    >>> from tbptt import nn
    >>> summary = tbptt.summary.ModelSummary(nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 16)))
    >>> print(summary)
    |   | Name | Type   | Params |
    |---|------|--------|--------|
    | 0 | 0    | Linear |     40 |
    | 1 | 1    | LSTM   |  1.6 K |
    1.6 K     Trainable params
    0         Non-trainable params
    1.6 K     Total params
    0.007     Total estimated model params size (MB)

    Args:
        model: a `tbptt.nn.Module`, or the engine's own.
        max_depth: how far below the model rows go: 1 its children, -1 everything, 0 only the totals.

    Raises:
        ConfigurationError: if `max_depth` is no such number.
        ModuleProtocolError: if a native module has not made its parameters, with the example either.
    """

    rows: list[Row]
    total_parameters: int
    """Elements of all parameters, each counted once."""
    trainable_parameters: int
    """Those of them that are trained."""
    model_size: float
    """Megabytes (of 10⁶ bytes) of all parameters, in the dtypes they have."""

    def __init__(self, model: Any, max_depth: int = 1) -> None:
        if isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < -1:
            raise ConfigurationError(
                f"max_depth must be a whole number from -1 (everything); received {max_depth!r}. 1 shows the model's children."
            )
        example = getattr(model, "example_input_array", None)
        self._has_sizes = example is not None and isinstance(model, modules.Module)
        sizes = _sizes_of_calls(model, example) if self._has_sizes else {}
        named = list(_walk(model, max_depth))
        self.rows = [
            Row(name, type(each).__name__, _elements(_parameters(each)), *sizes.get(id(each), (UNKNOWN, UNKNOWN)))
            for name, each in named
        ]
        everything = _parameters(model)
        shown = {id(value) for _, each in named for value, _ in _parameters(each)}
        left = [(value, trained) for value, trained in everything if id(value) not in shown]
        if left and named:
            self.rows.append(Row("", "other params", _elements(left), UNKNOWN, UNKNOWN))
        self.total_parameters = _elements(everything)
        self.trainable_parameters = _elements([(value, trained) for value, trained in everything if trained])
        self.model_size = sum(_bytes(value) for value, _ in everything) / 1e6

    def __str__(self) -> str:
        totals = [
            (_readable(self.trainable_parameters), "Trainable params"),
            (_readable(self.total_parameters - self.trainable_parameters), "Non-trainable params"),
            (_readable(self.total_parameters), "Total params"),
            (f"{self.model_size:,.3f}", "Total estimated model params size (MB)"),
        ]
        lines = [f"{number:<10}{label}" for number, label in totals]
        return "\n".join(self._table() + lines)

    __repr__ = __str__

    def _table(self) -> list[str]:
        import io  # rich takes its time to import, and only a printed summary needs it

        from rich import box
        from rich.console import Console
        from rich.table import Table

        if not self.rows:
            return []
        table = Table(box=box.MARKDOWN)
        table.add_column("")
        for title in ("Name", "Type", "Params", *(("In sizes", "Out sizes") if self._has_sizes else ())):
            table.add_column(title, justify="right" if title == "Params" else "left", no_wrap=True)
        for index, row in enumerate(self.rows):
            sizes = row[3:] if self._has_sizes else ()
            table.add_row(str(index), row.name, row.type, _readable(row.parameters), *sizes)
        console = Console(
            file=io.StringIO(), width=10_000, color_system=None, markup=False, emoji=False, highlight=False
        )
        with console.capture() as captured:
            console.print(table)
        return [line.rstrip() for line in captured.get().splitlines() if line.strip()]


def summarize(model: Any, max_depth: int = 1) -> ModelSummary:
    """`ModelSummary` under the name of Lightning's function.

    >>> import tbptt
    >>> tbptt.summary.summarize(tbptt.nn.Linear(4, 8)).total_parameters
    40
    """
    return ModelSummary(model, max_depth)


# --- modules and their parameters -------------------------------------------------------------------------------------


def _walk(model: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Modules below the model, each once, parents first."""
    seen = {id(model)}

    def below(parent: Any, prefix: str, left: int) -> Iterator[tuple[str, Any]]:
        for name, child in _children(parent) if left else ():
            if id(child) not in seen:
                seen.add(id(child))
                yield prefix + name, child
                yield from below(child, f"{prefix}{name}.", left - 1)

    return below(model, "", depth)


def _children(module: Any) -> list[tuple[str, Any]]:
    return (
        module.named_children() if isinstance(module, modules.Module) else _owner(module).interop.named_children(module)
    )


def _parameters(module: Any) -> list[tuple[Parameter, bool]]:
    """Its parameters and whether they are trained; not what an engine keeps beside them (torch's buffers)."""
    source = module if isinstance(module, modules.Module) else _owner(module).interop
    arguments = () if source is module else (module,)
    found = [(value, True) for _, value in source.named_parameters(*arguments)]
    found += [(value, False) for _, value in source.named_buffers(*arguments)]
    return [(value, trained) for value, trained in found if backends.backend_of(value).tensors.is_parameter(value)]


def _owner(module: Any) -> Backend:
    return owner_of_module(module) or backends.current_backend()


def _elements(parameters: list[tuple[Parameter, bool]]) -> int:
    return sum(int(np.prod(tuple(value.shape))) for value, _ in parameters)


def _bytes(value: Parameter) -> float:
    kind = backends.backend_of(value).tensors.dtype(value)
    bits = dtypes.finfo(kind).bits if kind in dtypes.FLOATS else 8 * np.dtype(kind).itemsize
    return int(np.prod(tuple(value.shape))) * bits / 8


def _readable(count: int) -> str:
    """Three digits and a letter.

    >>> from tbptt.summary import _readable
    >>> [_readable(n) for n in (0, 999, 1234, 56789, 123456, 2_000_000, 3_400_000_000)]
    ['0', '999', '1.2 K', '56.8 K', '123 K', '2.0 M', '3.4 B']
    """
    letters = ["", " K", " M", " B", " T"]
    power = min((len(str(count)) - 1) // 3, len(letters) - 1)
    scaled = count / 1000**power
    return f"{int(scaled):,d}{letters[power]}" if power == 0 or scaled >= 100 else f"{scaled:.1f}{letters[power]}"


# --- sizes ------------------------------------------------------------------------------------------------------------


def _sizes_of_calls(model: modules.Module, example: Tree) -> dict[int, tuple[str, str]]:
    """In and out sizes of the first call of every module of ours, by its identity."""
    sizes: dict[int, tuple[str, str]] = {}

    def watch(module: Any, inputs: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        given = [value for value in (*inputs, *options.values()) if value is not None]
        sizes.setdefault(id(module), (_sizes(given[0] if len(given) == 1 else given), _sizes(answer)))

    example = tree.map(lambda leaf: _placed(leaf, model), example)
    with model.backend.autodiff.no_grad(), _evaluating(model):
        modules.watchers.append(watch)
        try:
            if isinstance(example, dict):
                model(**example)
            else:
                model(*(example if isinstance(example, tuple) else (example,)))
        finally:
            modules.watchers.remove(watch)
    return sizes


def _placed(leaf: Any, model: modules.Module) -> Any:
    """A NumPy array where the model's parameters are, floats in their dtype; everything else as it is."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    backend = model.backend
    floats = [value for value in model.parameters() if backend.tensors.dtype(value) in dtypes.FLOATS]
    dtype = backend.tensors.dtype(floats[0]) if floats and leaf.dtype.kind == "f" else None
    device = backend.devices.device_of(floats[0]) if floats else backends.current_device(backend)
    return backend.tensors.asarray(leaf, dtype=dtype, device=device)


@contextmanager
def _evaluating(model: modules.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards each module in the mode it was in."""
    before = [(each, each.training) for _, each in (("", model), *_walk(model, -1)) if hasattr(each, "training")]
    model.eval()
    try:
        yield
    finally:
        for each, mode in before:  # parents first: an engine's parent takes its children along
            if isinstance(each, modules.Module):
                each.training = mode
            else:
                _owner(each).interop.set_training(each, mode)


def _sizes(value: Any) -> str:
    if hasattr(value, "shape"):
        return str([int(size) for size in value.shape])
    if isinstance(value, list | tuple):
        return f"[{', '.join(_sizes(item) for item in value if item is not None)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_sizes(item)}' for key, item in value.items())}}}"
    return UNKNOWN
