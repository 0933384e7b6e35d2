"""The tape: one face for autograd and `tf.GradientTape`. Gradients are returned, nothing accumulates anywhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

from tbptt import ops, tree
from tbptt.backends import backend_of, current_backend
from tbptt.errors import ConfigurationError, GradientError, StructureError
from tbptt.protocols import Backend
from tbptt.types import Tensor, Tree


class GradientTape:
    """Record what happens to parameters, then ask for gradients.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn
    >>> weight = nn.Parameter(np.array([1.0, 2.0], dtype="float32"))
    >>> with tbptt.GradientTape() as tape:
    ...     loss = (weight * weight).sum() if hasattr(weight, "sum") else tbptt.ops.sum(weight * weight)
    >>> tbptt.ops.to_numpy(tape.gradient(loss, weight))
    array([2., 4.], dtype=float32)

    Args:
        persistent: allow `gradient` to be asked more than once (the record is kept until the tape is gone).
        backend: the engine; the current one by default.
    """

    def __init__(self, persistent: bool = False, backend: Backend | None = None) -> None:
        self._tape = (backend or current_backend()).autodiff.tape(persistent)
        self._persistent = persistent
        self._asked = False

    def __enter__(self) -> GradientTape:
        self._tape.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._tape.__exit__(*exception)

    def watch(self, *trees: Tree) -> None:
        """Record these constants as if they were parameters. Call it inside the block, before they are used."""
        self._tape.watch([leaf for leaf in tree.leaves(trees) if ops.is_tensor(leaf)])

    def gradient(
        self,
        targets: Tree,
        sources: Tree,
        output_gradients: Tree = None,
        unconnected_gradients: Literal["none", "zero"] = "none",
    ) -> Tree:
        """Gradients of Σ ⟨target, output gradient⟩ with respect to every source.

        Args:
            targets: a tensor or a tree of them; one that is no scalar counts as its sum.
            sources: a tree of parameters and watched tensors.
            output_gradients: cotangents, a tree of the structure of `targets`; None anywhere in it means ones.
            unconnected_gradients: what a source gets that the targets do not depend on: None, or zeros.

        Returns:
            A tree of the structure of `sources`; dense tensors of the sources' shapes and dtypes.

        Raises:
            GradientError: if the targets depend on no parameter and no watched tensor at all; if the tape was asked
                before and is not persistent; if the gradient would run into an earlier window's record.
        """
        if self._asked and not self._persistent:
            raise GradientError(
                "This tape has already been asked for gradients, and its record is gone. "
                "Ask for all of them in one call (sources may be any tree), or open it with persistent=True."
            )
        self._asked = True
        target_leaves = tree.leaves(targets)
        cotangents = _cotangents(output_gradients, targets, len(target_leaves))
        source_leaves, structure = tree.flatten(sources)
        answers = self._tape.gradient(target_leaves, source_leaves, cotangents)
        if answers is None:
            raise GradientError(
                "The loss depends on no parameter, so there is nothing to differentiate. Expected a tensor computed "
                "from the model's parameters inside the tape (or inside training_step); received "
                f"{_describe(target_leaves)}. Look for a conversion to NumPy, a detach, or a constant on its way."
            )
        if unconnected_gradients == "zero":
            pairs = zip(answers, source_leaves, strict=True)
            answers = [ops.zeros_like(source) if answer is None else answer for answer, source in pairs]
        elif unconnected_gradients != "none":
            raise ConfigurationError(
                f"unconnected_gradients must be 'none' or 'zero', received {unconnected_gradients!r}."
            )
        return tree.unflatten(structure, answers)


def _cotangents(output_gradients: Tree, targets: Tree, count: int) -> list[Any]:
    if output_gradients is None:
        return [None] * count
    cotangents = tree.leaves(output_gradients, none_is_leaf=True)
    if len(cotangents) != count:
        raise StructureError(
            f"output_gradients must have one entry, a tensor or None, for each of the {count} targets; received "
            f"{len(cotangents)}: {tree.structure(output_gradients)} for targets {tree.structure(targets)}."
        )
    return cotangents


def _describe(targets: list[Any]) -> str:
    return ", ".join(f"{type(x).__name__} of shape {tuple(getattr(x, 'shape', ()))}" for x in targets) or "nothing"


def stop_gradient(x: Tensor) -> Tensor:
    """The same values, with no past: no gradient flows through."""
    return backend_of(x).autodiff.stop_gradient(x)


def no_grad() -> AbstractContextManager[Any]:
    """A scope in which nothing is recorded.

    >>> import tbptt
    >>> with tbptt.no_grad():
    ...     pass
    """
    return current_backend().autodiff.no_grad()
