"""The table of a model: names, parameters against what they must be, sizes found by one call that leaves no trace."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops
from tbptt.errors import ConfigurationError
from tbptt.nn.module import watchers
from tbptt.protocols import Backend
from tbptt.summary import ModelSummary, summarize


class Block(nn.Module):
    def __init__(self) -> None:
        self.norm, self.layers = nn.LayerNorm(8), [nn.Linear(8, 8), nn.Linear(8, 8, bias=False)]

    def forward(self, x: Any) -> Any:
        return self.layers[1](self.layers[0](self.norm(x)))


class CharLM(nn.Module):
    """96 + 544 + 152 + 108 parameters, a scale of 8 and one of 8 that is not trained."""

    example_input_array: Any = None

    def __init__(self) -> None:
        self.embedding = nn.Embedding(12, 8)
        self.lstm = nn.LSTM(8, 8, bias=True, num_layers=1, dropout=0.0)
        self.block = Block()
        self.head = nn.Linear(8, 12)
        self.scale = nn.Parameter(np.ones(8))
        self.fixed = nn.Parameter(np.ones(8), trainable=False)
        self.modes: list[bool] = []

    def forward(self, tokens: Any, state: Any = None) -> Any:
        self.modes.append(self.training)
        outputs, state = self.lstm(self.embedding(tokens), state)
        return self.head(ops.multiply(self.block(outputs), self.scale)), state


LSTM = 4 * 8 * (8 + 8 + 1)
BLOCK = 2 * 8 + 8 * 9 + 8 * 8
TRAINED = 96 + LSTM + BLOCK + 9 * 12 + 8


def test_rows_are_the_children_with_all_their_parameters(backend: Backend) -> None:
    summary = ModelSummary(CharLM())
    assert [tuple(row[:3]) for row in summary.rows] == [
        ("embedding", "Embedding", 96),
        ("lstm", "LSTM", LSTM),
        ("block", "Block", BLOCK),
        ("head", "Linear", 108),
        ("", "other params", 16),
    ]
    assert summary.trainable_parameters == TRAINED
    assert summary.total_parameters == TRAINED + 8
    assert summary.model_size == pytest.approx((TRAINED + 8) * 4 / 1e6)


def test_depth_is_counted_in_modules(backend: Backend) -> None:
    names = {depth: [row.name for row in ModelSummary(CharLM(), depth).rows] for depth in (0, 1, 2, -1)}
    assert names[0] == []
    below = ["block.norm", "block.layers.0", "block.layers.1"]
    assert names[2] == ["embedding", "lstm", "block", *below, "head", ""] == names[-1]
    assert len(ModelSummary(CharLM(), 0).__str__().splitlines()) == 4


def test_size_goes_by_dtype_and_frozen_parameters_are_not_trainable(backend: Backend) -> None:
    model = CharLM().double()
    model.embedding.freeze()
    summary = summarize(model)
    assert summary.trainable_parameters == TRAINED - 96
    assert summary.total_parameters == TRAINED + 8
    assert summary.model_size == pytest.approx((TRAINED + 8) * 8 / 1e6)
    assert ModelSummary(model.to(dtype="bfloat16")).model_size == pytest.approx((TRAINED + 8) * 2 / 1e6)


TOKENS = np.array([[1, 2, 3], [4, 5, 6]])
STATE = (np.zeros((1, 2, 8)), np.zeros((1, 2, 8)))  # float64, as NumPy has it


@pytest.mark.parametrize("example", [TOKENS, (TOKENS, STATE), {"state": STATE, "tokens": TOKENS}])
def test_sizes_come_from_the_example_and_the_call_leaves_no_trace(backend: Backend, example: Any) -> None:
    model = CharLM()
    model.head.training = False
    model.example_input_array = example
    summary = ModelSummary(model, max_depth=2)
    sizes = {row.name: row[3:] for row in summary.rows}
    with_state = "" if example is TOKENS else "[[2, 3, 8], [[1, 2, 8], [1, 2, 8]]]"
    assert sizes["embedding"] == ("[2, 3]", "[2, 3, 8]")
    assert sizes["lstm"] == (with_state or "[2, 3, 8]", "[[2, 3, 8], [[1, 2, 8], [1, 2, 8]]]")
    assert sizes["block.layers.1"] == sizes["block"] == ("[2, 3, 8]", "[2, 3, 8]")
    assert sizes["head"] == ("[2, 3, 8]", "[2, 3, 12]")
    assert sizes[""] == ("?", "?")
    assert model.modes == [False]
    assert model.training and model.block.training and not model.head.training
    assert watchers == []


def test_an_example_that_fails_leaves_no_trace_either(backend: Backend) -> None:
    model = CharLM()
    model.example_input_array = (TOKENS, np.zeros(3))
    with pytest.raises(tbptt.errors.ShapeError):
        ModelSummary(model)
    assert model.training and watchers == []


def test_it_prints_as_plain_text(backend: Backend) -> None:
    model = CharLM()
    model.example_input_array = TOKENS
    model.other = {"[bold]x[/bold]": nn.Linear(200, 100)}
    lines = str(ModelSummary(model)).splitlines()
    assert "\x1b" not in str(ModelSummary(model)) and repr(ModelSummary(model)) == str(ModelSummary(model))
    assert [title.strip() for title in lines[0].split("|")[2:7]] == ["Name", "Type", "Params", "In sizes", "Out sizes"]
    assert lines[2].split("|")[2:5] == [" embedding            ", " Embedding    ", "     96 "]
    assert "other.[bold]x[/bold]" in lines[6] and "20.1 K" in lines[6] and lines[6].count("?") == 2
    assert lines[-4:] == [
        "21.0 K    Trainable params",
        "8         Non-trainable params",
        "21.0 K    Total params",
        "0.084     Total estimated model params size (MB)",
    ]


def torch_model() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.ReLU()))


def keras_model() -> Any:
    layers = [keras.layers.Dense(4, name="dense"), keras.layers.BatchNormalization(name="norm")]
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.mark.parametrize("make", [torch_model, keras_model])
def test_native_models_have_rows_too(make: Any) -> None:
    with tbptt.use_backend("torch" if make is torch_model else "tensorflow"):
        model = make()
        summary = ModelSummary(model, -1)
        rows = [tuple(row[:3]) for row in summary.rows]
        assert summary.trainable_parameters == 16 + 8
        if make is torch_model:
            assert rows == [("0", "Linear", 16), ("1", "Sequential", 8), ("1.0", "BatchNorm1d", 8), ("1.1", "ReLU", 0)]
            assert summary.total_parameters == 24  # running statistics are buffers
        else:
            assert rows == [("dense", "Dense", 16), ("norm", "BatchNormalization", 16)]
            assert summary.total_parameters == model.count_params()
        inside = nn.Module()
        inside.native = model
        assert ModelSummary(inside).rows[0].parameters == summary.total_parameters


def test_modes_of_native_children_are_put_back() -> None:
    class Model(CharLM):
        def forward(self, tokens: Any, state: Any = None) -> Any:
            self.modes.append(self.native[1][0].training)
            return super().forward(tokens)

    with tbptt.use_backend("torch"):
        model = Model()
        model.native = torch_model()
        model.native[1].eval()
        model.example_input_array = TOKENS
        ModelSummary(model)
    assert model.modes == [False, False]
    assert model.native.training and model.native[0].training
    assert not model.native[1].training and not model.native[1][0].training


@pytest.mark.parametrize("depth", [-2, 1.5, True])
def test_a_depth_that_is_none_is_refused(depth: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_depth"):
        ModelSummary(nn.Linear(1, 1), depth)
