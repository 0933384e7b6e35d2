"""Update rules: torch's fused kernels where they are exact and safe, `torch._foreach_*` otherwise.

The fused kernels read memory in order, whatever the strides say, so they get contiguous tensors only. They take one
kind of tensor (device and dtype) a call; parameters are sorted into such batches once, not at every update.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself stands on the functions with an underscore, and they take the time this adapter is after.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tbptt.types import Array, Number

_ONE = torch.tensor(1.0, device="cpu")  # adding a ready tensor takes half the time of adding a number
_FUSED_DEVICES = {"cpu", "cuda"}
_HALVES = {torch.float16, torch.bfloat16}
_FUSED_DTYPES = {torch.float32, torch.float64, *_HALVES}
_PATTERNS = 64  # remembered ways in which gradients were missing; more than a few is a model that draws them


@dataclass(frozen=True, slots=True)
class _Batch:
    """Parameters of one device and dtype that have a gradient now, with their slots."""

    indices: list[int]
    parameters: list[Tensor]
    slots: dict[str, list[Tensor]]
    steps: Tensor | list[Tensor]
    """one vector for all parameters together, else views of its elements"""
    fused: bool

    def count(self) -> None:
        """One more update for each; kernels expect it counted beforehand."""
        if isinstance(self.steps, Tensor):
            self.steps.add_(_ONE)
        else:
            torch._foreach_add_(self.steps, 1)

    def step_vector(self) -> Tensor:
        """The counters in float64, because 1 − 0.999 in float32 has four digits."""
        steps = self.steps if isinstance(self.steps, Tensor) else torch.stack(self.steps)
        return steps.to(torch.float64)

    def common_step(self) -> float | None:
        """The counter all of them share; None if they differ or reading it would make the host wait."""
        if self.parameters[0].device.type != "cpu" or torch.compiler.is_compiling():
            return None
        steps = self.steps.tolist() if isinstance(self.steps, Tensor) else [step.item() for step in self.steps]
        return float(steps[0]) if steps.count(steps[0]) == len(steps) else None


class _Slots(dict[str, Any]):
    """Slots, and the batches found for each pattern of missing gradients. ``"step"`` holds views of `counters`."""

    def __init__(self, counters: dict[torch.device, Tensor]) -> None:
        super().__init__()
        self.counters = counters
        self.batches: dict[tuple[bool, ...], list[_Batch]] = {}


def create_slots(parameters: Sequence[Any], fills: Mapping[str, float]) -> dict[str, Any]:
    """One buffer per parameter and name, shaped like the parameter and filled; and ``"step"``, zeros."""
    counters: dict[torch.device, Tensor] = {}
    for device in {parameter.device for parameter in parameters}:
        size = sum(parameter.device == device for parameter in parameters)
        # float32 is what the CUDA kernels read; it counts to 16 million, when every bias correction has long been 1
        counters[device] = torch.zeros(size, dtype=torch.float32, device=device)
    views = {device: iter(counter.unbind()) for device, counter in counters.items()}
    slots = _Slots(counters)
    slots["step"] = [next(views[parameter.device]) for parameter in parameters]
    for name, fill in fills.items():
        slots[name] = [torch.full_like(parameter, fill, requires_grad=False) for parameter in parameters]
    return slots


def slots_to_numpy(slots: Mapping[str, Any]) -> dict[str, list[Array]]:
    """Copies, one array per parameter and name; counters as int64."""
    values = {name: [_wide(x).cpu().numpy().copy() for x in slots[name]] for name in slots}
    values["step"] = [step.astype("int64") for step in values["step"]]
    return values


def slots_from_numpy(slots: Mapping[str, Any], values: Mapping[str, Sequence[Array]]) -> None:
    """Write values, as `slots_to_numpy` gave them, into existing slots."""
    with torch.no_grad():
        for name, arrays in values.items():
            for slot, array in zip(slots[name], arrays, strict=True):
                slot.copy_(torch.tensor(array))


def sgd(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """As `torch.optim.SGD`, its first step included (buffer = gradient, whatever the dampening)."""
    lr = _plain(lr)
    with torch.no_grad():
        for batch, grads in _batches(parameters, gradients, slots):
            buffers = batch.slots.get("momentum_buffer", [])
            if _fused(batch, lr) and not dampening:
                batch.count()
                torch._fused_sgd_(
                    batch.parameters,
                    grads,
                    buffers,
                    weight_decay=weight_decay,
                    momentum=momentum,
                    lr=lr,
                    dampening=0.0,
                    nesterov=nesterov,
                    maximize=False,
                    is_first_step=False,  # the buffers start as zeros, which comes to the same
                )
                continue
            grads = _decayed(batch, grads, weight_decay)
            if momentum:
                torch._foreach_mul_(buffers, momentum)
                if dampening:
                    share = 1.0 - dampening * (batch.step_vector() != 0).double()
                    torch._foreach_add_(buffers, torch._foreach_mul(grads, list(share.unbind())))
                else:
                    torch._foreach_add_(buffers, grads)
                grads = list(torch._foreach_add(grads, buffers, alpha=momentum)) if nesterov else buffers
            batch.count()
            _descend(batch, grads, lr)


def adam(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    amsgrad: bool,
    epsilon_hat: bool,
) -> None:
    """As `torch.optim.Adam` and `AdamW`; `epsilon_hat` adds ε to the uncorrected root, as Keras does."""
    lr = _plain(lr)
    beta1, beta2 = betas
    with torch.no_grad():
        for batch, grads in _batches(parameters, gradients, slots):
            batch.count()
            averages, squares = batch.slots["exp_avg"], batch.slots["exp_avg_sq"]
            maxima = batch.slots["max_exp_avg_sq"] if amsgrad else []
            step = batch.common_step() if epsilon_hat else None
            if _fused(batch, lr) and (not epsilon_hat or step):
                kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
                kernel(
                    batch.parameters,
                    grads,
                    averages,
                    squares,
                    maxima,
                    batch.slots["step"],
                    lr=lr,
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=weight_decay,
                    eps=eps / (1 - beta2**step) ** 0.5 if step else eps,
                    amsgrad=amsgrad,
                    maximize=False,
                )
                continue
            if decoupled and weight_decay:
                torch._foreach_mul_(batch.parameters, 1 - lr * weight_decay)
            else:
                grads = _decayed(batch, grads, weight_decay)
            torch._foreach_lerp_(averages, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
            if amsgrad:
                torch._foreach_maximum_(maxima, squares)
            steps = batch.step_vector()
            corrections = list((1 - beta2**steps).sqrt().unbind())
            denominators = torch._foreach_sqrt(maxima if amsgrad else squares)
            if epsilon_hat:
                torch._foreach_add_(denominators, eps)
                torch._foreach_div_(denominators, corrections)
            else:
                torch._foreach_div_(denominators, corrections)
                torch._foreach_add_(denominators, eps)
            rates = lr / (1 - beta1**steps)
            _descend(batch, torch._foreach_div(averages, denominators), list(rates.unbind()))


def rmsprop(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    epsilon_inside: bool,
) -> None:
    """As `torch.optim.RMSprop`, for which there is no fused kernel; `epsilon_inside` adds ε under the root."""
    lr = _plain(lr)
    with torch.no_grad():
        for batch, grads in _batches(parameters, gradients, slots):
            batch.count()
            squares = batch.slots["square_avg"]
            grads = _decayed(batch, grads, weight_decay)
            torch._foreach_mul_(squares, alpha)
            torch._foreach_addcmul_(squares, grads, grads, 1 - alpha)
            variances = squares
            if centered:
                averages = batch.slots["grad_avg"]
                torch._foreach_lerp_(averages, grads, 1 - alpha)
                variances = list(torch._foreach_addcmul(squares, averages, averages, -1))
            if epsilon_inside:
                denominators = torch._foreach_add(variances, eps)
                torch._foreach_sqrt_(denominators)
            else:
                denominators = torch._foreach_sqrt(variances)
                torch._foreach_add_(denominators, eps)
            if momentum:
                buffers = batch.slots["momentum_buffer"]
                torch._foreach_mul_(buffers, momentum)
                torch._foreach_addcdiv_(buffers, grads, denominators)
                _descend(batch, buffers, lr)
            elif isinstance(lr, Tensor):
                _descend(batch, torch._foreach_div(grads, denominators), lr)
            else:
                torch._foreach_addcdiv_(batch.parameters, grads, denominators, -lr)


def adagrad(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    lr_decay: float,
    eps: float,
    weight_decay: float,
) -> None:
    """As `torch.optim.Adagrad`."""
    lr = _plain(lr)
    with torch.no_grad():
        for batch, grads in _batches(parameters, gradients, slots):
            batch.count()
            sums = batch.slots["sum"]
            # only on the CPU: torch got this kernel for CUDA later than the versions that are supported here
            if _fused(batch, lr) and sums[0].device.type == "cpu":
                torch._fused_adagrad_(
                    batch.parameters,
                    grads,
                    sums,
                    batch.slots["step"],
                    lr=lr,
                    lr_decay=lr_decay,
                    weight_decay=weight_decay,
                    eps=eps,
                    maximize=False,
                )
                continue
            grads = _decayed(batch, grads, weight_decay)
            torch._foreach_addcmul_(sums, grads, grads, 1)
            denominators = torch._foreach_sqrt(sums)
            torch._foreach_add_(denominators, eps)
            rates = lr / (1 + (batch.step_vector() - 1) * lr_decay)
            _descend(batch, torch._foreach_div(grads, denominators), list(rates.unbind()))


def global_norm(gradients: Sequence[Any | None]) -> Any:
    """√Σ‖g‖² over all of them, a scalar tensor on the first one's device; 0 when there is none."""
    present = [_wide(gradient) for gradient in gradients if gradient is not None]
    if not present:
        return torch.zeros(())
    with torch.no_grad():
        norms = list(torch._foreach_norm(present))
        if len({norm.device for norm in norms}) > 1:
            norms = [norm.to(norms[0].device) for norm in norms]
        return torch.linalg.vector_norm(torch.stack(norms))


