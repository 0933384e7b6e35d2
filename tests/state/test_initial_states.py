"""Initial states: rows repeated, learned, drawn and taken from others, eagerly and compiled, the same on both engines."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

import tbptt
from tbptt import nn, ops, random, tree
from tbptt.clock import Origin
from tbptt.dtypes import dtype_scope
from tbptt.errors import ConfigurationError, ShapeError, StructureError
from tbptt.initial_states import Given, Learned, Noise, OtherRow
from tbptt.protocols import Backend

L, B, H = 2, 5, 3
DRAW = np.random.default_rng(0)
START = Origin(epoch=0, row=0, time=0)
LOW = np.uint64(2**32 - 1)


def drawn(*shape: int) -> np.ndarray:
    return DRAW.standard_normal(shape).astype("float32")


def numpy_of(state: Any) -> Any:
    return tree.map(lambda x: ops.to_numpy(x) if ops.is_tensor(x) else x, state)


def assert_equal(found: Any, expected: Any) -> None:
    assert tree.structure(found) == tree.structure(expected)
    for one, other in zip(tree.leaves(numpy_of(found)), tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other, strict=isinstance(other, np.ndarray))


@dataclasses.dataclass
class Cache:
    slots: Any
    filled: Any


# a state of one row, and the same in B rows by NumPy
ONE = {
    "layers": drawn(L, 1, H),
    "one layer": drawn(1, 1, H),
    "rows first": drawn(1, H),
    "memory": drawn(1, 7, H),
    "h and c": (drawn(L, 1, H), drawn(1, 4)),
    "dataclass": {"cache": Cache(drawn(1, 7, H), np.array([3], "int32")), "seen": [np.array([True]), None]},
    "numbers": (drawn(1, H), 7, "name", 0.5),
}
AXES = {"layers": [1], "one layer": [1], "rows first": [0], "memory": [0], "h and c": [1, 0], "dataclass": [0, 0, 0]}


def in_rows(name: str, rows: int) -> Any:
    leaves, structure = tree.flatten(ONE[name])
    axes = AXES.get(name, [0, None, None, None])
    return tree.unflatten(
        structure, [x if axis is None else np.repeat(x, rows, axis) for x, axis in zip(leaves, axes, strict=True)]
    )


@pytest.mark.parametrize("name", list(ONE))
@pytest.mark.parametrize("make", ["array", "tensor"])
def test_a_given_state_is_repeated_for_every_row_or_taken_as_it_is(backend: Backend, name: str, make: str) -> None:
    for state in (ONE[name], in_rows(name, B)):
        if make == "tensor":
            state = tree.map(lambda x: ops.asarray(x) if isinstance(x, np.ndarray) else x, state)
        assert_equal(Given(state)(batch_size=B), in_rows(name, B))
    assert_equal(Given(ONE[name])(1), ONE[name])


def test_a_given_state_has_memory_of_its_own() -> None:
    with tbptt.use_backend("torch"):
        for state in (np.zeros((B, H), "float32"), ops.zeros((B, H)), np.zeros((1, H), "float32")):
            start = Given(state)
            start(B)[0] += 1.0
            assert not np.asarray(ops.to_numpy(start(B))).any()
            assert not np.asarray(state).any()


def test_floats_take_the_default_dtype_and_tensors_keep_theirs_unless_one_is_named(backend: Backend) -> None:
    array, tensor = np.zeros((1, H)), ops.zeros((1, H), dtype="float16")
    with dtype_scope("float64"):
        wide = Given((array, tensor))
    assert [ops.dtype(x) for x in Given((array, tensor))(B)] == ["float32", "float16"]
    assert [ops.dtype(x) for x in wide(B)] == ["float64", "float16"]
    assert [ops.dtype(x) for x in Given((array, tensor), dtype="bfloat16")(B)] == ["bfloat16", "bfloat16"]
    assert ops.dtype(Noise(array, dtype="float64")(B, START)) == "float64"
    with dtype_scope("float64"):
        assert ops.dtype(Learned(array)(B)) == "float64"


def test_the_other_engines_tensors_are_converted(backend: Backend) -> None:
    other = "tensorflow" if backend.name == "torch" else "torch"
    with tbptt.use_backend(other):
        state = ops.asarray(ONE["layers"])
    found = Given(state)(B)
    assert backend.tensors.is_tensor(found)
    assert_equal(found, in_rows("layers", B))
    assert_equal(Learned(state)(B), in_rows("layers", B))


def test_the_axis_of_rows_may_be_named(backend: Backend) -> None:
    square = drawn(B, B, H)
    for axis in (0, 1):
        assert_equal(Given(square, batch_axis=axis)(B), square)
    one = drawn(B, 1, H)
    assert_equal(Given(one, batch_axis=1)(B), np.repeat(one, B, 1))
    state = {"h": drawn(1, 1, H), "table": drawn(4, H), "t": drawn(H, 1)}
    axes = {"h": 0, "table": None, "t": 1}
    expected = {"h": np.repeat(state["h"], B, 0), "table": state["table"], "t": np.repeat(state["t"], B, 1)}
    assert_equal(Given(state, axes)(B), expected)
    assert_equal(Learned(state, axes)(B), expected)
    shapes = tree.map(lambda x: tuple(x.shape), Noise(state, batch_axis=axes)(B, START))
    assert shapes == {"h": (B, 1, H), "table": (4, H), "t": (H, B)}
    assert_equal(Noise(state, batch_axis=axes)(B, START)["table"], state["table"])


def test_learned_values_are_the_models_parameters_and_get_the_sum_over_rows(backend: Backend) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.initial_state = Learned({"h": drawn(L, 1, H), "k": np.array([4]), "n": 7, "m": drawn(1, H)})

    model = Model()
    assert [name for name, _ in model.named_parameters()] == ["initial_state.values.0", "initial_state.values.2"]
    weights = drawn(L, B, H), drawn(B, H)
    with tbptt.GradientTape() as tape:
        state = model.initial_state(batch_size=B)
        loss = sum(ops.sum(state[name] * ops.asarray(w)) for name, w in zip("hm", weights, strict=True))
    gradients = tape.gradient(loss, model.parameters())
    for gradient, weight, axis in zip(gradients, weights, (1, 0), strict=True):
        np.testing.assert_allclose(ops.to_numpy(gradient), weight.sum(axis, keepdims=True), rtol=1e-6)
    assert_equal({"k": state["k"], "n": state["n"]}, {"k": np.full(B, 4), "n": 7})
    assert_equal(copy.deepcopy(model).initial_state(B), numpy_of(state))
    assert ops.dtype(model.to(dtype="float64").initial_state(B)["h"]) == "float64"


def test_a_parameter_given_to_learn_is_shared(backend: Backend) -> None:
    weight = nn.Parameter(drawn(1, H))
    assert Learned(weight).parameters()[0] is weight


def test_what_an_initial_state_takes_is_read_off_it() -> None:
    from tbptt.trainer.dispatch import named

    offered = ("batch_size", "previous", "origin")
    one = np.zeros((1, H))
    with tbptt.use_backend("torch"):
        assert named(Given(one), offered) == ("batch_size",)
        assert named(Learned(one), offered) == ("batch_size",)
        assert named(Noise(one), offered) == ("batch_size", "origin")
        assert named(OtherRow(), offered) == offered


LIKE = (np.zeros((L, 1, 50)), np.zeros((1, 60)))


def noise(origin: Origin = START, rows: int = 100, **options: Any) -> np.ndarray:
    """(rows, 160): all the numbers of a row side by side."""
    tbptt.seed_everything(11)
    first, second = (np.asarray(ops.to_numpy(x)) for x in Noise(LIKE, dtype="float64", **options)(rows, origin))
    return np.concatenate([np.moveaxis(first, 1, 0).reshape(rows, -1), second], axis=1)


def hashed(key: int, origin: Origin, rows: int, units: int) -> np.ndarray:
    """The noise by NumPy, straight from NUMERICS.md's hash: epoch, row, time and unit absorbed under a key, two words a number."""

    def mix(x: Any) -> Any:
        x = np.asarray(x, np.uint64) & LOW
        x = (x ^ (x >> np.uint64(16))) * np.uint64(0x21F0AAAD) & LOW
        x = (x ^ (x >> np.uint64(15))) * np.uint64(0x735A2D97) & LOW
        return x ^ (x >> np.uint64(15))

    def absorb(key: Any, word: Any) -> Any:
        return mix(mix(key) ^ np.uint64(word))

    def words(key: Any, counts: Any) -> Any:
        counts = np.asarray(counts, np.uint64)
        return mix(mix((counts >> np.uint64(32)) ^ key) ^ (counts & LOW))

    uniforms = []
    for word in (1, 2):
        epoch = absorb(absorb(key, word), origin.epoch)
        places = mix(words(epoch, origin.row + np.arange(rows)) ^ words(absorb(epoch, 1), origin.time))
        bits = mix(places[:, None] ^ words(absorb(epoch, 2), np.arange(units)))
        uniforms.append((bits.astype(np.uint32).view(np.int32) + (2.0**31 + 0.5)) / 2.0**32)
    return np.sqrt(-2 * np.log(uniforms[0])) * np.cos(2 * np.pi * uniforms[1])


