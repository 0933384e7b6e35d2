"""The trainer's arguments: checked one by one, and old spellings answered with the new one."""

from __future__ import annotations

import difflib
from datetime import timedelta
from typing import Any

from tbptt.errors import ConfigurationError

_LIMIT = "a whole number of batches, or a fraction between 0.0 and 1.0"

OLD_ARGUMENTS = {
    "max_nb_epochs": "max_epochs=",
    "min_nb_epochs": "min_epochs=",
    "nb_sanity_val_steps": "num_sanity_val_steps=",
    "train_percent_check": "limit_train_batches=",
    "val_percent_check": "limit_val_batches=",
    "test_percent_check": "limit_test_batches=",
    "overfit_pct": "overfit_batches=",
    "early_stop_callback": "callbacks=[tbptt.callbacks.EarlyStopping(...)]",
    "checkpoint_callback": "callbacks=[tbptt.callbacks.ModelCheckpoint(...)]",
    "weights_save_path": "callbacks=[tbptt.callbacks.ModelCheckpoint(dirpath=...)]",
    "default_save_path": "default_root_dir=",
    "gpus": 'accelerator="gpu", devices=',
    "nb_gpu_nodes": 'accelerator="gpu", devices= (one device a process)',
    "num_nodes": "one process for each device; several devices are several processes",
    "num_processes": "one process for each device; several devices are several processes",
    "distributed_backend": "one process for each device; several devices are several processes",
    "strategy": "one process for each device; several devices are several processes",
    "tpu_cores": 'accelerator="gpu" or "cpu"',
    "num_tpu_cores": 'accelerator="gpu" or "cpu"',
    "auto_select_gpus": 'accelerator="auto"',
    "log_gpu_memory": 'profiler="simple"',
    "show_progress_bar": "enable_progress_bar=",
    "progress_bar_refresh_rate": "callbacks=[tbptt.ProgressBar(refresh_seconds=...)]",
    "process_position": "callbacks=[tbptt.ProgressBar(...)]",
    "weights_summary": "enable_model_summary=",
    "row_log_interval": "log_every_n_steps=",
    "add_row_log_interval": "log_every_n_steps=",
    "log_save_interval": "logger=tbptt.loggers.CSVLogger(..., flush_logs_every_n_steps=...)",
    "flush_logs_every_n_steps": "logger=tbptt.loggers.CSVLogger(..., flush_logs_every_n_steps=...)",
    "gradient_clip": "gradient_clip_val=",
    "track_grad_norm": "callbacks=[tbptt.callbacks.GradientNormMonitor(...)]",
    "print_nan_grads": "detect_anomaly=True",
    "terminate_on_nan": "nothing: a loss that is not finite always ends a run; detect_anomaly=True says where it began",
    "use_amp": 'precision="bf16-mixed" or precision="16-mixed"',
    "amp_level": 'precision="bf16-mixed" or precision="16-mixed"',
    "amp_backend": 'precision="bf16-mixed" or precision="16-mixed"',
    "stochastic_weight_avg": "callbacks=[tbptt.callbacks.StochasticWeightAveraging(...)]",
    "resume_from_checkpoint": "load_from_checkpoint of the module",
    "reload_dataloaders_every_epoch": "data whose __iter__ begins anew, or that has set_epoch(epoch)",
    "auto_lr_find": "optim.lr_scheduler",
    "auto_scale_batch_size": "the data's batch_size=",
}

OLD_CALLS = {
    ("fit", "train_dataloader"): "train_dataloaders=",
    ("fit", "val_dataloader"): "val_dataloaders=",
    ("fit", "ckpt_path"): "nothing yet: a checkpoint holds weights, and load_from_checkpoint of the module reads them",
    ("validate", "val_dataloaders"): "dataloaders=",
    ("test", "test_dataloaders"): "dataloaders=",
    ("predict", "predict_dataloaders"): "dataloaders=",
}

OLD_METHODS = {
    "training_end": "training_step_end",
    "validation_end": "validation_epoch_end",
    "test_end": "test_epoch_end",
    "tng_dataloader": "train_dataloader",
    "on_batch_start": "on_train_batch_start",
    "on_batch_end": "on_train_batch_end",
    "on_pre_performance_check": "on_validation_start",
    "on_post_performance_check": "on_validation_end",
    "on_tng_metrics": "log",
    "on_sanity_check_start": "on_validation_start",
    "on_sanity_check_end": "on_validation_end",
    "on_training_start": "on_train_start",
    "on_training_end": "on_train_end",
    "on_before_accelerator_backend_setup": "on_fit_start",
    "on_keyboard_interrupt": "on_exception",
    "get_progress_bar_dict": "log(..., prog_bar=True)",
}

PRECISIONS = {
    None: None,
    "32-true": "float32",
    32: "float32",
    "32": "float32",
    "64-true": "float64",
    64: "float64",
    "64": "float64",
    "bf16-mixed": "float32",
    "16-mixed": "float32",
}
"""What the parameters are held in."""

