"""The training loop: epochs, batches, windows, and what is due between them."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from tbptt.nn.example_inputs import Remembering
from tbptt.nn.native import set_mode
from tbptt.trainer.automatic import Automatic, Turn
from tbptt.trainer.chain import share_of
from tbptt.trainer.configuration import Configuration
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.entering import at_batch_start
from tbptt.trainer.evaluation import EvaluationLoop
from tbptt.trainer.logs import LogBook, Place
from tbptt.trainer.manual import Manual
from tbptt.trainer.optimization import rates_times
from tbptt.trainer.outputs import EpochOutputs
from tbptt.trainer.probing import Probing
from tbptt.trainer.schedulers import Schedulers
from tbptt.trainer.transfer import transferred
from tbptt.trainer.walk import Ground, Stretch, walk
from tbptt.types import Tree


class FitLoop:
    """Trains until something ends it.

    Args:
        trainer: whose counters, metrics and limits these are.
        model: what is trained.
        hooks: who is called.
        ground: how batches become windows.
        configuration: optimizers and when each is in turn.
        schedulers: of the learning rates.
        optimization: runs a window.
        source: of batches.
        limit: batches of an epoch, at most.
        validation: run where it is due; None for none.
    """

    def __init__(
        self,
        trainer: Any,
        model: Any,
        hooks: Hooks,
        ground: Ground,
        configuration: Configuration,
        schedulers: Schedulers,
        optimization: Automatic | Manual,
        source: Any,
        limit: int | None,
        validation: EvaluationLoop | None,
    ) -> None:
        self._trainer, self._model, self._hooks, self._ground = trainer, model, hooks, ground
        self._configuration, self._schedulers, self._optimization = configuration, schedulers, optimization
        self._source, self._limit, self._validation = source, limit, validation
        self._probing: Probing | None = None
        if isinstance(optimization, Automatic) and hasattr(ground.schedule, "probes"):
            self._probing = Probing(optimization.chain, self._fetch, trainer.log)
        self._remembering = Remembering(model)
        self._gathered = 0
        self._batches = 0
        self._over = False

    def run(self) -> None:
        """All epochs."""
        trainer, hooks = self._trainer, self._hooks
        self._started = time.monotonic()
        if not getattr(self._model, "training", False):  # else parts that were switched to evaluation by hand stay so
            set_mode(self._model, training=True)
        hooks("on_train_start")
        self._over = self._limit == 0  # epochs without batches would never come to an end
        with self._remembering:
            while not self._over and (trainer.max_epochs is None or trainer.current_epoch < trainer.max_epochs):
                self._epoch()
                trainer.current_epoch += 1
                if trainer.should_stop and self._may_stop():
                    break
        hooks.before("on_train_end")
        self._publish(trainer.book)
        trainer.send(trainer.book.epoch_metrics(to_logger=True))
        hooks.after("on_train_end")

    def _epoch(self) -> None:
        trainer, hooks, book = self._trainer, self._hooks, self._trainer.book
        if hooks.has("on_epoch_start"):
            hooks("on_epoch_start")
        if hooks.has("on_train_epoch_start"):
            hooks("on_train_epoch_start")
        outputs = None
        if hooks.has("training_epoch_end"):
            outputs = EpochOutputs(self._ground.schedule is not None, len(self._configuration.optimizers) > 1)
        self._run_batches(book, outputs)
        if self._validation and self._is_due_at_epoch_end():
            trainer.callback_metrics |= book.step_metrics()
            self._validation.run()
        if outputs is not None:
            hooks.before("training_epoch_end", outputs.batches)
        self._publish(book)
        hooks.before("on_train_epoch_end")
        self._publish(book)
        hooks.after("on_train_epoch_end")
        if hooks.has("on_epoch_end"):
            hooks("on_epoch_end")
            self._publish(book)
        trainer.send(book.epoch_metrics(to_logger=True))
        book.close_epoch()
        self._schedulers.ended("epoch", range(len(self._configuration.optimizers)))

    def _publish(self, book: LogBook) -> None:
        self._trainer.callback_metrics |= book.epoch_metrics() | book.step_metrics()

    def _run_batches(self, book: LogBook, outputs: EpochOutputs | None) -> None:
        trainer, hooks = self._trainer, self._hooks
        hiddens: Tree = None
        self._gathered = 0
        for stretch in trainer.timed("next batch", walk(self._source, self._ground, trainer.data_epoch, self._limit)):
            trainer.batch_idx, trainer.num_windows = stretch.batch_idx, len(stretch)
            hiddens = at_batch_start(hiddens, stretch, self._optimization.step)
            book.begin()
            if (
                hooks.has("on_train_batch_start")
                and hooks("on_train_batch_start", stretch.batch, stretch.batch_idx, 0) == -1
            ):
                break
            trainer.in_batch = True
            if outputs is not None:
                outputs.start_batch()
            hiddens, last = self._run_windows(stretch, hiddens, book, outputs)
            if hooks.has("on_train_batch_end"):
                hooks("on_train_batch_end", last, stretch.batch, stretch.batch_idx, 0)
            trainer.in_batch = False
            self._batches += 1
            self._schedulers.ended("batch", self._configuration.in_turn(stretch.batch_idx))
            if self._validation and self._is_due_after(stretch):
                trainer.callback_metrics |= book.step_metrics()
                self._validation.run()
            if self._over or (trainer.should_stop and self._may_stop()):
                break
        self._schedulers.ended("window", self._optimization.finish(trainer.current_epoch, trainer.batch_idx))

    def _run_windows(
        self, stretch: Stretch, hiddens: Tree, book: LogBook, outputs: EpochOutputs | None
    ) -> tuple[Tree, dict[str, Any]]:
        trainer, hooks, batch_idx = self._trainer, self._hooks, stretch.batch_idx
        optimizers = self._configuration.in_turn(batch_idx)
        wants_outputs = hooks.any("on_window_end", "on_train_batch_end")
        always_in_pieces = hooks.has("on_window_boundary")
        last: dict[str, Any] = {}
        self._optimization.begin()
        if self._probing:
            self._probing(stretch)
        for piece in trainer.timed("cut window", stretch):
            trainer.window_idx = piece.number
            book.begin()
            if hooks.has("on_window_start"):
                hooks("on_window_start", piece.window, piece.number)
            window, turn = piece.window, self._turn(stretch, piece.number, piece.is_last)
            steps_before = trainer.global_step
            with self._rates_times(piece.span.rate):
                if always_in_pieces or stretch.needs_pieces(piece.span):
                    share = share_of(stretch, piece.span, hiddens, partial(self._fetch, stretch))
                    with trainer.profiled("window step"):
                        outcome = self._optimization.in_pieces(share, turn, optimizers)
                else:
                    with trainer.profiled("place window"):
                        window = transferred(trainer, hooks, stretch, window)
                    with trainer.profiled("window step"):
                        entering = stretch.entering(piece.span, hiddens)
                        outcome = self._optimization(window, entering, piece.origin, turn, optimizers)
            trainer.hiddens = hiddens = outcome.hiddens
            self._remembering.end()  # after the first window; a watched call is slower
            place = Place(trainer.current_epoch, batch_idx, piece.number)
            step = trainer.step_to_log(steps_before)
            book.add(place, outcome.loss, outcome.logged, step, outcome.weight)
            self._schedulers.ended("window", outcome.stepped)  # after the book, which may have what one of them follows
            if outputs is not None:
                outputs.add(outcome.outputs)
            if wants_outputs:
                logged = {name: value for name, (value, _) in outcome.logged.items()}
                last = {**logged, **outcome.outputs[-1]}
                if hooks.has("on_window_end"):
                    hooks("on_window_end", last, window, piece.number)
                    hiddens = trainer.hiddens  # which a hook may have set
            if self._is_over():
                break
            if self._probing:
                self._probing(stretch)
        return hiddens, last

    def _fetch(self, stretch: Stretch, start: int, stop: int) -> Tree:
        trainer = self._trainer
        with trainer.profiled("place window"):
            return transferred(trainer, self._hooks, stretch, stretch.fetch(start, stop))

    def _rates_times(self, factor: float) -> AbstractContextManager[Any]:
        if factor == 1.0:
            return nullcontext()
        stack = ExitStack()
        for optimizer in self._configuration.optimizers:
            stack.enter_context(rates_times(optimizer, factor))
        return stack

    def _turn(self, stretch: Stretch, window_idx: int, ends_batch: bool) -> Turn:
        trainer, batch_idx = self._trainer, stretch.batch_idx
        ends_epoch = ends_batch and stretch.is_last
        if trainer.accumulate_grad_batches > 1:
            every = trainer.accumulate_grad_batches
            starts = batch_idx % every == 0 and window_idx == 0
            ends = ends_batch and ((batch_idx + 1) % every == 0 or stretch.is_last)
        else:
            every = trainer.accumulate_grad_windows
            starts = self._gathered % every == 0
            self._gathered += 1
            ends = self._gathered % every == 0 or ends_epoch
        ends_sequence = ends_epoch if stretch.ground.carry == "epoch" else ends_batch
        return Turn(trainer.current_epoch, batch_idx, starts, ends, ends_epoch, ends_sequence)

    def _is_over(self) -> bool:
        trainer = self._trainer
        out_of_steps = 0 <= trainer.max_steps <= trainer.global_step
        out_of_time = (
            trainer.max_time is not None and time.monotonic() - self._started >= trainer.max_time.total_seconds()
        )
        self._over = self._over or out_of_steps or out_of_time
        return self._over or (trainer.should_stop and self._may_stop())

    def _may_stop(self) -> bool:
        """Whether the least number of epochs and steps has been reached."""
        trainer = self._trainer
        return (trainer.min_epochs is None or trainer.current_epoch >= trainer.min_epochs) and (
            trainer.min_steps is None or trainer.global_step >= trainer.min_steps
        )

    def _is_due_after(self, stretch: Stretch) -> bool:
        every = self._trainer.validation_every
        if every is None:
            return False
        if self._trainer.check_val_every_n_epoch is None:
            return bool(self._batches % every == 0)
        return self._is_validation_epoch() and (stretch.batch_idx + 1) % every == 0

    def _is_due_at_epoch_end(self) -> bool:
        trainer = self._trainer
        return trainer.validation_every is None and self._is_validation_epoch()

    def _is_validation_epoch(self) -> bool:
        every = self._trainer.check_val_every_n_epoch
        return bool(every is not None and (self._trainer.current_epoch + 1) % every == 0)