@pytest.mark.parametrize("origin", [START, Origin(3, 7, 2**33 + 5), Origin(epoch=1, row=2**32 - 4, time=9)])
def test_noise_is_the_hash_through_box_and_muller_on_both_engines(backend: Backend, origin: Origin) -> None:
    found = ops.to_numpy(random.normal(0xDEADBEEF, origin, 10, 7))
    np.testing.assert_allclose(found, hashed(0xDEADBEEF, origin, 10, 7), rtol=0, atol=1e-12)
    tensors = Origin(*(ops.asarray(np.int64(n)) for n in origin))
    np.testing.assert_array_equal(ops.to_numpy(random.normal(0xDEADBEEF, tensors, 10, 7)), found)


def test_both_engines_draw_the_same_noise_also_compiled() -> None:
    origin = Origin(2, 640, 1000)
    with tbptt.use_backend("torch"):
        expected = noise(origin)
    with tbptt.use_backend("tensorflow"):
        np.testing.assert_allclose(noise(origin), expected, rtol=0, atol=1e-12)


def test_the_noise_of_a_row_depends_on_its_place_alone(backend: Backend) -> None:
    whole = noise(rows=100)
    np.testing.assert_array_equal(noise(), whole)
    np.testing.assert_array_equal(noise(Origin(0, 30, 0), rows=20), whole[30:50])
    for other in (Origin(1, 0, 0), Origin(0, 100, 0), Origin(0, 0, 1)):
        assert not np.isin(noise(other), whole).any()


