"""ICNet (Zhao et al. 2017, arXiv:1704.08545): an image cascade of three branches, their fusion, and guidance by labels.

The layers are those of the authors' network for Cityscapes: the deep branch sees a quarter of the image's resolution, the
other two bring the edges back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import Classifier, TrainingOutput, pad_by
from segfield.models.pretrained import copy_matching
from segfield.models.pruning import Producer, SharedChannels, prune
from segfield.models.vgg import he_initialise

PYRAMID_BINS = (1, 2, 3, 6)
FULL_BRANCH = (32, 32, 64)
FUSED = 128


class ICNet(Classifier):
    """Half, quarter and full resolution, fused from coarse to fine; logits come at a quarter of the image's size.

    Sizes of 32k + 1 are the network's own: every halving takes n pixels to (n − 1)/2 + 1 and every resize (align-corners) doubles
    them back, so that all maps lie on one grid. Other images are mirrored up to the next such size inside. At 1025×2049: conv5
    33×65, first fusion 65×129, second 129×257, classifier 257×513. At 19 classes the published network has 6,699,987
    parameters and 29.8 billion multiply–adds; here the 1×1 classifiers come before the resizes with which they commute, which
    saves 0.24 of them.

    In training the logits are at 1/4, with auxiliary ones at 1/16 and 1/8 from the maps that enter the fusions (cascade label
    guidance; two more 1×1 classifiers). The pyramid pools the whole image, so a tile meets another context than the image it is
    cut from: prefer whole images.

    Published is width 0.5. Wider forms are a reconstruction: `width` scales what stems from PSPNet50, conv1 to conv5_4
    (64/64/128, 64/256 … 512/2048, 512 at width 1). The branch at full resolution and the fusions keep their width: they have
    no counterpart there, and a network keeps them whole when its trunk is pruned. The published one was made by keeping 3/4
    of the kernels, training again, and so on down to half (section 5.2 of the first arXiv version, by summaries of it);
    `start_from` a wider ICNet takes one such step.

    Args:
        bands: C.
        classes: K.
        width: 1 for the trunk of PSPNet50, 0.5 for the published network.
        guidance: weights of the auxiliary logits at 1/16 and 1/8. The main logits' is 1.
        norm_momentum: share of the newest batch in the running statistics (0.05 is Caffe's 0.95 in the authors' file).
    """

    stride = 32
    margin = 128  # dilated convolutions reach further, and pooling everywhere

    def __init__(
        self,
        bands: int,
        classes: int,
        width: float = 0.5,
        guidance: Sequence[float] = (0.16, 0.4),
        norm_momentum: float = 0.05,
    ) -> None:
        super().__init__(bands, classes)
        if not 0 < width <= 4:
            raise SettingError(f"width is above 0 and up to 4, 0.5 in the paper; found {width}")
        if len(guidance) != 2 or min(guidance) < 0:
            raise SettingError(
                f"guidance is two weights, 0 or more, of the logits at 1/16 and 1/8; found {list(guidance)}"
            )
        if not 0 < norm_momentum <= 1:
            raise SettingError(f"norm_momentum is above 0 and up to 1, e.g. 0.05; found {norm_momentum}")
        self.guidance = tuple(guidance)
        c64, c128, c256, c512, c1024, c2048 = (max(1, round(c * width)) for c in (64, 128, 256, 512, 1024, 2048))
        self.conv1 = nn.Sequential(
            conv_norm(bands, c64, 3, stride=2), conv_norm(c64, c64, 3), conv_norm(c64, c128, 3), nn.MaxPool2d(3, 2, 1)
        )
        self.conv2 = _stage(c128, c64, c256, blocks=3)
        self.conv3_1 = Bottleneck(c256, c128, c512, stride=2, project=True)
        self.conv3 = nn.Sequential(*(Bottleneck(c512, c128, c512) for _ in range(3)))
        self.conv4 = _stage(c512, c256, c1024, blocks=6, dilation=2)
        self.conv5 = _stage(c1024, c512, c2048, blocks=3, dilation=4)
        self.conv5_4 = conv_norm(c2048, c512, 1)
        self.full = nn.Sequential(
            *(conv_norm(c_in, c, 3, stride=2) for c_in, c in zip((bands, *FULL_BRANCH), FULL_BRANCH))
        )
        self.fuse_half = CascadeFusion(c512, c512, FUSED)
        self.fuse_full = CascadeFusion(FUSED, FULL_BRANCH[-1], FUSED)
        self.classify = nn.Conv2d(FUSED, classes, 1)
        self.guide_coarse = nn.Conv2d(c512, classes, 1)
        self.guide_middle = nn.Conv2d(FUSED, classes, 1)
        he_initialise(self)  # Caffe's msra filler
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum

    def forward(self, image: Tensor) -> Tensor | TrainingOutput:
        height, width = image.shape[-2:]
        x = pad_by(image, 0, (1 - width) % 32, 0, (1 - height) % 32)
        # align-corners bilinear halving of 2n + 1 to n + 1 pixels takes every second one
        half = self.conv3_1(self.conv2(self.conv1(x[..., ::2, ::2])))  # 1/16
        quarter = self.conv5(self.conv4(self.conv3(half[..., ::2, ::2])))  # 1/32
        coarse = self.conv5_4(pyramid_pooling(quarter))  # 1/32
        middle = self.fuse_half(coarse, half)  # 1/16
        fine = self.fuse_full(middle, self.full(x))  # 1/8
        if not self.training:
            # ×2 and ×4 at once: they are the same broken line. Class by class, as what follows reads the logits
            logits = self.classify(fine).contiguous()
            return resize(logits, x.shape[-2], x.shape[-1])[..., :height, :width]
        scores = ((self.classify(fine), 4), (self.guide_coarse(coarse), 16), (self.guide_middle(middle), 8))
        main, *guides = (on_label_grid(double(logits.contiguous()), step, height, width) for logits, step in scores)
        return TrainingOutput(main, list(zip(self.guidance, guides)))

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over another ICNet's weights; of a wider one's kernels, those with the largest L1 norm.

        Raises:
            SettingError: if the weights are another network's or a narrower ICNet's.
        """
        channels = self.prunable_channels()
        own = self.state_dict()
        counts = [len(own[f"{shared.producers[0].convolution}.weight"]) for shared in channels]
        copy_matching(self, prune(tensors, channels, counts))

    def prunable_channels(self) -> list[SharedChannels]:
        """What `width` scales: every set of channels with the convolutions that write and read it."""
        stages = {
            "conv2": [f"conv2.{n}" for n in range(3)],
            "conv3": ["conv3_1", *(f"conv3.{n}" for n in range(3))],
            "conv4": [f"conv4.{n}" for n in range(6)],
            "conv5": [f"conv5.{n}" for n in range(3)],
        }
        readers = {
            "conv2": _first_of(stages["conv3"]),
            "conv3": [*_first_of(stages["conv4"]), "fuse_half.high"],
            "conv4": _first_of(stages["conv5"]),
            "conv5": ["conv5_4"],
        }
        sets = [
            _shared(["conv1.0"], ["conv1.1"]),
            _shared(["conv1.1"], ["conv1.2"]),
            _shared(["conv1.2"], _first_of(stages["conv2"])),
        ]
        for name, blocks in stages.items():
            for block in blocks:
                sets.append(_shared([f"{block}.reduce"], [f"{block}.middle"]))
                sets.append(_shared([f"{block}.middle"], [f"{block}.increase"]))
            writers = [f"{blocks[0]}.project", *(f"{block}.increase" for block in blocks)]
            sets.append(_shared(writers, [*(f"{block}.reduce" for block in blocks[1:]), *readers[name]]))
        last = Producer("conv5_4.conv", "conv5_4.norm")
        return [*sets, SharedChannels((last,), ("fuse_half.low.conv", "guide_coarse"))]


