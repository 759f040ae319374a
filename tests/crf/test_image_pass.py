"""The update of one line, and planes to rows and back, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters.simd import Width
from segfield.crf.image_kernels import NO_APPEARANCE, NO_POSITION, NOTHING
from segfield.crf.image_pass import average_rows, line_to_planes, planes_to_rows, update_line
from segfield.crf.image_terms import Model

from .exact_mean_field import softmax

RNG = np.random.default_rng(0)


def rows_of(
    planes: np.ndarray, stride: int, beyond: float = 1e30, lowers: bool = True, negates: bool = False
) -> np.ndarray:
    """(K, N) → (N, stride), all pixels but the first two and the last."""
    classes, pixels = planes.shape
    rows = np.full((pixels, stride), 9, np.float32)
    planes_to_rows(
        planes.reshape(-1), classes, 2, pixels - 1, rows.reshape(-1), np.float32(beyond), lowers, negates, Width(stride),
        stride,
    )  # fmt: skip
    assert (rows[:2] == 9).all() and (rows[-1] == 9).all(), "pixels of others stay"
    return rows[2:-1]


@pytest.mark.parametrize(("classes", "stride"), [(1, 4), (3, 4), (4, 4), (8, 8), (21, 24)])
@pytest.mark.parametrize("pixels", [4, 10, 11, 12, 30])
def test_planes_become_rows_lowered_by_their_smallest(pixels: int, classes: int, stride: int) -> None:
    planes = RNG.normal(5, 3, (classes, pixels)).astype(np.float32)
    rows = rows_of(planes, stride)
    np.testing.assert_allclose(rows[:, :classes], (planes - planes.min(0)).T[2:-1], atol=1e-6)
    assert (rows.min(1) == 0).all() and (rows[:, classes:] > 1e29).all()


def test_planes_become_rows_as_they_are() -> None:
    planes = RNG.normal(size=(3, 20)).astype(np.float32)
    rows = rows_of(planes, 4, beyond=0, lowers=False)
    np.testing.assert_array_equal(rows[:, :3], planes.T[2:-1])
    assert (rows[:, 3] == 0).all()


@pytest.mark.parametrize(("classes", "stride"), [(3, 4), (8, 8), (21, 24)])
def test_planes_become_rows_negated(classes: int, stride: int) -> None:
    planes = RNG.normal(size=(classes, 20)).astype(np.float32)
    rows = rows_of(planes, stride, lowers=False, negates=True)
    np.testing.assert_array_equal(rows[:, :classes], -planes.T[2:-1])
    assert (rows[:, classes:] == np.float32(1e30)).all()


def test_energies_of_any_size_are_lowered_without_loss() -> None:
    planes = np.array([[1e4, 1e4 + 2, np.inf, -50, 3e4]] * 2 + [[0, 1e4, 5, np.inf, 3e4]], np.float32)
    rows = rows_of(np.concatenate([planes[:, :2], planes, planes[:, :1]], axis=1), 4)
    np.testing.assert_array_equal(np.minimum(rows[:, 0], 1e19), np.float32([1e4, 2, 1e19, 0, 0]))
    np.testing.assert_array_equal(np.minimum(rows[:, 2], 1e19), np.float32([0, 0, 0, 1e19, 0]))


@pytest.mark.parametrize(("classes", "stride"), [(1, 4), (3, 4), (8, 8), (21, 24)])
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 25])
def test_a_line_goes_back_to_planes(columns: int, classes: int, stride: int) -> None:
    line = RNG.normal(size=(columns + 2, stride)).astype(np.float32)
    planes = np.full((classes, columns + 5), 9, np.float32)
    line_to_planes(line.reshape(-1), 2 * stride, planes.reshape(-1), 3, columns, classes, stride)
    np.testing.assert_array_equal(planes[:, 3 : 3 + columns], line[2:, :classes].T)
    assert (planes[:, :3] == 9).all() and (planes[:, 3 + columns :] == 9).all()


@pytest.mark.parametrize(("height", "columns"), [(6, 8), (7, 8), (6, 9), (5, 7), (1, 1)])
def test_rows_are_averaged_two_by_two(height: int, columns: int) -> None:
    rows = RNG.normal(size=(height, columns, 4)).astype(np.float32)
    half = ((height + 1) // 2, (columns + 1) // 2)
    out = np.empty((*half, 4), np.float32)
    for begin in range(half[0]):
        average_rows(rows.reshape(-1), height, columns, begin, begin + 1, out.reshape(-1), Width(4), 4)
    padded = np.pad(rows, ((0, height % 2), (0, columns % 2), (0, 0)), mode="edge")
    expected = padded.reshape(half[0], 2, half[1], 2, 4).mean((1, 3))
    # The engine's softmax takes it that the lowest energy of a pixel is 0.
    expected = expected - expected.min(-1, keepdims=True)
    np.testing.assert_allclose(out - out.min(-1, keepdims=True), expected, atol=1e-6)


def updated(unary: np.ndarray, start: bool = True, kept: np.ndarray = NOTHING, given: np.ndarray = NOTHING,
            halved: bool = False, first: int = 0, **changes: Any) -> tuple[np.ndarray, float]:  # fmt: skip
    """The (N, K) probabilities of one line of energies (N, K) without kernels, and the change."""
    columns, classes = unary.shape
    rows = np.full((first + columns, 4), 1e30, np.float32)
    rows[first:, :classes] = unary
    none = np.zeros(4, np.float32)
    model = Model(rows.reshape(-1), classes, none, none, None, False, np.float32(0), np.float32(0), False)
    line = np.empty((columns, 4), np.float32)
    change = update_line(first, columns, start, model._replace(**changes), None, 0, NO_APPEARANCE, NO_POSITION, NOTHING, NOTHING,
                         NOTHING, kept, given, halved, NOTHING, line.reshape(-1), Width(4), 4)  # fmt: skip
    assert (line[:, classes:] == 0).all()
    return line[:, :classes], change


@pytest.mark.parametrize("careful", [False, True])
def test_without_kernels_it_is_the_softmax(careful: bool) -> None:
    unary = RNG.exponential(3, (9, 3)).astype(np.float32)
    unary -= unary.min(1, keepdims=True)
    found, _ = updated(unary, careful=careful)
    np.testing.assert_allclose(found, softmax(-unary.T.astype(np.float64)).T, atol=1e-6)


def test_energies_far_below_and_above_zero_are_safe_when_careful() -> None:
    unary = np.array([[500, 501, 700], [-300, -301, 0], [1e4, 2e4, 3e4]], np.float32)
    found, _ = updated(unary, careful=True)
    np.testing.assert_allclose(found, softmax(-unary.T.astype(np.float64)).T, atol=1e-6)
    safe, _ = updated(np.array([[-300.0, -301, 0]], np.float32))  # what is above 80 is seen in any case
    np.testing.assert_allclose(safe, found[1:2], atol=1e-6)


def test_damping_mixes_the_kept_probabilities_in_and_the_change_is_told() -> None:
    unary = RNG.exponential(1, (6, 3)).astype(np.float32)
    plain, _ = updated(unary)
    old = np.zeros((6, 4), np.float32)
    old[:, :3] = softmax(RNG.normal(size=(3, 6))).T
    kept = old.copy()
    found, change = updated(unary, start=False, kept=kept.reshape(-1), damping=np.float32(0.25))
    np.testing.assert_allclose(found, 0.75 * plain + 0.25 * old[:, :3], atol=1e-6)
    np.testing.assert_allclose(kept[:, :3], found, atol=0)
    assert change == pytest.approx(abs(found - old[:, :3]).max(), abs=1e-6)


def test_it_starts_with_what_is_given() -> None:
    given = np.zeros((16, 4), np.float32)
    given[:, :3] = RNG.random((16, 3))
    found, _ = updated(np.zeros((8, 3), np.float32), given=given.reshape(-1), first=8)
    np.testing.assert_array_equal(found, given[8:, :3])


@pytest.mark.parametrize(("line", "half_line"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_it_starts_with_half_the_lines_and_columns(line: int, half_line: int) -> None:
    given = np.zeros((2, 4, 4), np.float32)
    given[:, :, :3] = RNG.random((2, 4, 3))
    found, _ = updated(np.zeros((7, 3), np.float32), given=given.reshape(-1), halved=True, first=7 * line)
    np.testing.assert_array_equal(found, given[half_line, np.arange(7) // 2, :3])
