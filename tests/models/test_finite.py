"""NaN and infinity among the tensors of a file: counted, named, and nothing sound refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segfield.errors import FileFormatError
from segfield.models.finite import check_finite, not_finite
from segfield.models.pretrained import read_safetensors


def test_every_bad_number_is_counted_and_the_first_tensor_named() -> None:
    tensors = {"a": torch.ones(3), "b": torch.tensor([1.0, torch.nan, torch.inf]), "c": torch.tensor([-torch.inf])}
    with pytest.raises(
        FileFormatError, match=r"x.safetensors holds 3 weights .* in 2 of 3 tensors .*first: b.*mend it"
    ):
        check_finite(tensors, "x.safetensors", "mend it")


def test_infinities_of_both_signs_do_not_cancel() -> None:
    assert not_finite(torch.tensor([torch.inf, -torch.inf])) == 2


@pytest.mark.parametrize("values", [[3e38, 3e38], [-3e38, 3e38, 3e38, 3e38], [], [0.0]])
def test_large_numbers_are_numbers(values: list[float]) -> None:
    assert not_finite(torch.tensor(values)) == 0
    assert not_finite(torch.full((3,), 60000.0, dtype=torch.float16)) == 0  # whose sum overflows
    check_finite({"count": torch.tensor(3), "values": torch.tensor(values)}, "x", "")


def test_weights_of_a_file_are_looked_at(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.full((2, 2), torch.nan)}, tmp_path / "vgg.safetensors")
    with pytest.raises(FileFormatError, match=r"vgg.safetensors holds 4 weights .*features.0.weight.*--weights none"):
        read_safetensors(tmp_path / "vgg.safetensors")
