"""What changed of the data while a run was stopped is named; damaged notes about it are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segfield.data.dataset import Sample
from segfield.errors import FileFormatError, SettingError
from segfield.training.data_changes import changes, checksum, read_checksums, refusal, write_checksums

IMAGE = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
LABELS = np.zeros((4, 4), np.uint8)


def test_a_checksum_tells_images_from_labels() -> None:
    plain = checksum(Sample("a", IMAGE, LABELS))
    assert checksum(Sample("b", IMAGE.copy(), LABELS.copy())) == plain
    assert checksum(Sample("a", IMAGE, LABELS + 1))[:8] == plain[:8] != checksum(Sample("a", IMAGE + 1, LABELS))[:8]
    assert checksum(Sample("a", IMAGE + 1, LABELS))[8:] == plain[8:] != checksum(Sample("a", IMAGE, LABELS + 1))[8:]
    assert checksum(Sample("a", IMAGE, None))[:8] == plain[:8]


def test_changes_are_named(tmp_path: Path) -> None:
    before = {"train": {"a": "0" * 16, "b": "0" * 16, "c": "0" * 16}, "val": {"v": "0" * 16}}
    write_checksums(tmp_path / "samples.json", before)
    kept = read_checksums(tmp_path / "samples.json")
    assert kept == before
    assert changes(kept, before) == ""
    now = {"train": {"a": "1" * 16, "b": "0" * 8 + "1" * 8, "d": "0" * 16}, "val": {"v": "1" + "0" * 15}}
    told = changes(kept, now)
    for part in ("images changed: 'a';", "labels changed: 'a', 'b';", "gone: 'c';", "new: 'd';", "images changed: 'v'"):
        assert part in told
    error = refusal(tmp_path, told)
    assert isinstance(error, SettingError) and told in str(error) and "--accept_changed_data" in str(error)


def test_many_are_counted() -> None:
    told = changes({"train": {str(i): "0" * 16 for i in range(100)}}, {"train": {}})
    assert told == "gone: '0', '1', '10', '11' and 96 more"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": 3}', "null", "\xff"])
def test_a_damaged_file_is_refused_and_a_missing_one_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "samples.json"
    assert read_checksums(file) is None
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"samples\.json is damaged.*delete that file"):
        read_checksums(file)