def scale(gradients: Sequence[Any | None], factor: Any, donate: bool = False) -> list[Any | None]:
    """Each gradient times a scalar tensor; new tensors, or with `donate` the given ones where they can be written."""
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return list(gradients)
    with torch.no_grad():
        if not all(gradient.dtype == factor.dtype and gradient.device == factor.device for gradient in present):
            return _put_back([(x * factor.to(x.device)).to(x.dtype) for x in present], gradients)
        if donate and _writable(present):
            torch._foreach_mul_(present, factor)
            return list(gradients)
        return _put_back(torch._foreach_mul(present, factor), gradients)


def clip_by_global_norm(
    gradients: Sequence[Any | None], max_norm: float, donate: bool = False
) -> tuple[list[Any | None], Any]:
    """Each gradient times min(1, max_norm/norm); and the norm, a scalar tensor."""
    norm = global_norm(gradients)
    return scale(gradients, (max_norm / norm).clamp(max=1.0), donate), norm


def clip(gradients: Sequence[Any | None], limit: float, donate: bool = False) -> list[Any | None]:
    """Each element cut to [−limit, limit]."""
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return list(gradients)
    with torch.no_grad():
        clipped = present if donate and _writable(present) else [gradient.clone() for gradient in present]
        torch._foreach_clamp_min_(clipped, -limit)
        torch._foreach_clamp_max_(clipped, limit)
        return _put_back(clipped, gradients)


