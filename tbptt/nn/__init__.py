"""Layers written once, on `tbptt.ops` and the engine's recurrent kernels; losses and metrics in `nn.functional`."""

from tbptt.nn import functional, init
from tbptt.nn.cells import GRUCell, LSTMCell, RNNCell
from tbptt.nn.containers import Sequential
from tbptt.nn.dropout import Dropout
from tbptt.nn.embedding import Embedding
from tbptt.nn.linear import Linear
from tbptt.nn.module import Module
from tbptt.nn.module import parameter as Parameter
from tbptt.nn.norm import LayerNorm
from tbptt.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "RNNCell",
    "Sequential",
    "functional",
    "init",
]
