"""For those who test: a conformance suite for adapters and schedules, and training compared between engines.

The classes of `tbptt.testing.conformance` need pytest.
"""

from typing import TYPE_CHECKING

from tbptt import lazily

if TYPE_CHECKING:
    from tbptt.comparison import Recorder
    from tbptt.testing.agreement import assert_backends_agree
    from tbptt.testing.conformance.autodiff import AutodiffConformance
    from tbptt.testing.conformance.compilation import CompilationConformance
    from tbptt.testing.conformance.devices import DevicesConformance
    from tbptt.testing.conformance.interop import InteropConformance
    from tbptt.testing.conformance.optimizers import OptimizersConformance
    from tbptt.testing.conformance.recurrence import RecurrenceConformance
    from tbptt.testing.conformance.schedules import ScheduleConformance
    from tbptt.testing.conformance.suite import BackendConformance
    from tbptt.testing.conformance.tensors import TensorsConformance

__getattr__ = lazily.imported(
    "tbptt.testing",
    {
        "AutodiffConformance": "tbptt.testing.conformance.autodiff",
        "BackendConformance": "tbptt.testing.conformance.suite",
        "CompilationConformance": "tbptt.testing.conformance.compilation",
        "DevicesConformance": "tbptt.testing.conformance.devices",
        "InteropConformance": "tbptt.testing.conformance.interop",
        "OptimizersConformance": "tbptt.testing.conformance.optimizers",
        "Recorder": "tbptt.comparison",
        "RecurrenceConformance": "tbptt.testing.conformance.recurrence",
        "ScheduleConformance": "tbptt.testing.conformance.schedules",
        "TensorsConformance": "tbptt.testing.conformance.tensors",
        "assert_backends_agree": "tbptt.testing.agreement",
    },
)

__all__ = [
    "AutodiffConformance",
    "BackendConformance",
    "CompilationConformance",
    "DevicesConformance",
    "InteropConformance",
    "OptimizersConformance",
    "Recorder",
    "RecurrenceConformance",
    "ScheduleConformance",
    "TensorsConformance",
    "assert_backends_agree",
]