class Bottleneck(nn.Module):
    """1×1 (with the stride), 3×3, 1×1, added to the input or its projection: (B, c_in, H, W) → (B, c_out, ⌈H/s⌉, ⌈W/s⌉)."""

    def __init__(
        self, c_in: int, c_middle: int, c_out: int, stride: int = 1, dilation: int = 1, project: bool = False
    ) -> None:
        super().__init__()
        self.reduce = conv_norm(c_in, c_middle, 1, stride=stride)
        self.middle = conv_norm(c_middle, c_middle, 3, dilation=dilation)
        self.increase = conv_norm(c_middle, c_out, 1, relu=False)
        self.project = conv_norm(c_in, c_out, 1, stride=stride, relu=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.project is None else self.project(x)
        return F.relu(self.increase(self.middle(self.reduce(x))) + shortcut)


class CascadeFusion(nn.Module):
    """Cascade feature fusion (section 5): a coarse map, doubled, and a fine one, (B, C, H, W) → (B, c_out, H, W)."""

    def __init__(self, c_coarse: int, c_fine: int, c_out: int) -> None:
        super().__init__()
        self.low = conv_norm(c_coarse, c_out, 3, dilation=2, relu=False)
        self.high = conv_norm(c_fine, c_out, 1, relu=False)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        doubled = resize(coarse, fine.shape[-2], fine.shape[-1])
        return F.relu(self.low(doubled) + self.high(fine))


def conv_norm(
    c_in: int, c_out: int, size: int, *, stride: int = 1, dilation: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution without bias, padded by dilation × (size // 2), batch norm and, where wanted, ReLU."""
    padding = dilation * (size // 2)
    conv = nn.Conv2d(c_in, c_out, size, stride=stride, padding=padding, dilation=dilation, bias=False)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=nn.BatchNorm2d(c_out))
    if relu:
        layers["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def pyramid_pooling(x: Tensor) -> Tensor:
    """Averages over 1, 2, 3 and 6 windows a side, bilinearly back (align-corners) and added to x: (B, C, H, W) → same.

    Pooling and resizing are linear, so that all four levels are two matrix products, at any size.
    """
    height, width = x.shape[-2:]
    rows, columns = ([pyramid_level(size, bins, x.device) for bins in PYRAMID_BINS] for size in (height, width))
    pool = torch.cat([_both(down, across) for (down, _), (across, _) in zip(rows, columns)])  # (50, H·W)
    spread = torch.cat([_both(down, across) for (_, down), (_, across) in zip(rows, columns)], dim=1)  # (H·W, 50)
    pixels = x.flatten(2).transpose(1, 2)  # (B, H·W, C)
    pooled = spread.to(x.dtype) @ (pool.to(x.dtype) @ pixels)
    return x + pooled.transpose(1, 2).reshape(x.shape)


def _both(down: Tensor, across: Tensor) -> Tensor:
    """(p, h), (q, w) → (p·q, h·w): their Kronecker product; torch.kron is exported to ONNX for one size only."""
    return (down[:, None, :, None] * across[None, :, None, :]).flatten(2).flatten(0, 1)


def pool_window(size: int, bins: int) -> tuple[int, int]:
    """(kernel, stride) in pixels of the pool to `bins` bins along an axis of `size`.

    Strides are size // bins, but that of 3 bins is twice that of 6, and the kernel reaches the end. This gives the published
    windows at 33 and 65; that the authors had this rule in mind is a guess. Below 6 pixels 3 and 6 bins see everything.
    """
    stride = 2 * (size // 6) if bins == 3 else size // bins
    return size - (bins - 1) * stride, stride


def pyramid_level(size: int, bins: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along one axis: (bins, size) that averages, (size, bins) that brings back."""
    return averaging(size, bins, device), spreading(bins, size, device)


def averaging(size: int, bins: int, device: torch.device | None = None) -> Tensor:
    """(bins, size): each row the mean over one window of `pool_window`."""
    kernel, stride = pool_window(size, bins)
    pixels = torch.arange(size, device=device)
    starts = torch.arange(bins, device=device)[:, None] * stride
    return ((pixels >= starts) & (pixels < starts + kernel)).float() / kernel


def spreading(bins: int, size: int, device: torch.device | None = None) -> Tensor:
    """(size, bins): bilinear resizing of `bins` values to `size`, ends on ends (align-corners)."""
    pixels = torch.arange(size, device=device).float()[:, None]
    positions = pixels * (bins - 1) / pixels.max().clamp(min=1)  # in bins
    return (1 - (positions - torch.arange(bins, device=device)).abs()).clamp(min=0)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corners on corners: (B, C, h, w) → (B, C, height, width)."""
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)


def double(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, C, 2h − 1, 2w − 1): the next finer grid of a 32k + 1 image."""
    return resize(x, 2 * x.shape[-2] - 1, 2 * x.shape[-1] - 1)


def on_label_grid(logits: Tensor, step: int, height: int, width: int) -> Tensor:
    """Logits at every `step`-th pixel of the padded image → (B, K, ⌈height / step⌉, ⌈width / step⌉), those of the image."""
    return logits[..., : (height - 1) // step + 1, : (width - 1) // step + 1]


def _stage(c_in: int, c_middle: int, c_out: int, blocks: int, dilation: int = 1) -> nn.Sequential:
    first = Bottleneck(c_in, c_middle, c_out, dilation=dilation, project=True)
    return nn.Sequential(first, *(Bottleneck(c_out, c_middle, c_out, dilation=dilation) for _ in range(blocks - 1)))


def _first_of(blocks: Sequence[str]) -> list[str]:
    """The convolutions that read a stage's input."""
    return [f"{blocks[0]}.reduce", f"{blocks[0]}.project"]


def _shared(writers: Sequence[str], readers: Sequence[str]) -> SharedChannels:
    """Channels between layers made by `conv_norm`."""
    return SharedChannels(
        tuple(Producer(f"{name}.conv", f"{name}.norm") for name in writers), tuple(f"{name}.conv" for name in readers)
    )
