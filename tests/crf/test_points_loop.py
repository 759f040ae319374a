"""The blocks of points: planes to rows and the messages of a kernel. Whole runs are in test_points_crf.py."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from segfield.crf.filters.simd import lanes_for
from segfield.crf.points_loop import fill_line


@numba.njit
def call(planes, first, count, classes, lines, own, stride):  # type: ignore[no-untyped-def]
    fill_line(planes, first, count, classes, lines, own, stride)


@pytest.mark.parametrize("classes", [1, 3, 4, 5, 8, 9, 15, 16, 21])
@pytest.mark.parametrize(("first", "count"), [(0, 8), (3, 20), (17, 5)])
def test_lines_have_a_row_for_each_point(classes: int, first: int, count: int) -> None:
    points, stride, own = 29, lanes_for(classes), 5
    planes = np.random.default_rng(0).random((classes, points), dtype=np.float32)
    lines = np.full(own + (count + 3) * stride, np.float32(-7))
    call(planes.reshape(-1), first, count, classes, lines, own, stride)
    rows = lines[own : own + count * stride].reshape(count, stride)
    np.testing.assert_array_equal(rows[:, :classes], planes[:, first : first + count].T)
    assert np.isfinite(rows).all()
    assert (lines[:own] == -7).all() and (lines[own + count * stride + 4 :] == -7).all()
