"""The training loop: two validation batches → steps and validations → the best segmenter."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from segfield.data.dataset import Dataset
from segfield.errors import SettingError
from segfield.segmenter import Segmenter
from segfield.training.agreement import Agreement
from segfield.training.counters import Counters
from segfield.training.interrupt import Interrupted, StopSignals
from segfield.training.norm import recompute_norm, whole_images
from segfield.training.preparation import Preparation
from segfield.training.processes import gradients_held_back, is_first_process, leave_processes
from segfield.training.progress import RunDisplay
from segfield.training.recipe import Recipe, seconds
from segfield.training.resume import Extras, save_state
from segfield.training.run_folder import RunFolder
from segfield.training.run_lock import alone_in
from segfield.training.schedules import rate_factor
from segfield.training.setup import Measured
from segfield.training.stream import item_seed
from segfield.training.tracker import Tracker
from segfield.training.validation import Validation, validate
from segfield.training.workers import faults_in_words


@dataclass
class Fitted:
    """What `fit` leaves behind."""

    folder: RunFolder
    counters: Counters
    measured: Measured
    val: Dataset
    is_first_process: bool


class Fit(Preparation):
    """One run: the loop over what `Preparation` set up."""

    def run(self) -> None:
        """Train until the budget is spent, patience is lost or the user stops."""
        recipe, counters = self.recipe, self.counters
        total = recipe.budget_seconds or float(self.budget_steps or 0)
        unit = "seconds" if recipe.budget_seconds else "steps"
        self.agreement = Agreement(self.fabric, counters.seconds, counters.step)
        self.saved = time.monotonic()
        self.validation_seconds = 0.0
        self._validate_two_batches()
        done = counters.seconds if recipe.budget_seconds else counters.step
        self.tracker = Tracker(self.folder.path, counters.step) if self.first else None
        with StopSignals() as signals, RunDisplay(total, unit, done, self.console) as self.display, faults_in_words():
            if counters.step:
                self.display.say(f"going on at step {counters.step} of {self.folder.path}")
            while not counters.finished:
                if not counters.owed:
                    self._steps(signals)
                self._validate_and_save(signals)
                if self.agreement.stop:
                    self._stop()
        if self.tracker is not None:
            self.tracker.close()

    def _steps(self, signals: StopSignals) -> None:
        """Steps up to the next validation; fewer where time is over or a stop is asked for."""
        counters, accumulate = self.counters, self.recipe.accumulate
        goal = self.goal_of(counters.step // self.span * self.span)
        batches = self.batches.steps(counters.step * accumulate, goal * accumulate)
        since, before = time.monotonic(), counters.step
        while not counters.owed:
            self.losses[counters.step - self.begun] = self._step(itertools.islice(batches, accumulate))
            counters.step += 1
            self.agreement.after_step(counters.step, signals)
            counters.seconds = self.agreement.seconds
            counters.owed = counters.step == goal or self._time_is_over()
            if self.display.is_due():
                self._show((counters.step - before) / max(time.monotonic() - since, 1e-9))
            if self.agreement.stop or time.monotonic() - self.saved > seconds(self.recipe.save_every):
                self._save_state()
            if self.agreement.stop:
                self._stop()

    def _step(self, batches: Iterator[Any]) -> Tensor:
        """One optimiser step over `accumulate` batches. Returns the mean loss, and what the objective measured, on the device."""
        counters, accumulate = self.counters, self.recipe.accumulate
        torch.manual_seed(item_seed(self.recipe.seed, counters.step + (self.fabric.global_rank + 1) * 2**40))
        self._set_rates()
        self.objective.begin_step(counters.step, self._progress())
        total = torch.zeros((), device=self.fabric.device)
        for number, batch in enumerate(batches):
            for name, losses in self.objective.turns(batch):
                network = self.objective.networks[name]
                loss = torch.stack(list(losses.values())).sum() / accumulate
                with gradients_held_back(self.fabric, network, number + 1 < accumulate):
                    self.fabric.backward(loss)
                total += loss.detach()
                if number + 1 == accumulate:
                    optimiser = self.objective.optimisers[name]
                    if self.recipe.clip:
                        self.fabric.clip_gradients(
                            network, optimiser, max_norm=self.recipe.clip, error_if_nonfinite=False
                        )
                    optimiser.step()
                    optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.classifier, counters.step)
        if not self.objective.measures:
            return total[None]
        return torch.cat([total[None], self.objective.measured()])

    def _progress(self) -> float:
        """How much of the run lies behind, 0..1."""
        if self.recipe.budget_seconds is not None:
            return self.counters.seconds / self.recipe.budget_seconds
        return self.counters.step / (self.budget_steps or 1)

    def _set_rates(self) -> None:
        recipe = self.recipe
        factor = rate_factor(
            recipe.schedule,
            self._progress(),
            warmup=recipe.warmup,
            power=recipe.power,
            step_every=recipe.step_every,
            step_factor=recipe.step_factor,
        )
        groups = [group for optimiser in self.optimisers.values() for group in optimiser.param_groups]
        for group in groups:
            group["lr"] = group["highest_rate"] * factor
        self.counters.rate = max(group["lr"] for group in groups)

    def _time_is_over(self) -> bool:
        budget = self.recipe.budget_seconds
        return budget is not None and self.counters.seconds + self.validation_seconds >= budget

    def _show(self, steps_a_second: float) -> None:
        """The bar; reading the loss waits for the device, so that it is not read at every step."""
        counters, recipe = self.counters, self.recipe
        rate = steps_a_second * recipe.batch_size * recipe.accumulate * self.fabric.world_size
        done = counters.seconds if recipe.budget_seconds else counters.step
        self.display.advance(done, float(self.losses[counters.step - 1 - self.begun, 0]), rate)

    def _stop(self) -> None:
        """Raises Interrupted; the state is saved."""
        leave_processes(self.fabric)
        raise Interrupted(
            f"stopped at step {self.counters.step}; nothing is lost: the same command goes on from there ({self.folder.path})"
        )

    def _validate_two_batches(self) -> None:
        """A fault of the validation shows now, not after the first epoch."""
        few = self.val.subset(range(min(2, len(self.val))), "first two")
        finite = validate(self.segmenter, few, self.loss, self.fabric).finite
        if not finite and self.counters.step:
            raise self._diverged("the network's answers are no finite numbers")
        if not finite:
            raise SettingError(
                "the network's answers are no finite numbers before it was trained at all; check the images with `segfield "
                "check`, and the weights that it starts from"
            )
        self.objective.train_mode()

    def _diverged(self, what: str) -> SettingError:
        """The error for a training that has become worthless."""
        rate, kept = self.recipe.learning_rate, self.folder.segmenter.is_file() and bool(self.counters.rows)
        return SettingError(
            f"{what} before step {self.counters.step}: the training diverged; lower learning_rate ({rate:g}) or give clip 1, "
            f"with another --out{f' ({self.folder.path} keeps the best so far)' if kept else ''}"
        )

    def _validate_and_save(self, signals: StopSignals) -> None:
        counters, began, over = self.counters, time.monotonic(), self._time_is_over()
        steps = self.losses[: counters.step - self.begun]
        loss = float(self.fabric.broadcast(float(steps[:, 0].mean())))
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss}")
        if self.average is not None:
            self.segmenter.classifier.load_state_dict(self.average.average)
        self.segmenter.refiner = self.objective.refiner()
        result: Validation = validate(self.segmenter, self.val, self.loss, self.fabric)
        if not result.finite:
            raise self._diverged("the network's answers to the validation images became no finite numbers")
        self.objective.train_mode()
        self.validation_seconds = float(self.fabric.broadcast(time.monotonic() - began))
        self.agreement.now(signals)
        counters.seconds = self.agreement.seconds
        means = dict(zip(self.objective.measures, steps[:, 1:].nanmean(dim=0).tolist()))
        measures = {name: value for name, value in means.items() if math.isfinite(value)}
        row, best = self._note(loss, result, over, measures)
        if self.first:
            if best or self.recipe.keep == "last":
                found = {"val_miou": result.miou, "epoch": row["epoch"]}
                self.segmenter.facts = {**found, "recipe": self.recipe.as_dict(), "trained_on": self.trained_on}
                self.segmenter.save(self.folder.segmenter)
            self.folder.write_curves(counters.rows)
            if self.tracker is not None:
                self.tracker.add(row)
            self.display.validated(row, best)
            for remark in self.objective.remarks(row):
                self.display.say(remark)
            if self.recipe.patience and counters.stale >= self.recipe.patience:
                self.display.say(f"no better mIoU in {counters.stale} validations: stopped early")
        self._save_state()  # last: from a state of before, all of this is done again

    def _note(
        self, loss: float, result: Validation, over: bool, measures: dict[str, float]
    ) -> tuple[dict[str, float], bool]:
        """Bring the counters up to date after a validation. Returns its row of the curves, and whether it is the best."""
        counters, patience = self.counters, self.recipe.patience
        best = result.miou > counters.best
        counters.stale = 0 if best else counters.stale + 1
        row = {
            "epoch": counters.step / self.steps_an_epoch,
            "step": float(counters.step),
            "seconds": counters.seconds,
            "learning_rate": counters.rate,
            "loss": loss,
            "val_loss": result.loss,
            "val_miou": result.miou,
            "val_pixel_accuracy": result.pixel_accuracy,
            **measures,
        }
        counters.rows.append(row)
        if best:
            counters.best, counters.best_epoch = result.miou, row["epoch"]
        spent = over or (self.budget_steps is not None and counters.step >= self.budget_steps)
        counters.finished = spent or (patience > 0 and counters.stale >= patience)
        counters.owed = False
        self.begun = counters.step
        self.losses = self._no_losses(counters.step // self.span * self.span)
        return row, best

    def recompute_norm(self) -> None:
        """Measure batch norm of the kept weights anew on the training images, and keep them so."""
        if self.first:
            kept = Segmenter.load(self.folder.segmenter, device=str(self.fabric.device))
            scaled = (
                kept.scaling(images.to(self.fabric.device)).contiguous(memory_format=torch.channels_last)
                for images in whole_images(self.train, self.recipe.batch_size)
            )
            with self.fabric.autocast():
                recompute_norm(kept.classifier, scaled)
            kept.save(self.folder.segmenter)
        self.counters.norm_recomputed = True
        self._save_state()

    def _save_state(self) -> None:
        self.saved = time.monotonic()
        if self.first:
            average = self.average.average if self.average is not None else {}
            losses = self.losses[: self.counters.step - self.begun]
            scaler = self.fabric.strategy.precision.state_dict()
            extras = Extras(vars(self.counters), average, losses, scaler)
            save_state(self.folder.state, self.networks, self.optimisers, extras)


def fit(recipe: Recipe, console: Console | None = None, introduce: bool = True) -> Fitted:
    """Train by a recipe, or go on with a run that was stopped; the best weights are in the run folder at any time.

    Args:
        recipe: everything about the run.
        console: where progress is shown; None shows nothing.
        introduce: show what the data set is.

    Raises:
        SettingError, DataError: for what cannot be used as it is.
        Interrupted: where the user stopped it; the run can go on.
    """
    with alone_in(Path(recipe.out), is_first_process()):
        run = Fit(recipe, console, introduce)
        if not run.counters.finished:
            run.run()
        if recipe.recompute_norm and not run.counters.norm_recomputed:
            run.recompute_norm()
    leave_processes(run.fabric)
    return Fitted(run.folder, run.counters, run.measured, run.val, run.first)
