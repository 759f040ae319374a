"""How many threads a training gets: what the user says, else what the machine has, less what others keep busy."""

from __future__ import annotations

import os

import torch
from rich.console import Console

from segfield.inference.devices import pick_device, set_threads
from segfield.load import sentence, taken, threads_beside
from segfield.machine import asked_threads, usable_cores
from segfield.training.recipe import Recipe


def give_threads(recipe: Recipe, console: Console | None = None) -> int:
    """Set torch's threads for a run, and say so where the machine is busy with other work.

    `threads` of the recipe and OMP_NUM_THREADS are obeyed without a look at the machine; so is one of several processes, whose
    partners would count as others. The number stays for the whole run: another one would round sums differently.

    Returns:
        the number set.
    """
    alone = recipe.devices * recipe.nodes == 1 and int(os.environ.get("WORLD_SIZE", "1")) == 1
    if recipe.threads or asked_threads() or not alone or pick_device(recipe.device).type != "cpu":
        return set_threads(recipe.threads or None)
    cores, found = usable_cores(), taken()
    if found is None:
        return set_threads()
    threads = set_threads(threads_beside(cores, found.equal))
    told = sentence(cores, found, "training", threads)
    if told and console is not None:
        console.print(told, highlight=False, soft_wrap=True)
    return threads


def go_on_with_threads(before: int, recipe: Recipe) -> int:
    """Give a run the threads of its first start again, where nothing else is said and there are cores for them.

    Args:
        before: of the first start; 0 for a new run, or where it is not known.
        recipe: of the run.

    Returns:
        the number of the run's first start.
    """
    if before and not recipe.threads and not asked_threads() and before <= usable_cores():
        set_threads(before)
    return before or torch.get_num_threads()
