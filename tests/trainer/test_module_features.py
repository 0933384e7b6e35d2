"""What a module can besides its steps: hyperparameters, freezing, cutting batches, data of its own, late layers, properties."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tbptt
from tbptt import dtypes, nn, ops, optim
from tbptt.errors import ConfigurationError, WeightsError
from tbptt.protocols import Backend
from tbptt.schedules import Window
from trainer.models import CharLM, Losses, tokens
from trainer.recording import Plain, data

QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}


def trainer_of(**options: Any) -> tbptt.Trainer:
    return tbptt.Trainer(**{"max_epochs": 1, "truncated_bptt_steps": 2, "compile": False, **QUIET, **options})


def arrays(model: Any) -> dict[str, np.ndarray]:
    return {name: np.array(ops.to_numpy(value)) for name, value in model.named_parameters()}


# --- hyperparameters --------------------------------------------------------------------------------------------------


class Sized(Plain):
    def __init__(self, width: int, lr: float = 0.1, *, name: str = "x", ignored: Any = None, **more: Any) -> None:
        super().__init__()
        self.head = nn.Linear(3, width)
        self.save_hyperparameters(ignore="ignored")


class Base(Plain):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.extra = nn.Linear(2, width)
        self.save_hyperparameters()


class Derived(Base):
    """Its base's argument is none of its own."""

    def __init__(self, depth: int, flag: bool = True) -> None:
        super().__init__(7)
        self.deep = [nn.Linear(2, 2) for _ in range(depth)]


class OneMapping(Plain):
    def __init__(self, hparams: Any) -> None:
        super().__init__()
        self.save_hyperparameters(hparams)
        self.head = nn.Linear(3, self.hparams.width)


