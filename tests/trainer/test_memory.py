"""Training on a long memory-mapped text holds no more anonymous memory than on a short one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import statistics
import sys
import tbptt
from tbptt import nn, optim
from tbptt.memory import anonymous_memory

class Tiny(tbptt.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(256, 4), nn.RNN(4, 4), nn.Linear(4, 8)
    def training_step(self, batch, batch_idx, hiddens):
        tokens, targets = batch
        features, hiddens = self.rnn(self.embedding(tokens), hiddens)
        return nn.functional.cross_entropy(self.head(features), targets // 32), hiddens
    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=1e-3)

class Memory(tbptt.Callback):
    def __init__(self):
        self.samples = []
    def on_window_end(self, *arguments):
        self.samples.append(anonymous_memory())

memory = Memory()
stream = tbptt.data.TextStream(sys.argv[1], batch_size=2000, unit="byte")
epochs = int(sys.argv[2])
trainer = tbptt.Trainer(epochs, truncated_bptt_steps=100, state_carry="epoch", callbacks=memory, enable_progress_bar=False)
trainer.fit(Tiny(), stream)
print("median", int(statistics.median(memory.samples)), trainer.global_step)
"""


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_fifty_million_characters_need_no_more_memory_than_one_million(engine: str, tmp_path: Path) -> None:
    held = []
    for millions, epochs in ((1, 50), (50, 1)):  # as many windows either way: allocators take a while to settle
        path = tmp_path / "text"
        path.write_bytes(np.random.default_rng(0).integers(0, 256, millions * 10**6 + 1, dtype=np.uint8).tobytes())
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path), str(epochs)],
            capture_output=True,
            text=True,
            check=True,
            # freed buffers go back to the system at once, so that what is held is measured and not what malloc keeps
            env={**os.environ, "TBPTT_BACKEND": engine, "MALLOC_MMAP_THRESHOLD_": "65536"},
        )
        _, median, steps = done.stdout.rsplit("\n", 2)[-2].split()
        assert int(steps) == 250
        held.append(int(median))
    assert held[1] <= 1.05 * held[0], [f"{bytes / 2**20:.0f} MB" for bytes in held]


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_the_exact_gradient_of_a_long_sequence_needs_a_window_and_the_states(engine: str, tmp_path: Path) -> None:
    """12,000 steps of an LSTM whose plain pass would keep more than a gigabyte, in windows of 43 MB and states of 29 kB."""
    program = Path(__file__).parents[2] / "examples" / "long_memory.py"
    report = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, str(program), "--steps", "12000", "--updates", "1", "--json", str(report)],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "TBPTT_BACKEND": engine},
    )
    found = json.loads(report.read_text())
    assert found["plain_estimate"] > 1e9
    assert found["peak_growth"] < 0.4e9
