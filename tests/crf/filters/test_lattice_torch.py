"""The torch lattice against a dictionary lattice, the exact sum, pydensecrf, and what a kernel must be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from segfield.crf.features import bilateral_features, position_features
from segfield.crf.filters.filter import Filter, Normalized
from segfield.crf.filters.lattice_torch import TorchLatticeFilter
from segfield.crf.mean_field import Kernel, mean_field
from segfield.errors import DataError
from tests.crf.filters.hashed_lattice import kernel_matrix
from tests.crf.filters.photos import photo_features, probabilities


def exact(features: Tensor) -> Tensor:
    """(N, N) Gaussian kernel matrix in float64."""
    wide = features.double()
    return torch.exp(-0.5 * ((wide[:, None] - wide) ** 2).sum(-1))


def random_features(pixels: int, dimensions: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(pixels, dimensions, generator=generator, dtype=torch.float64)


def colour_patches(height: int = 32, width: int = 32) -> np.ndarray:
    """An image (3, H, W) of four noisy colours."""
    rng = np.random.default_rng(0)
    patch = (np.arange(height)[:, None] > height // 2) * 2 + (np.arange(width) > width // 3)
    colours = rng.uniform(40, 210, (4, 3))
    return (colours[patch] + rng.normal(0, 3, (height, width, 3))).transpose(2, 0, 1)


def matrix_of(lattice: TorchLatticeFilter) -> Tensor:
    return lattice(torch.eye(lattice.size, dtype=torch.float64))


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_equals_the_dictionary_lattice_but_for_a_factor(dimensions: int, fine: bool) -> None:
    features = random_features(40, dimensions)
    expected = kernel_matrix(features.numpy(), fine)
    found = matrix_of(TorchLatticeFilter(features, fine)).numpy()
    factor = found.sum() / expected.sum()
    np.testing.assert_allclose(found, factor * expected, atol=1e-12)
    if not fine:
        assert factor == pytest.approx(1 / (1 + 2.0**-dimensions))


@pytest.mark.parametrize("dimensions", [7, 8])
def test_equals_it_where_keys_are_fingerprints(dimensions: int) -> None:
    features = random_features(60, dimensions) * torch.logspace(-1, 2, 60, dtype=torch.float64)[:, None]
    expected = kernel_matrix(features.numpy()) / (1 + 2.0**-dimensions)
    np.testing.assert_allclose(matrix_of(TorchLatticeFilter(features)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("fine", [False, True])
def test_near_the_exact_sum(fine: bool) -> None:
    """Correlation above 0.99 and a few per cent of error after normalisation, on an image of four colours."""
    features = torch.from_numpy(bilateral_features(colour_patches(), 10, 12))
    values = torch.from_numpy(probabilities(len(features), 3))
    found = Normalized(TorchLatticeFilter(features, fine), "after")(values).double()
    kernel = exact(features)
    expected = kernel @ values.double() / kernel.sum(1, keepdim=True)
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.99
    assert (found - expected).norm() / expected.norm() < 0.05


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("dimensions", range(1, 9))
def test_transposed_is_the_adjoint_and_sums_are_positive(dimensions: int, fine: bool) -> None:
    features = random_features(120, dimensions)
    lattice = TorchLatticeFilter(features.float(), fine)
    x, y = torch.rand(2, 120, 3)
    forward, backward = (lattice(x) * y).sum(), (x * lattice.transposed(y)).sum()
    assert abs(forward - backward) / forward < 1e-5
    assert lattice(torch.ones(120, 1)).min() > 0
    assert lattice.transposed(torch.ones(120, 1)).min() > 0


def test_the_transpose_of_the_plain_lattice_is_another_operator() -> None:
    lattice = TorchLatticeFilter(random_features(200, 5))
    values = torch.rand(200, 2, dtype=torch.float64)
    assert (lattice(values) - lattice.transposed(values)).norm() > 1e-3 * lattice(values).norm()


def test_the_fine_lattice_is_symmetric_and_positive_semidefinite() -> None:
    kernel = matrix_of(TorchLatticeFilter(random_features(200, 4), fine=True))
    torch.testing.assert_close(kernel, kernel.T)
    assert torch.linalg.eigvalsh(kernel).min() > -1e-9


@pytest.mark.parametrize(("dimensions", "spacing", "reach"), [(1, 0.02, 6.0), (2, 0.2, 5.0)])
@pytest.mark.parametrize("fine", [False, True])
def test_the_kernel_has_unit_variance_and_fine_the_gaussians_mass(
    dimensions: int, spacing: float, reach: float, fine: bool
) -> None:
    """Averaged over where in its simplex the point lies, on points so dense that no vertex is missing."""
    steps = round(2 * reach / spacing)
    features = torch.from_numpy(position_features((steps,) * dimensions, 1 / spacing)).double()
    centre = (features - reach).norm(dim=1) < 1.0
    sources = torch.eye(len(features), dtype=torch.float64)[:, centre]
    rows = TorchLatticeFilter(features, fine).transposed(sources)  # (N, centres): kernel around each centre
    from_centre = ((features[:, None] - features[centre]) ** 2).sum(-1)
    mass = rows.sum(0).mean()
    assert ((rows * from_centre).sum() / rows.sum() / dimensions).item() == pytest.approx(1, abs=0.02)
    gaussian = math.pow(2 * math.pi, dimensions / 2) / spacing**dimensions
    assert (mass / gaussian).item() == pytest.approx(1, abs=0.01 if fine else 0.2)


@pytest.mark.parametrize("fine", [False, True])
def test_gradients_to_values_of_first_and_second_order(fine: bool) -> None:
    lattice = TorchLatticeFilter(random_features(12, 3), fine)
    values = torch.rand(12, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lattice, values)
    assert gradcheck(lattice.transposed, values)
    assert gradgradcheck(lambda v: lattice(v) ** 2, values)


def test_gradients_through_mean_field() -> None:
    normalized = Normalized(TorchLatticeFilter(random_features(10, 5)))
    unary = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda u, w: mean_field(u, [Kernel(normalized, w)], iterations=3).probabilities, (unary, weight))


@pytest.mark.parametrize("fine", [False, True])
def test_a_batch_equals_its_images_one_by_one(fine: bool) -> None:
    features = torch.stack([random_features(80, 5, seed).float() for seed in range(3)])
    values = torch.rand(3, 80, 4)
    together = TorchLatticeFilter(features, fine)
    alone = [TorchLatticeFilter(one, fine) for one in features]
    assert together.size == 80
    assert together.vertices == sum(one.vertices for one in alone)
    torch.testing.assert_close(together(values), torch.stack([f(v) for f, v in zip(alone, values, strict=True)]))
    found = mean_field(values, [Kernel(Normalized(together), 2.0)]).probabilities
    expected = mean_field(values[1], [Kernel(Normalized(alone[1]), 2.0)]).probabilities
    torch.testing.assert_close(found[1], expected)


def test_precisions() -> None:
    features, values = random_features(100, 5), torch.rand(100, 3, dtype=torch.float64)
    double = TorchLatticeFilter(features)(values)
    single = TorchLatticeFilter(features.float())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single(values.float()), double.float(), rtol=1e-4, atol=1e-4)
    assert single(values).dtype == torch.float64
    half = single(values.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.double(), double, rtol=5e-3, atol=5e-3)


def test_runs_repeat_to_the_last_bit() -> None:
    features, values = random_features(500, 5).float(), torch.rand(500, 3)
    assert torch.equal(TorchLatticeFilter(features)(values), TorchLatticeFilter(features)(values))


@pytest.mark.parametrize("fine", [False, True])
def test_pixels_that_are_all_alike_are_averaged(fine: bool) -> None:
    lattice: Filter = TorchLatticeFilter(torch.full((50, 5), 3.7), fine)
    values = torch.rand(50, 2)
    torch.testing.assert_close(Normalized(lattice, "after")(values), values.mean(0).expand(50, 2))
    uniform = mean_field(torch.zeros(50, 3), [Kernel(Normalized(lattice), 5.0)]).probabilities
    torch.testing.assert_close(uniform, torch.full((50, 3), 1 / 3))


@pytest.mark.parametrize("fine", [False, True])
def test_one_pixel_and_one_channel(fine: bool) -> None:
    lattice = TorchLatticeFilter(torch.tensor([[0.3, -1.2]]), fine)
    torch.testing.assert_close(Normalized(lattice, "symmetric")(torch.tensor([[4.0]])), torch.tensor([[4.0]]))


def test_salt_noise_fades() -> None:
    """One wrong pixel in a plain patch takes the label of those around it, the more the greater the weight."""
    features = torch.from_numpy(bilateral_features(np.full((3, 15, 15), 90.0), 5, 10))
    unary = torch.zeros(225, 2)
    unary[:, 1] = 1.5
    unary[112] = torch.tensor([1.5, 0.0])
    normalized = Normalized(TorchLatticeFilter(features))
    share = [mean_field(unary, [Kernel(normalized, w)]).probabilities[112, 0].item() for w in (0.0, 0.5, 1.0, 3.0)]
    assert share == sorted(share)
    assert share[0] < 0.5 < share[-1]


@pytest.mark.parametrize(("sxy", "srgb", "weight"), [(67, 3, 4), (80, 13, 10)])
def test_pydensecrf_finds_the_same(sxy: float, srgb: float, weight: float) -> None:
    dcrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is built from source")
    image = np.clip(colour_patches(40, 50), 0, 255).astype(np.uint8)
    energies = -np.log(probabilities(2000, 5).clip(1e-5))
    theirs = dcrf.DenseCRF2D(50, 40, 5)
    theirs.setUnaryEnergy(np.ascontiguousarray(energies.T))
    theirs.addPairwiseBilateral(sxy, srgb, np.ascontiguousarray(image.transpose(1, 2, 0)), compat=weight)
    expected = np.array(theirs.inference(5)).T
    lattice = TorchLatticeFilter(torch.from_numpy(bilateral_features(image, sxy, srgb)))
    found = mean_field(torch.from_numpy(energies), [Kernel(Normalized(lattice), weight)], iterations=5).probabilities
    assert np.abs(expected - np.exp(-energies)).max() > 0.1
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


@pytest.mark.shared
@pytest.mark.parametrize(("sxy", "srgb"), [(30.0, 3.0), (30.0, 13.0)])
def test_the_fine_lattice_is_nearer_to_exact_on_a_photo(shared_data: Path, sxy: float, srgb: float) -> None:
    features = torch.from_numpy(photo_features(shared_data, sxy, srgb, size=(96, 72)))
    values = torch.from_numpy(probabilities(len(features), 4))
    one = (values.argmax(1) == 0).float()[:, None]
    values = torch.cat([values, one], dim=1)
    kernel = torch.exp(-0.5 * torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist") ** 2)
    expected = kernel @ values / kernel.sum(1, keepdim=True)

    def error(fine: bool) -> float:
        found = Normalized(TorchLatticeFilter(features, fine), "after")(values)
        return float((found - expected).norm() / expected.norm())

    assert error(fine=True) * 1.5 < error(fine=False)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(5), r"torch\.float32 of shape \(5,\).*\(N, D\)"),
        (torch.zeros(0, 2), r"of shape \(0, 2\)"),
        (torch.zeros(5, 2, dtype=torch.long), "are torch.int64"),
        (torch.tensor([[0.0, float("nan")]]), "feature is nan"),
        (torch.tensor([[0.0, float("inf")]]), "feature is inf"),
        (torch.tensor([[3e6]]), r"3e\+06; give finite features below 2\^20"),
    ],
)
def test_features_that_cannot_be_placed(features: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TorchLatticeFilter(features)


def test_values_that_do_not_fit() -> None:
    lattice = TorchLatticeFilter(torch.zeros(5, 2))
    with pytest.raises(DataError, match=r"values .*\(4, 3\).*\(5, C\)"):
        lattice(torch.zeros(4, 3))
    with pytest.raises(DataError, match=r"values .*\(1, 5, 3\)"):
        lattice.transposed(torch.zeros(1, 5, 3))
    with pytest.raises(DataError, match=r"values are torch\.int64.*floating point"):
        lattice(torch.zeros(5, 3, dtype=torch.long))
