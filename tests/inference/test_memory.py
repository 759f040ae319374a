"""The memory statement against what is counted."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segfield.classes import ClassTable
from segfield.inference.image import plan_for, predict_image
from segfield.inference.memory import NetworkBytes, _LiveBytes, available_bytes, in_words, network_bytes, peak_bytes
from segfield.inference.tiles import TilePlan
from tests.inference.networks import FakeSegmenter


def test_the_statement_is_within_a_fifth_of_the_tensors_that_are_made():
    """Counted as they are made and let go, in place of measured; `benchmarks/crf_memory.py` measures."""
    generator = torch.Generator().manual_seed(0)
    first, last = (torch.randn(shape, generator=generator) for shape in ((24, 3, 3, 3), (12, 24, 3, 3)))

    def network(tiles):
        return F.conv2d(F.conv2d(tiles, first, padding=1).relu(), last, padding=1)

    segmenter = FakeSegmenter(network, ClassTable(tuple("abcdefghijkl")), margin=3)
    image = np.random.default_rng(0).integers(0, 256, (3, 200, 600), dtype=np.uint8)
    counted = network_bytes(network, 3)._replace(fixed=0)
    said = peak_bytes(plan_for(segmenter, 200, 600, 128), 12, counted._replace(per_pixel=counted.per_pixel / 1.3))
    with _LiveBytes() as made:
        predict_image(segmenter, image, tile=128)
    assert said.on_device == pytest.approx(made.peak, rel=0.2)


def test_a_networks_peak_is_counted_from_its_tensors():
    weight = torch.ones(4, 2, 1, 1)

    def network(x):  # 2 bands in; alive at once: 4 + 4 channels of float32, the first 4 released before the last 1
        y = F.conv2d(x, weight)
        z = y * 2
        del y
        return z.sum(dim=1, keepdim=True)

    counted = network_bytes(network, 2, size=32)
    assert counted.per_pixel == pytest.approx(1.3 * 8 * 4)
    assert counted.fixed == max(weight.nbytes, 2 * 32 * 32 * 4)  # the tile itself is given, too
    assert network_bytes(lambda x: x.relu_().neg_(), 2, size=32).per_pixel == 0


def test_what_is_asked_for_is_what_is_counted():
    plan = TilePlan.of(1000, 2000, tile=256, margin=16, stride=32)
    bare = peak_bytes(plan, 5, NetworkBytes(100.0))
    assert bare.result == 1000 * 2000
    assert bare.on_device == 5 * plan.tile_height * 2000 * 4 + plan.tile_height * plan.tile_width * 112
    assert peak_bytes(plan, 5, NetworkBytes(100.0), keep_entropy=True).result == 5 * 1000 * 2000
    assert peak_bytes(plan, 5, NetworkBytes(100.0), keep_probabilities=True).result == 11 * 1000 * 2000
    assert peak_bytes(plan, 5, NetworkBytes(100.0), saving=["overlay"]).total > bare.total
    assert peak_bytes(plan, 5, NetworkBytes(100.0), scales=(1.0, 2.0)).on_device > 2 * bare.on_device
    assert peak_bytes(plan, 300, NetworkBytes(100.0)).result == 4 * 1000 * 2000


def test_memory_does_not_grow_with_the_images_height():
    short, tall = (
        peak_bytes(TilePlan.of(height, 512, tile=256, margin=16), 5, NetworkBytes(100.0)) for height in (1000, 100000)
    )
    assert abs(tall.on_device - short.on_device) / short.on_device < 0.3


def test_words():
    assert in_words(812 * 2**20) == "812 MiB"
    assert in_words(1.5 * 2**30) == "1.5 GiB"
    assert available_bytes() is None or available_bytes() > 2**20
