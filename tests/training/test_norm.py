"""Batch norm measured anew: plain averages over the training images, of nothing but batch norm."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from segfield.data.formats import open_dataset
from segfield.data.scenes import write_scenes
from segfield.segmenter import Segmenter
from segfield.training.loop import fit
from segfield.training.norm import recompute_norm, whole_images
from tests.training.test_loop import SMALL


def test_statistics_are_numpys_over_all_batches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3)).train()
    network(torch.randn(4, 3, 5, 5) + 7)  # what is measured anew forgets this
    batches = [torch.randn(4, 3, 6, 8) * 3 + 1 for _ in range(5)]
    recompute_norm(network, batches)
    values = np.stack([batch.numpy() for batch in batches])  # (5, B, C, H, W)
    np.testing.assert_allclose(network[1].running_mean, values.mean(axis=(0, 1, 3, 4)), rtol=1e-4)
    each = values.transpose(0, 2, 1, 3, 4).reshape(5, 3, -1).var(axis=2, ddof=1)
    np.testing.assert_allclose(network[1].running_var, each.mean(axis=0), rtol=1e-4)
    assert network[1].momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_images_of_one_size_come_in_whole_batches(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "scenes", "count=10,size=32x48")
    dataset = open_dataset(str(folder)).split("train")
    batches = list(whole_images(dataset, 4))
    assert [batch.shape for batch in batches] == [torch.Size([4, 3, 32, 48])]  # six images: two are left over
    np.testing.assert_array_equal(batches[0][1].numpy(), dataset[1].image.astype(np.float32))
    assert [len(batch) for batch in whole_images(dataset, 100)] == [6]


def test_a_run_that_asks_for_it_keeps_the_weights_and_changes_the_statistics(tmp_path: Path) -> None:
    recipe = dataclasses.replace(SMALL, epochs=1, ema=0.0, keep="last")
    fit(dataclasses.replace(recipe, out=str(tmp_path / "plain")))
    fit(dataclasses.replace(recipe, out=str(tmp_path / "anew"), recompute_norm=True))
    plain, anew = (load_file(tmp_path / name / "segmenter.safetensors") for name in ("plain", "anew"))
    changed = {key.rsplit(".", 1)[1] for key in plain if not torch.equal(plain[key], anew[key])}
    assert {"running_mean", "running_var"} <= changed <= {"running_mean", "running_var", "num_batches_tracked"}
    expected = Segmenter.load(tmp_path / "plain" / "segmenter.safetensors", device="cpu")
    images = whole_images(open_dataset(recipe.data).split("train"), recipe.batch_size)
    recompute_norm(expected.classifier, (expected.scaling(batch) for batch in images))
    for key, value in expected.classifier.state_dict().items():
        torch.testing.assert_close(anew[key], value, rtol=1e-4, atol=1e-5)
    before = (tmp_path / "anew" / "segmenter.safetensors").read_bytes()
    fit(dataclasses.replace(recipe, out=str(tmp_path / "anew"), recompute_norm=True))
    assert (tmp_path / "anew" / "segmenter.safetensors").read_bytes() == before
