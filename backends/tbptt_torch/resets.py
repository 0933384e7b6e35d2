"""Rows that begin anew inside a window: cut into segments that run beside each other in one packed call.

The kernels know a state before the first step only. Rows without a reset stay together in one plain call. Each other row becomes
as many rows as it has segments, longest first, and all of them run in the variant of the kernel that serves a PackedSequence:
its rows may end at different steps, and it gives the state at each one's end. What entered a row that begins anew is read by
nothing, so no gradient reaches it.

Where resets are is found on the host, because how many segments there are decides the shapes.

Shape legend: T steps, B rows, F input features, H units, L layers, S segments, N their steps together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

__all__ = ["Resets", "Run", "begin", "find", "run"]

Run: TypeAlias = Callable[[Tensor, Sequence[Tensor], Tensor | None], tuple[Tensor, Sequence[Tensor]]]
"""``run(inputs, state, batch_sizes) -> (outputs, state)``: inputs (T, B, F) without `batch_sizes`, else packed, (N, F)."""


class Resets(NamedTuple):
    """Where the rows of a window are cut; every tensor but `batch_sizes` lies where the inputs do."""

    whole: Tensor
    """Rows without a reset after the first step."""
    rows: Tensor
    """(S,): the row of each segment, longest segment first."""
    begun: Tensor
    """(S, 1): whether the segment starts from the state of a reset; if not, from what entered the row."""
    steps: Tensor
    """(N,): places of the segments' steps among the T·B of the window, in packed order."""
    batch_sizes: Tensor
    """How many segments have a first step, a second, ... On the host, as the kernels want it."""
    output_places: Tensor
    """(T·B,): where each step of the window is found in the outputs of both calls, the plain one's first."""
    state_places: Tensor
    """(B,): the same for the state at each row's end."""


def begin(
    state: Sequence[Tensor], resets: Tensor, initial: Sequence[Tensor] | None
) -> tuple[Sequence[Tensor], Resets | None]:
    """The state with the resets (T, B) before the first step made, and where rows are cut, None where no later ones are."""
    first = resets[0, :, None]
    begun = initial if initial is not None else [part.new_zeros(()) for part in state]
    state = [torch.where(first, new, part) for new, part in zip(begun, state, strict=True)]
    return state, find(resets)


def find(resets: Tensor) -> Resets | None:
    """Cut rows before every step but the first where they begin anew: booleans (T, B) -> where, None if nowhere.

    >>> import torch
    >>> cut = find(torch.tensor([[True, False], [False, True], [False, False]]))  # the second row has two segments
    >>> cut.whole.tolist(), cut.rows.tolist(), cut.begun[:, 0].tolist(), cut.batch_sizes.tolist()
    ([0], [1, 1], [True, False], [2, 1])
    >>> cut.steps.tolist()  # steps 1 and 0 at once, then 2
    [3, 1, 5]
    """
    device, begins = resets.device, resets.cpu().clone()
    steps, width = begins.shape
    begins[0] = False
    is_cut = begins.any(dim=0)
    if not is_cut.any():
        return None
    begins[0] = is_cut
    rows, starts = begins.T.nonzero(as_tuple=True)  # a row's segments follow each other
    is_last = torch.ones_like(rows, dtype=torch.bool)
    is_last[:-1] = rows[1:] != rows[:-1]
    ends = torch.where(is_last, steps, starts.roll(-1))
    order = (ends - starts).argsort(descending=True, stable=True)
    rows, starts, lengths, is_last = rows[order], starts[order], (ends - starts)[order], is_last[order]
    ahead = torch.arange(int(lengths[0]))[:, None]
    runs = ahead < lengths
    packed = ((starts + ahead) * width + rows)[runs]
    whole = (~is_cut).nonzero()[:, 0]
    plain = (torch.arange(steps)[:, None] * width + whole).flatten()
    last = is_last.nonzero()[:, 0]
    state_places = torch.empty(width, dtype=torch.int64)
    state_places[torch.cat([whole, rows[last]])] = torch.cat([torch.arange(len(whole)), len(whole) + last])
    return Resets(
        whole=whole.to(device),
        rows=rows.to(device),
        begun=(starts[:, None] > 0).to(device),
        steps=packed.to(device),
        batch_sizes=runs.sum(dim=1),
        output_places=torch.cat([plain, packed]).argsort().to(device),
        state_places=state_places.to(device),
    )


def run(
    kernel: Run, inputs: Tensor, state: Sequence[Tensor], resets: Resets, initial: Sequence[Tensor] | None
) -> tuple[Tensor, Sequence[Tensor]]:
    """The kernel over a window whose rows are cut: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""
    begun = initial if initial is not None else [part.new_zeros(part.shape) for part in state]
    starts = [
        torch.where(resets.begun, new.index_select(1, resets.rows), part.index_select(1, resets.rows))
        for new, part in zip(begun, state, strict=True)
    ]
    packed, ends = kernel(inputs.flatten(0, 1).index_select(0, resets.steps), starts, resets.batch_sizes)
    if len(resets.whole) > 0:
        parts = [part.index_select(1, resets.whole) for part in state]
        plain, plain_ends = kernel(inputs.index_select(1, resets.whole), parts, None)
        packed = torch.cat([plain.flatten(0, 1), packed])
        ends = [torch.cat(pair, dim=1) for pair in zip(plain_ends, ends, strict=True)]
    outputs = packed.index_select(0, resets.output_places).view(*inputs.shape[:2], -1)
    return outputs, [part.index_select(1, resets.state_places) for part in ends]
