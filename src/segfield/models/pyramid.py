"""Any timm network as an encoder: image → features at strides 2, 4, 8, 16 and 32, whatever the network gives by itself.

Networks with stages give them. Of plain vision transformers, whose features are of one stride, four blocks, evenly spaced, are
resampled, the earliest to the finest, in the way of BEiT (Bao et al. 2022, arXiv:2106.08254) and ViTDet (Li et al. 2022,
arXiv:2203.16527, section 3, from the last block alone). A network is tried on a few sizes when it is built, because what it says
of them is not always so.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import pad_by
from segfield.models.pretrained import first_line

MULTIPLE = 32
"""Of the image's sides, in pixels: the coarsest stride."""

_TRIED = ((32, 64), (96, 128), (224, 288))
"""Sides to try a network on, in pixels: the least it must run at, what convolutions without padding need, what else may."""

_ANY_SIZE = {"dynamic_img_size": True, "strict_img_size": False}
"""Options by which timm's transformers take images of any size."""


@dataclass(frozen=True)
class NetworkFacts:
    """What a timm network says of itself.

    Attributes:
        reductions, indices: strides of its features, and timm's numbers for them.
        blocks: how many features it could give.
        sizes: options of it by which it takes images of any size.
        native: (H, W) it was made for.
    """

    reductions: tuple[int, ...]
    indices: tuple[int, ...]
    blocks: int
    sizes: Mapping[str, bool]
    native: tuple[int, int]

    @property
    def of_one_stride(self) -> bool:
        return len(set(self.reductions)) == 1


@functools.cache
def network_facts(name: str) -> NetworkFacts:
    """The facts of a timm network, without its weights.

    Raises:
        SettingError: if timm has no form of it that gives features.
    """
    plain = _without_weights(name)
    info = _without_weights(name, features_only=True).feature_info
    known = inspect.signature(type(plain).__init__).parameters
    size = (getattr(plain, "pretrained_cfg", None) or {}).get("input_size", (3, 224, 224))
    sizes = {option: value for option, value in _ANY_SIZE.items() if option in known}
    return NetworkFacts(tuple(info.reduction()), tuple(info.out_indices), len(info.info), sizes, (size[1], size[2]))


