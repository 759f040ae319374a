"""Time of a training step as a ratio to a plain one's: with an adversary, and with as many images without masks as with.

DeepLabV3+ on MobileNetV2, batches of 8 crops of 320×416 of drawn scenes; turns alternate, steps are timed in this process, and
ratios are of medians over rounds. The value is the adversary's (goal under 1.5); images without masks (goal under 2.2) are in
the details, and the goal is met where both are.

    python benchmarks/adversarial_cost.py          about ten minutes on two idle cores

`--quick` takes a few steps of a small network and keeps nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "adversary": {"adversary": "largefov"},
    "unlabelled": {"unlabelled": "train"},
}
GOALS = {"adversary": 1.5, "unlabelled": 2.2}

STEP: dict[str, Any] = {
    "data": "scenes:count=24,size=320x416", "model": "deeplabv3plus:mobilenetv2_100", "weights": "none", "batch_size": 8,
    "augment": {"crop": [320, 416]},
}  # fmt: skip
"""Of the trainings whose steps are timed."""

SMALL: dict[str, Any] = {
    "data": "scenes:count=8,size=64x96", "model": "unet_padded", "options": {"width": 4, "levels": 3}, "weights": "none",
    "batch_size": 2,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps of a small network; nothing is kept")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from record import record

    costs = step_costs(1, 4, True) if options.quick else step_costs(options.rounds, 12, False)
    record(
        "adversarial_cost",
        costs["adversary"],
        "times a plain step (adversary)",
        f"a plain step of the same network; with images without masks {costs['unlabelled']:.2f} times (goal 2.2)",
        GOALS["adversary"],
        all(costs[name] <= goal for name, goal in GOALS.items()),
        {"costs": costs, "goals": GOALS, "rounds": options.rounds},
        quick=options.quick,
    )


def step_costs(rounds: int, steps: int, quick: bool) -> dict[str, float]:
    """Time of a step as a ratio to a plain one's, by medians: with an adversary, and with as many images without masks."""
    from segfield.commands.train import train
    from segfield.training import loop
    from segfield.training.recipe import Recipe

    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    real = loop.Fit._step
    taken: list[float] = []

    def timed(self: Any, batches: Any) -> Any:
        began = time.perf_counter()
        found = real(self, batches)
        taken.append(time.perf_counter() - began)
        return found

    loop.Fit._step = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(rounds):
                for name, changes in CASES.items():
                    taken.clear()
                    settings = {
                        "out": f"{scratch}/{name}{number}",
                        "steps": steps,
                        **(SMALL if quick else STEP),
                        **changes,
                    }
                    train(Recipe.from_dict(settings))
                    seconds[name].append(statistics.median(taken[2:]))
    finally:
        loop.Fit._step = real  # type: ignore[method-assign]
    plain = statistics.median(seconds["plain"])
    costs = {name: statistics.median(values) / plain for name, values in seconds.items() if name != "plain"}
    for name, cost in costs.items():
        print(f"a step with {name}: {cost:.2f} times a plain one's time (goal under {GOALS[name]})", flush=True)
    return costs


if __name__ == "__main__":
    main()
