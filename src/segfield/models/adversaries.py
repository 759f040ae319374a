"""Adversaries: networks that tell true label maps from predicted ones, place by place (Luc et al. 2016; Hung et al. 2018).

The four with a field of view in their name are those of the paper's Pascal VOC experiments as a third-party code names them
(oyam/Semantic-Segmentation-using-Adversarial-Networks); their fields of view, 34 and 18, are what the paper states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from segfield.errors import SettingError, did_you_mean

POOL = 0
"""Stands for a 2×2 maximum among a network's layers."""

Layers = tuple[tuple[int, int], ...]

LAYERS: dict[str, Layers] = {
    "largefov": (
        *((3, 96), (3, 128), (3, 128), (2, POOL)),
        *((3, 256), (3, 256), (2, POOL)),
        *((3, 512), (3, 2)),
    ),
    "largefov_light": (
        *((3, 96), (3, 128), (3, 128), (2, POOL)),
        *((3, 128), (3, 128), (2, POOL)),
        *((3, 256), (3, 2)),
    ),
    "smallfov": ((3, 96), (1, 128), (2, POOL), (3, 256), (1, 256), (2, POOL), (3, 512), (1, 2)),
    "smallfov_light": ((3, 96), (1, 128), (2, POOL), (3, 128), (1, 128), (2, POOL), (3, 256), (1, 2)),
}
"""(Kernel, maps) of each convolution, and the pools; the last one's two maps are the logits of predicted and true."""

WIDTHS = (64, 128, 256, 512)
"""Maps of the fully convolutional adversary's first four layers (Hung et al. 2018, section 3.2)."""

ADVERSARIES = (*LAYERS, "stanford", "fully_convolutional")


class Adversary(nn.Module, ABC):
    """Label maps, and the image for those that look at it → how true each place looks.

    Attributes:
        stride: pixels of the maps from one decision to the next.
        field_of_view: pixels a side that a decision depends on.
        wants_image: whether the image comes beside the label maps, unmultiplied.
    """

    stride: int = 1
    field_of_view: int = 1
    wants_image: bool = False

    @abstractmethod
    def forward(self, maps: Tensor, image: Tensor | None = None) -> Tensor:
        """(B, M, H, W), and (B, C, H, W) where it is wanted → (B, 1, h, w) logits, above 0 for what looks true."""


class ConvolutionalAdversary(Adversary):
    """Convolutions of stride 1 with padding and ReLU, and 2×2 maxima; the last convolution has two maps, for two classes.

    Its answer is the difference of the two: the logit of 'true' in a softmax over both.

    Args:
        maps: M, of the label maps.
        layers: as in `LAYERS`.
        normalise: apply spectral norm to each convolution.
    """

    def __init__(self, maps: int, layers: Layers, normalise: bool = False) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for kernel, width in layers:
            if width == POOL:
                parts.append(nn.MaxPool2d(2))
            else:
                parts += [_conv(maps, width, kernel, normalise, padding=kernel // 2), nn.ReLU()]
                maps = width
        self.layers = nn.Sequential(*parts[:-1])
        self.field_of_view, self.stride = seen_by(layers)

    def forward(self, maps: Tensor, image: Tensor | None = None) -> Tensor:
        predicted, true = self.layers(maps).split(1, dim=1)
        return true - predicted  # type: ignore[no-any-return]


class StanfordAdversary(Adversary):
    """Image and label maps in a branch each, then together (Luc et al. 2016, figure of the Stanford Background system).

    Image: 16 and 64 maps; labels: 64; concatenated 128 → 128 → 256 → 512 → one decision. The figure has no kernel sizes:
    5×5 first, then 3×3, 2×2 maxima after each branch and after the maps of 128 and 256 are a third party's, which averages over
    the whole image in the end. The image branch has one pool where both have as many, so that their maps meet.

    Args:
        maps: M, of the label maps.
        bands: C, of the image.
        normalise: apply spectral norm to each convolution.
    """

    wants_image = True
    stride = 8

    def __init__(self, maps: int, bands: int, normalise: bool = False) -> None:
        super().__init__()
        self.image_branch = nn.Sequential(
            _conv(bands, 16, 5, normalise, padding=2), nn.ReLU(), _conv(16, 64, 3, normalise, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
        )  # fmt: skip
        self.label_branch = nn.Sequential(_conv(maps, 64, 5, normalise, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.together = nn.Sequential(
            _conv(128, 128, 3, normalise, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            _conv(128, 256, 3, normalise, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            _conv(256, 512, 3, normalise, padding=1), nn.ReLU(), _conv(512, 1, 3, normalise, padding=1),
        )  # fmt: skip
        image_first: Layers = ((5, 16), (3, 64), (2, POOL))
        after: Layers = ((3, 128), (2, POOL), (3, 256), (2, POOL), (3, 512), (3, 1))
        self.field_of_view = seen_by(image_first + after)[0]

    def forward(self, maps: Tensor, image: Tensor | None = None) -> Tensor:
        if image is None:
            raise ValueError("this adversary looks at the image as well")
        return self.together(torch.cat([self.image_branch(image), self.label_branch(maps)], dim=1))  # type: ignore[no-any-return]


class FullyConvolutionalAdversary(Adversary):
    """Five 4×4 convolutions of stride 2 with leaky ReLU (0.2): 64, 128, 256, 512, 1 (Hung et al. 2018, section 3.2).

    Their last layer brings the decisions back to the maps' size bilinearly; here whoever wants them there does.

    Args:
        maps: M, of the label maps.
        normalise: apply spectral norm to each convolution.
    """

    stride = 32

    def __init__(self, maps: int, normalise: bool = False) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in WIDTHS:
            parts += [_conv(maps, width, 4, normalise, padding=1, stride=2), nn.LeakyReLU(0.2)]
            maps = width
        self.layers = nn.Sequential(*parts, _conv(maps, 1, 4, normalise, padding=1, stride=2))
        self.field_of_view = 1
        for _ in range(len(WIDTHS) + 1):
            self.field_of_view = 2 * (self.field_of_view - 1) + 4

    def forward(self, maps: Tensor, image: Tensor | None = None) -> Tensor:
        height, width = ((-side % self.stride) for side in maps.shape[-2:])
        return self.layers(F.pad(maps, (0, width, 0, height)))  # type: ignore[no-any-return]


def build_adversary(name: str, maps: int, bands: int, normalise: bool = False) -> Adversary:
    """An adversary by name.

    Args:
        name: of `ADVERSARIES`.
        maps: M: K, or K·C where each class map is multiplied by each band of the image.
        bands: C, for those that look at the image as well.
        normalise: spectral norm on every convolution (Miyato et al. 2018).

    Raises:
        SettingError: if the name is unknown.
    """
    if name not in ADVERSARIES:
        raise SettingError(f"there is no adversary '{name}'; {did_you_mean(name, ADVERSARIES)}")
    if name in LAYERS:
        return ConvolutionalAdversary(maps, LAYERS[name], normalise)
    if name == "stanford":
        return StanfordAdversary(maps, bands, normalise)
    return FullyConvolutionalAdversary(maps, normalise)


def seen_by(layers: Layers) -> tuple[int, int]:
    """(Field of view, stride) in pixels of layers of stride 1 and 2×2 pools."""
    field, stride = 1, 1
    for kernel, width in layers:
        field += (kernel - 1) * stride
        stride *= 2 if width == POOL else 1
    return field, stride


def _conv(maps: int, width: int, kernel: int, normalise: bool, padding: int = 0, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(maps, width, kernel, stride, padding)
    return spectral_norm(conv) if normalise else conv
