"""DPT: segmentation-models-pytorch's own where that runs, and on encoders where it does not."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch

from segfield.errors import SettingError
from segfield.models import build_classifier

SMALL = {"decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8}


@pytest.mark.parametrize("readout", ["cat", "add", "ignore"])
def test_it_is_the_librarys_on_a_vision_transformer(readout: str) -> None:
    torch.manual_seed(0)
    ours = build_classifier("dpt:test_vit", 3, 4, options={**SMALL, "decoder_readout": readout}).eval()
    theirs = smp.DPT(
        "tu-test_vit", encoder_weights=None, classes=4, decoder_readout=readout, dynamic_img_size=True, **SMALL
    ).eval()
    missing = theirs.encoder.model.load_state_dict(ours.encoder.whole.state_dict(), strict=False)
    assert not missing.unexpected_keys
    theirs.decoder.load_state_dict(ours.network.decoder.state_dict())
    theirs.segmentation_head.head.load_state_dict(ours.network.segmentation_head[0].state_dict())
    image = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"decoder_readout": "sum"}, "decoder_readout"), ({"decoder_intermediate_channels": (8, 8)}, "four numbers")],
)
def test_options_out_of_range(options: dict[str, object], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        build_classifier("dpt:test_vit", 3, 4, options=options)
