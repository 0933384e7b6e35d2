"""The whole suite for a backend, in one class."""

from __future__ import annotations

from tbptt.testing.conformance.autodiff import AutodiffConformance
from tbptt.testing.conformance.compilation import CompilationConformance
from tbptt.testing.conformance.devices import DevicesConformance
from tbptt.testing.conformance.interop import InteropConformance
from tbptt.testing.conformance.optimizers import OptimizersConformance
from tbptt.testing.conformance.recurrence import RecurrenceConformance
from tbptt.testing.conformance.tensors import TensorsConformance


class BackendConformance(
    TensorsConformance,
    RecurrenceConformance,
    AutodiffConformance,
    OptimizersConformance,
    DevicesConformance,
    CompilationConformance,
    InteropConformance,
):
    """Every promise of the seven protocols. All that an adapter's author writes, in a module that pytest collects:

        from tbptt.testing import BackendConformance

        class TestMine(BackendConformance):
            backend = "mymodule:backend"

    `backend` is a `tbptt.protocols.Backend` record, ``"module:attribute"`` of one, or a registered name. The seven classes
    (`TensorsConformance`, `AutodiffConformance`, ...) can be inherited one by one while an adapter is being written.

    What the engine cannot do is said in `lacks`, with a reason. A name alone excuses every case of a test, a name with brackets
    one case, as pytest prints them:

            lacks = {
                "test_single_precision": "the engine computes in float64 only",
                "test_numbers[erf]": "the engine has no error function",
            }

    An excused test is run, and reported as expected to fail (``xfail``). If it passes, it fails: the excuse is no longer needed.
    An excuse that names no test, or gives no reason, fails too.
    """
