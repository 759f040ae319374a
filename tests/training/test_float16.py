"""float16's gradient scaler goes on where it was, and gradients are clipped without its scale; on the CPU, which has one too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from safetensors.torch import load_file

from segfield.training import loop, preparation
from segfield.training.interrupt import Interrupted
from tests.training.test_stop_and_go import SMALL, _Asked, data  # noqa: F401


@pytest.fixture(autouse=True)
def _half(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU before Ampere: gradients are scaled, by a factor that grows every second step."""

    def start(recipe: object) -> Fabric:
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
        fabric.launch()
        return fabric

    monkeypatch.setattr(preparation, "start_fabric", start)
    monkeypatch.setattr(loop, "StopSignals", _Asked)


def test_it_goes_on_with_the_scale_it_had(data: Path, tmp_path: Path) -> None:  # noqa: F811
    """Clipped, so that the optimiser must be one that does not take the scale off itself."""
    recipe = dataclasses.replace(
        SMALL, data=str(data), clip=0.5, augment=dataclasses.replace(SMALL.augment, crop=(8, 8))
    )
    ends = []
    for name, stop in (("whole", 0), ("stopped", 3)):
        out = dataclasses.replace(recipe, out=str(tmp_path / name))
        if stop:
            _Asked.left = stop
            with pytest.raises(Interrupted):
                loop.fit(out)
        _Asked.left = 0
        run = loop.Fit(out, None)
        run.run()
        ends.append((run.fabric.strategy.precision.state_dict(), load_file(tmp_path / name / "resume.safetensors")))
    (whole, weights), (stopped, others) = ends
    assert whole == stopped and whole["scale"] == 16.0  # five steps, grown twice
    assert weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def test_clipping_is_of_the_gradients_themselves(data: Path, tmp_path: Path) -> None:  # noqa: F811
    """One step of SGD at rate 1 moves the weights by the clipped norm, whatever the scale."""
    recipe = dataclasses.replace(
        SMALL, data=str(data), out=str(tmp_path / "run"), clip=0.01, optimiser="sgd", learning_rate=1.0, momentum=0.0,
        weight_decay=0.0, schedule="constant", warmup=0.0,
    )  # fmt: skip
    run = loop.Fit(recipe, None)
    before = [parameter.detach().clone() for parameter in run.classifier.parameters()]
    run._step(iter([next(run.batches.steps(0, 1))]))
    moved = torch.stack([(b - a).norm() for a, b in zip(before, run.classifier.parameters())]).norm().detach()
    assert float(moved) == pytest.approx(0.01, rel=0.02)
