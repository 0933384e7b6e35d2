"""A backend from outside: installed as a distribution of its own, it is found, keeps every promise, and trains like torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "examples" / "third_party_backend"

OWN_LOOP = """
import functools, json, sys
import tbptt
sys.path.insert(0, "examples")
import own_loop
tbptt.dtypes.set_default_dtype("float64")
tbptt.windows = functools.partial(tbptt.windows, float_dtype="float64")  # the example's data is float32
print(json.dumps({"losses": own_loop.main(batches=4, steps=100)}))
"""

TRAINER = """
import json, sys
import numpy as np
import tbptt
from tbptt import nn, ops, optim

class Model(tbptt.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(7, 4), nn.LSTM(4, 5, num_layers=2, dropout=0.2)
        self.head, self.losses = nn.Linear(5, 7), []

    def training_step(self, batch, batch_idx, hiddens):
        tokens, targets = batch
        features, hiddens = self.lstm(self.embedding(tokens), hiddens)
        loss = nn.functional.cross_entropy(self.head(features), targets)
        self.log("loss", loss)
        return {"loss": loss, "hiddens": hiddens}

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.losses.append(float(ops.to_numpy(outputs["loss"])))

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-2)

tbptt.dtypes.set_default_dtype("float64")
tbptt.seed_everything(3)
tokens = np.random.default_rng(0).integers(0, 7, (6, 25))
model = Model()
trainer = tbptt.Trainer(
    max_epochs=6, truncated_bptt_steps=8, gradient_clip_val=0.5, logger=False, enable_progress_bar=False
)
trainer.fit(model, [(tokens, np.roll(tokens, -1, axis=1))] * 2)
parameters = {name: ops.to_numpy(value).tolist() for name, value in model.named_parameters()}
others = sorted({"torch", "tensorflow"} & set(sys.modules))
print(json.dumps({"losses": model.losses, "parameters": parameters, "others": others}))
"""

SIGNATURES = """
import importlib, inspect
from tbptt import protocols
from tbptt_numpy import backend

def form(function):
    return [(x.name, x.kind, x.default) for x in inspect.signature(function).parameters.values() if x.name != "self"]

for field in ("tensors", "recurrence", "autodiff", "optimizers", "devices", "compilation", "interop"):
    promises = getattr(protocols, field.capitalize())
    for name in dir(promises):
        promise, module = getattr(promises, name), f"tbptt_numpy.{field}"
        if name.startswith("_"):
            continue
        if field == "tensors":  # a package, whose modules bear the names of those of the promises
            module += "." + promise.__module__.rpartition(".")[2]
        own = getattr(importlib.import_module(module), name)
        assert own is getattr(getattr(backend, field), name) and form(own) == form(promise), (module, name)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution installed in it."""
    folder = tmp_path_factory.mktemp("site")
    command = "-m pip install --quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check --target"
    run(None, *command.split(), str(folder), str(BACKEND))
    return folder


def run(site: Path | None, *arguments: str, engine: str = "numpy", **variables: str) -> str:
    environment = {**os.environ, "TBPTT_BACKEND": engine, "OMP_NUM_THREADS": "1", **variables}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def report(site: Path, script: str, engine: str) -> dict[str, Any]:
    """What the script prints last, as JSON."""
    found: dict[str, Any] = json.loads(run(site, "-c", script, engine=engine).splitlines()[-1])
    return found


def test_it_is_registered_and_chosen_without_any_other_engine(site: Path) -> None:
    code = """
import sys, tbptt
from tbptt import backends
print(backends.registered()["numpy"].value, tbptt.current_backend(), {"torch", "tensorflow"} & set(sys.modules))
"""
    assert run(site, "-c", code).strip() == (
        "tbptt_numpy:backend <backend numpy: the environment says TBPTT_BACKEND=numpy> set()"
    )
    assert "numpy" in run(site, "-c", "import tbptt; print(tbptt.backends.installed())", engine="torch")


def test_where_it_is_not_installed_nobody_knows_it() -> None:
    code = "import tbptt; tbptt.use_backend('numpy')"
    with pytest.raises(AssertionError, match="There is no backend named 'numpy'"):
        run(None, "-c", code, PYTHONPATH="")


def test_it_has_the_functions_of_the_protocols_where_they_belong(site: Path) -> None:
    run(site, "-c", SIGNATURES)


def test_its_conformance_test_passes(site: Path) -> None:
    output = run(site, "-m", "pytest", "-p", "no:cacheprovider", str(BACKEND / "tests"))
    assert " passed" in output and " xfailed" in output and "failed," not in output


def test_the_examples_of_its_docstrings_run(site: Path) -> None:
    for name in ("primitives.py", "recurrence.py"):
        code = f"import doctest, tbptt_numpy.{name[:-3]} as module; print(doctest.testmod(module))"
        output = run(site, "-c", code)
        assert "failed=0" in output and "attempted=0" not in output


def test_own_loop_trains_on_it_as_on_torch(site: Path) -> None:
    losses, expected = (np.array(report(site, OWN_LOOP, engine)["losses"]) for engine in ("numpy", "torch"))
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-11)
    assert (np.diff(losses) < 0).all()


def test_the_trainer_trains_on_it_as_on_torch(site: Path) -> None:
    found, expected = (report(site, TRAINER, engine) for engine in ("numpy", "torch"))
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0, atol=1e-11)
    assert found["losses"][-1] < found["losses"][0]
    assert found["others"] == [], "another engine was imported"
    assert found["parameters"].keys() == expected["parameters"].keys()
    for name, value in found["parameters"].items():
        np.testing.assert_allclose(value, expected["parameters"][name], rtol=0, atol=1e-10, err_msg=name)
