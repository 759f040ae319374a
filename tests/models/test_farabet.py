"""The multi-scale network: the layer table and its parameters by hand, the pyramid by scipy, the field of view by gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage, signal
from skimage.color import rgb2yuv
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.farabet import Farabet, double, halve, laplacian_pyramid, normalise_locally, to_yuv

Array = npt.NDArray[np.float64]
TAPS = np.array([1, 4, 6, 4, 1])

CONVOLUTIONS = 16 * (3 * 49 + 1) + 64 * (16 * 49 + 1) + 256 * (64 * 49 + 1)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, CONVOLUTIONS + (768 + 1) * 8), ({"hidden": 1000}, CONVOLUTIONS + (768 + 1) * 1000 + (1000 + 1) * 8)],
)
def test_parameters_and_sizes_are_those_of_the_table(options: dict[str, Any], parameters: int) -> None:
    """Three convolutions seen at three scales are counted once."""
    met: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    with torch.device("meta"):
        network = build_classifier("farabet", 3, 8, options=options).train()
        network.features.register_forward_hook(
            lambda module, given, found: met.append((tuple(given[0].shape[1:]), tuple(found.shape[1:])))
        )
        logits = network(torch.zeros(1, 3, 240, 320))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert parameters in (861_832, 1_632_688)
    assert met == [
        ((3, 240, 320), (256, 60, 80)),
        ((3, 120, 160), (256, 30, 40)),
        ((3, 60, 80), (256, 15, 20)),
    ]
    assert logits.shape == (1, 8, 60, 80)


def layer_by_layer(network: Farabet, image: Tensor, hidden: bool) -> Tensor:
    """The table once more, from the levels on; the same six tensors at each scale."""
    w1, b1, w2, b2, w3, b3, *last = network.parameters()
    maps = []
    for times, level in zip((1, 2, 4), network.levels(image)):
        x = F.max_pool2d(torch.tanh(F.conv2d(level, w1, b1, padding=3)), 2)
        x = F.max_pool2d(torch.tanh(F.conv2d(x, w2, b2, padding=3)), 2)
        x = F.conv2d(x, w3, b3, padding=3)
        maps.append(x.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3))
    together = torch.cat(maps, dim=1)
    if hidden:
        together = torch.tanh(F.conv2d(together, last[0], last[1]))
    return F.conv2d(together, last[-2], last[-1])


@pytest.mark.parametrize("hidden", [0, 6])
def test_the_layers_are_those_of_the_table(hidden: int) -> None:
    torch.manual_seed(0)
    network = Farabet(3, 5, width=2, hidden=hidden).eval()
    image = torch.randn(2, 3, 48, 80)
    with torch.inference_mode():
        expected = layer_by_layer(network, image, bool(hidden))
        torch.testing.assert_close(network.grid_logits(image), expected)
        whole = network(image)
        torch.testing.assert_close(whole[..., ::4, ::4], expected)
        # between two scores on the line between them, beyond the last as the last
        torch.testing.assert_close(whole[..., 4, 6], (expected[..., 1, 1] + expected[..., 1, 2]) / 2)
        torch.testing.assert_close(whole[..., 47, 79], expected[..., -1, -1])


def test_leaky_relu_has_the_rebuilt_networks_slope() -> None:
    network = Farabet(1, 2, width=1, hidden=1, activation="leaky_relu")
    slopes = [layer(torch.tensor(-1.0)).item() for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
    assert slopes == pytest.approx([-0.2] * 3)


def halved(x: Array) -> Array:
    for axis in (-2, -1):
        x = ndimage.correlate1d(x, TAPS / 16, axis=axis, mode="nearest")
    return x[..., ::2, ::2]


def doubled(x: Array) -> Array:
    for axis in (-2, -1):
        length = 2 * x.shape[axis]
        edge = [(1, 1) if at == axis % x.ndim else (0, 0) for at in range(x.ndim)]
        x = signal.upfirdn(TAPS / 8, np.pad(x, edge, mode="edge"), up=2, axis=axis)
        x = np.take(x, range(4, 4 + length), axis=axis)
    return x


def test_the_pyramid_is_burt_and_adelsons() -> None:
    image = torch.randn(2, 3, 48, 20, dtype=torch.float64)
    torch.testing.assert_close(halve(image).numpy(), halved(image.numpy()))
    torch.testing.assert_close(double(image).numpy(), doubled(image.numpy()))
    first = halved(image.numpy())
    expected = [image.numpy() - doubled(first), first - doubled(halved(first)), halved(first)]
    for level, wanted in zip(laplacian_pyramid(image, 3), expected, strict=True):
        torch.testing.assert_close(level.numpy(), wanted)


def test_the_levels_add_up_to_the_image() -> None:
    image = torch.randn(1, 2, 32, 64, dtype=torch.float64)
    fine, middle, left = laplacian_pyramid(image, 3)
    restored = fine.numpy() + doubled(middle.numpy() + doubled(left.numpy()))
    torch.testing.assert_close(restored, image.numpy())


def test_an_even_grey_has_nothing_but_what_is_left() -> None:
    fine, middle, left = laplacian_pyramid(torch.full((1, 1, 32, 16), 0.75), 3)
    assert not fine.any() and not middle.any()
    assert (left == 0.75).all()


def test_colours_are_those_of_scikit_image() -> None:
    image = np.random.default_rng(0).random((5, 7, 3))
    found = to_yuv(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), rgb2yuv(image), atol=1e-6)


def test_three_bands_are_seen_as_yuv_and_others_as_they_are() -> None:
    for bands in (1, 3, 5):
        image = torch.randn(1, bands, 32, 32)
        yuv = rgb2yuv(image[0].permute(1, 2, 0).numpy()).transpose(2, 0, 1) if bands == 3 else image[0].numpy()
        levels = Farabet(bands, 2, width=1, neighbourhood=0).levels(image)
        torch.testing.assert_close(levels[2][0].numpy(), halved(halved(yuv)), atol=1e-5, rtol=1e-5)


def test_each_band_of_each_scale_is_normalised_by_its_neighbours() -> None:
    image = 3 + torch.randn(2, 2, 48, 64, dtype=torch.float64)
    network, plain = Farabet(2, 2, width=1, neighbourhood=15), Farabet(2, 2, width=1, neighbourhood=0)
    for level, bare in zip(network.levels(image), plain.levels(image), strict=True):
        x, window = bare.numpy(), {"size": (1, 1, 15, 15), "mode": "nearest"}
        mean = ndimage.uniform_filter(x, **window)
        deviation = np.sqrt(ndimage.uniform_filter(x**2, **window) - mean**2)
        assert deviation.min() > 0.02
        torch.testing.assert_close(level.numpy(), (x - mean) / deviation)


def test_what_hardly_varies_stays_small() -> None:
    flat = 0.5 + 1e-4 * torch.randn(1, 1, 20, 30)
    assert normalise_locally(flat, 15).abs().max() < 0.05


def without_maxima(network: Farabet) -> Farabet:
    """Means in place of the maxima, through which every pixel that is looked at has a gradient."""
    for number, layer in enumerate(network.features):
        if isinstance(layer, nn.MaxPool2d):
            network.features[number] = nn.AvgPool2d(2)
    return network.double().eval()


def test_each_scale_sees_46_pixels() -> None:
    """(1 + 6) → ·2 + 6 → ·2 + 6 = 46, as for the paper's network."""
    torch.manual_seed(0)
    features = without_maxima(Farabet(1, 2, width=1)).features
    level = torch.randn(1, 1, 80, 80, dtype=torch.float64, requires_grad=True)
    features(level)[0, :, 10, 10].sum().backward()
    rows, columns = level.grad[0, 0].nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (int(columns.min()), int(columns.max())) == (40 - 21, 40 + 24)


