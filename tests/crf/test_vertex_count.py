"""The number of a lattice's rows, counted without building it, against the lattice."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf import vertex_count
from segfield.crf.filters.lattice_structure import build_lattice
from segfield.crf.image_kernels import bilateral_planes
from segfield.crf.vertex_count import count_vertices

IMAGE = np.random.default_rng(0).integers(0, 60, (3, 40, 50), dtype=np.uint8)


@pytest.mark.parametrize("boundaries", [[0, 2000], [0, 700, 2000]])
@pytest.mark.parametrize("rounds", [1, 2])
def test_small_images_are_counted_exactly(boundaries: list[int], rounds: int) -> None:
    planes = bilateral_planes(IMAGE, 9.0, 13.0)
    assert count_vertices(planes, 2000, boundaries, rounds) == build_lattice(planes, 2000, boundaries, rounds).rows


def test_of_larger_ones_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vertex_count, "_ALL_COUNTED", 100)
    planes = bilateral_planes(IMAGE, 9.0, 3.0)
    rows = build_lattice(planes, 2000, [0, 2000]).rows
    assert rows > 8000
    assert count_vertices(planes, 2000, [0, 2000]) == pytest.approx(rows, rel=0.1)
