"""Weights and optimizers' state from and to torch and Keras, as NumPy arrays: no framework is imported here.

Every ``load_...`` takes everything or nothing: what does not fit is listed whole in one `WeightsError`. `layouts.py` has the rules
of layout, `docs/weights.md` shows them at work.
"""

from tbptt.interop.keras_files import load_keras_file, save_keras_file
from tbptt.interop.keras_optimizers import keras_optimizer_state, load_keras_optimizer_state
from tbptt.interop.keras_weights import keras_weights, load_keras_weights
from tbptt.interop.torch_optimizers import load_torch_optimizer_state, torch_optimizer_state
from tbptt.interop.torch_weights import load_torch_state_dict, torch_state_dict

__all__ = [
    "keras_optimizer_state",
    "keras_weights",
    "load_keras_file",
    "load_keras_optimizer_state",
    "load_keras_weights",
    "load_torch_optimizer_state",
    "load_torch_state_dict",
    "save_keras_file",
    "torch_optimizer_state",
    "torch_state_dict",
]