class PyramidEncoder(nn.Module):
    """(B, C, H, W), sides multiples of 32 → [the image, then features (B, C_i, H/s, W/s) for s = 2, 4, …, 2^depth].

    A stride no feature comes near has a map of no channels (2 where the network starts at 4). Where the network cannot be
    dilated to the output stride, its coarser features are upsampled to it. A network that takes images of one size alone sees
    larger ones window by window.

    Args:
        name: timm's.
        bands: C.
        depth: how many strides.
        output_stride: of the coarsest features: 8, 16 or 32.
        pretrained: fetch timm's weights.
        output_indices: which blocks of a network of one stride are taken; evenly spaced by default.
        options: of timm's network; `img_size` sets the window.

    Attributes:
        model: timm's network.
        out_channels: of the image and of every stride.
        least: pixels a side of an image must have.
        window: (H, W) in pixels, or None where images of any size are taken.

    Raises:
        SettingError: if timm's network gives no features, or runs at no size that was tried.
    """

    def __init__(
        self,
        name: str,
        bands: int,
        depth: int = 5,
        output_stride: int = 32,
        *,
        pretrained: bool = False,
        output_indices: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        facts = network_facts(name)
        strides = [2**level for level in range(1, depth + 1)]
        indices, self.sources = _sources(facts, strides, output_indices)
        given = {**facts.sizes, "in_chans": bands, "pretrained": pretrained, **options}
        self.model = _network(name, tuple(indices), output_stride, given)
        info = self.model.feature_info
        self.channels: list[int] = info.channels()  # type: ignore[operator,union-attr]
        self.one_stride = facts.of_one_stride
        self.patch: int = info.reduction()[0] if self.one_stride else MULTIPLE  # type: ignore[operator,union-attr]
        self.channels_last = getattr(self.model, "output_fmt", None) == "NHWC"
        self.output_stride = min(output_stride, strides[-1])
        self.strides = [min(stride, output_stride) for stride in strides]
        self.out_channels = [bands, *(0 if source is None else self.channels[source] for source in self.sources)]
        self.multiple, self.least = MULTIPLE, _TRIED[0][0]
        self.window: tuple[int, int] | None = None
        self._try(name, bands, options.get("img_size", facts.native))

    @property
    def whole(self) -> nn.Module:
        """What has the tensors' names of timm's classification network."""
        inner = getattr(self.model, "model", self.model)
        return inner if isinstance(inner, nn.Module) else self.model

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        maps = self.maps(image)
        features = [image]
        for stride, source, exact in zip(self.strides, self.sources, self.exact):
            size = (height // stride, width // stride)
            if source is None:
                features.append(image.new_empty(len(image), 0, *size))
            else:
                features.append(maps[source] if exact else resampled(maps[source], size))
        return features

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) of any sides → the network's own features (B, C_i, h_i, w_i), each over the whole image."""
        return self.maps_and_tokens(image, tokens=False)[0]

    def maps_and_tokens(self, image: Tensor, tokens: bool = True) -> tuple[list[Tensor], list[Tensor]]:
        """The maps, and for each the tokens beside them, (B, n, C_i): class token and registers; see `has_tokens`."""
        if self.window is not None:
            return self._by_windows(image, self.window, tokens)
        if self.multiple != MULTIPLE:  # patches of 14 pixels: larger by a few percent, so that they are whole
            height, width = (up(side, self.multiple) * self.multiple for side in image.shape[-2:])
            image = resampled(image, (height, width))
        return self._run(image, tokens)

    @property
    def has_tokens(self) -> bool:
        """Whether the network has tokens beside its maps, and gives them."""
        known = inspect.signature(getattr(self.whole, "forward_intermediates", self.forward)).parameters
        return bool(getattr(self.whole, "num_prefix_tokens", 0)) and "return_prefix_tokens" in known

    def _run(self, image: Tensor, tokens: bool) -> tuple[list[Tensor], list[Tensor]]:
        if tokens:
            pairs = self.whole.forward_intermediates(  # type: ignore[operator]
                image,
                indices=self.model.out_indices,
                output_fmt="NCHW",
                intermediates_only=True,
                return_prefix_tokens=True,
            )
            return [each for each, _ in pairs], [beside for _, beside in pairs]
        maps = self.model(image)
        return [each.permute(0, 3, 1, 2).contiguous() if self.channels_last else each for each in maps], []

    def _by_windows(self, image: Tensor, window: tuple[int, int], tokens: bool) -> tuple[list[Tensor], list[Tensor]]:
        """The maps of windows side by side, cut where the image ends; the windows' tokens on average."""
        batch, bands, height, width = image.shape
        rows, columns = up(height, window[0]), up(width, window[1])
        x = pad_by(image, 0, columns * window[1] - width, 0, rows * window[0] - height)
        x = x.reshape(batch, bands, rows, window[0], columns, window[1]).permute(0, 2, 4, 1, 3, 5)
        maps, beside = self._run(x.reshape(batch * rows * columns, bands, *window), tokens)
        whole = []
        for each in maps:
            channels, h, w = each.shape[1:]
            joined = each.reshape(batch, rows, columns, channels, h, w).permute(0, 3, 1, 4, 2, 5)
            joined = joined.reshape(batch, channels, rows * h, columns * w)
            whole.append(joined[..., : up(height * h, window[0]), : up(width * w, window[1])])
        return whole, [each.reshape(batch, rows * columns, *each.shape[1:]).mean(dim=1) for each in beside]

    def _try(self, name: str, bands: int, native: int | Sequence[int]) -> None:
        """Find out at which sizes the network runs, and where its features lie on the grid of their stride."""
        tried = [(sides, MULTIPLE) for sides in _TRIED]
        if MULTIPLE % self.patch:
            tried.append(((4 * self.patch, 6 * self.patch), self.patch))
        training = self.model.training
        self.model.eval()
        shapes, error = None, None
        for sides, multiple in tried:
            shapes, error = self._shapes(bands, sides)
            if shapes is not None:
                self.multiple, self.least = multiple, sides[0] if multiple == MULTIPLE else MULTIPLE
                break
        else:
            sides = (native, native) if isinstance(native, int) else (int(native[0]), int(native[1]))
            shapes, error = self._shapes(bands, sides)
            self.window = sides
        self.model.train(training)
        if shapes is None:
            raise SettingError(
                f"timm's encoder '{name}' runs on no size of image that was tried ({first_line(error or Exception())}); "
                "set its img_size in the options, or take another, e.g. vit_small_patch16_dinov3 or mobilenetv2_100"
            )
        self.exact = [
            source is not None and tuple(side / stride for side in sides) == shapes[source]
            for stride, source in zip(self.strides, self.sources)
        ]

    @torch.no_grad()
    def _shapes(self, bands: int, sides: tuple[int, int]) -> tuple[list[tuple[int, ...]] | None, Exception | None]:
        """(h, w) of the features of a black image; or None and what was raised."""
        try:
            maps, _ = self._run(torch.zeros(1, bands, *sides), tokens=False)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            return None, error
        return [tuple(each.shape[-2:]) for each in maps], None

    def set_in_channels(self, in_channels: int, pretrained: bool = False) -> None:
        """Asked for by segmentation-models-pytorch; the bands are set already."""

    def make_dilated(self, output_stride: int) -> None:
        """Asked for by segmentation-models-pytorch; the output stride is set already."""


def up(length: int, step: int) -> int:
    """⌈length / step⌉, by positive numbers alone: ONNX divides −5 by 2 to −2, Python to −3."""
    return (length + step - 1) // step


def resampled(features: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) → (B, C, *size), bilinear; pixels are areas."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def _without_weights(name: str, **options: Any) -> Any:
    import timm

    try:
        try:
            with torch.device("meta"):
                return timm.create_model(name, **options)
        except Exception:  # a network that does not know how to be without memory
            return timm.create_model(name, **options)
    except (AssertionError, AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SettingError(
            f"timm's network '{name}' gives no features to decode ({first_line(error)}); take another encoder, "
            "e.g. mobilenetv2_100"
        ) from error


def _network(name: str, indices: tuple[int, ...], output_stride: int, options: Mapping[str, Any]) -> nn.Module:
    """timm's network that gives these features, dilated to the output stride where it can be."""
    import timm

    create = functools.partial(timm.create_model, name, features_only=True, out_indices=indices, **options)
    if output_stride != MULTIPLE:
        try:
            dilated: nn.Module = create(output_stride=output_stride)
            return dilated
        except (AssertionError, NotImplementedError):
            pass
        except TypeError as error:
            if "output_stride" not in str(error):
                raise
    network: nn.Module = create()
    return network


def _sources(
    facts: NetworkFacts, strides: Sequence[int], output_indices: Sequence[int] | None
) -> tuple[list[int], list[int | None]]:
    """timm's numbers of the features to ask for; and for each stride, which of them it takes, None for none."""
    coarse = [stride for stride in strides if stride > 2] or list(strides)
    if facts.of_one_stride:
        count = min(len(coarse), facts.blocks)
        indices = list(output_indices or (facts.blocks * (i + 1) // count - 1 for i in range(count)))
        if not all(-facts.blocks <= index < facts.blocks for index in indices):
            raise SettingError(f"output_indices are blocks 0 to {facts.blocks - 1}; found {indices}")
        after = itertools.count()
        return indices, [min(next(after), len(indices) - 1) if stride in coarse else None for stride in strides]
    nearest: list[int | None] = []
    for stride in strides:
        distances = [abs(math.log2(stride / own)) for own in facts.reductions]
        best = min(range(len(distances)), key=distances.__getitem__)
        nearest.append(None if stride == 2 and distances[best] >= 1 else best)
    taken = sorted({position for position in nearest if position is not None})
    return [facts.indices[each] for each in taken], [None if each is None else taken.index(each) for each in nearest]
