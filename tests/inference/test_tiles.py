"""Tiling: seamless within the margin, exact on any size, bounded and ordered hand-over."""

import numpy as np
import pytest
import torch

from segfield.errors import DataError, FileFormatError, SettingError
from segfield.inference.tiles import LINES_AT_ONCE, Span, TilePlan, blend_weights, predict_tiled
from tests.inference.networks import linear_network, pixelwise

MARGIN = 6  # of linear_network


def noise(height, width, bands=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (bands, height, width), dtype=np.uint8)


def collected(window_logits, image, plan, classes=3, **options):
    parts = []

    def consume(top, probabilities):
        assert top == sum(part.shape[1] for part in parts)
        assert probabilities.shape[1] <= LINES_AT_ONCE
        parts.append(probabilities.clone())

    predict_tiled(window_logits, image, classes, plan, consume, **options)
    return torch.cat(parts, dim=1).numpy()


def whole(window_logits, image):
    return torch.softmax(window_logits(torch.from_numpy(image.astype(np.float32))[None]), dim=1)[0].numpy()


@pytest.mark.parametrize("blend", ["probabilities", "logits"])
@pytest.mark.parametrize("height, width, tile, batch", [(300, 260, 96, 1), (513, 517, 160, 3), (97, 400, 128, 2)])
def test_linear_network_has_no_seam(height, width, tile, batch, blend):
    network, image = linear_network(), noise(height, width)
    plan = TilePlan.of(height, width, tile=tile, margin=MARGIN, stride=32)
    assert len(plan) > 3
    tiled = collected(network, image, plan, blend=blend, batch=batch)
    assert np.abs(tiled - whole(network, image)).max() < 1e-5


def test_a_margin_below_the_receptive_field_does_leave_a_seam():
    network, image = linear_network(), noise(200, 200)
    plan = TilePlan.of(200, 200, tile=96, margin=0, overlap=8, stride=8)
    assert np.abs(collected(network, image, plan) - whole(network, image)).max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (513, 517), (64, 65), (512, 512)])
def test_constant_network_gives_a_constant_at_any_size(shape):
    logits = torch.tensor([0.3, -1.0, 2.0]).view(1, 3, 1, 1)
    plan = TilePlan.of(*shape, tile=64, margin=8, stride=16)
    got = collected(lambda tiles: logits.expand(len(tiles), 3, *tiles.shape[2:]), noise(*shape), plan)
    wanted = torch.softmax(logits, dim=1).view(3, 1, 1).numpy()
    assert got.shape == (3, *shape)
    assert np.abs(got - wanted).max() < 1e-6


def test_an_image_that_fits_goes_whole_at_its_own_size():
    seen = []

    def network(tiles):
        seen.append(tuple(tiles.shape))
        return pixelwise(tiles)

    collected(network, noise(50, 37), TilePlan.of(50, 37, tile=64, margin=8, stride=16))
    assert seen == [(1, 3, 50, 37)]


@pytest.mark.parametrize("length", [1, 64, 65, 66, 100, 127, 128, 129, 1000, 1023, 5000])
@pytest.mark.parametrize("tile, margin, stride", [(64, 8, 16), (128, 30, 32), (96, 0, 1), (100, 10, 32)])
def test_plans_cover_the_image_with_aligned_overlapping_tiles(length, tile, margin, stride):
    plan = TilePlan.of(length, 1, tile=tile, margin=margin, stride=stride)
    assert plan.rows[0].start == 0 and plan.rows[-1].stop == length
    assert all(start % stride == 0 and 0 < stop - start <= tile for start, stop in plan.rows)
    for before, after in zip(plan.rows, plan.rows[1:]):
        assert before.start < after.start
        assert before.stop - after.start >= plan.overlap > 2 * margin


def test_two_small_tiles_rather_than_two_nearly_equal_large_ones():
    plan = TilePlan.of(520, 520, tile=512, margin=64, stride=32)
    assert len(plan) == 4
    assert plan.tile_height <= 352


@pytest.mark.parametrize("length, tile, margin, overlap", [(1000, 128, 20, 64), (333, 96, 10, 48), (257, 128, 0, 32)])
def test_weights_sum_to_one_and_vanish_in_the_margin(length, tile, margin, overlap):
    plan = TilePlan.of(length, 1, tile=tile, margin=margin, overlap=overlap, stride=16)
    total = np.zeros(length)
    weights = blend_weights(plan.rows, margin)
    for (start, stop), weight in zip(plan.rows, weights):
        total[start:stop] += weight
    assert np.abs(total - 1).max() < 1e-6
    assert len(weights) > 2
    assert (weights[1][:margin] == 0).all() and (weights[1][-margin or None : None if margin else 0] == 0).all()
    assert weights[0][0] == 1 and weights[-1][-1] == 1
    assert weights[1].max() == pytest.approx(1)


def test_the_ramp_is_a_squared_sine():
    first, second = blend_weights([Span(0, 20), Span(10, 30)], margin=2)
    rise = np.sin((np.arange(6) + 0.5) / 6 * np.pi / 2) ** 2
    assert np.allclose(second[2:8], rise, atol=1e-6)
    assert np.allclose(first[12:18], 1 - rise, atol=1e-6)


def test_memory_maps_and_sixteen_bits_are_read_a_tile_at_a_time(tmp_path):
    image = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint16, (3, 150, 170))
    image[:] = np.random.default_rng(1).integers(0, 60000, image.shape)
    network = linear_network()
    plan = TilePlan.of(150, 170, tile=64, margin=MARGIN, stride=16)
    assert (
        np.abs(collected(lambda t: network(t / 256), image, plan) - whole(lambda t: network(t / 256), image)).max()
        < 1e-5
    )


def test_agrees_with_monai_sliding_window_on_a_pixelwise_network():
    inferers = pytest.importorskip("monai.inferers")
    image = noise(150, 130)
    tensor = torch.from_numpy(image.astype(np.float32))[None]
    theirs = inferers.sliding_window_inference(
        tensor, (64, 64), 4, lambda tiles: torch.softmax(pixelwise(tiles), dim=1), overlap=0.5, mode="gaussian"
    )
    ours = collected(pixelwise, image, TilePlan.of(150, 130, tile=64, margin=8, stride=16), batch=2)
    assert np.abs(ours - theirs[0].numpy()).max() < 1e-5


def test_nan_is_named_with_its_place():
    image = noise(100, 100).astype(np.float32)
    image[1, 90, 95] = np.nan
    plan = TilePlan.of(100, 100, tile=64, margin=8, stride=16)
    with pytest.raises(DataError, match=r"NaN.*in lines.*number"):
        collected(pixelwise, image, plan)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="give --tile 224"):
        TilePlan.of(1000, 1000, tile=128, margin=80, stride=32)
    assert len(TilePlan.of(1000, 1000, tile=224, margin=80, stride=32)) > 4
    with pytest.raises(DataError, match="no pixels"):
        TilePlan.of(0, 10)
    plan = TilePlan.of(40, 40, tile=64, margin=8)
    with pytest.raises(SettingError, match="blend 'mean'"):
        collected(pixelwise, noise(40, 40), plan, blend="mean")
    with pytest.raises(SettingError, match="batch is 0"):
        collected(pixelwise, noise(40, 40), plan, batch=0)
    with pytest.raises(DataError, match="the plan is for"):
        collected(pixelwise, noise(41, 40), plan)
    with pytest.raises(FileFormatError, match="class table differ"):
        collected(pixelwise, noise(40, 40), plan, classes=5)
