"""No trainer: a loop of one's own over windows, the same on either engine.

The task: at every step, say the sum of the last five inputs.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class Memory(nn.Module):
    def __init__(self, width: int):
        self.gru = nn.GRU(1, width)
        self.head = nn.Linear(width, 1)

    def forward(self, inputs, state=None):
        features, state = self.gru(inputs, state)
        return self.head(features), state


def main(batches: int = 20, rows: int = 16, steps: int = 200) -> list[float]:
    tbptt.seed_everything(0)
    generator = np.random.default_rng(0)
    model = Memory(32)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    means = []
    for batch in range(batches):
        x = generator.standard_normal((rows, steps, 1)).astype("float32")
        total = np.cumsum(x, axis=1)
        y = total - np.concatenate([np.zeros((rows, 5, 1), "float32"), total[:, :-5]], axis=1)
        losses, state = [], None
        for window in tbptt.windows((x, y), 20):
            with tbptt.GradientTape() as tape:
                prediction, state = model(window[0], state)
                loss = nn.functional.mse_loss(prediction, window[1])
            optimizer.apply(tape.gradient(loss, model.parameters()))
            state = tbptt.detach(state)
            losses.append(float(tbptt.detach(loss)))
        means.append(sum(losses) / len(losses))
        print(f"batch {batch:3d}  loss {means[-1]:.6f}")
    return means


if __name__ == "__main__":
    main()
