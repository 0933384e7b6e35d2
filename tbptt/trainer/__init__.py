"""The loops around a module: windows, state, update, evaluation, what is logged and shown."""

from tbptt.trainer.trainer import Trainer

__all__ = ["Trainer"]
