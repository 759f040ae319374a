"""Atomic writing: the old content or the new one, never half; errors with cause and mend."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from segfield.data.files import replacing, replacing_folder, unreadable, unwritable, write_atomically, write_text
from segfield.errors import DataError, SegfieldError


def test_writes_bytes_and_makes_folders(tmp_path):
    target = tmp_path / "new folder" / "größe.bin"
    write_atomically(target, b"\x00\x01")
    assert target.read_bytes() == b"\x00\x01"
    assert list(target.parent.iterdir()) == [target]


def test_text_is_utf8_with_its_own_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\nb\n".encode()


def test_replaces_what_was_there(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old and longer")
    write_text(target, "new")
    assert target.read_text() == "new"


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "ours", "x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_disk_full_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")

    def full(self, data):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SegfieldError, match=r"a\.bin.*No space left.*free some space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_truly_full_device_is_reported():
    with pytest.raises(OSError) as caught, Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")
    assert "free some space" in str(unwritable(Path("a"), caught.value))


def test_an_interrupt_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_seen_under_the_name_until_the_end(tmp_path):
    target = tmp_path / "a.bin"
    with replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_bytes() == b"new"


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path):
    target = tmp_path / "made" / "ids"
    for content in (b"old", b"new"):
        with replacing_folder(target) as temporary:
            (temporary / f"{content.decode()}.png").write_bytes(content)
            assert [file.name for file in target.rglob("*")] == ([] if content == b"old" else ["old.png"])
    assert [file.name for file in target.iterdir()] == ["new.png"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_folder_that_fails_leaves_the_old_one(tmp_path, error):
    target = tmp_path / "ids"
    target.mkdir()
    (target / "old.png").write_bytes(b"old")
    with (
        pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else SegfieldError),
        replacing_folder(target) as new,
    ):
        (new / "new.png").write_bytes(b"new")
        raise error
    assert [file.name for file in tmp_path.rglob("*")] == ["ids", "old.png"]


def test_a_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SegfieldError, match="could not be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(SegfieldError, match="choose a shorter name"):
        write_text(tmp_path / ("a" * 300), "x")


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (FileNotFoundError(), "no such mask file.*check the path"),
        (PermissionError(), "not permitted.*mask.*grant yourself access"),
        (IsADirectoryError(), "is a folder"),
        (ValueError("odd\nbytes."), r"mask.*damaged \(odd bytes\)"),
        (KeyError(), r"damaged \(KeyError\)"),
    ],
)
def test_unreadable_says_cause_and_mend(error, part, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=part):
        raise unreadable(tmp_path / "a.png", error, "mask")


def test_unreadable_notices_an_empty_file(tmp_path):
    (tmp_path / "a.png").touch()
    assert "is empty (0 bytes)" in str(unreadable(tmp_path / "a.png", OSError("cannot identify")))
