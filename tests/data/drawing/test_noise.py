"""Texture noise against plain formulas: tiling, bilinear samples, coverage of stripes."""

import numpy as np
import pytest
from scipy import ndimage

from segfield.data.drawing import noise
from segfield.data.drawing.dice import Dice


@pytest.mark.parametrize("table", [noise.fractal_table, noise.grain_table])
def test_tables_are_even_in_multiples_of_a_256th(table):
    values = table()
    assert values.shape == (256, 256)
    assert np.array_equal(values * 256, np.rint(values * 256))
    assert np.array_equal(np.unique(values, return_counts=True)[1], np.full(256, 256))


def test_fractal_noise_tiles_without_a_seam():
    table = noise.fractal_table()
    inside = np.abs(np.diff(table, axis=0)).mean()
    seam = np.abs(table[0] - table[-1]).mean()
    assert seam < 1.3 * inside


def test_samples_are_bilinear_and_repeat():
    points = Dice(1).array(2, 500).astype(np.float32) * 700 - 300
    table = noise.fractal_table()
    # The table's rows go with v, its columns with u.
    expected = ndimage.map_coordinates(np.tile(table, (4, 4)), (points[::-1] + 512) % 768, order=1)
    assert np.allclose(noise.sample(table, points[0], points[1]), expected, atol=1e-3)


def test_samples_at_whole_coordinates_are_the_cells():
    u, v = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32))
    assert np.array_equal(noise.sample(noise.grain_table(), u, v), noise.grain_table())


def test_texture_fades_where_a_pixel_covers_many_grains():
    u, v = (Dice(2).array(2, 4000) * 50).astype(np.float32)
    near = noise.texture(u, v, 0.1, np.full_like(u, 0.01))
    far = noise.texture(u, v, 0.1, np.full_like(u, 1.0))
    assert np.allclose(far, near * 0.1, atol=1e-5)
    assert 0.15 < near.std() < 0.3


def test_scatter_is_even_repeatable_and_told_apart_by_each_key():
    i, j = np.meshgrid(np.arange(-100, 100, dtype=np.int32), np.arange(-100, 100, dtype=np.int32))
    values = noise.scatter(i, j, 7)
    assert values.min() >= 0
    assert values.max() < 1
    assert np.histogram(values, 10, (0, 1))[0].min() > 3700
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(values[1:].ravel(), values[:-1].ravel())[0, 1]) < 0.02
    assert np.array_equal(values, noise.scatter(i, j, 7))
    assert not np.array_equal(values, noise.scatter(i, j, 8))


@pytest.mark.parametrize("footprint", [0.01, 0.2, 3.0])
def test_stripe_is_the_share_of_the_pixel_it_covers(footprint):
    x = np.linspace(-2, 2, 81, dtype=np.float32)
    shares = noise.stripe(x, -0.3, 0.5, np.full_like(x, footprint))
    fine = x[:, None] + (np.arange(2000) + 0.5) / 2000 * footprint - footprint / 2
    assert np.allclose(shares, ((fine > -0.3) & (fine < 0.5)).mean(axis=1), atol=2e-3)
