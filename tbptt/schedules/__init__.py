"""Truncation schedules: what is done with a long sequence, window by window. Pure integers and draws, no tensors."""

from tbptt.schedules.artbp import ARTBP
from tbptt.schedules.base import Schedule, checked_plan
from tbptt.schedules.checkpointed import Checkpointed
from tbptt.schedules.cost import cost
from tbptt.schedules.explain import explain
from tbptt.schedules.fixed import Fixed, as_schedule
from tbptt.schedules.random_length import RandomLength
from tbptt.schedules.window import Window

__all__ = [
    "ARTBP",
    "Checkpointed",
    "Fixed",
    "RandomLength",
    "Schedule",
    "Window",
    "as_schedule",
    "checked_plan",
    "cost",
    "explain",
]