@pytest.mark.parametrize("neighbourhood", [0, 3, 15])
def test_the_margin_is_as_far_as_it_sees(neighbourhood: int) -> None:
    torch.manual_seed(0)
    network = without_maxima(Farabet(1, 2, width=1, neighbourhood=neighbourhood))
    image = torch.randn(1, 1, 352, 16, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    reaches = []
    for row in range(160, 176):  # of each position on the coarsest grid
        (gradient,) = torch.autograd.grad(logits[0, :, row].sum(), image, retain_graph=True)
        rows = gradient[0, 0].abs().sum(dim=1).nonzero()
        reaches += [row - int(rows.min()), int(rows.max()) - row]
    assert max(reaches) == network.margin


def test_a_tile_is_seamless_beyond_its_margin() -> None:
    torch.manual_seed(0)
    network = Farabet(3, 2, width=2).eval()
    image = torch.randn(1, 3, 481, 49)
    with torch.inference_mode():
        whole, lower = network(image), network(image[..., 160:, :])
    margin = network.margin
    torch.testing.assert_close(whole[..., 160 + margin :, :], lower[..., margin:, :])
    assert not torch.allclose(whole[..., 160:240, :], lower[..., :80, :])


def test_training_logits_are_those_of_every_fourth_pixel_at_every_size() -> None:
    network = Farabet(1, 2, width=1)
    for height in range(1, 40):
        image = torch.randn(1, 1, height, 41 - height)
        coarse = network.train()(image)
        torch.testing.assert_close(network.eval()(image)[..., ::4, ::4], coarse)


def test_dropout_falls_on_the_768_maps_of_training() -> None:
    network, met = Farabet(1, 2, hidden=4, dropout=1.0), []
    network.classify[1].register_forward_hook(lambda module, given, found: met.append(given[0]))
    image = torch.randn(1, 1, 16, 16)
    network.train()(image)
    network.eval()(image)
    assert [maps.shape[1] for maps in met] == [768, 768]
    assert not met[0].any() and met[1].any()


def test_the_hidden_layer_starts_from_the_network_without() -> None:
    plain, network = Farabet(3, 4, width=2), Farabet(3, 4, width=2, hidden=5)
    network.start_from(plain.state_dict())
    for key, value in plain.features.state_dict().items():
        assert torch.equal(network.features.state_dict()[key], value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "1 to 512; found 0"),
        ({"hidden": -1}, "0 for none; found -1"),
        ({"dropout": 1.5}, "a probability"),
        ({"activation": "tan"}, "did you mean tanh"),
        ({"neighbourhood": 14}, "odd number of pixels"),
        ({"neighborhood": 15}, "did you mean neighbourhood"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_classifier("farabet", 3, 2, options=options)
