"""A callback that writes a run down, moment by moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tbptt import ops, tree
from tbptt.backends import backend_of
from tbptt.callbacks.base import Callback
from tbptt.comparison.moments import MOMENTS
from tbptt.comparison.recording import Head, Place, Record, Writer, thinned
from tbptt.errors import ConfigurationError
from tbptt.nn.native import backend_of_model, named_tensors_of
from tbptt.optim import Optimizer
from tbptt.optim.state import arrays_in
from tbptt.trainer.dispatch import overridden
from tbptt.types import Array, Tree

if TYPE_CHECKING:
    from tbptt.trainer.optimization import OptimizerHandle
    from tbptt.trainer.trainer import Trainer


class EnoughWindows(SystemExit):
    """Ends a script whose first windows are all that was asked for; the status says that all is well."""

    def __init__(self) -> None:
        super().__init__(0)


class Recorder(Callback):
    """Writes down what happens in each window of training: data, state, losses, gradients, clipped gradients, parameters.

    The same script, recorded on two engines or two versions, can be laid side by side (`tbptt.comparison.Comparison`,
    ``tbptt compare``). Gradients are shown before and after clipping, so the step runs in parts; its numbers stay the same.

    Args:
        target: a file to write (see `tbptt.comparison.recording`), or a function that is given each `Record`.
        windows: raise `EnoughWindows`, which ends a script, after so many; None: go on.
        elements: keep at most so many of each array; None for all.
        follow: records of another run: every window but the first begins from that run's parameters and state instead of those it
            was left with. What is written down is then what single windows make of equal beginnings: rounding cannot grow.

    >>> import numpy as np, tbptt
    >>> from tbptt.comparison import Recorder
    >>> class Mean(tbptt.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn = tbptt.nn.RNN(1, 1)
    ...     def training_step(self, batch, batch_idx, hiddens):
    ...         outputs, hiddens = self.rnn(batch, hiddens)
    ...         return tbptt.nn.functional.mse_loss(outputs, batch), hiddens
    ...     def configure_optimizers(self):
    ...         return tbptt.optim.SGD(self.parameters(), lr=0.1)
    >>> records = []
    >>> trainer = tbptt.Trainer(max_epochs=1, truncated_bptt_steps=5, callbacks=Recorder(records.append),
    ...                         enable_progress_bar=False, enable_model_summary=False)
    >>> trainer.fit(Mean(), [np.ones((4, 10, 1), dtype="float32")])
    >>> len(records), list(records[0].moments)
    (2, ['start', 'data', 'forward', 'loss', 'gradient', 'update'])
    >>> list(records[1].moments["gradient"])
    ['rnn.weight_ih_l0', 'rnn.weight_hh_l0', 'rnn.bias_l0']

    Raises:
        ConfigurationError: if `windows` or `elements` is not above 0.
    """

    after_module: ClassVar[bool] = True  # to see gradients as the module's own hooks leave them

    def __init__(
        self,
        target: str | os.PathLike[str] | Callable[[Record], Any],
        windows: int | None = None,
        elements: int | None = None,
        follow: Iterable[Record] | None = None,
    ) -> None:
        for name, value in (("windows", windows), ("elements", elements)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be above 0, or None; received {value}.")
        self._target, self._windows, self._elements = target, windows, elements
        self._write: Callable[[Record], Any] | None = None
        self._follow = None if follow is None else iter(follow)
        self._open = ExitStack()
        self._count = self._fit = 0
        self._moments: dict[str, dict[str, Array]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._names: dict[int, str] = {}
        self._steps = 0
        self._left: dict[str, Array] = {}
        """Parameters and buffers as the last window left them."""

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Write down what training starts from."""
        self._begin(module)
        self._names = {id(value): name for name, value in named_tensors_of(module)}
        self._moments, self._shapes, self._steps, self._left = {}, {}, 0, {}

    def on_window_start(self, trainer: Trainer, module: Any, window: Tree, window_idx: int) -> None:
        """Write down its data, and what somebody has changed since the window before."""
        self._note("start", {name: value for name, value in named_tensors_of(module) if self._has_changed(name, value)})
        self._note("data", _named(window, "batch"))

    def on_before_optimizer_step(
        self, trainer: Trainer, module: Any, optimizer: OptimizerHandle, optimizer_idx: int
    ) -> None:
        """Write down the gradients, and clip them here where the trainer would have clipped them next."""
        self._note("gradient", self._gradients(optimizer))
        if trainer.clip is not None and overridden(module, "configure_gradient_clipping") is None:
            optimizer.clip(trainer.clip)
            self._note("clipping", self._gradients(optimizer))

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """Write down what came out, and hand the window over."""
        logged = {name: value for name, value in outputs.items() if name != "loss"}
        self._note("forward", _named(trainer.hiddens, "state"))
        self._note("loss", {"loss": outputs["loss"]} | _named(logged, "logged"))  # it is often logged itself
        left = {name: _copy(value) for name, value in named_tensors_of(module)}
        if trainer.global_step != self._steps:
            self._note("update", left)
            for optimizer in _own(trainer.optimizers):
                self._note(
                    "optimizer",
                    {name: slots[index] for name, slots, index in self._slots(optimizer.state_dict(), optimizer)},
                )
        self._steps, self._left = trainer.global_step, left
        place = Place(self._count, trainer.current_epoch, trainer.batch_idx, window_idx, self._steps, self._fit)
        assert self._write is not None
        in_order = {moment: self._moments[moment] for moment in MOMENTS if moment in self._moments}
        self._write(Record(place, in_order, self._shapes, trainer.compute_dtype or ""))
        self._moments, self._shapes = {}, {}
        self._count += 1
        if self._windows is not None and self._count >= self._windows:  # above it, where a script has caught the first
            raise EnoughWindows
        if self._follow is not None:
            self._take(next(self._follow, None), trainer, module)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Whatever trains next in this process is another fit."""
        self._fit += 1

    def teardown(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Close the file, unless it is somebody else's."""
        self.close()

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """Close the file: what has been written can be read."""
        self.close()

    def close(self) -> None:
        """Close the file that was opened here."""
        self._open.close()

    def _begin(self, module: Any) -> None:
        if callable(self._target):
            self._write = self._target
            return
        path = Path(self._target)
        path.parent.mkdir(parents=True, exist_ok=True)
        goes_on = self._count > 0  # another fit of this trainer
        file = self._open.enter_context(path.open("ab" if goes_on else "wb"))
        self._write = Writer(
            file, None if goes_on else Head.of(backend_of_model(module), self._elements, self._windows)
        )

    def _take(self, record: Record | None, trainer: Trainer, module: Any) -> None:
        """Go on from what a record says of the other run."""
        if record is None:
            return
        update, after = record.moments.get("update", {}), record.moments.get("forward", {})
        for name, value in named_tensors_of(module):
            if name in update:
                backend_of(value).interop.write(value, update[name])
                self._left[name] = update[name]
        kept = record.moments.get("optimizer", {})
        for optimizer in _own(trainer.optimizers) if kept else ():
            state = optimizer.state_dict()
            for name, slots, index in self._slots(state, optimizer):
                slots[index] = kept.get(name, slots[index])
            optimizer.load_state_dict(state)
        if trainer.hiddens is not None:
            leaves = _named(trainer.hiddens, "state")
            new = [
                ops.asarray(after[name], dtype=ops.dtype(leaf)) if name in after and ops.is_tensor(leaf) else leaf
                for name, leaf in leaves.items()
            ]
            trainer.hiddens = tree.unflatten(tree.structure(trainer.hiddens), new)

    def _slots(self, state: dict[str, Any], optimizer: Optimizer) -> Iterator[tuple[str, list[Array], int]]:
        """Of every array in an optimizer's state but the counts its name, the list it is in, and where."""
        for group, slot, place, arrays in arrays_in(state):
            if slot != "step":
                parameter = optimizer.param_groups[group]["params"][place]
                yield f"{self._names.get(id(parameter), place)}.{slot}", arrays, place

    def _has_changed(self, name: str, value: Any) -> bool:
        left = self._left.get(name)
        return left is None or not np.array_equal(left, ops.to_numpy(value), equal_nan=left.dtype.kind == "f")

    def _gradients(self, optimizer: OptimizerHandle) -> dict[str, Any]:
        parameters = [
            (self._names.get(id(value), f"parameter {n}"), value) for n, value in enumerate(optimizer.parameters)
        ]
        pairs = zip(parameters, optimizer.gradients or [], strict=False)
        return {name: gradient for (name, _), gradient in pairs if gradient is not None}

    def _note(self, moment: str, values: dict[str, Any]) -> None:
        entries = self._moments.setdefault(moment, {})
        for name, value in values.items():
            array = value if isinstance(value, np.ndarray) else _copy(value)
            if array.dtype.kind not in "fiub":
                continue
            entries[name] = thinned(array, self._elements)
            if entries[name] is not array:
                self._shapes[f"{moment}/{name}"] = array.shape
        if not entries:
            del self._moments[moment]


def _own(optimizers: list[Any]) -> list[Optimizer]:
    """Those of `tbptt.optim`, whose state has the same names on every engine."""
    return [optimizer for optimizer in optimizers if isinstance(optimizer, Optimizer)]


def _copy(value: Any) -> Array:
    return np.array(ops.to_numpy(value) if ops.is_tensor(value) else value)  # an update writes in place


def _named(values: Tree, root: str) -> dict[str, Any]:
    return dict(zip(tree.paths(values, root=root), tree.leaves(values), strict=True))
