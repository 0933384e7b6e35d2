"""Schedulers against torch's own on the same settings, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from optimizer_table import parameters

from tbptt import optim
from tbptt.optim import lr_scheduler

STEPS = 150
PEER = torch.optim.lr_scheduler
RATES = [0.3, 1e-3, 7.0]


def ours(backend, rates=RATES, optimizer=optim.SGD):
    return optimizer([{"params": parameters(backend, [np.ones(2)]), "lr": rate} for rate in rates])


def theirs(rates=RATES, optimizer=torch.optim.SGD):
    return optimizer([{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates])


def rates_of(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def advance(optimizer):
    """An update without gradients: torch warns where a scheduler steps and its optimizer never did."""
    if isinstance(optimizer, torch.optim.Optimizer):
        optimizer.step()


def run(optimizer, scheduler, steps=STEPS, metrics=None):
    """The rates of each step, from the first; what the scheduler says of itself must agree with the optimizer."""
    rows = [rates_of(optimizer)]
    for step in range(steps):
        advance(optimizer)
        scheduler.step(*([] if metrics is None else [metrics[step]]))
        rows.append(rates_of(optimizer))
        assert list(scheduler.get_last_lr()) == rows[-1]
    return np.array(rows)


def assert_equal(received, expected):
    assert np.all(np.abs(received - expected) <= 1e-12 * np.maximum(np.abs(expected), 1e-3))


SETTINGS = [
    ("LambdaLR", {"lr_lambda": lambda step: 0.97**step}),
    ("LambdaLR", {"lr_lambda": [lambda step: 1 / (1 + step), lambda step: 1, lambda step: min(step, 10) / 10]}),
    ("StepLR", {"step_size": 30}),
    ("StepLR", {"step_size": 1, "gamma": 0.99}),
    ("StepLR", {"step_size": 7, "gamma": 1.3}),
    ("StepLR", {"step_size": 40, "gamma": 0.0}),
    ("MultiStepLR", {"milestones": [30, 80]}),
    ("MultiStepLR", {"milestones": [80, 0, 30, 30], "gamma": 0.5}),
    ("MultiStepLR", {"milestones": []}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.123, "total_iters": 40}),
    ("ConstantLR", {"factor": 1.0, "total_iters": 1}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.001, "total_iters": 100}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 60}),
    ("LinearLR", {"start_factor": 0.9, "end_factor": 0.07, "total_iters": 37}),
    ("LinearLR", {"total_iters": 1}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("ExponentialLR", {"gamma": 1.01}),
    ("CosineAnnealingLR", {"T_max": 50}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("CosineAnnealingLR", {"T_max": 13, "eta_min": 1e-4}),
    ("CosineAnnealingLR", {"T_max": 200, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS}),
    ("OneCycleLR", {"max_lr": [0.1, 2.0, 0.01], "epochs": 12, "steps_per_epoch": 13, "pct_start": 0.2}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": STEPS + 1, "anneal_strategy": "linear", "div_factor": 5.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": STEPS, "three_phase": True, "final_div_factor": 77.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 170, "three_phase": True, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 160, "pct_start": 0.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 160, "pct_start": 1.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 160, "pct_start": 0.31, "three_phase": True}),
]


def setting_name(setting):
    return "-".join(
        [setting[0], *(f"{key}={'f' if key == 'lr_lambda' else value}" for key, value in setting[1].items())]
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=setting_name)
def test_the_rates_are_torchs(backend, setting):
    name, options = setting
    mine, peer = ours(backend), theirs()
    scheduler = getattr(lr_scheduler, name)(mine, **options)
    reference = getattr(PEER, name)(peer, **options, **({"cycle_momentum": False} if name == "OneCycleLR" else {}))
    assert scheduler.base_lrs == reference.base_lrs
    assert_equal(run(mine, scheduler), run(peer, reference))
    assert scheduler.last_epoch == reference.last_epoch == STEPS
    assert all(type(group["lr"]) is float for group in mine.param_groups)


@pytest.mark.parametrize(
    ("make", "closed"),
    [
        (lambda o: lr_scheduler.StepLR(o, 9, 0.8), lambda t: 0.8 ** (t // 9)),
        (lambda o: lr_scheduler.MultiStepLR(o, [10, 60]), lambda t: 0.1 ** ((t >= 10) + (t >= 60))),
        (lambda o: lr_scheduler.ConstantLR(o, 0.3, 20), lambda t: 0.3 if t < 20 else 1.0),
        (lambda o: lr_scheduler.LinearLR(o, 0.1, 0.7, 90), lambda t: 0.1 + 0.6 * min(t, 90) / 90),
        (lambda o: lr_scheduler.LinearLR(o, 1 / 3, 0.0, 61), lambda t: 1 / 3 - min(t, 61) / 183),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.98), lambda t: 0.98**t),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 40), lambda t: (1 + math.cos(math.pi * t / 40)) / 2),
    ],
)
def test_the_rates_are_those_of_the_closed_form(backend, make, closed):
    optimizer = ours(backend, [2.0])
    received = run(optimizer, make(optimizer))[:, 0]
    assert received.min() >= 0
    assert np.abs(received - [2.0 * closed(t) for t in range(STEPS + 1)]).max() < 1e-12


def test_a_rate_that_ends_at_zero_is_never_below(backend):
    for total in range(1, 60):
        for start in (1 / 3, 0.1, 0.7, 1.0):
            optimizer = ours(backend, [0.1])
            scheduler = lr_scheduler.LinearLR(optimizer, start, 0.0, total)
            assert all(run(optimizer, scheduler, total + 2)[:, 0] >= 0)
            assert optimizer.lr < 1e-16
        optimizer = ours(backend, [0.1])
        scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total, anneal_strategy="linear", final_div_factor=1e20)
        assert all(run(optimizer, scheduler, total)[:, 0] >= 0)


def test_one_cycle_whose_rise_ends_at_once_starts_at_the_top(backend):
    optimizer = ours(backend, [1.0])
    lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=10, pct_start=0.1)  # torch divides 0 by 0 here
    assert optimizer.lr == 0.5


# ------------------------------------------------------------------------------------------------ several in one

CHAINS = [
    [("ConstantLR", {"factor": 0.1, "total_iters": 20}), ("ExponentialLR", {"gamma": 0.95})],
    [
        ("LinearLR", {"total_iters": 30}),
        ("StepLR", {"step_size": 10, "gamma": 0.7}),
        ("MultiStepLR", {"milestones": [5, 90]}),
    ],
    [("LinearLR", {"start_factor": 0.01, "total_iters": 10}), ("CosineAnnealingLR", {"T_max": 40, "eta_min": 1e-5})],
    [("CosineAnnealingLR", {"T_max": 9}), ("ExponentialLR", {"gamma": 0.99})],
    [("LambdaLR", {"lr_lambda": lambda step: 1 / (1 + step)}), ("StepLR", {"step_size": 10})],
]


def build(module, optimizer, settings):
    return [getattr(module, name)(optimizer, **options) for name, options in settings]


@pytest.mark.parametrize("settings", CHAINS, ids=lambda settings: "+".join(name for name, _ in settings))
def test_a_chain_multiplies_as_torchs_does(backend, settings):
    mine, peer = ours(backend), theirs()
    scheduler = lr_scheduler.ChainedScheduler(build(lr_scheduler, mine, settings))
    reference = PEER.ChainedScheduler(build(PEER, peer, settings))
    assert scheduler.get_last_lr() == rates_of(mine)
    assert_equal(run(mine, scheduler), run(peer, reference))
    assert scheduler.last_epoch == STEPS
    assert scheduler.base_lrs == RATES


SEQUENCES = [
    ([("LinearLR", {"total_iters": 20}), ("CosineAnnealingLR", {"T_max": 60, "eta_min": 1e-4})], [20]),
    ([("ConstantLR", {"total_iters": 10}), ("ExponentialLR", {"gamma": 0.9}), ("StepLR", {"step_size": 5})], [30, 70]),
    ([("ExponentialLR", {"gamma": 0.9}), ("MultiStepLR", {"milestones": [0, 10]}), ("LinearLR", {})], [1, 2]),
    ([("StepLR", {"step_size": 3}), ("LambdaLR", {"lr_lambda": lambda step: 0.9**step})], [0]),
    ([("ExponentialLR", {"gamma": 0.9}), ("ConstantLR", {}), ("CosineAnnealingLR", {"T_max": 7})], [40, 40]),
    ([("LinearLR", {}), ("OneCycleLR", {"max_lr": 0.1, "total_steps": 140, "cycle_momentum": False})], [20]),
    ([("OneCycleLR", {"max_lr": 0.1, "total_steps": 50, "cycle_momentum": False}), ("StepLR", {"step_size": 9})], [50]),
    ([("StepLR", {"step_size": 40})], []),
]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: "-".join(name for name, _ in sequence[0]))
def test_a_sequence_hands_over_as_torchs_does(backend, sequence):
    settings, milestones = sequence
    mine, peer = ours(backend), theirs()
    scheduler = lr_scheduler.SequentialLR(mine, build(lr_scheduler, mine, settings), milestones)
    reference = PEER.SequentialLR(peer, build(PEER, peer, settings), milestones)
    assert scheduler.get_last_lr() == list(reference.get_last_lr())
    assert_equal(run(mine, scheduler), run(peer, reference))
    assert scheduler.last_epoch == reference.last_epoch == STEPS


def test_sequences_and_chains_go_into_each_other(backend):
    """torch does not let a later member of a sequence be a combined one: here by closed form."""
    optimizer = ours(backend, [1.0])
    chain = lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(optimizer, 0.5, 3), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    )
    inner = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.StepLR(optimizer, 2, 0.1), lr_scheduler.ExponentialLR(optimizer, 0.5)], [4]
    )
    first = lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3)
    scheduler = lr_scheduler.SequentialLR(optimizer, [first, chain, inner], [5, 10])
    received = run(optimizer, scheduler, 16)[:, 0]
    expected = [0.25, 0.5, 0.75, 1, 1]
    expected += [0.9**t * (0.5 if t < 3 else 1) for t in range(5)]
    expected += [1, 1, 0.1, 0.1, 1, 0.5, 0.25]
    assert np.abs(received - expected).max() < 1e-12


def test_schedulers_stepped_side_by_side_and_changes_by_hand_multiply(backend):
    mine, peer = ours(backend), theirs()
    results = []
    for module, optimizer in ((lr_scheduler, mine), (PEER, peer)):
        several = [module.LinearLR(optimizer, 0.1, total_iters=12), module.StepLR(optimizer, 25)]
        plateau = module.ReduceLROnPlateau(optimizer, patience=8, factor=0.5)
        rows = []
        for step in range(STEPS):
            advance(optimizer)
            for scheduler in several:
                scheduler.step()
            plateau.step(1.0)
            if step == 100:
                optimizer.param_groups[1]["lr"] = 0.25
            rows.append(rates_of(optimizer))
        results.append(np.array(rows))
    assert_equal(*results)


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s[0] != "OneCycleLR"], ids=setting_name)
def test_a_second_scheduler_can_go_on_from_a_later_step(backend, setting):
    name, options = setting
    results = []
    for module, optimizer in ((lr_scheduler, ours(backend)), (PEER, theirs())):
        advance(optimizer)
        module.StepLR(optimizer, 4)
        results.append(run(optimizer, getattr(module, name)(optimizer, **options, last_epoch=29)))
    assert_equal(*results)


# ------------------------------------------------------------------------------------------------ plateau

PLATEAUS = [
    {},
    {"patience": 0, "factor": 0.5},
    {"patience": 3, "factor": 0.9, "cooldown": 4},
    {"mode": "max", "patience": 2, "factor": 0.8},
    {"mode": "max", "patience": 2, "threshold": 0.3, "threshold_mode": "abs", "factor": 0.7},
    {"patience": 2, "threshold": 0.2, "threshold_mode": "abs", "factor": 0.7, "cooldown": 1},
    {"patience": 1, "threshold": 0.05, "factor": 0.7, "min_lr": [0.1, 0.0, 1e-3]},
    {"patience": 1, "factor": 0.5, "min_lr": 1e-2},
    {"patience": 1, "factor": 0.5, "eps": 1e-3},
    {"patience": 4, "factor": 0.0},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@pytest.mark.parametrize("kind", ["walk", "falling", "negative", "with nan and infinity"])
def test_a_plateau_is_where_torch_sees_one(backend, options, kind):
    generator = np.random.default_rng(3)
    metrics = {
        "walk": np.abs(np.cumsum(generator.normal(size=STEPS))),
        "falling": np.exp(-np.arange(STEPS) / 40) + 0.05 * generator.normal(size=STEPS),
        "negative": -np.exp(-np.arange(STEPS) / 40) + 0.3 * generator.normal(size=STEPS),
        "with nan and infinity": np.where(np.arange(STEPS) % 7 == 3, np.nan, generator.normal(size=STEPS)),
    }[kind]
    if kind.startswith("with"):
        metrics[:3] = [np.inf, np.nan, -np.inf]
        metrics[3:20] = np.inf
    mine, peer = ours(backend), theirs()
    scheduler = lr_scheduler.ReduceLROnPlateau(mine, **options)
    reference = PEER.ReduceLROnPlateau(peer, **options)
    received, expected = run(mine, scheduler, metrics=metrics), run(peer, reference, metrics=metrics)
    assert np.array_equal(received, expected)
    for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "in_cooldown"):
        assert getattr(scheduler, name) == getattr(reference, name), name


def test_patience_is_the_number_of_bad_steps_let_pass(backend):
    optimizer = ours(backend, [1.0])
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    assert run(optimizer, scheduler, 6, metrics=[5, 5, 5, 5, 5, 5])[:, 0].tolist() == [1, 1, 1, 1, 1, 0.1, 0.1]


def test_a_metric_may_be_a_tensor_of_the_engine(backend):
    optimizer = ours(backend, [1.0])
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for loss in (2.0, 3.0):
        scheduler.step(backend.tensors.asarray(np.array(loss)))
    assert optimizer.lr == 0.1
    assert scheduler.best == 2.0
