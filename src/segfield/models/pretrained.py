"""Pretrained weights: from timm's hub or a safetensors file, and what of them fits a network. No pickle is opened."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError
from segfield.models.finite import check_finite

FROM_HUB = "imagenet"


def pretrained_tensors(network: str, weights: str) -> dict[str, Tensor]:
    """The tensors of a timm network by name.

    Args:
        network: timm's name, e.g. 'vgg16'.
        weights: 'imagenet' (fetched by timm), or the path of a safetensors file.

    Raises:
        SettingError: if the weights cannot be fetched, or the file is missing or a pickle.
        FileFormatError: if the file is damaged.
    """
    if weights != FROM_HUB:
        return read_safetensors(Path(weights))
    import timm

    with quiet_hub():
        try:
            return dict(timm.create_model(network, pretrained=True).state_dict())
        except (OSError, RuntimeError) as error:
            raise SettingError(unfetched(network, error)) from error


def unfetched(network: str, error: BaseException) -> str:
    """The sentence for weights that timm's hub did not give."""
    return (
        f"the ImageNet weights of '{network}' could not be fetched ({first_line(error)}); "
        "give --weights FILE.safetensors, or --weights none to train from scratch"
    )


def copy_matching(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy every tensor whose name and shape are a parameter's or buffer's of `network`.

    Returns:
        the names of the network that were filled, and those that were not.
    """
    own = network.state_dict()
    fitting = {key: tensors[key] for key in own if key in tensors and tensors[key].shape == own[key].shape}
    with torch.no_grad():
        for key, value in fitting.items():
            own[key].copy_(value)
    return list(fitting), [key for key in own if key not in fitting]


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Pickles (.pth, .pt, .ckpt) are refused: reading one can run any code.

    Raises:
        SettingError: if the file is missing or is a pickle.
        FileFormatError: if it is damaged, or holds NaN.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise SettingError(
            f"there is no weights file {path}; give 'imagenet', 'none' or the path of a safetensors file"
        )
    if path.suffix != ".safetensors":
        raise SettingError(
            f"{path} is not a .safetensors file, and pickled weights are not opened because they can run code; "
            "convert them first, e.g. with safetensors.torch.save_file on a machine where you trust them"
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise FileFormatError(
            f"{path} is not a whole safetensors file ({first_line(error)}); fetch it again"
        ) from error
    check_finite(tensors, str(path), "fetch it again, or give --weights none")
    return tensors


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Keeps the hub's ten lines of retries away: what fails ends in one sentence."""
    hub = logging.getLogger("huggingface_hub")
    told = hub.level
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub.setLevel(told)


def first_line(error: BaseException) -> str:
    """The first line of an error, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
