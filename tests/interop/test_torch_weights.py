"""Weights from and to `torch.nn`: outputs and states are torch's own, and everything loads or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interop.worlds import KINDS, assert_same, float64, our_layer, run_ours, run_torch, shuffle, torch_layer, values
from tbptt import interop, nn, ops
from tbptt.errors import ConfigurationError, WeightsError
from tbptt.protocols import Backend

DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(3, 6, 4))


class Ours(nn.Module):
    def __init__(self, width: int = 5) -> None:
        self.embedding = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, width, num_layers=2)
        self.blocks = [nn.LayerNorm(width), nn.Linear(width, 3)]

    def forward(self, tokens: Any) -> Any:
        outputs, _ = self.lstm(self.embedding(tokens))
        return self.blocks[1](self.blocks[0](outputs))


class Theirs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.lstm = torch.nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.blocks = torch.nn.ModuleList([torch.nn.LayerNorm(5), torch.nn.Linear(5, 3)])
        self.double()

    def forward(self, tokens: Any) -> Any:
        outputs, _ = self.lstm(self.embedding(tokens))
        return self.blocks[1](self.blocks[0](outputs))


def tensors(state: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in state.items()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers_compute_what_torchs_do_and_back(backend: Backend, kind: str, layers: int, bias: bool) -> None:
    theirs = shuffle(DRAW, torch_layer(kind, 4, 5, layers, bias))
    with float64():
        ours = our_layer(kind, 4, 5, layers, bias)
        interop.load_torch_state_dict(ours, theirs.state_dict())
        wanted = run_torch(theirs, X)
        assert_same(run_ours(ours, X), wanted)
        fresh = torch_layer(kind, 4, 5, layers, bias)
        fresh.load_state_dict(interop.torch_state_dict(ours, convert=torch.from_numpy))
        assert_same(run_torch(fresh, X), wanted)


@pytest.mark.parametrize(
    ("cell", "theirs"),
    [(nn.LSTMCell, torch.nn.LSTMCell), (nn.GRUCell, torch.nn.GRUCell), (nn.RNNCell, torch.nn.RNNCell)],
)
def test_cells_compute_what_torchs_do(backend: Backend, cell: Any, theirs: Any) -> None:
    peer = shuffle(DRAW, theirs(4, 5, dtype=torch.float64))
    with float64():
        ours = cell(4, 5)
        interop.load_torch_state_dict(ours, peer.state_dict())
        output, _ = ours(ops.asarray(X[:, 0]))
    found = peer(torch.tensor(X[:, 0]))
    wanted = found[0] if isinstance(found, tuple) else found
    assert_same([ops.to_numpy(output)], [wanted.detach().numpy()])


def test_a_model_of_equal_names_computes_what_torchs_does_and_back(backend: Backend) -> None:
    theirs, tokens = shuffle(DRAW, Theirs()), DRAW.integers(0, 7, size=(3, 6))
    with float64():
        ours = Ours()
        interop.load_torch_state_dict(ours, theirs.state_dict())
        wanted = theirs(torch.tensor(tokens)).detach().numpy()
        assert_same([ops.to_numpy(ours(ops.asarray(tokens)))], [wanted])
        fresh = Theirs()
        fresh.load_state_dict(interop.torch_state_dict(ours, convert=torch.from_numpy))
        assert_same([fresh(torch.tensor(tokens)).detach().numpy()], [wanted])


def test_names_say_where_parts_are_called_something_else(backend: Backend) -> None:
    theirs = Theirs()
    renamed = {f"module.{name.replace('lstm.', 'encoder.rnn.')}": value for name, value in theirs.state_dict().items()}
    names = {"": "module", "lstm": "module.encoder.rnn"}
    ours = Ours()
    interop.load_torch_state_dict(ours, renamed, names)
    assert interop.torch_state_dict(ours, names).keys() == renamed.keys()
    np.testing.assert_allclose(values(ours)["lstm.weight_hh_l1"], theirs.lstm.weight_hh_l1.detach(), rtol=1e-7)
    with pytest.raises(ConfigurationError, match=r"'encoder'.*'lstm'"):
        interop.load_torch_state_dict(ours, renamed, {"encoder": "lstm"})


def test_values_take_the_parameters_dtype_and_sums_are_made_in_the_wider_one(backend: Backend) -> None:
    ours = nn.RNN(1, 1)
    state = {f"{role}_l0": np.ones((1, 1)) for role in ("weight_ih", "weight_hh")}
    state |= {"bias_ih_l0": np.array([1 + 1e-7]), "bias_hh_l0": np.array([-1.0])}
    interop.load_torch_state_dict(ours, state)
    found = values(ours)["bias_l0"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [1e-7], rtol=1e-6)  # in float32 the sum would be 1.19e-7


def test_everything_that_does_not_fit_is_listed_and_nothing_is_loaded(backend: Backend) -> None:
    state = dict(Theirs().state_dict())
    del state["embedding.weight"]
    state["lstm.bias_ih_l7"] = torch.zeros(20)
    ours = Ours(6)
    before = values(ours)
    with pytest.raises(WeightsError) as raised:
        interop.load_torch_state_dict(ours, state)
    for part in (
        "missing: embedding.weight (7, 4)",
        "unexpected: lstm.bias_ih_l7 (20,)",
        "shape: lstm.weight_hh_l1 is (20, 5) in the state dict and (24, 6) in the module",
        "shape: blocks.0.weight is (5,)",
        "nothing was loaded",
    ):
        assert part in str(raised.value)
    assert all(np.array_equal(before[name], value) for name, value in values(ours).items())


@pytest.mark.parametrize(
    ("option", "reason"), [({"bidirectional": True}, "bidirectional"), ({"proj_size": 2}, "proj_size")]
)
def test_what_no_layer_of_ours_computes_is_refused_with_the_reason(backend: Backend, option: Any, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"refused: the layer .*{reason}"):
        interop.load_torch_state_dict(nn.LSTM(4, 5), torch.nn.LSTM(4, 5, **option).state_dict())


def test_a_parameter_shared_here_must_be_one_there(backend: Backend) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.embedding, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.head.weight = self.embedding.weight

    ours, table = Tied(), torch.ones(7, 4)
    interop.load_torch_state_dict(ours, {"embedding.weight": table, "head.weight": table})
    assert values(ours)["embedding.weight"].sum() == 28
    with pytest.raises(WeightsError, match=r"tied: embedding.weight and head.weight"):
        interop.load_torch_state_dict(ours, {"embedding.weight": table, "head.weight": 2 * table})
    assert values(ours)["embedding.weight"].sum() == 28


def test_frozen_and_own_parameters_travel_too(backend: Backend) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.scale = nn.Parameter(np.ones(3))
            self.linear = nn.Linear(2, 3).freeze()

    ours = Scaled()
    state = {"scale": np.full(3, 2.0), "linear.weight": np.full((3, 2), 3.0), "linear.bias": np.full(3, 4.0)}
    interop.load_torch_state_dict(ours, state)
    assert {name: value.max() for name, value in values(ours).items()} == {
        "scale": 2,
        "linear.weight": 3,
        "linear.bias": 4,
    }
    given = interop.torch_state_dict(ours)
    interop.load_torch_state_dict(ours, {name: value * 0 for name, value in state.items()})
    assert given["scale"].max() == 2  # a copy, not a view of what has changed since


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_half_precision_goes_both_ways(backend: Backend, half: str) -> None:
    ours = nn.Linear(2, 3).to(dtype=half)
    weight = torch.full((3, 2), 1.5, dtype=getattr(torch, half))
    interop.load_torch_state_dict(ours, {"weight": weight, "bias": torch.zeros(3)})
    assert ops.dtype(ours.weight) == half
    assert interop.torch_state_dict(ours)["weight"].tolist() == [[1.5, 1.5]] * 3


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ("m.pt", r"torch\.load\(path, weights_only=True\)"),
        (torch.nn.Linear(2, 1), r"received a torch\.nn\.modules\.linear\.Linear.*model\.state_dict\(\)"),
        ({"epoch": 3, "model": torch.nn.Linear(2, 1).state_dict()}, r"checkpoint\['model'\]"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_the_way_to_one(backend: Backend, given: Any, way: str) -> None:
    with pytest.raises(WeightsError, match=way):
        interop.load_torch_state_dict(nn.Linear(2, 1), given)


def test_a_prefix_before_all_names_is_pointed_out(backend: Backend) -> None:
    given = {f"module.{name}": value for name, value in torch.nn.Linear(2, 1).state_dict().items()}
    with pytest.raises(WeightsError, match=r"names=\{'': 'module'\}"):
        interop.load_torch_state_dict(nn.Linear(2, 1), given)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.weight_norm])
def test_weights_that_are_computed_from_others_are_refused(backend: Backend, norm: Any) -> None:
    with pytest.raises(WeightsError, match="refused: the layer computes its weights from others"):
        interop.load_torch_state_dict(nn.Linear(2, 1), norm(torch.nn.Linear(2, 1)).state_dict())


def test_own_parameters_may_have_any_name(backend: Backend) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            self.weight_g = nn.Parameter(np.ones(2, "float32"))

    ours = Normed()
    interop.load_torch_state_dict(ours, {"weight_g": torch.full((2,), 3.0)})
    assert ops.to_numpy(ours.weight_g).tolist() == [3.0, 3.0]
