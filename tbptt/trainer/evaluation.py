"""Validation, test and prediction: one loop over data without gradients, with a state of its own."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Literal

from tbptt import state
from tbptt.nn.native import set_mode
from tbptt.schedules import Fixed, Schedule
from tbptt.trainer import connection
from tbptt.trainer.dispatch import Hooks, overridden
from tbptt.trainer.entering import at_batch_start
from tbptt.trainer.logs import LogBook, Place
from tbptt.trainer.modes import modes_of, restore_modes
from tbptt.trainer.outputs import join
from tbptt.trainer.step import Step
from tbptt.trainer.transfer import transferred
from tbptt.trainer.walk import Ground, count_batches, walk
from tbptt.types import Tree

Stage = Literal["validation", "test", "predict"]


class EvaluationLoop:
    """Runs ``validation_step``, ``test_step`` or ``predict_step`` over data; may be run again, and compiles once.

    A step that takes ``hiddens`` sees windows, with the state carried as in training; one that does not sees each batch whole,
    so that its values do not depend on how training is cut.
    """

    def __init__(
        self, trainer: Any, model: Any, hooks: Hooks, ground: Ground, stage: Stage, source: Any, limit: int | None
    ) -> None:
        self._trainer, self._model, self._hooks, self._stage = trainer, model, hooks, stage
        self._source, self._limit = source, limit
        self._book = LogBook(step_default=False, epoch_default=True)
        self._wants_outputs = hooks.any(f"{stage}_epoch_end", f"on_{stage}_batch_end") or stage == "predict"
        self.step = Step(
            getattr(model, f"{stage}_step"),
            end=overridden(model, f"{stage}_step_end"),
            backend=ground.backend,
            compile=trainer.compile,
            options=self._book.options,
            carries=ground.carries,
            time_axis=ground.time_axis,
            keeps_extras=self._wants_outputs,
            compute_dtype=trainer.compute_dtype,
            begins=connection.beginning_of(model, trainer),
            detach=trainer.detach_fn or state.detach,
        )
        ground = dataclasses.replace(ground, schedule=_without_gradients(ground.schedule))
        self._ground = ground if self.step.takes_hiddens else ground.whole()

    def run(self, only: int | None = None, keep: bool = True) -> tuple[dict[str, float], list[Tree]]:
        """One pass: the epoch's values of what was logged, and the predictions, a tree a batch.

        Args:
            only: at most so many batches, and of each so many windows (the sanity check).
            keep: whether what is logged reaches the trainer's metrics and loggers.
        """
        trainer, hooks, stage = self._trainer, self._hooks, self._stage
        count = count_batches(self._source)
        limits = [limit for limit in (count, self._limit, only) if limit is not None]
        trainer.num_evaluation_batches = min(limits, default=None)
        counters = trainer.batch_idx, trainer.window_idx, trainer.num_windows
        book_before, trainer.book = trainer.book, self._book
        modes = modes_of(self._model)
        try:
            if not hooks.has(f"on_{stage}_model_eval"):
                set_mode(self._model, training=False)
            self._call("model_eval")
            answer = self._pass(only, keep)
        except BaseException:
            restore_modes(modes)
            raise
        finally:
            trainer.book = book_before
            trainer.batch_idx, trainer.window_idx, trainer.num_windows = counters
        if not hooks.has(f"on_{stage}_model_train"):
            restore_modes(modes)
        self._call("model_train")
        return answer

    def _pass(self, only: int | None, keep: bool) -> tuple[dict[str, float], list[Tree]]:
        trainer, hooks, stage = self._trainer, self._hooks, self._stage
        self._call("start")
        if hooks.has("on_epoch_start"):
            hooks("on_epoch_start")
        self._call("epoch_start")
        with trainer.profiled(f"{stage} batches"):
            outputs, predictions = self._batches(only)
        if hooks.has(f"{stage}_epoch_end"):
            hooks.before(f"{stage}_epoch_end", outputs)
        metrics = self._publish(keep)
        hooks.before(f"on_{stage}_epoch_end")
        metrics = self._publish(keep)
        hooks.after(f"on_{stage}_epoch_end")
        if hooks.has("on_epoch_end"):
            hooks("on_epoch_end")
        hooks.before(f"on_{stage}_end")
        metrics = self._publish(keep)
        if keep:
            trainer.send(self._book.epoch_metrics(to_logger=True))
        hooks.after(f"on_{stage}_end")
        self._book.close_epoch()
        return metrics, predictions

    def _call(self, moment: str, *arguments: Any) -> None:
        name = f"on_{self._stage}_{moment}"
        if self._hooks.has(name):
            self._hooks(name, *arguments)

    def _publish(self, keep: bool) -> dict[str, float]:
        metrics = self._book.epoch_metrics() | self._book.step_metrics()
        if keep:
            self._trainer.callback_metrics |= metrics
        return metrics

    def _batches(self, only: int | None) -> tuple[list[Any], list[Tree]]:
        trainer, hooks, stage = self._trainer, self._hooks, self._stage
        limits = [limit for limit in (self._limit, only) if limit is not None]
        hiddens: Tree = None
        outputs: list[Any] = []
        predictions: list[Tree] = []
        keeps_outputs = hooks.has(f"{stage}_epoch_end")
        for stretch in walk(self._source, self._ground, trainer.current_epoch, min(limits, default=None)):
            trainer.batch_idx, trainer.num_windows = stretch.batch_idx, len(stretch)
            hiddens = at_batch_start(hiddens, stretch, self.step)
            self._call("batch_start", stretch.batch, stretch.batch_idx, 0)
            of_windows: list[Any] = []
            steps: list[int] = []
            last: Any = None
            for piece in stretch.plain():
                if only is not None and piece.number >= only:
                    break
                trainer.window_idx = piece.number
                window = transferred(trainer, hooks, stretch, piece.window)
                entering = stretch.entering(piece.span, hiddens)
                result = self.step.evaluate(self.step.call(window, entering, piece.origin, stretch.batch_idx))
                hiddens = result.hiddens
                place = Place(trainer.current_epoch, stretch.batch_idx, piece.number)
                self._book.add(place, result.loss, result.logged, weight=result.weight)
                if self._wants_outputs:
                    last = self._outputs(result)
                    if stage == "predict":
                        of_windows.append(last)
                        steps.append(piece.steps)
                    elif keeps_outputs:
                        outputs.append(last)
            if stage == "predict":
                last = join(of_windows, steps, self._time_axis())
                predictions.append(last)
            self._call("batch_end", last, stretch.batch, stretch.batch_idx, 0)
        return outputs, predictions

    def _outputs(self, result: Any) -> Any:
        if self._stage == "predict":
            return result.extras
        extras = result.extras if isinstance(result.extras, dict) else {}
        logged = {name: value for name, (value, _) in result.logged.items()}
        return {**logged, **extras, **({} if result.loss is None else {"loss": result.loss})}

    def _time_axis(self) -> int:
        return self._ground.time_axis if isinstance(self._ground.time_axis, int) else 1


def _without_gradients(schedule: Schedule | None) -> Schedule | None:
    """Windows of one length, where the schedule says which: values do not depend on the cut. Else a copy: what draws must not draw
    otherwise in training because validation came between.
    """
    steps = getattr(schedule, "evaluation_steps", None)
    return copy.deepcopy(schedule) if steps is None else Fixed(steps)
