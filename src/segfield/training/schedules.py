"""Learning-rate schedules as one pure function of how far a run has come."""

from __future__ import annotations

import math

SCHEDULES = ("poly", "cosine", "step", "constant")


def rate_factor(
    schedule: str,
    progress: float,
    *,
    warmup: float = 0.0,
    power: float = 0.9,
    step_every: float = 0.34,
    step_factor: float = 0.1,
) -> float:
    """The factor on the highest learning rate at `progress`, 0 at the start of a run and 1 at its end.

    poly is (1 − t)^power (DeepLab v2), t counted from the end of the warm-up; cosine is (1 + cos πt)/2; step multiplies
    by `step_factor` after every `step_every` of the run; during the warm-up the factor rises linearly from zero.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    t = (progress - warmup) / (1 - warmup)
    if schedule == "poly":
        return float((1 - t) ** power)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * t))
    if schedule == "step":
        return float(step_factor ** math.floor(t / step_every + 1e-9))
    return 1.0