class Some(Plain):
    def __init__(self, width: int, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters("lr")


def test_hyperparameters_in_every_form(backend: Backend) -> None:
    assert dict(Sized(3, name="y", ignored=object(), extra=5).hparams) == {
        "width": 3, "lr": 0.1, "name": "y", "extra": 5,
    }  # fmt: skip
    assert dict(Derived(2).hparams) == {"width": 7, "depth": 2, "flag": True}
    assert dict(Some(3, 0.5).hparams) == {"lr": 0.5}
    for given in ({"width": 4, "lr": 1.0}, argparse.Namespace(width=4, lr=1.0)):
        model = OneMapping(given)
        assert dict(model.hparams) == {"width": 4, "lr": 1.0}
        assert model.hparams.width == model.hparams["width"] == 4
    assert dict(Plain().hparams) == {}
    with pytest.raises(AttributeError, match="no hyperparameter 'height'; saved were: lr"):
        _ = Some(3).hparams.height

    class Wrong(Plain):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.save_hyperparameters("height")

    with pytest.raises(ConfigurationError, match=r"'height' is no argument of __init__\. Expected some of width"):
        Wrong(3)


MADE: dict[str, Any] = {
    "keywords": lambda: Sized(1, name="y", extra=5),
    "a chain of classes": lambda: Derived(2, flag=False),
    "a mapping": lambda: OneMapping({"width": 1, "lr": 1.0}),
    "a namespace": lambda: OneMapping(argparse.Namespace(width=1, lr=1.0)),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_checkpoint_makes_the_module_again_on_the_other_engine(backend: Backend, kind: str, tmp_path: Path) -> None:
    model = MADE[kind]()
    trainer = trainer_of()
    trainer.fit(model, data(1))
    trainer.save_checkpoint(tmp_path / "it.safetensors")
    with tbptt.use_backend("tensorflow" if backend.name == "torch" else "torch"):
        again = type(model).load_from_checkpoint(tmp_path / "it.safetensors")
        assert again.backend.name != backend.name
        for name, array in arrays(model).items():
            np.testing.assert_array_equal(arrays(again)[name], array)
    assert dict(again.hparams) == dict(model.hparams)


def test_load_from_checkpoint_takes_other_arguments_and_says_which_are_missing(
    backend: Backend, tmp_path: Path
) -> None:
    class Strict(Plain):
        def __init__(self, width: int, layer: Any) -> None:
            super().__init__()
            self.layer = layer
            self.save_hyperparameters(ignore="layer")

    path = tmp_path / "it.safetensors"
    trainer = trainer_of()
    trainer.fit(Strict(3, nn.Linear(2, 2)), data(1))
    trainer.save_checkpoint(path)
    assert Strict.load_from_checkpoint(path, layer=nn.Linear(2, 2), width=5).hparams.width == 5
    with pytest.raises(ConfigurationError, match=r"(?s)'layer'.*Strict.load_from_checkpoint\(path, name=value\)"):
        Strict.load_from_checkpoint(path)
    kept = OneMapping({"width": 1, "lr": 1.0})
    trainer.fit(kept, data(1))
    trainer.save_checkpoint(tmp_path / "mapping.safetensors")
    again = OneMapping.load_from_checkpoint(tmp_path / "mapping.safetensors", lr=2.0)
    assert dict(again.hparams) == {"width": 1, "lr": 2.0}
    with pytest.raises(ConfigurationError, match="height"):
        Strict.load_from_checkpoint(path, layer=nn.Linear(2, 2), height=5)
    with pytest.raises(WeightsError, match=r"layer\.weight"):
        Strict.load_from_checkpoint(path, layer=nn.Linear(2, 4))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"it\.safetensors"):
        Strict.load_from_checkpoint(path, layer=nn.Linear(2, 2))
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        Strict.load_from_checkpoint(tmp_path / "missing.safetensors")


# --- parameters -------------------------------------------------------------------------------------------------------


def test_frozen_parameters_stay_as_they_are_until_thawed(backend: Backend) -> None:
    model = CharLM(width=4, layer="rnn", dropout=0.0)
    model.embedding.freeze()
    before = arrays(model) | {"embedding.weight": np.array(ops.to_numpy(model.embedding.weight))}
    trainer_of(compile="auto", truncated_bptt_steps=5).fit(model, [tokens(2, 10)])
    np.testing.assert_array_equal(ops.to_numpy(model.embedding.weight), before["embedding.weight"])
    assert all(not np.array_equal(array, before[name]) for name, array in arrays(model).items())
    model.unfreeze()
    trainer_of(truncated_bptt_steps=5).fit(model, [tokens(2, 10)])
    assert not np.array_equal(ops.to_numpy(model.embedding.weight), before["embedding.weight"])


def test_summary_size_and_sizes_between_layers(backend: Backend) -> None:
    model = Plain()
    model.example_input_array = np.zeros((2, 5, 1), "float32")
    rows = {row.name: row for row in model.summarize().rows}
    assert (rows["rnn"].parameters, rows["head"].parameters) == (3 + 9 + 3, 4)
    assert "[2, 5, 3]" in rows["rnn"].out_sizes and rows["head"].out_sizes == "[2, 5, 1]"
    assert model.model_size == pytest.approx(19 * 4 / 1e6)
    assert "head" in str(model.summarize()) and "Total params" in str(model.summarize())


def test_properties_in_a_run_and_outside(backend: Backend) -> None:
    seen = []

    class Watch(Plain):
        def on_window_end(self, outputs: Any, window: Any, window_idx: int) -> None:
            seen.append((self.current_epoch, self.global_step, self.precision, self.device, self.logger, self.trainer))

    model, logger = Watch(), _Nothing()
    trainer = trainer_of(max_epochs=2, logger=logger, precision="64-true")
    assert (model.current_epoch, model.global_step, model.precision, model.logger) == (0, 0, "32-true", None)
    trainer.fit(model, data(1))
    assert seen == [(n // 3, n + 1, "64-true", model.device, logger, trainer) for n in range(6)]
    assert (model.global_rank, model.local_rank, model.logger, model.precision) == (0, 0, None, "64-true")
    assert model.device == ("cpu" if backend.name == "torch" else model.device)


class _Nothing(tbptt.loggers.Logger):
    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        """Keeps nothing."""


# --- cutting ----------------------------------------------------------------------------------------------------------


class OwnCut(CharLM):
    """The first window is one of two steps, the others have the trainer's number."""

    def tbptt_split_batch(self, batch: Any, split_size: int) -> list[Any]:
        first, rest = [leaf[:, :2] for leaf in batch], [leaf[:, 2:] for leaf in batch]
        return [tuple(first), *super().tbptt_split_batch(tuple(rest), split_size)]


class TwoThenThrees:
    """The schedule of those windows."""

    def plan(self, length: int) -> list[Window]:
        return [Window(0, 2), *(Window(start, min(start + 3, length)) for start in range(2, length, 3))]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Nothing is drawn."""


def losses_of(model: Any, batches: Any, **options: Any) -> list[float]:
    losses = Losses()
    with dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        trainer_of(callbacks=losses, **options).fit(model(), batches)
    return losses.values


def small(cls: type = CharLM) -> Any:
    return lambda: cls(width=4, dropout=0.4)


@pytest.mark.parametrize("carry", ["batch", "epoch"])
def test_a_modules_own_cut_is_a_schedule_of_the_same_windows(backend: Backend, carry: str) -> None:
    """To the bit: dropout masks are drawn by absolute time, so they are the same wherever the cuts are made."""
    batches = [tokens(2, 8), tokens(2, 7, seed=1)]
    own = losses_of(small(OwnCut), batches, truncated_bptt_steps=3, state_carry=carry)
    ours = losses_of(small(), batches, truncated_bptt_steps=TwoThenThrees(), state_carry=carry)
    assert len(own) == 6
    assert own == ours
    assert own != losses_of(small(), batches, truncated_bptt_steps=3, state_carry=carry)


def test_truncated_bptt_steps_of_the_module_comes_before_the_trainers(backend: Backend) -> None:
    class Three(CharLM):
        truncated_bptt_steps = 3

    expected = losses_of(small(), [tokens(2, 7)], truncated_bptt_steps=3)
    assert len(expected) == 3
    assert losses_of(small(Three), [tokens(2, 7)], truncated_bptt_steps=5) == expected
    assert losses_of(small(Three), [tokens(2, 7)], truncated_bptt_steps=None) == expected


# --- data and callbacks -----------------------------------------------------------------------------------------------

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader")


class Data(tbptt.DataModule):
    """One to four batches, by stage."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def prepare_data(self) -> None:
        self.called.append("prepare_data")

    def setup(self, stage: str) -> None:
        self.called.append(f"setup {stage}")
        self.batches = data(4)

    def teardown(self, stage: str) -> None:
        self.called.append(f"teardown {stage}")

    def train_dataloader(self) -> Any:
        return self.batches[:1]

    def val_dataloader(self) -> Any:
        return self.batches[:2]

    def test_dataloader(self) -> Any:
        return self.batches[:3]

    def predict_dataloader(self) -> Any:
        return self.batches


class Count(tbptt.Callback):
    """Batches by stage."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("train", "validation", "test", "predict"), 0)

    def on_train_batch_start(self, trainer: Any, module: Any) -> None:  # type: ignore[override]
        self.counts["train"] += 1

    def on_validation_batch_start(self, trainer: Any, module: Any) -> None:  # type: ignore[override]
        self.counts["validation"] += 1

    def on_test_batch_start(self, trainer: Any, module: Any) -> None:  # type: ignore[override]
        self.counts["test"] += 1

    def on_predict_batch_start(self, trainer: Any, module: Any) -> None:  # type: ignore[override]
        self.counts["predict"] += 1


@pytest.mark.parametrize("how", ["in the data's place", "by name", "methods of the module"])
def test_every_stage_finds_its_data(backend: Backend, how: str) -> None:
    source, count = Data(), Count()
    model: Any = Plain()
    places: tuple[Any, ...] = (source,) if how == "in the data's place" else ()
    names: dict[str, Any] = {"datamodule": source} if how == "by name" else {}
    if how == "methods of the module":
        source.setup("fit")
        model = type("WithData", (Plain,), {name: lambda self, n=name: getattr(source, n)() for name in LOADERS})()
    trainer = trainer_of(callbacks=count)
    trainer.fit(model, *places, **names)
    trainer.validate(model, *places, **names)
    trainer.test(model, *places, **names)
    predictions = trainer.predict(model, *places, **names)
    assert count.counts == {"train": 1, "validation": 4, "test": 3, "predict": 4}
    assert [tuple(prediction.shape) for prediction in predictions] == [(2, 6, 1)] * 4
    if how != "methods of the module":
        stages = ("fit", "validate", "test", "predict")
        expected = [("prepare_data", f"setup {stage}", f"teardown {stage}") for stage in stages]
        assert source.called == [name for names_ in expected for name in names_]
    with pytest.raises(ConfigurationError, match="Both data and a data module were given"):
        trainer.fit(model, data(1), datamodule=source)


def test_callbacks_of_the_module_join_the_trainers_and_replace_those_of_their_class(backend: Backend) -> None:
    own, other = Count(), Count()
    losses = Losses()

    class Brings(Plain):
        def configure_callbacks(self) -> Any:
            return [own]

    trainer = trainer_of(callbacks=[other, losses])
    trainer.fit(Brings(), data(2))
    assert trainer.callbacks == [losses, own]
    assert (own.counts["train"], other.counts["train"], len(losses.values)) == (2, 0, 6)
    alone = trainer_of()
    alone.fit(type("One", (Plain,), {"configure_callbacks": lambda self: own})(), data(1))
    assert alone.callbacks == [own]


# --- hooks that do something ------------------------------------------------------------------------------------------


def test_layers_made_in_setup_are_trained_and_predict_like_those_of_init(backend: Backend) -> None:
    class Late(tbptt.Module):
        def setup(self, stage: str) -> None:
            if not self.children():
                self.rnn, self.head = nn.RNN(1, 3), nn.Linear(3, 1)

        forward, loss, training_step = Plain.forward, Plain.loss, Plain.training_step
        configure_optimizers = Plain.configure_optimizers

    found = []
    for model in (Late, Plain):
        losses = Losses()
        tbptt.seed_everything(0)
        module = model()
        trainer_of(callbacks=losses).fit(module, data())
        found.append((losses.values, arrays(module)))
    assert found[0][0] == found[1][0]
    for name, array in found[0][1].items():
        np.testing.assert_array_equal(array, found[1][1][name])


class OneHot(tbptt.Module):
    """Reads vectors; who makes them out of tokens is left to the hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(5, 4), nn.Linear(4, 5)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(batch[0], hiddens)
        return nn.functional.cross_entropy(self.head(outputs), batch[1]), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def one_hot(batch: Any) -> Any:
    return np.eye(5)[batch[0]], batch[1]


class Before(OneHot):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert isinstance(batch[0], np.ndarray)
        return one_hot(batch)


class After(OneHot):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert ops.is_tensor(batch[0])
        return ops.take(ops.asarray(np.eye(5)), batch[0], axis=0), batch[1]


class Transfer(OneHot):
    def transfer_batch_to_device(self, batch: Any, device: str, dataloader_idx: int) -> Any:
        return super().transfer_batch_to_device(one_hot(batch), device, dataloader_idx)


@pytest.mark.parametrize("model", [Before, After, Transfer])
def test_transfer_hooks_may_change_the_window(backend: Backend, model: type) -> None:
    batches = [tokens(3, 6, vocabulary=5), tokens(3, 4, vocabulary=5, seed=1)]
    expected = losses_of(OneHot, [one_hot(batch) for batch in batches])
    assert len(expected) == 5
    assert losses_of(model, batches) == expected


def test_print_goes_above_the_bar_and_without_one_to_the_output(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    class Speaks(Plain):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.print("after batch", batch_idx)

    screen = io.StringIO()
    bar = tbptt.ProgressBar(console=Console(file=screen, force_terminal=True, width=120))
    trainer_of(callbacks=bar).fit(Speaks(), data())
    assert "after batch 0\n" in screen.getvalue() and "after batch 1\n" in screen.getvalue()
    assert capsys.readouterr().out == ""
    trainer_of().fit(Speaks(), data(1))
    assert capsys.readouterr().out == "after batch 0\n"


def test_training_epoch_end_is_given_what_the_steps_returned(backend: Backend) -> None:
    seen: list[Any] = []

    class Keeps(Plain):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            return {**super().training_step(batch, batch_idx, hiddens), "sum": ops.sum(batch[0])}

        def training_epoch_end(self, outputs: Any) -> None:
            seen.append(outputs)

    losses, batches = Losses(), data()
    trainer_of(max_epochs=2, callbacks=losses, truncated_bptt_steps=4).fit(Keeps(), batches)
    assert [[len(batch) for batch in epoch] for epoch in seen] == [[2, 2], [2, 2]]
    windows = [window for epoch in seen for batch in epoch for window in batch]
    assert all(set(window) == {"loss", "sum"} for window in windows)
    assert [float(window["loss"]) for window in windows] == losses.values
    sums = [part.sum() for x, _ in batches for part in (x[:, :4], x[:, 4:])] * 2
    np.testing.assert_allclose([float(window["sum"]) for window in windows], sums, rtol=1e-5, atol=1e-5)