COMPUTE_DTYPES = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}


def refuse(unknown: dict[str, Any], known: list[str]) -> None:
    """Nothing, if there are no arguments of other names.

    Raises:
        ConfigurationError: with the new spelling of an old one, or the nearest known one.
    """
    for name in unknown:
        if name in OLD_ARGUMENTS:
            raise ConfigurationError(f"Trainer({name}=...) is an old spelling. Now: {OLD_ARGUMENTS[name]}.")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}=?" if near else f"It takes {', '.join(known)}."
        raise ConfigurationError(f"Trainer has no argument {name!r}. {hint}")


def refuse_in_call(method: str, unknown: dict[str, Any]) -> None:
    """`refuse`, for ``trainer.fit(...)`` and its like.

    Raises:
        ConfigurationError: with the new spelling of an old one.
    """
    for name in unknown:
        new = OLD_CALLS.get((method, name))
        known = "model, train_dataloaders, val_dataloaders, datamodule"
        if method != "fit":
            known = "model, dataloaders, ckpt_path, datamodule"
        hint = f"Now: {new}." if new else f"It takes {known}."
        raise ConfigurationError(f"trainer.{method}() has no argument {name!r}. {hint}")


def refuse_old_methods(owner: Any) -> None:
    """Nothing, if the object defines no method by an old name.

    Raises:
        ConfigurationError: with the new name.
    """
    for old, new in OLD_METHODS.items():
        if callable(getattr(owner, old, None)):
            raise ConfigurationError(
                f"{type(owner).__name__}.{old}() is an old name and would never be called. Now: {new}."
            )


def whole(name: str, value: Any, least: int) -> int:
    """A whole number from `least` up.

    Raises:
        ConfigurationError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is a whole number of at least {least}; received {value!r}.")
    return value


def limit(name: str, value: Any) -> int | float | None:
    """A number of batches or a fraction; None for all.

    Raises:
        ConfigurationError: if it is neither.
    """
    if value is None:
        return None
    fits = not isinstance(value, bool) and (
        (isinstance(value, int) and value >= 0) or (isinstance(value, float) and 0.0 <= value <= 1.0)
    )
    if not fits:
        raise ConfigurationError(f"{name} is {_LIMIT}; received {value!r}.")
    return value  # type: ignore[no-any-return]


def duration(value: Any) -> timedelta | None:
    """A time; a dict holds the arguments of `timedelta`, a string days:hours:minutes:seconds.

    Raises:
        ConfigurationError: for anything else.
    """
    if value is None or isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, dict):
            return timedelta(**value)
        if isinstance(value, str):
            days, hours, minutes, seconds = map(int, value.split(":"))
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(
        f"max_time is a timedelta, its arguments as a dict ({{'minutes': 3}}), or 'DD:HH:MM:SS'; received {value!r}."
    )


def parameter_dtype(precision: Any) -> str | None:
    """What the parameters are to be held in; None leaves them as they are.

    Raises:
        ConfigurationError: for an unknown precision.
    """
    if isinstance(precision, bool) or precision not in PRECISIONS:
        old = {16: "'16-mixed'", "16": "'16-mixed'", "bf16": "'bf16-mixed'"}.get(precision)
        raise ConfigurationError(
            f"precision is '32-true', '64-true', 'bf16-mixed', '16-mixed', or None for that of the model; received "
            f"{precision!r}." + (f" Now: {old}." if old else "")
        )
    return PRECISIONS[precision]


def device_name(accelerator: Any, devices: Any) -> str | None:
    """The one device of this process, as `tbptt.backends.find_device` reads it; None for wherever the model is.

    Raises:
        ConfigurationError: for an unknown accelerator, or more than one device.
    """
    kinds = {None: None, "auto": None, "cpu": "cpu", "gpu": "gpu", "cuda": "gpu"}
    if accelerator not in kinds:
        raise ConfigurationError(f"accelerator is 'auto', 'cpu' or 'gpu'; received {accelerator!r}.")
    kind = kinds[accelerator]
    index = devices
    if isinstance(devices, list | tuple) and len(devices) == 1:
        index = devices[0]
        if isinstance(index, int):
            return f"{kind or 'gpu'}:{index}"
    if index in (None, "auto", 1, "1"):
        return kind
    raise ConfigurationError(
        f"devices is 1, 'auto', or [index]: one device a process, several devices are several processes; received {devices!r}."
    )


def interval(name: str, value: Any) -> int | float:
    """A number of batches from 1, or a fraction above 0.

    Raises:
        ConfigurationError: if it is neither.
    """
    fits = not isinstance(value, bool) and (
        (isinstance(value, int) and value >= 1) or (isinstance(value, float) and 0.0 < value <= 1.0)
    )
    if not fits:
        raise ConfigurationError(
            f"{name} is a fraction of an epoch in (0.0, 1.0], or a number of batches; received {value!r}."
        )
    return value  # type: ignore[no-any-return]
