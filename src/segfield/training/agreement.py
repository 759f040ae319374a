"""What the processes of a run must decide alike: how long it has taken, and whether it is to stop."""

from __future__ import annotations

import time

import torch
from lightning_fabric import Fabric

from segfield.training.interrupt import StopSignals

INTERVAL = 0.5
"""Seconds between two agreements of several processes, about: each waits for all, and for the device."""


class Agreement:
    """The clock of a run and its stop signals. One process reads them at every step; several agree on them now and then.

    Args:
        fabric: of the run.
        seconds: that earlier starts of the run have used.
        step: at which this start begins.

    Attributes:
        seconds: used so far, by the first process's clock.
        stop: whether any process was asked to stop.
    """

    def __init__(self, fabric: Fabric, seconds: float, step: int) -> None:
        self.fabric = fabric
        self.seconds, self.stop = seconds, False
        self._started = time.monotonic() - seconds
        self._last, self._next = (seconds, step), step

    def after_step(self, step: int, signals: StopSignals) -> None:
        """Bring seconds and stop up to date, where it is time to; every process calls it after the same steps."""
        if self.fabric.world_size == 1 or step >= self._next:
            self.now(signals)
            self._plan(step)

    def now(self, signals: StopSignals) -> None:
        """Bring seconds and stop up to date; every process calls it."""
        own = (float(signals.asked), time.monotonic() - self._started)
        if self.fabric.world_size == 1:
            self.stop, self.seconds = bool(own[0]), own[1]
            return
        told = torch.tensor(own, dtype=torch.float64, device=self.fabric.device)
        everyone = self.fabric.all_gather(told).reshape(-1, 2).tolist()  # type: ignore[union-attr,no-untyped-call,unused-ignore]
        self.stop, self.seconds = any(asked for asked, _ in everyone), everyone[0][1]

    def _plan(self, step: int) -> None:
        before, at = self._last
        rate = (step - at) / max(self.seconds - before, 1e-6)
        self._next = step + min(1000, max(1, round(rate * INTERVAL)))
        self._last = (self.seconds, step)
