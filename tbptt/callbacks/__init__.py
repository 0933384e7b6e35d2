"""Callbacks: what happens around the loops without being the model's business."""

from tbptt.callbacks.base import Callback
from tbptt.callbacks.early_stopping import EarlyStopping
from tbptt.callbacks.exponential_averaging import EMAWeightAveraging
from tbptt.callbacks.gradient_norm import GradientNormMonitor
from tbptt.callbacks.learning_rate import LearningRateMonitor
from tbptt.callbacks.model_checkpoint import ModelCheckpoint
from tbptt.callbacks.progress import ProgressBar
from tbptt.callbacks.stochastic_averaging import StochasticWeightAveraging
from tbptt.callbacks.timer import Timer
from tbptt.callbacks.weight_averaging import WeightAveraging

__all__ = [
    "Callback",
    "EMAWeightAveraging",
    "EarlyStopping",
    "GradientNormMonitor",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ProgressBar",
    "StochasticWeightAveraging",
    "Timer",
    "WeightAveraging",
]
