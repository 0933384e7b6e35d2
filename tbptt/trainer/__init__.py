"""The loops around a module: windows, state, update, validation, what is logged and shown."""

from tbptt.trainer.callbacks import Callback
from tbptt.trainer.progress import ProgressBar
from tbptt.trainer.trainer import Trainer

__all__ = ["Callback", "ProgressBar", "Trainer"]
