"""What a run needs before its first step: its folder and data, networks and optimisers, batches, and where it stood."""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from segfield.classes import Array
from segfield.data.augment import Augmentation
from segfield.data.cache import CachedDataset
from segfield.data.dataset import Dataset
from segfield.data.formats import open_dataset
from segfield.data.records import UNLABELLED
from segfield.data.unlabelled import check_values, open_unlabelled, other_than
from segfield.errors import DataError
from segfield.losses import CombinedLoss
from segfield.machine import usable_threads
from segfield.segmenter import Segmenter
from segfield.training.batches import Batches, HeldBatches, TrainingItems, should_hold
from segfield.training.build_objective import build_objective
from segfield.training.counters import Counters
from segfield.training.crop_plan import plan_in_words, with_crop
from segfield.training.data_changes import (
    Checksums,
    changes,
    checksums,
    read_checksums,
    refusal,
    write_checksums,
)
from segfield.training.ema import RunningAverage
from segfield.training.objective import Objective
from segfield.training.processes import from_first, keep_freed_memory, on_devices, start_fabric, worker_count
from segfield.training.recipe import Recipe
from segfield.training.resume import Extras, damaged, load_state, require_alike
from segfield.training.run_folder import RunFolder
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
from segfield.training.stream import Stream
from segfield.training.threads import give_threads, go_on_with_threads
from segfield.training.unlabelled_items import UnlabelledItems, batch_count


