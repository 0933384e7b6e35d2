"""TensorFlow's libraries require that torch, where both are used, is imported first."""

import torch  # noqa: F401
