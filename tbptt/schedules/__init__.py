"""Truncation schedules: what is done with a long sequence, window by window. Pure integers and draws, no tensors."""

from tbptt.schedules.adaptive import Adaptive, Measurement, Probe
from tbptt.schedules.artbp import ARTBP
from tbptt.schedules.base import Schedule, checked_plan
from tbptt.schedules.checkpointed import Checkpointed
from tbptt.schedules.cost import cost
from tbptt.schedules.explain import explain
from tbptt.schedules.fixed import Fixed, as_schedule
from tbptt.schedules.lags import lag_weights
from tbptt.schedules.random_length import RandomLength
from tbptt.schedules.window import Window

__all__ = [
    "ARTBP",
    "Adaptive",
    "Checkpointed",
    "Fixed",
    "Measurement",
    "Probe",
    "RandomLength",
    "Schedule",
    "Window",
    "as_schedule",
    "checked_plan",
    "cost",
    "explain",
    "lag_weights",
]
