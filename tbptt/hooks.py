"""The moments of a run: their names, the arguments handed over, and their order. Modules and callbacks override them.

    fit         prepare_data · configure_callbacks · on_fit_start · setup("fit") · configure_optimizers ·
                on_pretrain_routine_start · on_pretrain_routine_end · (sanity validation) · on_train_start · epochs ·
                on_train_end · on_fit_end · teardown("fit")
    epoch       on_epoch_start · on_train_epoch_start · batches · (validation, where it is due at the end) · training_epoch_end ·
                on_train_epoch_end · on_epoch_end
    batch       on_train_batch_start (returning -1 ends the epoch) · windows · on_train_batch_end · (validation, where due)
    window      on_window_start · on_before_batch_transfer · transfer_batch_to_device · on_after_batch_transfer · then, for each
                optimizer, training_step · on_window_boundary · on_before_zero_grad · optimizer_zero_grad · on_before_backward ·
                backward · on_after_backward · on_before_optimizer_step · configure_gradient_clipping · optimizer_step ·
                then (scheduler steps due) · on_window_end
    validation  on_validation_model_eval · gradients off · on_validation_start · on_epoch_start · on_validation_epoch_start ·
                per batch on_validation_batch_start · (per window the transfer hooks and validation_step) ·
                on_validation_batch_end · then validation_epoch_end · on_validation_epoch_end · on_epoch_end ·
                on_validation_end · on_validation_model_train
    test and predict alike; on_save_checkpoint, on_load_checkpoint; on_exception

While gradients accumulate, on_before_zero_grad and optimizer_zero_grad come only at the start of an accumulation, and everything
from on_before_optimizer_step on only at its end. At every moment ordinary callbacks come first, then the module, then the callbacks
that watch what the module logged (early stopping, checkpoints, progress). A moment nobody overrides costs nothing.
"""

from __future__ import annotations

_EVALUATION = {
    "on_{stage}_model_eval": (),
    "on_{stage}_start": (),
    "on_{stage}_epoch_start": (),
    "on_{stage}_batch_start": ("batch", "batch_idx", "dataloader_idx"),
    "{stage}_step_end": ("outputs",),
    "on_{stage}_batch_end": ("outputs", "batch", "batch_idx", "dataloader_idx"),
    "{stage}_epoch_end": ("outputs",),
    "on_{stage}_epoch_end": (),
    "on_{stage}_end": (),
    "on_{stage}_model_train": (),
}

MOMENTS: dict[str, tuple[str, ...]] = {
    "prepare_data": (),
    "on_fit_start": (),
    "setup": ("stage",),
    "on_pretrain_routine_start": (),
    "on_pretrain_routine_end": (),
    "on_train_start": (),
    "on_epoch_start": (),
    "on_train_epoch_start": (),
    "on_train_batch_start": ("batch", "batch_idx", "dataloader_idx"),
    "on_window_start": ("window", "window_idx"),
    "on_before_batch_transfer": ("batch", "dataloader_idx"),
    "transfer_batch_to_device": ("batch", "device", "dataloader_idx"),
    "on_after_batch_transfer": ("batch", "dataloader_idx"),
    "training_step_end": ("outputs",),
    "on_window_boundary": ("state", "is_last"),
    "on_before_zero_grad": ("optimizer",),
    "optimizer_zero_grad": ("epoch", "batch_idx", "optimizer", "optimizer_idx"),
    "on_before_backward": ("loss",),
    "backward": ("loss", "optimizer", "optimizer_idx"),
    "on_after_backward": (),
    "on_before_optimizer_step": ("optimizer", "optimizer_idx"),
    "configure_gradient_clipping": (
        "optimizer",
        "optimizer_idx",
        "gradient_clip_val",
        "gradient_clip_algorithm",
    ),
    "optimizer_step": ("epoch", "batch_idx", "optimizer", "optimizer_idx", "optimizer_closure"),
    "lr_scheduler_step": ("scheduler", "optimizer_idx", "metric"),
    "on_window_end": ("outputs", "window", "window_idx"),
    "on_train_batch_end": ("outputs", "batch", "batch_idx", "dataloader_idx"),
    "training_epoch_end": ("outputs",),
    "on_train_epoch_end": (),
    "on_epoch_end": (),
    "on_train_end": (),
    "on_fit_end": (),
    "teardown": ("stage",),
    "on_save_checkpoint": ("checkpoint",),
    "on_load_checkpoint": ("checkpoint",),
    "on_exception": ("exception",),
    **{
        name.format(stage=stage): arguments
        for stage in ("validation", "test", "predict")
        for name, arguments in _EVALUATION.items()
    },
}
"""Name to the arguments handed over; a function that takes fewer gets those it names, or the first ones."""

MODULE_ONLY = frozenset(
    name for name in MOMENTS if not name.startswith("on_") and name not in ("setup", "teardown")
) | {"on_before_batch_transfer", "on_after_batch_transfer", "on_window_boundary"}
"""Moments that answer with something: there is one module to ask, not many callbacks."""
