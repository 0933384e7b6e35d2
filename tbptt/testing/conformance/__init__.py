"""The promises of `tbptt.protocols` as tests, a class each, that anybody's backend can be put through. Needs pytest.

An adapter's author writes a test module with three lines in it, and runs pytest:

    from tbptt.testing import BackendConformance

    class TestMine(BackendConformance):
        backend = "mymodule:backend"

`BackendConformance` is the seven classes of one protocol each together; a schedule is put through `ScheduleConformance`.
"""

import pkgutil
from typing import TYPE_CHECKING

import pytest

from tbptt import lazily

if TYPE_CHECKING:
    from tbptt.testing.conformance.autodiff import AutodiffConformance
    from tbptt.testing.conformance.base import Conformance
    from tbptt.testing.conformance.compilation import CompilationConformance
    from tbptt.testing.conformance.devices import DevicesConformance
    from tbptt.testing.conformance.interop import InteropConformance
    from tbptt.testing.conformance.optimizers import OptimizersConformance
    from tbptt.testing.conformance.recurrence import RecurrenceConformance
    from tbptt.testing.conformance.schedules import ScheduleConformance
    from tbptt.testing.conformance.suite import BackendConformance
    from tbptt.testing.conformance.tensors import TensorsConformance

# so that a bare assert in an installed package tells its values, as one in a test module does
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

__getattr__ = lazily.imported(
    "tbptt.testing.conformance",
    {
        "AutodiffConformance": "tbptt.testing.conformance.autodiff",
        "BackendConformance": "tbptt.testing.conformance.suite",
        "CompilationConformance": "tbptt.testing.conformance.compilation",
        "Conformance": "tbptt.testing.conformance.base",
        "DevicesConformance": "tbptt.testing.conformance.devices",
        "InteropConformance": "tbptt.testing.conformance.interop",
        "OptimizersConformance": "tbptt.testing.conformance.optimizers",
        "RecurrenceConformance": "tbptt.testing.conformance.recurrence",
        "ScheduleConformance": "tbptt.testing.conformance.schedules",
        "TensorsConformance": "tbptt.testing.conformance.tensors",
    },
)

__all__ = [
    "AutodiffConformance",
    "BackendConformance",
    "CompilationConformance",
    "Conformance",
    "DevicesConformance",
    "InteropConformance",
    "OptimizersConformance",
    "RecurrenceConformance",
    "ScheduleConformance",
    "TensorsConformance",
]
