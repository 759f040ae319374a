"""Scores that are NaN or infinite never become class 0, on whichever road an image or a frame goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.errors import DataError
from segfield.inference.finite import finite
from segfield.inference.frames import FramePredictor
from segfield.inference.image import predict_image
from tests.inference.networks import FakeSegmenter, pixelwise

IMAGE = np.full((3, 70, 90), 200, dtype=np.uint8)


def spoilt(value: float):
    """A network that gives `value` at one pixel of the window's last corner."""

    def window_logits(tiles: torch.Tensor) -> torch.Tensor:
        logits = pixelwise(tiles)
        logits[:, 1, -1, -1] = value
        return logits

    return window_logits


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "options",
    [{}, {"tile": 64}, {"blend": "logits"}, {"flips": "all"}, {"scales": (0.5, 1.0)}, {"keep_probabilities": True}],
)
def test_an_image(value: float, options: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"NaN or infinite at 1 of .* from 200 to 200; .*--learning_rate"):
        predict_image(FakeSegmenter(spoilt(value)), IMAGE, refine="off", **options)


@pytest.mark.parametrize("options", [{}, {"tile": 64}, {"flips": "horizontal"}])
def test_a_frame(options: dict[str, object]) -> None:
    with pytest.raises(DataError, match="NaN or infinite at 1 of"):
        FramePredictor(FakeSegmenter(spoilt(np.nan)), **options)(IMAGE)


def test_large_scores_are_passed_on_as_they_are() -> None:
    logits = torch.tensor([[3e38, 3e38, -3e38]]).view(1, 3, 1, 1)
    assert finite(lambda tiles: logits)(torch.zeros(1, 3, 1, 1)) is logits