def test_the_noise_is_normal_and_its_parts_uncorrelated(backend: Backend) -> None:
    """Each estimate lies within five of its standard deviations, and quantiles are the normal distribution's."""
    x = noise(rows=400)
    for axis in (None, 0, 1):
        count = x.size if axis is None else x.shape[axis]
        assert np.abs(x.mean(axis)).max() < 5 / np.sqrt(count)
        assert np.abs((x**2).mean(axis) - 1).max() < (5 if axis is None else 6) * np.sqrt(2 / count)
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / x.size)
    for z, share in ((-2.0, 0.0227501), (-1.0, 0.1586553), (0.5, 0.6914625), (2.0, 0.9772499)):
        assert abs((x < z).mean() - share) < 5 * np.sqrt(share * (1 - share) / x.size)
    tbptt.seed_everything(12)
    first, second = (ops.to_numpy(Noise(LIKE[1], dtype="float64")(400, START)) for _ in range(2))
    pairs = {
        "rows": (x[:-1], x[1:]),
        "units": (x[:, :-1], x[:, 1:]),
        "leaves": (x[:, :60], x[:, 100:]),
        "epochs": (x, noise(Origin(1, 0, 0), rows=400)),
        "batches": (x, noise(Origin(0, 400, 0), rows=400)),
        "times": (x, noise(Origin(0, 0, 50), rows=400)),
        "layers": (first, second),
        "seeds": (first, x[:, 100:]),
    }
    found = {name: abs((a * b).mean()) * np.sqrt(a.size) for name, (a, b) in pairs.items()}
    assert max(found.values()) < 5, found


def test_noise_has_the_mean_and_deviation_asked_for_and_leaves_whole_numbers_alone(backend: Backend) -> None:
    np.testing.assert_allclose(noise(std=0.2, mean=-3.0), noise() * 0.2 - 3.0, rtol=1e-14)
    np.testing.assert_array_equal(noise(std=0.0, mean=1.5), np.full((100, 160), 1.5))
    state = Noise({"h": np.zeros((1, H)), "k": np.array([2]), "n": 7})(B, START)
    assert_equal({"k": state["k"], "n": state["n"]}, {"k": np.full(B, 2), "n": 7})
    assert ops.dtype(state["h"]) == "float32"


