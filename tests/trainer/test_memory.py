"""Training on a long memory-mapped text holds no more anonymous memory than on a short one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
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

class Peak(tbptt.Callback):
    bytes = 0
    def on_window_end(self, *arguments):
        self.bytes = max(self.bytes, anonymous_memory())

peak = Peak()
stream = tbptt.data.TextStream(sys.argv[1], batch_size=1000, unit="byte")
trainer = tbptt.Trainer(1, truncated_bptt_steps=100, state_carry="epoch", callbacks=peak, enable_progress_bar=False)
trainer.fit(Tiny(), stream)
print("peak", peak.bytes, trainer.global_step)
"""


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_fifty_million_characters_need_no_more_memory_than_one_million(engine: str, tmp_path: Path) -> None:
    peaks = []
    for millions in (1, 50):
        path = tmp_path / "text"
        path.write_bytes(np.random.default_rng(0).integers(0, 256, millions * 10**6 + 1, dtype=np.uint8).tobytes())
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TBPTT_BACKEND": engine},
        )
        _, peak, steps = done.stdout.rsplit("\n", 2)[-2].split()
        assert int(steps) == millions * 10
        peaks.append(int(peak))
    assert peaks[1] <= 1.05 * peaks[0], [f"{peak / 2**20:.0f} MB" for peak in peaks]
