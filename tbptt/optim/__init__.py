"""Optimizers, their schedulers, gradient clipping: one definition on every engine, torch's formulas and argument names."""

from typing import TYPE_CHECKING

from tbptt import lazily
from tbptt.optim.adagrad import Adagrad
from tbptt.optim.adam import Adam, AdamW
from tbptt.optim.base import Optimizer
from tbptt.optim.clipping import clip_by_global_norm, clip_by_value, global_norm
from tbptt.optim.groups import Group, Rate
from tbptt.optim.rmsprop import RMSprop
from tbptt.optim.sgd import SGD

if TYPE_CHECKING:
    from tbptt.optim import lr_scheduler

__getattr__ = lazily.imported("tbptt.optim", {"lr_scheduler": "tbptt.optim"})

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Group",
    "Optimizer",
    "RMSprop",
    "Rate",
    "clip_by_global_norm",
    "clip_by_value",
    "global_norm",
    "lr_scheduler",
]
