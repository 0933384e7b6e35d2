"""Masks: the same on both engines, functions of place and not of cutting, and random by every simple test."""

from __future__ import annotations

import numpy as np
import pytest

import tbptt
from tbptt import clock, nn, ops, random
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend

ROWS, STEPS, UNITS, RATE = 32, 64, 96, 0.1


def mask(
    key: int = 1234, epoch: int = 0, row: int = 0, time: int = 0, rows: int = ROWS, steps: int = STEPS
) -> np.ndarray:
    return ops.to_numpy(random.keep_mask(key, Origin(epoch, row, time), rows, steps, UNITS, RATE))


def lowbias32(x: np.ndarray) -> np.ndarray:
    """NUMERICS.md's hash in NumPy's own wrapping arithmetic."""
    x = x.astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))


def test_the_hash_is_lowbias32_in_python_and_in_int32_tensors(backend: Backend) -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint64).astype(np.uint32)
    expected = lowbias32(words)
    assert [random.mix(int(word)) for word in words] == expected.tolist()
    signed = ops.to_numpy(random.mix_tensor(ops.asarray(words.view(np.int32))))
    np.testing.assert_array_equal(signed.view(np.uint32), expected)


def test_masks_are_identical_on_both_engines() -> None:
    masks = []
    for name in ("torch", "tensorflow"):
        with tbptt.use_backend(name):
            masks.append(mask(key=0xDEADBEEF, epoch=3, row=7, time=2**32 - 5))
    np.testing.assert_array_equal(*masks)


def test_an_origin_of_tensors_gives_the_mask_of_the_numbers(backend: Backend) -> None:
    numbers = Origin(epoch=5, row=2**31 + 3, time=2**33 + 11)
    tensors = Origin(*(ops.asarray(np.int64(n)) for n in numbers))
    one, other = (ops.to_numpy(random.keep_mask(99, origin, 4, 5, 6, 0.5)) for origin in (numbers, tensors))
    np.testing.assert_array_equal(one, other)


def test_a_window_cut_elsewhere_drops_the_same_units(backend: Backend) -> None:
    whole = mask(time=2**32 - 20)
    late = mask(time=2**32 - 20 + 13, steps=STEPS - 13)
    np.testing.assert_array_equal(whole[:, 13:], late)
    np.testing.assert_array_equal(mask(rows=ROWS)[5:], mask(row=5, rows=ROWS - 5))
    turned = ops.to_numpy(random.keep_mask(1234, Origin(0, 0, 0), ROWS, STEPS, UNITS, RATE, time_major=True))
    np.testing.assert_array_equal(np.swapaxes(turned, 0, 1), mask())


def test_the_rate_is_kept_overall_and_over_rows_steps_and_units(backend: Backend) -> None:
    """Each share of kept units lies within five standard deviations of 1 − rate."""
    kept = mask()
    for axes in ((0, 1, 2), (1, 2), (0, 2), (0, 1)):
        counted = np.prod([kept.shape[axis] for axis in axes])
        deviation = np.sqrt(RATE * (1 - RATE) / counted)
        assert np.abs(kept.mean(axes) - (1 - RATE)).max() < 5 * deviation, axes


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.5, 0.9])
def test_other_rates_are_kept_too(rate: float) -> None:
    with tbptt.use_backend("torch"):
        kept = ops.to_numpy(random.keep_mask(5, Origin(0, 0, 0), 64, 64, 64, rate))
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.size)


def test_rows_steps_units_epochs_layers_and_seeds_are_uncorrelated(backend: Backend) -> None:
    """The correlation of two masks of n elements is normal with deviation 1/√n; none exceeds five of them."""

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return abs(float(np.corrcoef(a.ravel(), b.ravel())[0, 1])) * np.sqrt(a.size)

    kept = mask()
    upper = np.triu_indices(ROWS, 1)
    pairs = {
        "neighbouring rows": (kept[:-1], kept[1:]),
        "neighbouring steps": (kept[:, :-1], kept[:, 1:]),
        "neighbouring units": (kept[..., :-1], kept[..., 1:]),
        "rows against steps": (kept[upper], kept[upper[::-1]]),
        "epochs": (kept, mask(epoch=1)),
        "windows": (kept, mask(time=STEPS)),
        "batches": (kept, mask(row=ROWS)),
        "keys one bit apart": (kept, mask(key=1235)),
    }
    tbptt.seed_everything(0)
    first, second = random.layer_key(), random.layer_key()
    tbptt.seed_everything(1)
    pairs["layers"] = (mask(key=first), mask(key=second))
    pairs["seeds"] = (mask(key=first), mask(key=random.layer_key()))
    found = {name: correlation(a, b) for name, (a, b) in pairs.items()}
    assert max(found.values()) < 5, found


def test_no_mask_is_a_shifted_or_permuted_copy_of_another_keys(backend: Backend) -> None:
    """Keys are mixed in: an added key would show the same rows somewhere else."""
    rows = {row.tobytes() for row in np.packbits(mask(key=1), axis=-1).reshape(-1, UNITS // 8)}
    others = {row.tobytes() for row in np.packbits(mask(key=2), axis=-1).reshape(-1, UNITS // 8)}
    assert len(rows & others) <= 2  # nearly all of these rows of 96 units are different from each other, too
    assert len(rows) > 0.98 * ROWS * STEPS


def test_dropout_scales_what_it_keeps_and_is_the_identity_in_evaluation(backend: Backend) -> None:
    tbptt.seed_everything(3)
    layer = nn.Dropout(0.25)
    x = ops.ones((4, 6, 8))
    with clock.at(Origin(0, 0, 0)):
        kept = ops.to_numpy(layer(x))
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert layer.eval()(x) is x


def test_outside_a_window_every_call_draws_anew_and_a_seed_repeats_them(backend: Backend) -> None:
    def draw() -> list[np.ndarray]:
        tbptt.seed_everything(3)
        layer = nn.Dropout(0.5)
        return [ops.to_numpy(layer(ops.ones((4, 16)))) for _ in range(2)]

    first, again = draw(), draw()
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, again)


def test_windows_of_an_own_loop_move_the_masks_and_two_sequences_differ(backend: Backend) -> None:
    tbptt.seed_everything(0)
    layer = nn.Dropout(0.5)
    x = np.ones((2, 12, 16), "float32")

    def run(window: int) -> np.ndarray:
        return np.concatenate([ops.to_numpy(layer(piece)) for piece in tbptt.windows(x, window)], axis=1)

    first, second = run(4), run(4)
    assert not np.array_equal(first, second)
    tbptt.seed_everything(0)
    np.testing.assert_array_equal(run(5), first)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2])
def test_a_rate_that_is_none_is_refused(p: float) -> None:
    with pytest.raises(ConfigurationError, match="probability"):
        nn.Dropout(p)
