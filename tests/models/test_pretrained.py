"""Weights from files and from timm's hub: what is read, what is refused, and what each refusal says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from segfield.errors import FileFormatError, SettingError
from segfield.models.pretrained import copy_matching, first_line, pretrained_tensors, quiet_hub, read_safetensors


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    tensors = {"features.0.weight": torch.randn(4, 3, 3, 3), "half": torch.ones(2, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "vgg.safetensors")
    given = pretrained_tensors("vgg16", str(tmp_path / "vgg.safetensors"))
    assert given.keys() == tensors.keys()
    assert all(torch.equal(given[key], tensors[key]) for key in tensors)


class Runs:
    """A pickle of this creates a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
def test_no_pickle_is_opened_whatever_its_name(name: str, tmp_path: Path) -> None:
    torch.save({"weight": Runs(tmp_path / "ran")}, tmp_path / name)
    with pytest.raises((SettingError, FileFormatError), match=r"convert them first|not a whole safetensors file"):
        pretrained_tensors("vgg16", str(tmp_path / name))
    assert not (tmp_path / "ran").exists()


def test_missing_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no weights file .*absent\.safetensors"):
        read_safetensors(tmp_path / "absent.safetensors")
    with pytest.raises(SettingError, match="no weights file"):
        read_safetensors(tmp_path)
    whole, part = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    save_file({"weight": torch.randn(100)}, whole)
    part.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(FileFormatError, match=r"part\.safetensors.*not a whole.*fetch it again"):
        read_safetensors(part)


def test_the_hub_is_asked_for_the_network_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Conv2d(3, 4, 1)
    asked: list[tuple[str, bool]] = []

    def create(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return network

    monkeypatch.setattr(timm, "create_model", create)
    tensors = pretrained_tensors("vgg16_bn", "imagenet")
    assert asked == [("vgg16_bn", True)]
    assert torch.equal(tensors["weight"], network.weight)


@pytest.mark.parametrize(
    "error", [ConnectionError("no route\nsecond line"), RuntimeError("no route"), OSError("no route.")]
)
def test_a_hub_out_of_reach_says_what_else_would_do(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: object, **__: object) -> nn.Module:
        raise error

    monkeypatch.setattr(timm, "create_model", create)
    words = r"'vgg16' .*\(no route\).*--weights FILE\.safetensors.*--weights none"
    with pytest.raises(SettingError, match=words):
        pretrained_tensors("vgg16", "imagenet")


def test_the_hub_is_quiet_only_while_it_is_asked() -> None:
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.INFO)
    with pytest.raises(KeyError), quiet_hub():
        assert not hub.isEnabledFor(logging.WARNING)
        raise KeyError
    assert hub.level == logging.INFO
    hub.setLevel(before)


def test_what_matches_in_name_and_shape_is_copied_and_nothing_else() -> None:
    coarse = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    fine = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 5, 1))
    coarse[1].running_mean.fill_(7)
    before = {key: value.clone() for key, value in fine.state_dict().items()}
    filled, left = copy_matching(fine, coarse.state_dict() | {"stranger": torch.ones(1)})
    assert sorted(filled + left) == sorted(before)
    assert left == ["2.weight", "2.bias", "3.weight", "3.bias"]
    after = fine.state_dict()
    assert all(torch.equal(after[key], coarse.state_dict()[key]) for key in filled)
    assert all(torch.equal(after[key], before[key]) for key in left)
    assert fine[0].weight.requires_grad


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\n one.\ntwo"), "one"), (ValueError(), "ValueError"), (ValueError("x" * 999), "x" * 200)],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
