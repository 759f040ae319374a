"""Small segmenters with known behaviour, for the tests of prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.classes import ClassTable
from segfield.data.value_matching import in_trained_units
from segfield.inference.memory import network_bytes

THREE = ClassTable(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)))


class FakeSegmenter:
    """The protocol of a segmenter over any function of tiles."""

    def __init__(self, window_logits, classes=THREE, bands=3, margin=8, stride=32, refiner=None, values=None):
        self.window_logits = window_logits
        self.classes = classes
        self.bands = bands
        self.receptive_margin = margin
        self.stride = stride
        self.refiner = refiner
        self.values = values
        self.image_range = None
        self.device = torch.device("cpu")

    def in_own_units(self, image, name=""):
        return image if self.values is None else in_trained_units(image, self.values, self.image_range, name)

    def network_bytes(self):
        return network_bytes(self.window_logits, self.bands, self.device)


def pixelwise(tiles: Tensor) -> Tensor:
    """K = 3: class 0 where dark, 1 where middling, 2 where bright, by the mean of the bands (0..255)."""
    grey = tiles.mean(dim=1, keepdim=True)
    return torch.cat([-(grey - centre).abs() / 20 for centre in (0.0, 127.0, 255.0)], dim=1)


def linear_network(bands: int = 3, classes: int = 3, seed: int = 0):
    """Three zero-padded 5×5 convolutions, nothing between: a receptive field of 6 pixels each way."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(8, bands), (8, 8), (classes, 8)]
    weights = [torch.randn(*size, 5, 5, generator=generator) / (5 * size[1] ** 0.5) for size in sizes]

    def window_logits(tiles: Tensor) -> Tensor:
        x = tiles / 64 - 2
        for weight in weights:
            x = F.conv2d(x, weight, padding=2)
        return x

    return window_logits


class Confident:
    """A refiner that makes the class `favoured` certain where the image is brighter than `above`; keeps what it was given."""

    def __init__(self, favoured: int = 1, above: float = 200):
        self.favoured = favoured
        self.above = above
        self.calls = []

    def __call__(self, image, *, probabilities):
        self.calls.append((image, probabilities))
        refined = probabilities.copy()
        bright = image.mean(axis=0) > self.above
        refined[:, bright] = 0
        refined[self.favoured, bright] = 1
        return refined

    def as_dict(self):
        return {"name": "confident", "favoured": self.favoured, "above": self.above}
