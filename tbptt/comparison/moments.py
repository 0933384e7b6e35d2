"""The moments of a window at which a run is written down, in the order in which a difference spreads from one to the next."""

from __future__ import annotations

MOMENTS: dict[str, str] = {
    "start": "parameters and buffers before the first window; later, where they are not what the window before left",
    "data": "the window as the data brought it",
    "forward": "the state that leaves the window",
    "loss": "the window's loss, and values logged in it",
    "gradient": "the loss' gradient, as it reaches the optimizer",
    "clipping": "the gradient after clipping",
    "update": "parameters and buffers after the update",
    "optimizer": "what the optimizer keeps from update to update: momentum, moments",
}
"""Name to what is written down there."""
