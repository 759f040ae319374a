"""Engines: the same CRF whatever runs it, NumPy or torch, lattice or exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.engines import FilterEngine, build_engine

from .exact_mean_field import exact_mean_field, scene, softmax

IMAGE, _, LOGITS = scene(3, 20, 26)
SETTINGS: dict[str, Any] = {"bilateral_sxy": 10.0, "bilateral_srgb": 20.0, "gaussian_sxy": 2.0}
WEIGHTS: dict[str, Any] = {"bilateral_weight": 4.0, "gaussian_weight": 2.0, "iterations": 4}


@pytest.mark.parametrize("normalization", ["none", "before", "after", "symmetric"])
def test_the_exact_engine_is_exact(normalization: Any) -> None:
    weights = WEIGHTS | ({"bilateral_weight": 0.1, "gaussian_weight": 0.1} if normalization == "none" else {})
    engine = build_engine(IMAGE, **SETTINGS, normalization=normalization, accuracy="exact", epsilon=1e-6)
    expected = exact_mean_field(IMAGE, -LOGITS, normalization=normalization, **SETTINGS, **weights)
    np.testing.assert_allclose(engine.run(-LOGITS, **weights), expected, atol=2e-4)


@pytest.mark.parametrize("accuracy", ["fast", "fine"])
@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_lattices_come_near(accuracy: Any, wrap: Any) -> None:
    engine = build_engine(wrap(IMAGE), **SETTINGS, normalization="symmetric", accuracy=accuracy, epsilon=1e-3)
    found = engine.run(wrap(-LOGITS), **WEIGHTS)
    assert isinstance(found, type(wrap(LOGITS)))
    expected = exact_mean_field(IMAGE, -LOGITS, **SETTINGS, **WEIGHTS)
    assert abs(np.asarray(found) - expected).mean() < 0.02
    assert (np.asarray(found).argmax(0) != expected.argmax(0)).mean() < 0.02


def test_without_kernels_nothing_is_refined() -> None:
    engine = build_engine(
        IMAGE,
        bilateral_sxy=None,
        bilateral_srgb=3.0,
        gaussian_sxy=None,
        normalization="symmetric",
        accuracy="fast",
        epsilon=1e-3,
    )
    assert isinstance(engine, FilterEngine)
    np.testing.assert_allclose(engine.run(-LOGITS, **WEIGHTS), softmax(LOGITS), atol=1e-6)
