"""The kernels of points as one lattice: rows numbered through, normalisation, bands, chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters.lattice import padded_planes
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.points_kernels import PointKernel, build_kernels, normalise

from .filters.photos import clusters

POINTS = 2 * BLOCK + 40


def kernels_of(spaces: list[np.ndarray], kinds: list[Any], parts: int = 2) -> Any:
    bounds = [*(BLOCK * part for part in range(parts)), POINTS]
    wanted = [PointKernel(f.shape[1], lambda f=f: padded_planes(f.T, POINTS), kind) for f, kind in zip(spaces, kinds)]
    return build_kernels(wanted, POINTS, bounds)


def test_rows_are_numbered_through() -> None:
    spaces = [clusters(POINTS, 2), clusters(POINTS, 4, seed=1)]
    kernels, rows, factors = kernels_of(spaces, ["symmetric", "none"])
    assert kernels.corners.tolist() == [3, 5] and kernels.first.tolist() == [0, 3 * POINTS]
    first, second = kernels.ids[: 3 * POINTS], kernels.ids[3 * POINTS :]
    assert first.min() == 0 and second.min() == first.max() + 1 and second.max() == rows - 1
    chained = np.where(kernels.order < 0, -1 - kernels.order, kernels.order)
    for term, ids in enumerate((first, second)):
        places = range(kernels.cuts[term, 0, 0], kernels.cuts[term, kernels.corners[term] - 1, -1])
        assert ids.min() <= chained[places].min() and chained[places].max() <= ids.max()
    assert (kernels.cuts[0, 3:] == 0).all()  # axes that the first kernel has not
    np.testing.assert_allclose(factors, [1 / (1 + 2.0**-2), 1 / (1 + 2.0**-4)])


@pytest.mark.parametrize("kind", ["before", "after", "symmetric", "none"])
def test_scales_are_made_of_row_sums(kind: Any) -> None:
    features = clusters(POINTS, 3)
    wanted = [PointKernel(3, lambda: padded_planes(features.T, POINTS), kind)]
    built = build_kernels(wanted, POINTS, [0, POINTS])
    sums = np.random.default_rng(0).uniform(0, 9, POINTS).astype(np.float32)
    sums[3] = 0  # a point beyond the reach of float32
    built.kernels.scales[:] = sums
    normalise(built, wanted)
    inverse = 1 / (sums * built.factors[0] + 1e-20)
    np.testing.assert_allclose(built.kernels.scales, inverse**0.5 if kind == "symmetric" else inverse, rtol=1e-5)
    ways = built.kernels.before[0], built.kernels.after[0]
    assert ways == (kind in ("before", "symmetric"), kind in ("after", "symmetric"))


def test_no_kernels() -> None:
    kernels, rows, factors = build_kernels([], 10, [0, 10])
    assert rows == 0 and factors == () and len(kernels.corners) == 0 and kernels.cuts.shape == (0, 0, 2)
