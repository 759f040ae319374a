"""The multi-scale network of Farabet, Couprie, Najman and LeCun 2013 (Learning hierarchical features for scene labeling).

Three layers of 7×7 convolutions look at an image in three sizes, with the same weights at each; what they find is put together
and classified. It is the network that Luc et al. 2016 teach by an adversary on Stanford Background.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier, pad_to_multiple
from segfield.models.grid import resize_on_grid
from segfield.models.score_layer import ScoreLayer
from segfield.models.vgg import he_initialise

SCALES = 3
STRIDE = 4
"""Of the scores: two pools at the finest scale."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "leaky_relu": functools.partial(nn.LeakyReLU, negative_slope=0.2),
}

REACH = 105
"""Furthest pixel that a pixel's logits depend on, where the pyramid is not normalised."""

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
LEAST_DEVIATION = 0.02
"""Of scaled images, whose values have a deviation of about one: what varies less is not made to vary as much as the rest."""


class Farabet(Classifier):
    """Scales 1, ½ and ¼ of a Laplacian pyramid; at each convolution to 16 maps, pool, 64, pool, 256; 768 maps together.

    Pyramid (of YUV, where there are three bands) and normalisation are part of the network. The maps of the coarser scales are
    repeated up to the finest grid, a quarter of the image (80×60 for 320×240); in training the logits are those of every fourth
    pixel. The third convolution has no activation. 861,832 parameters at three bands and eight classes; 1,632,688 with the
    hidden layer of 1000.

    What is known of it: scales, widths, hidden layer, leaky ReLU (slope 0.2) and repetition are those of a third party's rebuilt
    network (github.com/iborko/theano-conv-semantic). The original's 7×7, tanh and 2×2 maxima are from memory, and summaries of
    the paper agree. The normalisation around each pixel is from memory; the rebuilt one normalises blocks of 15×15. Both give ten
    of the first 16 maps Y alone and the others U and V, and the original joins only some of the maps in the next layers (from
    memory): here all are joined. The rebuilt pyramid ends in a band; here, as Burt and Adelson's, in what is left, so that its
    levels add up to the image. First weights are He's.

    Names for a recipe's rates: `features.*`, `classify.*`. The rebuilt network is first trained without the hidden layer, which
    is then trained alone: `start` from the one without, with rates {"features.*": 0}.

    Args:
        bands: C.
        classes: K.
        width: maps of the first convolution; 16 in the paper.
        hidden: units of the hidden layer (1000 in the rebuilt network); 0 for a softmax regression on the maps.
        dropout: probability before the hidden layer.
        activation: tanh, the original's; leaky_relu.
        neighbourhood: side in pixels of the window in which each band of each scale is brought to mean 0 and deviation 1; 0
            leaves the pyramid as it is.

    Raises:
        SettingError: if an option is out of range.
    """

    stride = STRIDE * 2 ** (SCALES - 1)

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 16,
        hidden: int = 0,
        dropout: float = 0.5,
        activation: str = "tanh",
        neighbourhood: int = 15,
    ) -> None:
        super().__init__(bands, classes)
        _check(width, hidden, dropout, activation, neighbourhood)
        activate = ACTIVATIONS[activation]
        self.features = nn.Sequential(
            nn.Conv2d(bands, width, 7, padding=3), activate(), nn.MaxPool2d(2),
            nn.Conv2d(width, 4 * width, 7, padding=3), activate(), nn.MaxPool2d(2),
            nn.Conv2d(4 * width, 16 * width, 7, padding=3),
        )  # fmt: skip
        maps = SCALES * 16 * width
        score = ScoreLayer(hidden or maps, classes)
        before: list[nn.Module] = [nn.Dropout(dropout), nn.Conv2d(maps, hidden, 1), activate()] if hidden else []
        self.classify = nn.Sequential(*before, score)
        he_initialise(self)
        nn.init.normal_(score.weight, std=0.01)
        self.neighbourhood = neighbourhood
        self.margin = REACH + 2 ** (SCALES - 1) * (neighbourhood // 2)

    def grid_logits(self, x: Tensor) -> Tensor:
        """(B, C, 16m, 16n) → (B, K, 4m, 4n): the network of the paper."""
        maps = [self.features(level) for level in self.levels(x)]
        size = maps[0].shape[-2:]
        repeated = [F.interpolate(coarse, size=size, mode="nearest") for coarse in maps[1:]]
        return self.classify(torch.cat([maps[0], *repeated], dim=1))  # type: ignore[no-any-return]

    def levels(self, x: Tensor) -> list[Tensor]:
        """(B, C, 16m, 16n) → what the convolutions see at each scale, finest first."""
        pyramid = laplacian_pyramid(to_yuv(x) if self.bands == 3 else x, SCALES)
        if not self.neighbourhood:
            return pyramid
        return [normalise_locally(level, self.neighbourhood) for level in pyramid]

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        logits = self.grid_logits(pad_to_multiple(image, self.stride))
        if self.training:
            return logits[..., : (height - 1) // STRIDE + 1, : (width - 1) // STRIDE + 1]
        return to_every_pixel(logits, height, width)


def to_yuv(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) → luma and the two colour differences of analogue television, (B, 3, H, W).

    Written out, as the pyramid is, because a matrix product would be rounded to bfloat16 in mixed precision.
    """
    red, green, blue = rgb.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack((luma, 0.492111 * (blue - luma), 0.877283 * (red - luma)), dim=1)


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """What each halving loses, finest first, and at last what is left (Burt and Adelson 1983, The Laplacian pyramid).

    Args:
        image: (B, C, H, W), H and W multiples of 2 ** (levels - 1).

    Returns:
        (B, C, H, W), (B, C, H/2, W/2) …: from the coarsest on, each doubled and added to the next gives the image.
    """
    bands = []
    for _ in range(levels - 1):
        coarser = halve(image)
        bands.append(image - double(coarser))
        image = coarser
    return [*bands, image]


def halve(x: Tensor) -> Tensor:
    """(B, C, 2h, 2w) → (B, C, h, w): every second pixel of x under the binomial filter of five taps, edges repeated."""
    height, width = x.shape[-2:]
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = functools.reduce(torch.add, (weight * x[..., tap : tap + height : 2, :] for tap, weight in enumerate(BINOMIAL)))
    return functools.reduce(torch.add, (weight * x[..., tap : tap + width : 2] for tap, weight in enumerate(BINOMIAL)))


def double(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, C, 2h, 2w): zeros between the pixels, under twice the same filter along each axis, edges repeated."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    before, here, after = x[..., :-2, :], x[..., 1:-1, :], x[..., 2:, :]
    x = torch.stack(((before + 6 * here + after) / 8, (here + after) / 2), dim=-2).flatten(-3, -2)
    before, here, after = x[..., :-2], x[..., 1:-1], x[..., 2:]
    return torch.stack(((before + 6 * here + after) / 8, (here + after) / 2), dim=-1).flatten(-2)


def normalise_locally(x: Tensor, size: int) -> Tensor:
    """(B, C, H, W) → same: less the mean over `size` × `size` pixels around, over their deviation; edges repeated."""
    mean = _average(x, size)
    variance = _average(x.square(), size) - mean.square()
    return (x - mean) / variance.clamp(min=LEAST_DEVIATION**2).sqrt()


def _average(x: Tensor, size: int) -> Tensor:
    reach = size // 2
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (size, 1), stride=1), (1, size), stride=1)


def to_every_pixel(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (B, K, m, n) of every fourth pixel of the padded image → (B, K, H, W): bilinear, the last ones repeated."""
    rows, columns = logits.shape[-2:]
    whole = resize_on_grid(logits, (rows - 1) * STRIDE + 1, (columns - 1) * STRIDE + 1)
    return F.pad(whole, (0, STRIDE - 1, 0, STRIDE - 1), mode="replicate")[..., :height, :width]


def _check(width: int, hidden: int, dropout: float, activation: str, neighbourhood: int) -> None:
    if not 1 <= width <= 512:
        raise SettingError(f"width is the maps of the first convolution, 1 to 512; found {width}")
    if hidden < 0:
        raise SettingError(f"hidden is the units of the hidden layer, or 0 for none; found {hidden}")
    if not 0 <= dropout <= 1:
        raise SettingError(f"dropout is a probability, 0 to 1; found {dropout}")
    if activation not in ACTIVATIONS:
        raise SettingError(f"there is no activation '{activation}'; {did_you_mean(activation, ACTIVATIONS)}")
    if neighbourhood < 0 or (neighbourhood and neighbourhood % 2 == 0):
        raise SettingError(f"neighbourhood is an odd number of pixels, e.g. 15, or 0 for none; found {neighbourhood}")