class Preparation:
    """Everything about one run, new or resumed.

    Args:
        recipe: everything that was asked for.
        console: where is told what is begun; None tells nothing.
        introduce: tell what the data set is.
    """

    def __init__(self, recipe: Recipe, console: Console | None, introduce: bool = True) -> None:
        self.folder = RunFolder(recipe.out)
        keep_freed_memory()
        give_threads(recipe, console)
        self.fabric: Fabric = start_fabric(recipe)
        self.first = self.fabric.is_global_zero
        self.console = console if self.first else None
        dataset = open_dataset(recipe.data, recipe.classes)
        train, val = open_splits(recipe, dataset)
        if not len(val):
            raise DataError(
                f"the validation split '{val.split_name}' is empty; name another with --val_split or --folds"
            )
        resumed = from_first(self.fabric, lambda: self.folder.claim(recipe))
        self.train, self.val = cached(train, recipe), cached(val, recipe)
        self.without: Dataset | None = None
        self.sums_without: dict[str, str] = {}
        if recipe.unlabelled != "none":
            self.without = cached(open_unlabelled(recipe.unlabelled, dataset), recipe)
        if introduce:
            self._introduce(train, dataset)
        self.measured = as_in_start(recipe.start, self._measured(recipe, resumed))
        check_validation(self.val)
        self.trained_on = trained_on(recipe, {**self.sums_without, **self.measured.checksums})
        self.recipe = with_crop(recipe, self.measured)
        if introduce:
            self._say(plan_in_words(recipe, self.recipe, self.measured))
        self.counters = Counters()
        self._build_networks(None if resumed else self.console)
        extras = self._resumed() if resumed else Extras({})
        self.counters.threads = go_on_with_threads(self.counters.threads, recipe)
        self._set_up_networks()
        self._build_batches()
        self._take_up(extras)

    def _say(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False, soft_wrap=True)

    def _introduce(self, train: Dataset, dataset: Dataset) -> None:
        beside = "" if self.without is None else f", and on {len(self.without)} without masks"
        self._say(f"{train.describe()}\ntraining on {len(train)}{beside}, validating on {len(self.val)}")
        if self.without is None and UNLABELLED in dataset.splits:
            self._say(f"{len(dataset.split(UNLABELLED))} images have no mask; --unlabelled learns from them as well")

    def _measured(self, recipe: Recipe, resumed: bool) -> Measured:
        """One pass over all samples, in the first process alone; refuses those that are not what the run was begun on."""

        def work() -> tuple[Measured, Array | None, list[int]]:
            found = measure(self.train, usable_threads(), also=self.val)
            sums = {"train": found.checksums, "val": checksums(self.val)}
            kept: list[int] = []
            if isinstance(self.without, CachedDataset):
                self.without.show_like(self.train[0].image)
                sums["unlabelled"] = checksums(self.without)
                check_values(self.without, found.values)
                kept = other_than(sums["val"].values(), sums["unlabelled"].values())
                every = list(sums["unlabelled"].items())
                self.sums_without = dict(every[index] for index in kept)
            self._check_data(sums, recipe, resumed)
            return found, self.train.like, kept

        found, like, kept = from_first(self.fabric, work)
        if not self.first:
            if like is not None:
                self.train.show_like(like)
            self.val.show_like(self.train[0].image)
            if isinstance(self.without, CachedDataset):
                self.without.show_like(self.train[0].image)
        if self.without is not None:
            self.without = self._not_validated(self.without, kept)
        return found

    def _not_validated(self, without: Dataset, kept: list[int]) -> Dataset:
        """Images without masks but those that are validated on, which would no longer judge."""
        left_out = len(without) - len(kept)
        if not kept:
            raise DataError(f"all {len(without)} images of --unlabelled are ones that are validated on; name others")
        if left_out:
            self._say(f"{left_out} of the images without masks are validated on, and so are left out")
        return without.subset(kept, without.split_name)

    def _check_data(self, now: Checksums, recipe: Recipe, resumed: bool) -> None:
        before = read_checksums(self.folder.samples) if resumed else None
        changed = "" if before is None else changes(before, now)
        if changed and not recipe.accept_changed_data:
            raise refusal(self.folder.path, changed)
        if changed:
            self._say(f"going on with data that is not what the run was begun on: {changed}")
        if before != now:
            write_checksums(self.folder.samples, now)

    def _build_networks(self, console: Console | None) -> None:
        recipe, fabric = self.recipe, self.fabric
        classifier, self.spec, self.scaling = build_network(recipe, self.measured, len(self.train.classes), console)
        check_batch_norm(recipe, classifier, min(self.measured.sizes))
        self.classifier = classifier.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss: CombinedLoss = build_recipe_loss(recipe, self.measured, self.train)
        # clipping needs gradients without float16's scale, which a fused optimiser takes off only as it steps
        fused = not (recipe.clip and getattr(fabric.strategy.precision, "scaler", None) is not None)
        self.objective: Objective = build_objective(
            recipe, self.classifier, self.loss, self.scaling, self.measured, fused, console
        )
        self.networks: dict[str, nn.Module] = dict(self.objective.networks)
        self.optimisers = dict(self.objective.optimisers)
        self.average = RunningAverage(self.classifier, recipe.ema) if recipe.ema else None

    def _resumed(self) -> Extras:
        """Put networks, optimisers, averages, counters and the gradient scaler where the run stood."""
        file = self.folder.state
        extras = load_state(file, self.networks, self.optimisers)
        try:
            self.counters = Counters.read(extras.counters)
            if self.average is not None:
                require_alike(extras.average, self.average.average, "the running average")
                self.average.load(extras.average)
            self.fabric.strategy.precision.load_state_dict(extras.scaler)
        except (ValueError, KeyError, RuntimeError) as error:
            raise damaged(file, str(error)) from error
        return extras

    def _set_up_networks(self) -> None:
        recipe, fabric = self.recipe, self.fabric
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
        without = None
        if self.without is not None:
            count = batch_count(recipe.batch_size, recipe.semi_supervised.ratio)
            ignored, values = self.train.classes.ignored_id, self.measured.values
            without = UnlabelledItems(self.without, recipe.augment, ignored, values, recipe.seed, count)
        held_bytes = self.measured.bytes_an_image * (len(self.train) + len(self.without or ()))
        weighted, may_hold = recipe.border_weight > 0, recipe.hold == "yes" or fabric.device.type == "cuda"
        same_size = self.measured.same_size and (not may_hold or self.without is None or _of_one_size(self.without))
        if should_hold(recipe.hold, fabric.device, held_bytes, same_size, weighted):
            self.batches: Batches | HeldBatches = HeldBatches(items, recipe.batch_size, *place, without)
        else:
            self.batches = Batches(items, recipe.batch_size, worker_count(recipe, fabric.device), *place, without)
        span = recipe.batch_size * fabric.world_size * recipe.accumulate
        self.steps_an_epoch: int = max(1, round(len(self.train) / span))
        self.budget_steps = recipe.budget_steps(self.steps_an_epoch)

    def _take_up(self, extras: Extras) -> None:
        """Where the epoch at work stands: the losses of its steps so far, of which its row of the curves is the mean."""
        step, span = self.counters.step, self.span
        if self.budget_steps is not None and step > self.budget_steps:
            raise damaged(self.folder.state, f"its counter 'step' is {step}, of {self.budget_steps} steps")
        if "owed" not in extras.counters and step and (step % span == 0 or step == self.budget_steps):
            rows = self.counters.rows  # a state of before this was kept
            self.counters.owed = not self.counters.finished and (not rows or rows[-1]["step"] != step)
        first = (step - self.counters.owed) // span * span
        known = 0 if extras.losses is None else len(extras.losses)
        if known > step - first or (self.counters.owed and not step):
            raise damaged(self.folder.state, f"it has {known} losses of the {step - first} steps of its epoch")
        self.begun = step - known
        self.losses = self._no_losses(first)
        if extras.losses is not None:
            if extras.losses.shape[1] != self.losses.shape[1]:
                raise damaged(self.folder.state, "its losses are of another objective")
            self.losses[:known] = extras.losses.to(self.fabric.device)

    def _no_losses(self, first: int) -> Tensor:
        """Room for those of the steps from `begun` to the validation of the epoch that has `first` as its first step.

        One tensor: small ones kept from every step would pin fragments of the memory that layers free.
        """
        columns = 1 + len(self.objective.measures)
        return torch.zeros(self.goal_of(first) - self.begun, columns, device=self.fabric.device)

    def goal_of(self, first: int) -> int:
        """The step at which the epoch that begins with step `first` is validated."""
        goal = first + self.span
        return goal if self.budget_steps is None else min(goal, self.budget_steps)

    @property
    def span(self) -> int:
        """Steps between two validations."""
        return int(self.steps_an_epoch * self.recipe.validate_every)


def _of_one_size(dataset: Dataset) -> bool:
    return len({sample.image.shape for sample in dataset}) <= 1