ENDED = {"h": drawn(L, B, H), "m": drawn(B, H), "k": np.arange(B), "table": drawn(7, H), "n": 7}


@pytest.mark.parametrize("shift", [1, 2, -1, B + 1, 0])
def test_another_rows_state_is_taken_row_by_row(backend: Backend, shift: int) -> None:
    previous = tree.map(lambda x: ops.asarray(x) if isinstance(x, np.ndarray) else x, ENDED)
    expected = copy.deepcopy(ENDED)
    for row in range(B):
        for name in ("m", "k"):
            expected[name][row] = ENDED[name][(row + shift) % B]
        expected["h"][:, row] = ENDED["h"][:, (row + shift) % B]
    assert_equal(OtherRow(shift=shift)(batch_size=B, previous=previous), expected)


def test_without_a_batch_before_or_with_other_rows_there_is_the_other_initial_state(backend: Backend) -> None:
    tbptt.seed_everything(0)
    fallbacks = [Given(np.ones((L, 1, H))), Learned(np.ones((L, 1, H))), lambda batch_size: np.ones((L, batch_size, H))]
    for previous in (None, ops.zeros((L, B - 1, H)), ops.zeros((B, H, B)), {"n": 7}):
        axis = None if previous is None or isinstance(previous, dict) else 1
        for otherwise in fallbacks:
            found = OtherRow(otherwise, batch_axis=axis)(B, previous, START)
            np.testing.assert_array_equal(numpy_of(found), np.ones((L, B, H)))
        assert OtherRow(batch_axis=axis)(B, previous) is None
    assert OtherRow()(1, ops.zeros((1, 4, H))) is None  # four rows of one layer, then a batch of one row
    drawn_first = OtherRow(Noise(np.zeros((1, H))))(B, None, START)
    assert tuple(drawn_first.shape) == (B, H)


