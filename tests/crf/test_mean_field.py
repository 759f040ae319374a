"""Mean field against an independent float64 loop, pydensecrf, and properties that follow from the equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.filters.filter import Normalized
from segfield.crf.mean_field import Kernel, mean_field
from segfield.errors import DataError, SettingError
from tests.crf.filters.test_filter import Dense

RNG = np.random.default_rng(0)
N, K = 40, 4
POINTS = [RNG.normal(size=(N, d)) for d in (2, 5)]
MATRICES = [np.exp(-0.5 * ((p[:, None] - p) ** 2).sum(-1)) for p in POINTS]
UNARY = RNG.gumbel(size=(N, K))
VECTOR = RNG.uniform(0, 2, K)
MATRIX = RNG.normal(size=(K, K))
SYMMETRIC = 0.5 * (MATRIX + MATRIX.T)


def kernels(*weights: Any) -> list[Kernel]:
    return [Kernel(Dense(matrix), weight) for matrix, weight in zip(MATRICES, weights, strict=False)]


def softmax(scores: Any) -> Any:
    odds = np.exp(scores)
    return odds / odds.sum(1, keepdims=True)


def loop(unary: Any, weights: list[Any], penalty: Any, iterations: int, damping: float = 0.0) -> Any:
    """The iteration pixel by pixel, as METHODS writes it."""
    q = softmax(-unary)
    for _ in range(iterations):
        new = np.empty_like(q)
        for i in range(len(q)):
            total = np.zeros(q.shape[1])
            for matrix, weight in zip(MATRICES, weights, strict=False):
                message = sum(matrix[i, j] * q[j] for j in range(len(q)))
                total += weight @ message if np.ndim(weight) == 2 else weight * message
            scores = -unary[i] - penalty @ total
            new[i] = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        q = (1 - damping) * new + damping * q
    return q


@pytest.mark.parametrize("weights", [[0.3, 0.1], [0.3, VECTOR], [MATRIX, VECTOR], [0.5]])
@pytest.mark.parametrize("penalty", [None, 0.2 * MATRIX])
@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_equals_the_loop_over_pixels(weights: list[Any], penalty: Any, damping: float) -> None:
    found = mean_field(UNARY, kernels(*weights), compatibility=penalty, iterations=3, damping=damping)
    expected = loop(UNARY, weights, -np.eye(K) if penalty is None else penalty, 3, damping)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-12)
    assert found.iterations == 3


def test_without_weight_or_kernels_or_iterations_it_is_softmax() -> None:
    expected = softmax(-UNARY)
    np.testing.assert_allclose(expected.sum(1), 1)
    np.testing.assert_allclose(mean_field(UNARY, kernels(0, 0)).probabilities, expected, rtol=1e-14)
    np.testing.assert_allclose(mean_field(UNARY, []).probabilities, expected, rtol=1e-14)
    none_done = mean_field(UNARY, kernels(1, 1), iterations=0)
    np.testing.assert_allclose(none_done.probabilities, expected, rtol=1e-14)
    assert (none_done.iterations, none_done.change) == (0, 0.0)


def test_zero_weight_is_softmax_to_the_last_bit() -> None:
    unary = torch.from_numpy(UNARY)
    tensor_kernels = [Kernel(Dense(torch.from_numpy(MATRICES[0])), 0.0)]
    assert torch.equal(mean_field(unary, tensor_kernels).probabilities, torch.softmax(-unary, 1))


def test_potts_is_minus_the_identity() -> None:
    potts = mean_field(UNARY, kernels(0.5, 0.2)).probabilities
    matrix = mean_field(UNARY, kernels(0.5, 0.2), compatibility=-np.eye(K)).probabilities
    textbook = mean_field(UNARY, kernels(0.5, 0.2), compatibility=1 - np.eye(K)).probabilities
    np.testing.assert_allclose(matrix, potts, atol=1e-13)
    np.testing.assert_allclose(textbook, potts, atol=1e-12)


def test_number_vector_and_matrix_weights_agree_where_they_mean_the_same() -> None:
    number = mean_field(UNARY, kernels(0.7)).probabilities
    np.testing.assert_allclose(mean_field(UNARY, kernels(np.full(K, 0.7))).probabilities, number, atol=1e-14)
    np.testing.assert_allclose(mean_field(UNARY, kernels(0.7 * np.eye(K))).probabilities, number, atol=1e-14)


def test_a_constant_at_a_pixel_changes_nothing() -> None:
    shifted = UNARY + RNG.normal(0, 50, (N, 1))
    expected = mean_field(UNARY, kernels(0.5, 0.2)).probabilities
    np.testing.assert_allclose(mean_field(shifted, kernels(0.5, 0.2)).probabilities, expected, atol=1e-11)


def test_uniform_energies_stay_uniform() -> None:
    found = mean_field(np.zeros((N, K)), kernels(2.0, 3.0)).probabilities
    np.testing.assert_allclose(found, 1 / K, rtol=1e-12)


def test_a_forbidden_class_stays_out() -> None:
    unary = UNARY.copy()
    unary[:, 2] = np.inf
    found = mean_field(unary, kernels(0.5, 0.2)).probabilities
    np.testing.assert_array_equal(found[:, 2], 0)
    np.testing.assert_allclose(
        found[:, [0, 1, 3]], mean_field(UNARY[:, [0, 1, 3]], kernels(0.5, 0.2)).probabilities, atol=1e-12
    )


def test_damping_keeps_the_fixed_point() -> None:
    plain = mean_field(UNARY, kernels(0.05, 0.05), iterations=500)
    damped = mean_field(UNARY, kernels(0.05, 0.05), iterations=500, damping=0.7)
    assert plain.change < 1e-12
    np.testing.assert_allclose(damped.probabilities, plain.probabilities, atol=1e-9)
    early = mean_field(UNARY, kernels(0.05, 0.05), iterations=3, damping=0.7)
    assert np.abs(early.probabilities - plain.probabilities).max() > 1e-4


def test_tolerance_stops_early_and_says_so() -> None:
    full = mean_field(UNARY, kernels(0.05, 0.05), iterations=500)
    stopped = mean_field(UNARY, kernels(0.05, 0.05), iterations=500, tolerance=1e-4)
    assert 1 < stopped.iterations < 500
    assert 0 < stopped.change <= 1e-4
    before = mean_field(UNARY, kernels(0.05, 0.05), iterations=stopped.iterations - 1)
    assert before.change > 1e-4
    np.testing.assert_allclose(stopped.change, np.abs(stopped.probabilities - before.probabilities).max())
    np.testing.assert_allclose(stopped.probabilities, full.probabilities, atol=1e-3)


def test_a_start_goes_on_where_it_left_off() -> None:
    halfway = mean_field(UNARY, kernels(0.3, 0.1), iterations=4).probabilities
    resumed = mean_field(UNARY, kernels(0.3, 0.1), iterations=3, start=halfway).probabilities
    np.testing.assert_allclose(resumed, mean_field(UNARY, kernels(0.3, 0.1), iterations=7).probabilities, atol=1e-13)


@pytest.mark.parametrize("weights", [(0.3, 0.1), (VECTOR, MATRIX)])
def test_tensors_and_arrays_agree(weights: tuple[Any, Any]) -> None:
    tensors = [Kernel(Dense(torch.from_numpy(m)), w) for m, w in zip(MATRICES, weights, strict=True)]
    arrays = mean_field(UNARY, kernels(*weights), compatibility=MATRIX, damping=0.1, tolerance=1e-9)
    found = mean_field(torch.from_numpy(UNARY), tensors, compatibility=MATRIX, damping=0.1, tolerance=1e-9)
    np.testing.assert_allclose(found.probabilities.numpy(), arrays.probabilities, atol=1e-12)
    assert found.iterations == arrays.iterations
    assert found.change == pytest.approx(arrays.change)


def test_gradients_reach_energies_weights_and_compatibility() -> None:
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (UNARY[:8], VECTOR, MATRIX)]
    dense = Dense(torch.from_numpy(MATRICES[1][:8, :8]))

    def run(unary: torch.Tensor, weight: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        kernel = Kernel(Normalized(dense), weight)
        return torch.as_tensor(mean_field(unary, [kernel], compatibility=penalty, iterations=3).probabilities)

    assert torch.autograd.gradcheck(run, leaves)


def test_precision_is_kept() -> None:
    single = [Kernel(Dense(m.astype(np.float32)), 0.5) for m in MATRICES]
    assert mean_field(UNARY.astype(np.float32), single).probabilities.dtype == np.float32


@pytest.mark.parametrize(
    ("compat", "ours"),
    [(2.5, 2.5), (-VECTOR.astype(np.float32), VECTOR), (-SYMMETRIC.astype(np.float32), SYMMETRIC)],
    ids=["number", "vector", "matrix"],
)
def test_pydensecrf_finds_the_same(compat: Any, ours: Any) -> None:
    """Features so far apart or equal that its lattice is exact up to a factor. It makes a matrix symmetric before use."""
    dcrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is built from source")
    group = np.arange(N) % 3
    theirs = dcrf.DenseCRF(N, K)
    theirs.setUnaryEnergy(np.ascontiguousarray(UNARY.T.astype(np.float32)))
    features = np.ascontiguousarray((50.0 * group)[None].astype(np.float32))
    theirs.addPairwiseEnergy(features, compat=compat, normalization=dcrf.NORMALIZE_AFTER)
    expected = np.array(theirs.inference(5)).T
    same = (group[:, None] == group).astype(np.float64)
    found = mean_field(UNARY, [Kernel(Normalized(Dense(same), "after"), ours)], iterations=5).probabilities
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(DataError, match=r"unary .*\(40,\).*\(N, K\)"):
        mean_field(UNARY[:, 0], kernels(1))
    with pytest.raises(DataError, match=r"has the shape \(40, 0\)"):
        mean_field(UNARY[:, :0], kernels(1))
    with pytest.raises(DataError, match=r"unary has 39 pixels.*40"):
        mean_field(UNARY[1:], kernels(1))
    with pytest.raises(DataError, match=r"start .*\(40, 3\).*unary \(40, 4\)"):
        mean_field(UNARY, kernels(1), start=UNARY[:, :3])
    with pytest.raises(SettingError, match=r"weight .*\(3,\).*K = 4"):
        mean_field(UNARY, kernels(VECTOR[:3]))
    with pytest.raises(SettingError, match=r"compatibility .*\(4,\).*\(K, K\) or \(T, K, K\).*K = 4"):
        mean_field(UNARY, kernels(1), compatibility=VECTOR)


@pytest.mark.parametrize("energy", [[np.nan, 0, 0, 0], [-np.inf, 0, 0, 0], [np.inf] * 4])
@pytest.mark.parametrize("tensor", [False, True])
def test_energies_without_an_answer_are_counted(energy: list[float], tensor: bool) -> None:
    unary = UNARY.copy()
    unary[[3, 7]] = energy
    given = torch.from_numpy(unary) if tensor else unary
    with pytest.raises(DataError, match=r"2 pixels.*NaN or −inf.*forbid every class"):
        mean_field(given, [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": -1}, "iterations is -1.*0 or more"),
        ({"damping": 1.0}, "damping is 1.0; give a share"),
        ({"damping": float("nan")}, "damping is nan"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        mean_field(UNARY, kernels(1, 1), **settings)