def _batches(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], slots: Mapping[str, Any]
) -> list[tuple[_Batch, list[Tensor]]]:
    """The batches of this update, and their gradients as the kernels want them."""
    assert isinstance(slots, _Slots)
    grads: Any = gradients  # those that are None are not among the indices
    missing = tuple([gradient is None for gradient in gradients])
    batches = slots.batches.get(missing)
    if batches is None:
        if len(slots.batches) == _PATTERNS:
            slots.batches.clear()
        batches = slots.batches[missing] = _sort(parameters, missing, slots)
    return [(batch, [_dense(grads[i]) for i in batch.indices]) for batch in batches]


def _sort(parameters: Sequence[Tensor], missing: tuple[bool, ...], slots: _Slots) -> list[_Batch]:
    kinds: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, parameter in enumerate(parameters):
        if not missing[i]:
            kinds.setdefault((parameter.device, parameter.dtype), []).append(i)
    return [
        _Batch(
            indices=indices,
            parameters=[parameters[i] for i in indices],
            slots={name: [values[i] for i in indices] for name, values in slots.items()},
            steps=slots.counters[device]
            if len(indices) == len(slots.counters[device])
            else [slots["step"][i] for i in indices],
            fused=device.type in _FUSED_DEVICES
            and dtype in _FUSED_DTYPES
            and all(parameters[i].is_contiguous() for i in indices),
        )
        for (device, dtype), indices in kinds.items()
    ]


def _dense(gradient: Tensor) -> Tensor:
    """The gradient with its elements in order: autograd also returns expanded, transposed and sparse ones."""
    if gradient.is_contiguous() and gradient.layout is torch.strided:
        return gradient
    return (gradient if gradient.layout is torch.strided else gradient.to_dense()).contiguous()


def _writable(tensors: list[Tensor]) -> bool:
    """Whether each has memory of its own: the gradients of a sum's two terms are one tensor, given out twice."""
    if torch.compiler.is_compiling():
        return False
    places = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    return len(places) == len(tensors) and all(tensor.is_contiguous() for tensor in tensors)


def _plain(lr: Number | Tensor) -> float | Tensor:
    """The rate as a number, which the kernels prefer, unless reading it would make the host wait."""
    if not isinstance(lr, Tensor):
        return float(lr)
    return lr if lr.device.type != "cpu" or torch.compiler.is_compiling() else lr.item()


def _fused(batch: _Batch, lr: float | Tensor) -> bool:
    """Whether the fused kernels take it. `torch.compile` fuses by itself and does not know all of them."""
    return batch.fused and isinstance(lr, float) and not torch.compiler.is_compiling()


def _decayed(batch: _Batch, grads: list[Tensor], weight_decay: float) -> list[Tensor]:
    if not weight_decay:
        return grads
    return list(torch._foreach_add(grads, batch.parameters, alpha=weight_decay))


def _descend(
    batch: _Batch, directions: list[Tensor] | tuple[Tensor, ...], rates: float | Tensor | list[Tensor]
) -> None:
    """For each of them parameter −= rate·direction; `rates` is one for all or one for each."""
    if isinstance(rates, float):
        torch._foreach_add_(batch.parameters, directions, alpha=-rates)
    elif isinstance(rates, Tensor):
        torch._foreach_sub_(batch.parameters, torch._foreach_mul(directions, rates))
    else:
        torch._foreach_sub_(batch.parameters, torch._foreach_mul(directions, rates))


def _wide(gradient: Tensor) -> Tensor:
    return gradient.float() if gradient.dtype in _HALVES else gradient  # squares of halves overflow at 256


def _put_back(present: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The new tensors where there was a gradient, None where there was none."""
    if len(present) == len(gradients):
        return list(present)
    tensors = iter(present)
    return [None if gradient is None else next(tensors) for gradient in gradients]
