"""Data and how it is prepared, apart from any model."""

from __future__ import annotations

from typing import Any, ClassVar

from tbptt.types import Tree


class DataHooks:
    """What a data module and a module alike may say of the data; the data module is asked first."""

    is_base_of_hooks: ClassVar[bool] = True

    def prepare_data(self) -> None:
        """Download, unpack, tokenize: before anything else, once."""

    def setup(self, stage: str) -> None:
        """Build what a stage needs and is not built yet: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``."""

    def teardown(self, stage: str) -> None:
        """The end of a stage."""

    def train_dataloader(self) -> Any:
        """Batches to train on, where ``fit`` is given none."""
        return None

    def val_dataloader(self) -> Any:
        """Batches to validate on, where none are given; None for none."""
        return None

    def test_dataloader(self) -> Any:
        """Batches to test on, where none are given."""
        return None

    def predict_dataloader(self) -> Any:
        """Batches to predict from, where none are given."""
        return None

    def on_before_batch_transfer(self, batch: Tree, dataloader_idx: int) -> Tree:
        """The window, changed before it is put on the device."""
        return batch

    def on_after_batch_transfer(self, batch: Tree, dataloader_idx: int) -> Tree:
        """The window, changed after it was put on the device."""
        return batch


class DataModule(DataHooks):
    """Brings the batches of every stage: ``trainer.fit(model, datamodule=data)``.

    >>> import numpy as np, tbptt
    >>> class Ones(tbptt.DataModule):
    ...     def setup(self, stage):
    ...         self.x = np.ones((8, 20, 1), "float32")
    ...     def train_dataloader(self):
    ...         return tbptt.data.ArrayStream(self.x, batch_size=4)
    >>> data = Ones()
    >>> data.setup("fit")
    >>> len(data.train_dataloader())
    2
    """

    is_base_of_hooks: ClassVar[bool] = True
