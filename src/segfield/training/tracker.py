"""TensorBoard curves beside the CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class Tracker:
    """Writes each validation's row under RUN/tensorboard; a continued run hides what lies past its step.

    Args:
        folder: of the run.
        step: the step the run starts or goes on from.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def add(self, row: Mapping[str, float]) -> None:
        """One row of the curves."""
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()
