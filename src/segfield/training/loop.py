"""The training loop: setup → two validation batches → steps and validations → the best segmenter."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from segfield.data.augment import Augmentation
from segfield.data.dataset import Dataset
from segfield.errors import DataError, SettingError
from segfield.losses import CombinedLoss
from segfield.machine import usable_threads
from segfield.segmenter import Segmenter
from segfield.training.batches import Batches, HeldBatches, Stream, TrainingItems, item_seed, should_hold
from segfield.training.crop_plan import plan_in_words, with_crop
from segfield.training.ema import RunningAverage
from segfield.training.interrupt import Interrupted, StopSignals
from segfield.training.norm import recompute_norm, whole_images
from segfield.training.objective import Objective
from segfield.training.processes import (
    gradients_held_back,
    keep_freed_memory,
    leave_processes,
    on_devices,
    start_fabric,
    worker_count,
)
from segfield.training.progress import RunDisplay
from segfield.training.recipe import Recipe, seconds
from segfield.training.refined import Refined, build_crf
from segfield.training.resume import load_state, save_state
from segfield.training.run_folder import RunFolder
from segfield.training.schedules import rate_factor
from segfield.training.seen import trained_on
from segfield.training.setup import (
    Measured,
    as_in_start,
    build_network,
    build_recipe_loss,
    cached,
    check_batch_norm,
    check_validation,
    measure,
    open_splits,
)
from segfield.training.supervised import Supervised
from segfield.training.threads import give_threads
from segfield.training.tracker import Tracker
from segfield.training.validation import Validation, validate


@dataclass
class Counters:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: float = 0.0
    stale: int = 0
    finished: bool = False
    norm_recomputed: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Fitted:
    """What `fit` leaves behind."""

    folder: RunFolder
    counters: Counters
    measured: Measured
    val: Dataset
    is_first_process: bool


class Fit:
    """One run: everything `fit` sets up, and the loop over it."""

    def __init__(self, recipe: Recipe, console: Console | None, introduce: bool = True) -> None:
        self.folder = RunFolder(recipe.out)
        keep_freed_memory()
        give_threads(recipe, console)
        self.fabric: Fabric = start_fabric(recipe)
        self.first = self.fabric.is_global_zero
        self.console = console if self.first else None
        train, self.val = open_splits(recipe)
        if not len(self.val):
            raise DataError(
                f"the validation split '{self.val.split_name}' is empty; name another with --val_split or --folds"
            )
        resumed = self.folder.claim(recipe) if self.first else False
        resumed = bool(self.fabric.broadcast(resumed))
        self.train, self.val = cached(train, recipe), cached(self.val, recipe)
        if self.console is not None and introduce:
            self.console.print(
                f"{train.describe()}\ntraining on {len(train)}, validating on {len(self.val)}", highlight=False,
                soft_wrap=True,
            )  # fmt: skip
        self.measured = as_in_start(recipe.start, measure(self.train, usable_threads(), also=self.val))
        check_validation(self.val)
        self.trained_on = trained_on(recipe, self.measured.checksums)
        self.recipe = with_crop(recipe, self.measured)
        if self.console is not None and introduce:
            self.console.print(plan_in_words(recipe, self.recipe, self.measured), highlight=False, soft_wrap=True)
        self.counters = Counters()
        self._build_networks(resumed)
        self._build_batches()

    def _build_networks(self, resumed: bool) -> None:
        recipe, fabric = self.recipe, self.fabric
        classifier, self.spec, self.scaling = build_network(
            recipe, self.measured, len(self.train.classes), None if resumed else self.console
        )
        check_batch_norm(recipe, classifier, min(self.measured.sizes))
        self.classifier = classifier.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss: CombinedLoss = build_recipe_loss(recipe, self.measured, self.train)
        self.objective: Objective
        if recipe.crf == "none":
            self.objective = Supervised(self.classifier, self.loss, self.scaling, recipe)
        else:
            crf = build_crf(recipe, len(self.train.classes), self.measured.bands, self.measured.values)
            self.objective = Refined(self.classifier, crf.to(fabric.device), self.loss, self.scaling, recipe)
        self.networks: dict[str, nn.Module] = dict(self.objective.networks)
        self.optimisers = dict(self.objective.optimisers)
        self.average = RunningAverage(self.classifier, recipe.ema) if recipe.ema else None
        if resumed:
            counters, average = load_state(self.folder.state, self.networks, self.optimisers)
            self.counters = Counters(**counters)
            if self.average is not None:
                self.average.load(average)
        for name, network in self.networks.items():
            compiled: Any = torch.compile(network) if recipe.compile and name == "classifier" else network
            self.objective.networks[name] = on_devices(fabric, compiled, name in self.objective.as_they_are)
        for name, optimiser in self.optimisers.items():
            self.objective.optimisers[name] = fabric.setup_optimizers(optimiser)
        shadow = copy.deepcopy(self.classifier) if self.average is not None else self.classifier
        self.segmenter = Segmenter(shadow, self.spec, self.train.classes, self.scaling, values=self.measured.values)
        self.objective.train_mode()

    def _build_batches(self) -> None:
        recipe, fabric = self.recipe, self.fabric
        augmentation = Augmentation(
            recipe.augment,
            self.train.classes.ignored_id,
            rare_crops=recipe.rare_crops,
            class_shares=self.measured.counts.share,
            values=self.measured.values,
        )
        stream = Stream(len(self.train), recipe.seed)
        items = TrainingItems(self.train, augmentation, stream, recipe.border_weight, recipe.border_sigma)
        place = (fabric.global_rank, fabric.world_size, fabric.device)
        held_bytes = self.measured.bytes_an_image * len(self.train)
        weighted = recipe.border_weight > 0
        if should_hold(recipe.hold, fabric.device, held_bytes, self.measured.same_size, weighted):
            self.batches: Batches | HeldBatches = HeldBatches(items, recipe.batch_size, *place)
        else:
            self.batches = Batches(items, recipe.batch_size, worker_count(recipe, fabric.device), *place)
        span = recipe.batch_size * fabric.world_size * recipe.accumulate
        self.steps_an_epoch = max(1, round(len(self.train) / span))
        self.budget_steps = recipe.budget_steps(self.steps_an_epoch)

    def run(self) -> None:
        """Train until the budget is spent, patience is lost or the user stops."""
        recipe, counters = self.recipe, self.counters
        total = recipe.budget_seconds or float(self.budget_steps or 0)
        unit = "seconds" if recipe.budget_seconds else "steps"
        self.started = time.monotonic() - counters.seconds
        self.saved = time.monotonic()
        self.validation_seconds = 0.0
        self._validate_two_batches()
        done = counters.seconds if recipe.budget_seconds else counters.step
        self.tracker = Tracker(self.folder.path, counters.step) if self.first else None
        with RunDisplay(total, unit, done, self.console) as self.display, StopSignals() as signals:
            if counters.step:
                self.display.say(f"going on at step {counters.step} of {self.folder.path}")
            while not counters.finished:
                self._epoch(signals)
                if recipe.patience and counters.stale >= recipe.patience:
                    self.display.say(f"no better mIoU in {counters.stale} validations: stopped early")
                    counters.finished = True
        self._save_state()
        if self.tracker is not None:
            self.tracker.close()

    def _epoch(self, signals: StopSignals) -> None:
        """Steps up to the next validation, and that validation; ends early where time is over or a stop is asked for."""
        counters, span = self.counters, self.steps_an_epoch * self.recipe.validate_every
        goal = (counters.step // span + 1) * span
        if self.budget_steps is not None:
            goal = min(goal, self.budget_steps)
        accumulate = self.recipe.accumulate
        batches = self.batches.steps(counters.step * accumulate, goal * accumulate)
        # written into one tensor: small ones kept from every step would pin fragments of the memory that layers free
        losses = torch.zeros(goal - counters.step, device=self.fabric.device)
        since, done = time.monotonic(), 0
        for done in range(1, goal - counters.step + 1):
            losses[done - 1] = self._step(itertools.islice(batches, accumulate))
            counters.step += 1
            counters.seconds = float(self.fabric.broadcast(time.monotonic() - self.started))
            self._after_step(losses[:done], since, signals)
            if self._time_is_over():
                break
        counters.finished = self._time_is_over() or (
            self.budget_steps is not None and counters.step >= self.budget_steps
        )
        loss = float(losses[:done].mean())
        if not math.isfinite(loss):
            raise SettingError(
                f"the loss became {loss} before step {counters.step}: the training diverged; lower learning_rate "
                f"({self.recipe.learning_rate:g}) or give clip 1, with another --out ({self.folder.path} keeps the best so far)"
            )
        self._validate_and_save(loss)

    def _step(self, batches: Iterator[Any]) -> Tensor:
        """One optimiser step over `accumulate` batches. Returns the mean loss, still on the device."""
        counters, accumulate = self.counters, self.recipe.accumulate
        torch.manual_seed(item_seed(self.recipe.seed, counters.step + (self.fabric.global_rank + 1) * 2**40))
        self._set_rates()
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
        return total

    def _set_rates(self) -> None:
        recipe = self.recipe
        if recipe.budget_seconds is not None:
            progress = self.counters.seconds / recipe.budget_seconds
        else:
            progress = self.counters.step / (self.budget_steps or 1)
        factor = rate_factor(
            recipe.schedule,
            progress,
            warmup=recipe.warmup,
            power=recipe.power,
            step_every=recipe.step_every,
            step_factor=recipe.step_factor,
        )
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["highest_rate"] * factor

    def _after_step(self, losses: Tensor, since: float, signals: StopSignals) -> None:
        counters, recipe = self.counters, self.recipe
        if self.first:
            images = len(losses) * recipe.batch_size * recipe.accumulate * self.fabric.world_size
            rate = images / max(time.monotonic() - since, 1e-9)
            done = counters.seconds if recipe.budget_seconds else counters.step
            self.display.advance(done, float(losses[-1]), rate)
        stop = bool(self.fabric.broadcast(signals.asked))
        if stop or time.monotonic() - self.saved > seconds(recipe.save_every):
            self._save_state()
        if stop:
            raise Interrupted(
                f"stopped at step {counters.step}; nothing is lost: the same command goes on from there ({self.folder.path})"
            )

    def _time_is_over(self) -> bool:
        budget = self.recipe.budget_seconds
        return budget is not None and self.counters.seconds + self.validation_seconds >= budget

    def _validate_two_batches(self) -> None:
        """A fault of the validation shows now, not after the first epoch."""
        few = self.val.subset(range(min(2, len(self.val))), "first two")
        validate(self.segmenter, few, self.loss, self.fabric)
        self.objective.train_mode()

    def _validate_and_save(self, loss: float) -> None:
        counters, began = self.counters, time.monotonic()
        if self.average is not None:
            self.segmenter.classifier.load_state_dict(self.average.average)
        self.segmenter.refiner = self.objective.refiner()
        result: Validation = validate(self.segmenter, self.val, self.loss, self.fabric)
        self.objective.train_mode()
        self.validation_seconds = float(self.fabric.broadcast(time.monotonic() - began))
        counters.seconds = float(self.fabric.broadcast(time.monotonic() - self.started))
        best = result.miou > counters.best
        counters.stale = 0 if best else counters.stale + 1
        row = {
            "epoch": counters.step / self.steps_an_epoch,
            "step": float(counters.step),
            "seconds": counters.seconds,
            "learning_rate": max(g["lr"] for o in self.optimisers.values() for g in o.param_groups),
            "loss": loss,
            "val_loss": result.loss,
            "val_miou": result.miou,
            "val_pixel_accuracy": result.pixel_accuracy,
        }
        counters.rows.append(row)
        if best:
            counters.best, counters.best_epoch = result.miou, row["epoch"]
        if self.first:
            if best or self.recipe.keep == "last":
                found = {"val_miou": result.miou, "epoch": row["epoch"]}
                self.segmenter.facts = {**found, "recipe": self.recipe.as_dict(), "trained_on": self.trained_on}
                self.segmenter.save(self.folder.segmenter)
            self.folder.write_curves(counters.rows)
            if self.tracker is not None:
                self.tracker.add(row)
            self.display.validated(row, best)
        self._save_state()

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
            save_state(self.folder.state, self.networks, self.optimisers, average, vars(self.counters))


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
    run = Fit(recipe, console, introduce)
    if not run.counters.finished:
        run.run()
    if recipe.recompute_norm and not run.counters.norm_recomputed:
        run.recompute_norm()
    leave_processes(run.fabric)
    return Fitted(run.folder, run.counters, run.measured, run.val, run.first)
