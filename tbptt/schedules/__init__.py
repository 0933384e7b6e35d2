"""Truncation schedules: how a long sequence is cut into windows. Pure integers and draws, no tensors."""

from tbptt.schedules.base import Schedule, Window, checked_plan, explain
from tbptt.schedules.fixed import Fixed, as_schedule

__all__ = ["Fixed", "Schedule", "Window", "as_schedule", "checked_plan", "explain"]
