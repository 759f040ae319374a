"""DPT on any encoder: Ranftl, Bochkovskiy and Koltun 2021, Vision Transformers for Dense Prediction (arXiv:2103.13413).

The decoder is segmentation-models-pytorch's. A plain vision transformer gives it four of its blocks, with the class token
(readout); a network with stages gives the stages, as the paper's hybrid does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.pyramid import PyramidEncoder, resampled

READOUTS = ("cat", "add", "ignore")


class DPTNetwork(nn.Module):
    """(B, C, H, W), sides multiples of 32 → logits (B, K, H, W).

    Args:
        encoder: of depth 5.
        classes: K.
        decoder_readout: what becomes of the class token: 'cat' (projected with every token), 'add', 'ignore'; ignored where there
            is none.
        decoder_intermediate_channels: of the four maps before they are fused.
        decoder_fusion_channels: of the fused ones.

    Raises:
        SettingError: if an option is out of range.
    """

    def __init__(
        self,
        encoder: PyramidEncoder,
        classes: int,
        decoder_readout: str = "cat",
        decoder_intermediate_channels: Sequence[int] = (256, 512, 1024, 1024),
        decoder_fusion_channels: int = 256,
    ) -> None:
        super().__init__()
        from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead

        if decoder_readout not in READOUTS:
            raise SettingError(f"decoder_readout is '{decoder_readout}'; give one of {', '.join(READOUTS)}")
        if len(decoder_intermediate_channels) != 4:
            raise SettingError(f"decoder_intermediate_channels are four numbers; found {decoder_intermediate_channels}")
        self.encoder = encoder
        self.strides, self.sources = _assembled(encoder)
        self.tokens = encoder.has_tokens and decoder_readout != "ignore"
        self.decoder = DPTDecoder(
            encoder_out_channels=[encoder.channels[source] for source in self.sources],
            encoder_output_strides=self.strides,
            encoder_has_prefix_tokens=self.tokens,
            readout=decoder_readout if self.tokens else "ignore",
            intermediate_channels=decoder_intermediate_channels,
            fusion_channels=decoder_fusion_channels,
        )
        head = DPTSegmentationHead(decoder_fusion_channels, classes).head
        self.segmentation_head = nn.Sequential(head, nn.UpsamplingBilinear2d(scale_factor=2))
        initialize_decoder(self.decoder)
        initialize_head(self.segmentation_head)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        maps, tokens = self.encoder.maps_and_tokens(image, self.tokens)
        sized = [
            resampled(maps[source], (height // stride, width // stride))
            for source, stride in zip(self.sources, self.strides)
        ]
        beside = [tokens[source] if self.tokens else None for source in self.sources]
        return self.segmentation_head(self.decoder(sized, beside))  # type: ignore[no-any-return]


def _assembled(encoder: PyramidEncoder) -> tuple[list[int], list[int]]:
    """Strides of the four maps that are given to the decoder, and which of the encoder's they are."""
    sources = [source for source in encoder.sources if source is not None][-4:]
    if encoder.one_stride:  # the decoder has layers of its own from the patches' stride to 4, 8, 16 and 32
        nearest = min(max(2 ** round(math.log2(encoder.patch)), 4), 32)
        return [nearest] * 4, sources
    return [4, 8, 16, 32], sources