def test_the_other_initial_state_may_be_any_module_and_its_parameters_are_found(backend: Backend) -> None:
    class Start(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(drawn(1, H))

        def forward(self, batch_size: int) -> Any:
            return ops.broadcast_to(self.weight, (batch_size, H))

    own = OtherRow(Start())
    assert [name for name, _ in own.named_parameters()] == ["otherwise.weight"]
    np.testing.assert_array_equal(numpy_of(own(B)), np.repeat(ops.to_numpy(own.parameters()[0]), B, 0))
    inner = OtherRow(Learned(np.zeros((1, H))))
    assert [name for name, _ in inner.named_parameters()] == ["otherwise.values.0"]


def test_where_the_rows_of_the_batch_before_are_may_be_named(backend: Backend) -> None:
    given = OtherRow(batch_axis={"h": 1, "t": None})(B, {"h": ops.ones((B, B, 2)), "t": ops.zeros((B, 2))})
    assert tuple(given["h"].shape) == (B, B, 2)


@pytest.mark.parametrize("rows", [B, None], ids=["rows known", "rows open"])
def test_all_of_them_work_in_compiled_tensorflow(rows: int | None) -> None:
    """Through XLA where the number of rows is known, in a graph for any number of rows where it is not."""
    with tbptt.use_backend("tensorflow"):
        tbptt.seed_everything(5)
        starts = {"given": Given(LIKE), "learned": Learned(LIKE), "noise": Noise(LIKE, dtype="float64")}
        origin = Origin(2, 640, 1000)

        def run(x: Any, epoch: Any, row: Any, time: Any) -> Any:
            count = ops.shape(x)[0]
            return starts["given"](count), starts["learned"](count), starts["noise"](count, Origin(epoch, row, time))

        scalar = tf.TensorSpec((), tf.int64)
        signature = [tf.TensorSpec((rows, H), tf.float32), scalar, scalar, scalar]
        program = tf.function(run, input_signature=signature, jit_compile=rows is not None, autograph=False)
        found = program(tf.zeros((B, H)), *(tf.constant(n, tf.int64) for n in origin))
        eager = starts["given"](B), starts["learned"](B), starts["noise"](B, origin)
        for one, other in zip(tree.leaves(found), tree.leaves(eager), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=1e-12)


def test_another_rows_state_in_compiled_tensorflow() -> None:
    with tbptt.use_backend("tensorflow"):
        previous = tree.map(tf.constant, (ENDED["h"], ENDED["m"]))
        start = OtherRow()
        program = tf.function(lambda *state: start(B, state), jit_compile=True, autograph=False)
        assert_equal(program(*previous), numpy_of(start(B, previous)))
        with pytest.raises(ShapeError, match="not known while a program for any number of rows"):
            tf.function(lambda x: start(B, x), [tf.TensorSpec((None, H))], autograph=False).get_concrete_function()


def test_rows_reset_within_a_batch_begin_with_noise_of_their_own(backend: Backend) -> None:
    """What the trainer makes of a reset mask: the initial state for all rows, taken where the mask says."""
    tbptt.seed_everything(0)
    start, mask = Noise(np.zeros((1, H))), [True, False, True, False, False]
    state = start(B, START)
    after = numpy_of(tbptt.reset_rows(state, mask, start(B, Origin(0, 0, 8))))
    before = numpy_of(state)
    assert [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == mask


ONE_ROW = np.zeros((1, H))
MISUSE: dict[str, tuple[Any, type[Exception], str]] = {
    "rows that do not fit": (
        lambda: Given({"h": np.zeros((4, H))})(B),
        ShapeError,
        r"state\['h'\] of shape \(4, 3\) should hold.*one row, or of the 5 rows.*axis 0",
    ),
    "units without rows": (lambda: Learned(np.zeros(H)), ShapeError, r"state of shape \(3,\).*axis of length 1"),
    "many rows to learn": (lambda: Learned(np.zeros((L, B, H))), ShapeError, r"\(2, 5, 3\).*one row"),
    "named axis with other rows": (
        lambda: Given(np.zeros((L, 1, H)), batch_axis=2)(B),
        ShapeError,
        r"\(2, 1, 3\).*axis 2",
    ),
    "two axes": (
        lambda: Given(np.zeros((B, B, H)))(B),
        ShapeError,
        r"axis 0 or on axis 1 in a batch of 5.*batch_axis=: 1",
    ),
    "one axis too many": (lambda: Given(np.zeros((B, 1, H)))(B), ShapeError, "axis 0 or on axis 1"),
    "two axes of the batch before": (lambda: OtherRow()(B, np.zeros((B, B, H))), ShapeError, "axis 0 or on axis 1"),
    "axis beyond the leaf": (
        lambda: Given({"h": ONE_ROW}, batch_axis={"h": 2}),
        ShapeError,
        r"state\['h'\] should have its rows on axis 2",
    ),
    "negative axis": (lambda: Noise(ONE_ROW, batch_axis=-1), ConfigurationError, "counted from the first.*received -1"),
    "axes of another structure": (
        lambda: Given((ONE_ROW, ONE_ROW), batch_axis=(0, 0, 0)),
        StructureError,
        "batch_axis has a tuple of 3 and the state has a tuple of 2",
    ),
    "a shape to learn": (lambda: Learned((2, 1, H)), ConfigurationError, "nothing to learn.*a shape alone is a tuple"),
    "integers to learn": (lambda: Learned(np.zeros((1, H), int)), ConfigurationError, "nothing to learn.*take Given"),
    "negative deviation": (lambda: Noise(ONE_ROW, std=-1), ConfigurationError, "received std=-1 and mean=0.0"),
    "mean that is none": (lambda: Noise(ONE_ROW, mean=float("nan")), ConfigurationError, "mean=nan"),
    "dtype of integers": (lambda: Given(ONE_ROW, dtype="int32"), ConfigurationError, "a floating dtype.*'int32'"),
    "half a row": (lambda: OtherRow(shift=cast(int, 0.5)), ConfigurationError, "whole number of rows; received 0.5"),
    "a state for otherwise": (
        lambda: OtherRow(cast(Any, ONE_ROW)),
        ConfigurationError,
        r"received ndarray.*Given\(state\)",
    ),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_refused_with_what_is_wrong(backend: Backend, name: str) -> None:
    make, error, message = MISUSE[name]
    with pytest.raises(error, match=message):
        make()
