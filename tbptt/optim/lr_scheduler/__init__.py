"""Learning-rate schedulers: torch's names, arguments and numbers, on either engine.

They write plain numbers into ``optimizer.param_groups[i]["lr"]``, which every update reads, compiled or not; so a new rate
is no new trace. Making a scheduler sets the rate of step 0; each `step` sets the next.

    scheduler = StepLR(optimizer, step_size=30)
    for epoch in range(100):
        train(...)
        scheduler.step()

The rate is written relative to the one found, as in torch, so that schedulers can be combined, with each other and with
changes by hand; `LambdaLR` and `OneCycleLR` alone overwrite it.
"""

from tbptt.optim.lr_scheduler.base import LRScheduler
from tbptt.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from tbptt.optim.lr_scheduler.cosine import CosineAnnealingLR
from tbptt.optim.lr_scheduler.decay import ExponentialLR, LambdaLR, MultiStepLR, StepLR
from tbptt.optim.lr_scheduler.one_cycle import OneCycleLR
from tbptt.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tbptt.optim.lr_scheduler.warmup import ConstantLR, LinearLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
