"""Which files of a folder are images, which are masks, and which mask belongs to which image, by their names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segfield.data.files import unreadable
from segfield.data.images import IMAGE_SUFFIXES
from segfield.data.records import UNLABELLED, Record
from segfield.data.written import OwnFiles
from segfield.errors import DataError

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
# fmt: off
_IMAGE_WORDS = frozenset((
    "image", "images", "img", "imgs", "input", "inputs", "photo", "photos", "picture", "pictures", "frames",
    "jpegimages", "leftimg8bit",
))
_MASK_WORDS = frozenset((
    "mask", "masks", "label", "labels", "annot", "annots", "annotation", "annotations", "ann", "anns", "gt", "gts",
    "groundtruth", "truth", "target", "targets", "seg", "segs", "segmentation", "segmentations", "segmap", "segmaps",
    "segmentationclass", "segmentationclasspng", "gtfine",
))
# fmt: on
_GLUED = re.compile(
    rf"^({'|'.join(SPLIT_WORDS)})({'|'.join(sorted(_MASK_WORDS | _IMAGE_WORDS, key=len, reverse=True))})$"
)
_MASK_AFFIX = re.compile(
    r"^(?:masks?|labels?|annos?|annotation|gt|seg)(?:[_\-. ]|(?=\d))"
    r"|[_\-. ](?:masks?|labels?|labelids|gt|groundtruth|seg|segmentation|anno|annotation|(?-i:L))$",
    re.IGNORECASE,
)
_IMAGE_AFFIX = re.compile(
    r"^(?:image|img|im|sat)(?:[_\-. ]|(?=\d))|[_\-. ](?:image|img|sat|rgb|leftimg8bit)$", re.IGNORECASE
)
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True)
class _File:
    """An image file with what its folders say.

    Attributes:
        path: the file.
        role: 'image', 'mask', or '' where no folder says it.
        split: 'train', 'val', 'test' or ''.
        key: the rest of the path, without suffix; equal for an image and its mask.
    """

    path: Path
    role: str
    split: str
    key: str


def paired_files(root: Path) -> tuple[list[Record], list[str]]:
    """Records of all images under `root` with their masks; and sentences on what was left out.

    What segfield wrote there, predictions for example, is passed over, unless `root` holds nothing else.

    A record's split is '' where no folder says it. An image without a mask goes to 'unlabelled', unless its whole split
    has no masks (a test set).

    Raises:
        DataError: if there are no images, or if there are masks of which none fits an image.
    """
    own = OwnFiles()
    there = sorted(_walk(root, own), key=lambda file: file.path)
    files = [file for file in there if file.path not in own] or there
    masks = [file for file in files if file.role == "mask"]
    images, notes = _images_of(root, files) if masks else ([], [])
    if not masks:
        images, masks = _told_by_name(files)
    if not images:
        found = f"{len(masks)} masks but no images were found" if masks else "no image files were found"
        raise DataError(
            f"{root}: {found}; put images into {root / 'images'} and masks of the same names into {root / 'masks'}"
        )
    finder = _MaskFinder(masks)
    matched = [(image, finder.mask_of(image)) for image in images]
    used = {mask.path for _, mask in matched if mask is not None}
    if masks and not used:
        raise DataError(
            f"{root}: none of {len(masks)} masks has the name of an image (e.g. image {images[0].path.name}, mask "
            f"{masks[0].path.name}); give each mask its image's name, or list the pairs in a file"
        )
    spare = [mask.path.name for mask in masks if mask.path not in used]
    if spare:
        notes.append(f"{len(spare)} masks have no image and are left out, e.g. {spare[0]}")
    return _records(matched), notes


def words_of(file: Path) -> list[str]:
    """The lines of a text file. Raises DataError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, "list") from error


