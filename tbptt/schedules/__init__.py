"""Truncation schedules: what is done with a long sequence, window by window. Pure integers and draws, no tensors."""

from typing import TYPE_CHECKING

from tbptt import lazily
from tbptt.schedules.base import Schedule, checked_plan
from tbptt.schedules.fixed import Fixed, as_schedule
from tbptt.schedules.window import Window

if TYPE_CHECKING:
    from tbptt.schedules.adaptive import Adaptive, Measurement, Probe
    from tbptt.schedules.artbp import ARTBP
    from tbptt.schedules.checkpointed import Checkpointed
    from tbptt.schedules.costs import cost
    from tbptt.schedules.explaining import explain
    from tbptt.schedules.lags import lag_weights
    from tbptt.schedules.random_length import RandomLength

__getattr__ = lazily.imported(
    "tbptt.schedules",
    {
        "ARTBP": "tbptt.schedules.artbp",
        "Adaptive": "tbptt.schedules.adaptive",
        "Checkpointed": "tbptt.schedules.checkpointed",
        "Measurement": "tbptt.schedules.adaptive",
        "Probe": "tbptt.schedules.adaptive",
        "RandomLength": "tbptt.schedules.random_length",
        "cost": "tbptt.schedules.costs",
        "explain": "tbptt.schedules.explaining",
        "lag_weights": "tbptt.schedules.lags",
    },
)

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
