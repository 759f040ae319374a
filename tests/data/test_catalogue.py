"""The catalogue: complete, consistent with the formats, and without made-up checksums."""

from __future__ import annotations

import re

import pytest

from segfield.data.catalogue import CATALOGUE, Entry, find_entry
from segfield.data.download import ARCHIVE_SUFFIXES
from segfield.data.formats import FORMATS
from segfield.errors import SettingError

ENTRIES = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())


def test_every_native_layout_has_an_entry() -> None:
    assert {entry.layout for entry in CATALOGUE.values()} >= set(FORMATS) - {"scenes"} | {"folder"}


@ENTRIES
def test_entry_is_whole(entry: Entry) -> None:
    assert entry.layout in FORMATS
    assert all((entry.title, entry.classes, entry.images, entry.terms, entry.page, entry.tree))
    assert entry.login or entry.name == "scenes" or entry.archives
    assert entry.where("data").startswith(f"{entry.layout}:data")


@ENTRIES
def test_archives_have_addresses_names_and_well_formed_checksums(entry: Entry) -> None:
    for archive in entry.archives:
        assert re.match(r"https?://[\w.]+/", archive.url)
        assert archive.file_name.endswith(ARCHIVE_SUFFIXES)
        assert archive.checksum is None or re.fullmatch(r"(md5:)?([0-9a-f]{32}|[0-9a-f]{64})", archive.checksum)


def test_no_two_data_sets_save_archives_under_one_name() -> None:
    """In one folder the second would be taken for the first."""
    names = [archive.file_name for entry in CATALOGUE.values() for archive in entry.archives]
    assert len(names) == len(set(names))


def test_voc_sums_and_addresses_are_torchvisions() -> None:
    voc = pytest.importorskip("torchvision.datasets.voc")
    sbd = pytest.importorskip("torchvision.datasets.sbd")
    for name, index, year in (("voc", 0, "2012"), ("pascal_context", 1, "2010")):
        archive, peer = CATALOGUE[name].archives[index], voc.DATASET_YEAR_DICT[year]
        assert (archive.checksum, archive.file_name) == (f"md5:{peer['md5']}", peer["filename"])
    assert CATALOGUE["sbd"].archives[0].checksum == f"md5:{sbd.SBDataset.md5}"
    assert CATALOGUE["sbd"].archives[0].url == sbd.SBDataset.url


def test_misspelt_name() -> None:
    with pytest.raises(SettingError, match="did you mean camvid"):
        find_entry("canvid")
