"""One way to walk through whatever brings batches: our streams, a DataLoader, a Dataset, lists, one batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tbptt import tree
from tbptt.errors import DataError
from tbptt.types import Tree


def batches(source: Any, epoch: int | None = None) -> Iterator[Tree]:
    """The batches of one epoch, with leaves as the source makes them; windows convert them to the current engine.

    A tuple (a namedtuple too), a dict, a dataclass, an array or a tensor **is** one batch. Anything else that can be
    iterated is a source **of** batches: a list of trees, a generator, `TextStream`, `ArrayStream`, a torch
    ``DataLoader``, a ``tf.data.Dataset``.

    >>> import numpy as np
    >>> from tbptt.data import batches
    >>> x, y = np.zeros((4, 9)), np.ones((4, 9))
    >>> len(list(batches((x, y)))), len(list(batches([(x, y), (x, y)])))
    (1, 2)

    Args:
        source: see above.
        epoch: given to ``source.set_epoch`` where there is one (and to that of ``source.sampler``), so that shuffles
            are functions of the epoch.

    Raises:
        DataError: if this is no source of batches, or it brings none.
    """
    if is_one_batch(source):
        return iter([source])
    if isinstance(source, str | bytes) or not hasattr(source, "__iter__"):
        raise DataError(
            f"Batches cannot be taken from {source!r} ({type(source).__name__}). Give a tuple, dict or array (one "
            f"batch), or something to iterate over: a list of batches, a DataLoader, a Dataset, a TextStream."
        )
    if epoch is not None:
        for shuffler in (source, getattr(source, "sampler", None)):
            set_epoch = getattr(shuffler, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)
    return _at_least_one(source)


def _at_least_one(source: Any) -> Iterator[Tree]:
    count = 0
    for batch in source:
        count += 1
        yield batch
    if not count:
        raise DataError(
            f"The data ({type(source).__name__}) brought no batch. A generator is used up after one epoch: give a "
            f"list, or an object whose __iter__ starts anew."
        )


def is_one_batch(source: Any) -> bool:
    if isinstance(source, tuple | Mapping) or (hasattr(source, "shape") and hasattr(source, "dtype")):
        return True
    if dataclasses.is_dataclass(type(source)) or not hasattr(source, "__iter__"):
        return source is not None and tree.is_node(source)
    return False
