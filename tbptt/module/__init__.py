"""The base class of what a trainer trains: steps, hooks, logging, hyperparameters, manual optimization."""

from tbptt.module.module import Module

__all__ = ["Module"]
