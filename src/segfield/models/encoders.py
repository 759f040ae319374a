"""timm's encoders: whether there is one of a name, and filling one from a classification network's tensors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError, did_you_mean
from segfield.models.pretrained import read_safetensors


def check_encoder(encoder: str) -> None:
    """Whether timm has an encoder of this name.

    Raises:
        SettingError: if not, with the names nearest to it.
    """
    import timm

    if not timm.is_model(encoder):
        near = difflib.get_close_matches(encoder, timm.list_models(), n=8)
        raise SettingError(
            f"timm has no encoder '{encoder}'; {did_you_mean(encoder, near or ['mobilenetv2_100', 'resnet34'])}"
        )


def load_encoder_file(encoder: nn.Module, path: Path, bands: int) -> None:
    """Load a timm encoder's weights from a safetensors file; the classification head in it is not wanted.

    Raises:
        SettingError: if the file is not there or not safetensors.
        FileFormatError: if its tensors are of another network.
    """
    load_encoder_tensors(encoder, read_safetensors(path), bands, str(path))


def load_encoder_tensors(encoder: nn.Module, tensors: Mapping[str, Tensor], bands: int, source: str) -> None:
    """Fill a timm encoder from a classification network's tensors by timm's names; `source` is for the error.

    timm names the stages of some encoders anew where they give features alone: `stages_0.` for `stages.0.`.

    Raises:
        FileFormatError: if the tensors are of another network.
    """
    from timm.models import adapt_input_conv

    own = encoder.state_dict()
    found: dict[str, Tensor] = {}
    for key, value in own.items():
        theirs = tensors.get(key, tensors.get(re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", key)))
        if theirs is None:
            continue
        if theirs.shape != value.shape and theirs.ndim == 4 and theirs.shape[1] == 3:
            theirs = adapt_input_conv(bands, theirs)
        found[key] = theirs
    missing = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    unlike = [key for key in found if found[key].shape != own[key].shape]
    if missing or unlike:
        raise FileFormatError(
            f"{source} holds weights of another encoder: {len(missing)} tensors are missing and {len(unlike)} have another "
            f"shape (first: {(missing + unlike)[0]}); give the file of the encoder the model is named after"
        )
    encoder.load_state_dict(found, strict=False)
