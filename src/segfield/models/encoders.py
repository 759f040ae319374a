"""timm's encoders: whether there is one of a name, and filling one from a classification network's tensors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError, did_you_mean
from segfield.models.pretrained import read_safetensors

SOME = 20
"""Names of an encoder by which prefixes of a file are looked for."""


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


def load_encoder_file(encoder: nn.Module, path: Path, bands: int) -> str:
    """Load a timm encoder's weights from a safetensors file, of a whole network or a part of one; see `load_encoder_tensors`.

    Raises:
        SettingError: if the file is not there or not safetensors.
        FileFormatError: if its tensors are of another network.
    """
    return load_encoder_tensors(encoder, read_safetensors(path), bands, str(path))


def load_encoder_tensors(encoder: nn.Module, tensors: Mapping[str, Tensor], bands: int, source: str) -> str:
    """Fill a timm encoder from tensors by timm's names, whatever stands before them in every name.

    timm names the stages of some encoders anew where they give features alone, `stages_0.` for `stages.0.`; and other libraries
    put the encoder under `encoder.`, `backbone.`, `module.` or `model.`.

    Args:
        encoder: to fill.
        tensors: of a file; those that are none of the encoder's (heads, decoders) are passed over.
        bands: C; a first convolution of three is adapted.
        source: the file, for the sentences.

    Returns:
        how many tensors were taken, and under which prefix, in words.

    Raises:
        FileFormatError: if not every tensor of the encoder is there.
    """
    from timm.models import adapt_input_conv

    own = {key: value for key, value in encoder.state_dict().items() if not key.endswith("num_batches_tracked")}
    named = _by_plain_name(tensors)
    prefix = _best_prefix(own, named)
    found: dict[str, Tensor] = {}
    for key, value in own.items():
        theirs = named.get(prefix + _plain(key))
        if theirs is None:
            continue
        if theirs.shape != value.shape and theirs.ndim == 4 and theirs.shape[1] == 3:
            theirs = adapt_input_conv(bands, theirs)
        found[key] = theirs
    missing = [key for key in own if key not in found]
    unlike = [key for key in found if found[key].shape != own[key].shape]
    if missing or unlike:
        raise FileFormatError(
            f"{source} holds weights of another encoder: of the encoder's {len(own)} tensors {len(missing)} are missing and "
            f"{len(unlike)} have another shape (first: {(missing + unlike)[0]}); give the file of the encoder the model is named "
            "after, with timm's names behind any prefix"
        )
    encoder.load_state_dict(found, strict=False)
    under = f", named '{prefix}…' there" if prefix else ""
    return f"{len(found)} of the encoder's {len(own)} tensors from {source}{under}; {len(tensors) - len(found)} others left"


def _plain(name: str) -> str:
    """A tensor's name, alike whether timm has flattened the sequence it lies in (`stages_0`) or not (`stages.0`)."""
    return name.replace("_", ".")


def _by_plain_name(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_plain(key): value for key, value in tensors.items()}


def _best_prefix(own: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> str:
    """What stands before the encoder's names in a file: of all that occur, what finds the most tensors of the right shape."""
    anchors = [_plain(key) for key in list(own)[:SOME]]
    candidates = {
        name.removesuffix(key) for key in anchors for name in named if name == key or name.endswith("." + key)
    }

    def fitting(prefix: str) -> tuple[int, int]:
        shapes = ((value.shape, named.get(prefix + _plain(key))) for key, value in own.items())
        return sum(theirs is not None and theirs.shape == shape for shape, theirs in shapes), -len(prefix)

    return max(sorted(candidates), key=fitting, default="")
