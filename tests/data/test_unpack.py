"""Archives of every kind, honest and hostile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from segfield.data import unpack as module
from segfield.data.unpack import unpack
from segfield.errors import DataError, SegfieldError

FILES = {"set/images/ä 1.txt": b"one" * 1000, "set/masks/1.txt": b"two", "set/empty.txt": b""}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, body in files.items():
            opened.writestr(name, body)
    return path


def make_tar(path: Path, files: dict[str, bytes], members: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            opened.addfile(info, io.BytesIO(body))
        for info in members:
            opened.addfile(info)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def make(path: Path, files: dict[str, bytes]) -> Path:
    return make_zip(path, files) if path.suffix == ".zip" else make_tar(path, files)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"])
def test_every_kind_unpacks_and_a_second_time_changes_nothing(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, FILES)
    out = tmp_path / "out"
    for _ in range(2):
        written = unpack(archive, out)
        assert {p.relative_to(out).as_posix(): p.read_bytes() for p in written} == FILES
    assert sorted(p.name for p in out.iterdir()) == ["set"]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("name", ["../out.txt", "/etc/x.txt", "a/../../x.txt", "C:\\x.txt", "a\\..\\..\\x.txt"])
def test_names_that_leave_the_folder(tmp_path: Path, suffix: str, name: str) -> None:
    archive = make(tmp_path / f"evil{suffix}", {"good.txt": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"outside the folder.*nothing was unpacked"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (link("a", "/etc/passwd"), "links out"),
        (link("set/a", "../../secret"), "links out"),
        (link("set/a", "../secret", tarfile.LNKTYPE), "links out"),
        (link("set/a", "nothing.txt"), "links to no file"),
        (link("fifo", "", tarfile.FIFOTYPE), "device"),
        (link("dev", "", tarfile.CHRTYPE), "device"),
    ],
)
def test_tar_links_out_and_devices(tmp_path: Path, member: tarfile.TarInfo, why: str) -> None:
    archive = make_tar(tmp_path / "evil.tar", FILES, (member,))
    with pytest.raises(DataError, match=why):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("inner", [link("set/b.txt", "masks/1.txt"), link("b", "set/masks/1.txt", tarfile.LNKTYPE)])
def test_tar_link_inside_becomes_a_plain_copy(tmp_path: Path, inner: tarfile.TarInfo) -> None:
    unpack(make_tar(tmp_path / "a.tar", FILES, (inner,)), tmp_path / "out")
    made = tmp_path / "out" / inner.name
    assert made.read_bytes() == b"two"
    assert not made.is_symlink()


def test_zip_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_bomb_by_ratio(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALWAYS_FINE", 1000)
    archive = make(tmp_path / f"bomb{suffix}", {"zeros": bytes(3_000_000)})
    with pytest.raises(DataError, match="archive bomb"):
        unpack(archive, tmp_path / "out")
    assert unpack(archive, tmp_path / "out", max_ratio=10_000)


def test_bomb_that_declares_too_few_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALWAYS_FINE", 1000)
    liar = module.Member("a", 10, lambda: io.BytesIO(bytes(100_000)))
    monkeypatch.setattr(module, "_members", lambda archive: iter([liar]))
    with pytest.raises(DataError, match="more bytes"):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path / "out", max_ratio=1)


def test_bomb_by_count(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="archive bomb"):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path / "out", max_files=2)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_truncated_archive_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, {"a.bin": os.urandom(50_000), "b.bin": os.urandom(50_000)})
    archive.write_bytes(archive.read_bytes()[:70_000])
    with pytest.raises(DataError, match=r"is broken|neither a zip nor a tar"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_flipped_byte_in_a_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.bin": os.urandom(5000)})
    body = bytearray(archive.read_bytes())
    body[2000] ^= 1
    archive.write_bytes(body)
    with pytest.raises(DataError, match="broken"):
        unpack(archive, tmp_path / "out")


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"hello")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_encrypted_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.bin": b"1"})
    body = bytearray(archive.read_bytes())
    body[6] |= 1  # general purpose flag of the local header
    body[body.index(b"PK\x01\x02") + 8] |= 1  # and of the central directory
    archive.write_bytes(body)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, tmp_path / "out")


def test_other_content_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "set/masks").mkdir(parents=True)
    (out / "set/masks/1.txt").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"already.*other content"):
        unpack(make_zip(tmp_path / "a.zip", FILES), out)
    assert (out / "set/masks/1.txt").read_bytes() == b"mine"
    assert sorted(p.name for p in (out / "set").iterdir()) == ["masks"]


def test_link_in_the_target_folder_is_not_followed_out(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "set").symlink_to(outside)
    with pytest.raises(DataError, match="link out of"):
        unpack(make_zip(tmp_path / "a.zip", {"set/a.txt": b"1"}), out)
    assert list(outside.iterdir()) == []


def test_two_archives_merge(tmp_path: Path) -> None:
    unpack(make_zip(tmp_path / "a.zip", {"set/a.txt": b"1", "README": b"r"}), tmp_path / "out")
    unpack(make_zip(tmp_path / "b.zip", {"set/b.txt": b"2", "README": b"r"}), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out/set").iterdir()) == ["a.txt", "b.txt"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(SegfieldError, match=r"No space left.*make room"):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
