"""A model, its data and the trainer brought together for one stage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tbptt import backends, dtypes, schedules
from tbptt.callbacks import Callback
from tbptt.data.datamodule import DataModule
from tbptt.errors import ConfigurationError, DataError, ModuleProtocolError
from tbptt.module.hooks import ModuleHooks
from tbptt.nn.module import Module as Layer
from tbptt.nn.native import backend_of_model, parameters_of
from tbptt.protocols import Backend
from tbptt.trainer.arguments import refuse_old_methods
from tbptt.trainer.dispatch import overridden
from tbptt.trainer.entering import Beginning
from tbptt.trainer.walk import Ground

_STEPS = {
    "fit": ("training_step", "configure_optimizers"),
    "validate": ("validation_step",),
    "test": ("test_step",),
    "predict": ("predict_step",),
}
_LOADERS = {
    "fit": "train_dataloader",
    "validate": "val_dataloader",
    "test": "test_dataloader",
    "predict": "predict_dataloader",
}


def check_model(model: Any, stage: str) -> None:
    """Nothing, if the model has the steps of a stage.

    Raises:
        ModuleProtocolError: naming the one it lacks.
        ConfigurationError: if it defines a method by an old name.
    """
    for method in _STEPS[stage]:
        if not has_step(model, method):
            if stage == "fit":
                example = "a model to fit needs training_step(batch, batch_idx, hiddens) and configure_optimizers()."
            else:
                example = (
                    f"which {stage} needs. Define {method}(self, batch, batch_idx, hiddens), or leave the data out."
                )
            raise ModuleProtocolError(f"{type(model).__name__} has no {method}(); {example}")
    refuse_old_methods(model)


def has_step(model: Any, method: str) -> bool:
    """Whether the model defines this step, or has ours for predictions."""
    return overridden(model, method) is not None or (method == "predict_step" and isinstance(model, ModuleHooks))


def source_of(stage: str, given: Any, model: Any, datamodule: Any, needed: bool = True) -> Any:
    """The batches of a stage: those given, else the data module's, else the model's own; None if there are none.

    Raises:
        DataError: if there have to be some.
    """
    if given is not None:
        return given
    for owner in (datamodule, model):
        loader = overridden(owner, _LOADERS[stage]) if owner is not None else None
        found = loader() if loader else None
        if found is not None:
            return found
    if needed:
        raise DataError(
            f"There is no data to {stage}: none was given, and neither a data module nor {type(model).__name__} brings any. Pass "
            f"batches, or define {_LOADERS[stage]}()."
        )
    return None


def as_datamodule(data: Any, datamodule: Any) -> tuple[Any, Any]:
    """Data and data module, where the latter may have been passed in the former's place.

    Raises:
        ConfigurationError: if there are two sources.
    """
    if isinstance(data, DataModule):
        data, datamodule = None, data
    if data is not None and datamodule is not None:
        raise ConfigurationError("Both data and a data module were given. Give one of them.")
    if datamodule is not None:
        refuse_old_methods(datamodule)
    return data, datamodule


def with_models_callbacks(callbacks: Sequence[Any], model: Any) -> list[Any]:
    """The callbacks, and those of ``configure_callbacks``; of two of one class the model's counts."""
    configure = overridden(model, "configure_callbacks")
    found = configure() if configure else None
    own = [] if found is None else [found] if isinstance(found, Callback) else list(found)
    kinds = {type(callback) for callback in own}
    return [callback for callback in callbacks if type(callback) not in kinds] + own


def prepare(model: Any, dtype: str | None, device: str | None) -> None:
    """Bring the model's parameters to the trainer's precision and device.

    Raises:
        ModuleProtocolError, DeviceError: if that cannot be.
    """
    backend = backend_of_model(model)
    place = None if device is None else backends.find_device(device, backend)
    if dtype is None and place is None:
        return
    if isinstance(model, Layer):
        model.to(device=place, dtype=dtype)
    elif backend.interop.is_native_module(model):
        backend.interop.move(model, dtype, place)


def ground_of(model: Any, trainer: Any) -> Ground:
    """Where the model's windows go and how they are cut."""
    parameters = parameters_of(model)
    backend = backend_of_model(model)
    first = next((p for p in parameters if backend.tensors.isdtype(p.dtype, "real floating")), None)
    own = getattr(model, "truncated_bptt_steps", None)
    schedule = schedules.as_schedule(own) if own else trainer.schedule
    split = overridden(model, "tbptt_split_batch")
    size = getattr(schedule, "k1", None) if schedule is not None else None
    return Ground(
        backend=backend,
        device=backends.current_device(backend) if first is None else backend.devices.device_of(first),
        float_dtype=dtypes.default_dtype() if first is None else backend.tensors.dtype(first),
        schedule=schedule,
        carry=trainer.state_carry,
        time_axis=trainer.time_axis,
        resets_inside=bool(getattr(model, "handles_resets", False)),
        split=(lambda batch: split(batch, size)) if split is not None and schedule is not None else None,
    )


def beginning_of(model: Any, trainer: Any) -> Beginning:
    """What makes the state a step is given of the one that comes from the window before."""
    initial = getattr(model, "initial_state", None)
    return Beginning(initial if callable(initial) else None, trainer.reset_fn, trainer.time_axis)


@contextmanager
def attached(model: Any, trainer: Any) -> Iterator[None]:
    """Inside the block the model knows its trainer."""
    name = "_trainer" if isinstance(model, Layer) else "trainer"
    before = getattr(model, name, None)
    try:
        setattr(model, name, trainer)
    except AttributeError:  # an object with slots, which can do without
        yield
        return
    try:
        yield
    finally:
        setattr(model, name, before)


@contextmanager
def surroundings(model: Any, trainer: Any) -> Iterator[Backend]:
    """The current engine, default dtype and the engine's switches, for as long as a stage runs."""
    with ExitStack() as stack:
        backend = backend_of_model(model)
        stack.enter_context(attached(model, trainer))
        stack.enter_context(backends.use_backend(backend))
        stack.enter_context(backends.device_scope(_device(model, trainer, backend)))
        if trainer.parameter_dtype is not None:
            stack.enter_context(dtypes.dtype_scope(trainer.parameter_dtype))
        if trainer.deterministic:
            backend.compilation.set_deterministic(True)
        if trainer.detect_anomaly:
            stack.enter_context(backend.autodiff.detect_anomaly())
        yield backend


def _device(model: Any, trainer: Any, backend: Backend) -> str:
    """Where the stage runs: where the trainer was told, else where the model is."""
    if trainer.device is not None:
        return backends.find_device(trainer.device, backend)
    try:
        parameters = parameters_of(model)
    except ModuleProtocolError:  # an engine's module that setup() has yet to build
        parameters = []
    return backend.devices.device_of(parameters[0]) if parameters else backends.current_device(backend)


def hiddens_not_taken(step: Any) -> ModuleProtocolError:
    """The error for a training step that would forget the state."""
    return ModuleProtocolError(
        f"{step.name} must take hiddens where state is carried between windows: expected "
        f"def {step.name}(self, batch, batch_idx, hiddens), received ({', '.join(step.arguments)})."
    )


def warn_of_unused(model: Any, source: Any) -> None:
    """Say that there is data to validate on, and no step that would."""
    if source is not None:
        warnings.warn(
            f"There is data to validate on, but {type(model).__name__} has no validation_step(): nothing is validated.",
            stacklevel=4,
        )
