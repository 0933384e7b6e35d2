"""Training runs written down and laid side by side: are two engines, versions or machines the same, and if not, since when?"""

from tbptt.comparison.comparison import Comparison, Parting, Summary
from tbptt.comparison.differences import Difference
from tbptt.comparison.moments import MOMENTS
from tbptt.comparison.recorder import EnoughWindows, Recorder
from tbptt.comparison.recording import Head, Place, Reader, Record, Writer
from tbptt.comparison.tolerances import Tolerance

__all__ = [
    "MOMENTS",
    "Comparison",
    "Difference",
    "EnoughWindows",
    "Head",
    "Parting",
    "Place",
    "Reader",
    "Record",
    "Recorder",
    "Summary",
    "Tolerance",
    "Writer",
]