def _walk(root: Path, own: OwnFiles) -> Iterator[_File]:
    seen: set[str] = set()  # links to folders are followed, so a circle of them must be noticed
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_cannot_enter):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        if real in seen:
            continue
        seen.add(real)
        own.enter(folder)
        role, split, rest = _read_folders(Path(folder).relative_to(root).parts)
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield _File(Path(folder, name), role, split, "/".join([*rest, Path(name).stem]))


def _cannot_enter(error: OSError) -> None:
    raise unreadable(error.filename, error, "folder") from error


def _read_folders(parts: Sequence[str]) -> tuple[str, str, list[str]]:
    """Folder names → role, split, and the names that say neither."""
    role, split, rest = "", "", []
    for part in parts:
        word = part.casefold()
        glued = _GLUED.match(word)
        whole = re.sub(r"[_\-\s]", "", word)  # ground_truth
        tokens = list(glued.groups()) if glued else [whole] if whole in _MASK_WORDS else re.split(r"[_\-\s]+", word)
        if not all(token in SPLIT_WORDS or token in _IMAGE_WORDS or token in _MASK_WORDS for token in tokens):
            rest.append(part)
            continue
        for token in tokens:
            if token in _MASK_WORDS:
                role = "mask"
            elif token in _IMAGE_WORDS:
                role = role or "image"
            else:
                split = SPLIT_WORDS[token]
    return role, split, rest


def _images_of(root: Path, files: Sequence[_File]) -> tuple[list[_File], list[str]]:
    images = [file for file in files if file.role == "image"]
    others = [file for file in files if file.role == ""]
    if not images:
        return others, []
    return images, [f"{len(others)} pictures lie outside the image and mask folders and are left out"] if others else []


def _told_by_name(files: Sequence[_File]) -> tuple[list[_File], list[_File]]:
    """Images and masks of one folder: by affixes such as `_mask`, or as photo.jpg beside photo.png."""
    lossy = {file.key for file in files if file.path.suffix.lower() in _LOSSY}
    masks = [
        file
        for file in files
        if _MASK_AFFIX.search(file.key.rsplit("/", 1)[-1])
        or (file.path.suffix.lower() not in _LOSSY and file.key in lossy)
    ]
    chosen = {file.path for file in masks}
    return [file for file in files if file.path not in chosen], masks


class _MaskFinder:
    """Masks by ever looser forms of their key: as it is, without affixes and case, by file name alone."""

    def __init__(self, masks: Sequence[_File]) -> None:
        self.levels: list[dict[str, list[_File]]] = [{}, {}, {}]
        for mask in masks:
            for level, form in enumerate(_forms(mask.key, _MASK_AFFIX)):
                self.levels[level].setdefault(form, []).append(mask)

    def mask_of(self, image: _File) -> _File | None:
        exact, loose, by_name = _forms(image.key, _IMAGE_AFFIX)
        attempts = [(0, exact), (1, exact.casefold()), (1, loose), (2, by_name)]
        for level, form in attempts:
            found = self.levels[level].get(form, [])
            same = [mask for mask in found if mask.split == image.split]
            if same:
                return same[0]
            if len(found) == 1 and "" in (found[0].split, image.split):
                return found[0]
        return None


def _forms(key: str, affix: re.Pattern[str]) -> tuple[str, str, str]:
    folder, _, stem = key.rpartition("/")
    bare = Path(stem).stem if Path(stem).suffix.lower() in IMAGE_SUFFIXES else stem  # photo.jpg.png of some exporters
    bare = affix.sub("", bare) or bare
    loose = f"{folder}/{bare}" if folder else bare
    return key, loose.casefold(), bare.casefold()


def _records(matched: Sequence[tuple[_File, _File | None]]) -> list[Record]:
    labelled = {image.split or mask.split for image, mask in matched if mask is not None}
    records = []
    for image, mask in matched:
        split = image.split or (mask.split if mask else "")
        if mask is None and (not split or split in labelled):
            split = UNLABELLED
        records.append(Record(image.key, image.path, mask.path if mask else None, split))
    return records
