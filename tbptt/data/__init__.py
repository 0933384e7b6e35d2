"""Data: long text, arrays, and whatever else brings batches."""

from tbptt.data.arrays import ArrayStream
from tbptt.data.batches import batches, is_one_batch
from tbptt.data.datamodule import DataModule
from tbptt.data.padded import Padded, pad
from tbptt.data.text import TextStream

__all__ = ["ArrayStream", "DataModule", "Padded", "TextStream", "batches", "is_one_batch", "pad"]
