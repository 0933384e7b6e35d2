"""Which engine is chosen, why, and the four different things that can go wrong with the choice."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest

import tbptt
from tbptt import backends, errors


@pytest.fixture(autouse=True)
def no_choice_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TBPTT_BACKEND", raising=False)
    monkeypatch.delenv("TBPTT_DEVICE", raising=False)


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_the_environment_chooses_and_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TBPTT_BACKEND", name)
    chosen = tbptt.current_backend()
    assert chosen.name == name
    assert f"TBPTT_BACKEND={name}" in chosen.reason


def test_use_backend_goes_before_the_environment_and_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TBPTT_BACKEND", "tensorflow")
    with tbptt.use_backend("torch") as chosen:
        assert tbptt.current_backend() is chosen
        assert chosen.name == "torch"
        assert "use_backend" in chosen.reason
        with tbptt.use_backend("tensorflow"):
            assert tbptt.current_backend().name == "tensorflow"
        assert tbptt.current_backend().name == "torch"
    assert tbptt.current_backend().name == "tensorflow"


def test_the_only_installed_engine_goes_before_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed", lambda: ["tensorflow"])
    chosen = backends._choose("")
    assert chosen.name == "tensorflow"
    assert "only engine installed" in chosen.reason


def test_torch_is_the_default_where_both_are_installed() -> None:
    chosen = backends._choose("")
    assert chosen.name == "torch"
    assert "default" in chosen.reason


def test_module_and_attribute_name_a_backend_that_nobody_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("somebodys_engine")
    module.engine = backends.load("torch")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebodys_engine", module)
    monkeypatch.setenv("TBPTT_BACKEND", "somebodys_engine:engine")
    assert tbptt.current_backend().tensors is backends.load("torch").tensors
    assert "somebodys_engine:engine" in tbptt.current_backend().reason


def test_an_unknown_name_lists_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TBPTT_BACKEND", "jax")
    with pytest.raises(
        errors.UnknownBackendError, match=r"'jax'.*tensorflow \(installed\), torch \(installed\)"
    ) as raised:
        tbptt.current_backend()
    assert isinstance(raised.value, LookupError)


def test_a_known_engine_without_its_framework_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_loaded", {})
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else real(name))
    with pytest.raises(errors.BackendNotInstalledError, match=r"pip install 'tbptt\[tensorflow\]'") as raised:
        tbptt.use_backend("tensorflow")
    assert isinstance(raised.value, ImportError)


def test_a_plug_in_that_fails_to_import_is_named_and_its_error_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    (tmp_path / "broken_engine.py").write_text("raise RuntimeError('no such kernel')")  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        errors.BackendImportError, match=r"broken_engine:engine.*RuntimeError: no such kernel"
    ) as raised:
        tbptt.use_backend("broken_engine:engine")
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_what_is_no_backend_record_is_refused() -> None:
    with pytest.raises(errors.BackendImportError, match="not a tbptt"):
        tbptt.use_backend("math:pi")


def test_a_failed_choice_changes_nothing() -> None:
    with tbptt.use_backend("torch") as before:
        with pytest.raises(errors.UnknownBackendError):
            tbptt.use_backend("jax")
        assert tbptt.current_backend() is before


@pytest.mark.parametrize("name", ["gpu", "gpu:7", "cuda:1", "tpu"])
def test_a_device_that_is_not_there_lists_those_that_are(
    monkeypatch: pytest.MonkeyPatch, backend: backends.Backend, name: str
) -> None:
    monkeypatch.setattr(backend.devices, "available", lambda: ["cpu"])
    monkeypatch.setenv("TBPTT_DEVICE", name)
    with pytest.raises(errors.DeviceError, match=f"no device '{name}'.*Available: cpu"):
        tbptt.current_device()


@pytest.mark.parametrize(
    ("asked", "found"), [("", "gpu:0"), ("cpu", "cpu"), ("gpu", "gpu:0"), ("gpu:1", "gpu:1"), ("cuda:1", "gpu:1")]
)
def test_devices_by_the_names_people_write(
    monkeypatch: pytest.MonkeyPatch, backend: backends.Backend, asked: str, found: str
) -> None:
    monkeypatch.setattr(backend.devices, "available", lambda: ["cpu", "gpu:0", "gpu:1"])
    monkeypatch.setenv("TBPTT_DEVICE", asked)
    assert tbptt.current_device() == found


def test_a_tensor_belongs_to_its_own_engine_whichever_is_current(backend: backends.Backend) -> None:
    import tensorflow as tf
    import torch

    assert backends.backend_of(torch.zeros(2)).name == "torch"
    assert backends.backend_of(tf.zeros(2)).name == "tensorflow"
    assert backends.backend_of([1.0, tf.zeros(2)]).name == "tensorflow"
    assert backends.backend_of(1.0, None, "x") is backend
