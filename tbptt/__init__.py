"""Truncated backpropagation through time, written once, on PyTorch or TensorFlow.

Importing this package imports neither engine: the first tensor, module or question does.
"""

from typing import TYPE_CHECKING

from tbptt import data, errors, lazily, nn, ops, optim, schedules, tree
from tbptt.autodiff import GradientTape, no_grad, stop_gradient
from tbptt.backends import current_backend, current_device, use_backend
from tbptt.data import DataModule, Padded
from tbptt.dtypes import default_dtype, set_default_dtype
from tbptt.random import seed_everything
from tbptt.state import detach, reset_rows
from tbptt.windowing import windows

if TYPE_CHECKING:
    from tbptt import callbacks, comparison, initial_states, interop, loggers, testing
    from tbptt.callbacks import Callback, ProgressBar
    from tbptt.module import Module
    from tbptt.precision import set_float32_matmul_precision
    from tbptt.trainer import Trainer

__getattr__ = lazily.imported(
    "tbptt",
    {
        "Callback": "tbptt.callbacks",
        "Module": "tbptt.module",
        "ProgressBar": "tbptt.callbacks",
        "Trainer": "tbptt.trainer",
        "callbacks": "tbptt",
        "comparison": "tbptt",
        "initial_states": "tbptt",
        "interop": "tbptt",
        "loggers": "tbptt",
        "set_float32_matmul_precision": "tbptt.precision",
        "testing": "tbptt",
    },
)

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "DataModule",
    "GradientTape",
    "Module",
    "Padded",
    "ProgressBar",
    "Trainer",
    "callbacks",
    "comparison",
    "current_backend",
    "current_device",
    "data",
    "default_dtype",
    "detach",
    "errors",
    "initial_states",
    "interop",
    "loggers",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "reset_rows",
    "schedules",
    "seed_everything",
    "set_default_dtype",
    "set_float32_matmul_precision",
    "stop_gradient",
    "testing",
    "tree",
    "use_backend",
    "windows",
]
