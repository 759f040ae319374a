"""pydensecrf.eigen: what its own tests ask of it, and matrices that steps begin with."""

from __future__ import annotations

import numpy as np
import pytest

import segfield.crf.pydensecrf as package
from segfield.crf.pydensecrf import densecrf, eigen


def test_copies_of_arrays() -> None:
    for axes, copied in ((1, eigen.vectorXf), (2, eigen.matrixXf)):
        given = np.random.default_rng(0).random((3,) * axes, dtype=np.float32)
        found = copied(given)
        np.testing.assert_array_equal(np.array(found), given)
        assert not np.shares_memory(found, given) and memoryview(found).ndim == axes
    assert isinstance(eigen.matrixXf(np.zeros((2, 3), np.float32)), eigen.MatrixXf)
    assert isinstance(eigen.vectorXf(np.zeros(2, np.float32)), eigen.VectorXf)
    assert not isinstance(np.zeros((2, 3)), eigen.MatrixXf) and not isinstance(np.zeros(2, np.float32), eigen.MatrixXf)


def test_new_ones_are_empty() -> None:
    assert np.array(eigen.MatrixXf()).shape == (0, 0) and np.array(eigen.VectorXf()).shape == (0,)


@pytest.mark.parametrize("wrong", [np.zeros((3, 3, 3), np.float32), np.zeros(3, np.float32), np.zeros((3, 3))])
def test_other_axes_and_types(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"astype\(np.float32\)"):
        eigen.matrixXf(wrong)


@pytest.mark.parametrize("wrong", [None, [[1.0]]])
def test_no_arrays(wrong: object) -> None:
    with pytest.raises(TypeError, match="NumPy array"):
        eigen.matrixXf(wrong)


def test_steps_begin_with_a_matrix_of_ones_own() -> None:
    crf = package.DenseCRF(6, 2)
    crf.setUnaryEnergy(np.ones((2, 6), np.float32))
    crf.addPairwiseEnergy(np.arange(6, dtype=np.float32)[None] / 2, 4)
    begin = eigen.matrixXf(np.repeat(np.float32([[0.9], [0.1]]), 6, 1))
    view = np.asarray(begin)
    crf.stepInference(begin, eigen.MatrixXf(), eigen.MatrixXf())
    assert (view[0] > 0.9).all() and densecrf.eigen is package.eigen is eigen
    assert isinstance(crf.inference(1), eigen.MatrixXf) and isinstance(crf.startInference()[0], eigen.MatrixXf)
