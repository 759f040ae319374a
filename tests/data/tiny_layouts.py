"""Tiny copies of every data set's layout, in the files' own formats, for the tests of formats and of what uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from segfield.data.formats.voc import voc_colour


def draw(seed: int, height: int = 12, width: int = 16) -> np.ndarray:
    """(H, W, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def patches(seed: int, values: list[int], height: int = 12, width: int = 16) -> np.ndarray:
    """(H, W) uint8 vertical stripes of all `values`, in an order of their own."""
    order = np.random.default_rng(seed).permutation(values)
    columns = order[np.arange(width) * len(values) // width]
    return np.broadcast_to(columns, (height, width)).astype(np.uint8)


def save(path: Path, array: np.ndarray, palette: list[int] | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path, **options)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def voc_palette() -> list[int]:
    return [band for i in range(256) for band in voc_colour(i)]


def make_voc(root: Path, train=("2007_000001", "2007_000002"), val=("2007_000003",)) -> Path:
    """VOCdevkit/VOC2012 with palette masks and a border of 255."""
    home = root / "VOCdevkit" / "VOC2012"
    for seed, name in enumerate((*train, *val)):
        save(home / "JPEGImages" / f"{name}.jpg", draw(seed))
        save(home / "SegmentationClass" / f"{name}.png", patches(seed, [0, 15, 255, 20]), voc_palette())
    lists = home / "ImageSets" / "Segmentation"
    write(lists / "train.txt", "\n".join(train) + "\n")
    write(lists / "val.txt", "\n".join(val) + "\n")
    write(lists / "trainval.txt", "\n".join((*train, *val)) + "\n")
    return home


def make_sbd(root: Path, train=("2008_000011",), val=("2007_000003", "2007_000001")) -> Path:
    """SBD as it is unpacked: img/*.jpg, cls/*.mat with GTcls, lists; some names are VOC's."""
    home = root / "benchmark_RELEASE" / "dataset"
    for seed, name in enumerate((*train, *val), 50):
        save(home / "img" / f"{name}.jpg", draw(seed))
        (home / "cls").mkdir(parents=True, exist_ok=True)
        found = {"Segmentation": patches(seed, [0, 7]), "Boundaries": np.zeros((20, 1)), "CategoriesPresent": [7]}
        savemat(home / "cls" / f"{name}.mat", {"GTcls": found})
    write(home / "train.txt", "\n".join(train))
    write(home / "val.txt", "\n".join(val))
    return home


def make_cityscapes(root: Path, tail: str = "labelIds", values: tuple[int, ...] = (7, 11, 23, 26, 1, 0)) -> Path:
    for seed, (split, city) in enumerate(
        (("train", "aachen"), ("train", "ulm"), ("val", "lindau"), ("test", "berlin"))
    ):
        stem = f"{city}_000000_000019"
        save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", draw(seed))
        if split != "test":
            save(root / "gtFine" / split / city / f"{stem}_gtFine_{tail}.png", patches(seed, list(values)))
            save(root / "gtFine" / split / city / f"{stem}_gtFine_color.png", draw(seed))
    return root


CONTEXT_LABELS = """1: accordion
2: aeroplane
9: bag
18: bed
19: bedclothes
22: bench
23: bicycle
25: bird
31: boat
33: book
34: bottle
44: building
45: bus
46: cabinet
59: car
65: cat
68: ceiling
72: chair
80: cloth
85: computer
98: cow
104: cup
105: curtain
113: dog
115: door
144: fence
158: floor
159: flower
162: food
187: grass
189: ground
207: horse
220: keyboard
232: light
258: motorbike
259: mountain
260: mouse
284: person
295: plate
296: platform
308: pottedplant
324: road
326: rock
347: sheep
349: shelves
354: sidewalk
355: sign
360: sky
366: snow
368: sofa
397: table
415: track
416: train
420: tree
424: truck
427: tvmonitor
431: unknown
440: wall
445: water
454: window
458: wood
459: wool
"""


def make_context(root: Path) -> Path:
    """Pascal Context beside VOC2010; the file of labels has the 59 names and a few of the rest, with their true ids."""
    home = root / "context"
    write(home / "labels.txt", CONTEXT_LABELS)
    (home / "trainval").mkdir()
    voc = root / "VOCdevkit" / "VOC2010"
    for seed, name in enumerate(("2008_000002", "2008_000003", "2008_000007")):
        save(voc / "JPEGImages" / f"{name}.jpg", draw(seed))
        labels = np.array([2, 397, 19, 80, 459, 431], np.uint16)[patches(seed, [0, 1, 2, 3, 4, 5])]
        savemat(home / "trainval" / f"{name}.mat", {"LabelMap": labels})
    write(voc / "ImageSets" / "Main" / "train.txt", "2008_000002\n2008_000003\n2008_999999\n")
    write(voc / "ImageSets" / "Main" / "val.txt", "2008_000007\n")
    return home


def make_stanford(root: Path, count: int = 10) -> Path:
    home = root / "iccv09Data"
    for seed in range(count):
        save(home / "images" / f"{seed:07d}.jpg", draw(seed))
        labels = patches(seed, list(range(9))).astype(int) - 1
        write(home / "labels" / f"{seed:07d}.regions.txt", "\n".join(" ".join(map(str, row)) for row in labels) + "\n")
        write(home / "labels" / f"{seed:07d}.surfaces.txt", "0 1\n")
    write(home / "horizons.txt", "0000000 16 12 5.5\n")
    return home


def make_camvid(root: Path, splits=("train", "val", "test")) -> Path:
    home = root / "CamVid"
    for seed, split in enumerate(splits):
        lines = []
        for frame in range(2):
            name = f"{seed:04d}TP_{frame:06d}.png"
            save(home / split / name, draw(seed))
            save(home / f"{split}annot" / name, patches(seed + frame, list(range(12)), width=24)[:, :16])
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}")
        write(home / f"{split}.txt", "\n".join(lines) + "\n")
    return home


def make_davis(root: Path, year: int = 2016) -> Path:
    home = root / "DAVIS"
    values = [0, 255] if year == 2016 else [0, 1, 2, 3]
    for seed, sequence in enumerate(("bear", "train", "swing")):
        for frame in range(3):
            save(home / "JPEGImages" / "480p" / sequence / f"{frame:05d}.jpg", draw(10 * seed + frame))
            mask = home / "Annotations" / "480p" / sequence / f"{frame:05d}.png"
            save(mask, patches(seed, values), voc_palette() if year == 2017 else None)
    if year == 2016:
        pairs = {"train": ("bear", "train"), "val": ("swing",)}
        for split, sequences in pairs.items():
            lines = [
                f"/JPEGImages/480p/{sequence}/{frame:05d}.jpg /Annotations/480p/{sequence}/{frame:05d}.png"
                for sequence in sequences
                for frame in range(3)
            ]
            write(home / "ImageSets" / "480p" / f"{split}.txt", "\n".join(lines) + "\n")
    else:
        write(home / "ImageSets" / "2017" / "train.txt", "bear\ntrain\n")
        write(home / "ImageSets" / "2017" / "val.txt", "swing\n")
    return home


def make_nuclei(root: Path, count: int = 10) -> Path:
    home = root / "stage1_train"
    for seed in range(count):
        name = f"{seed:x}" * 8
        alpha = np.full((12, 16, 1), 255, np.uint8)
        save(home / name / "images" / f"{name}.png", np.concatenate([draw(seed), alpha], axis=2))
        for nucleus, columns in enumerate((slice(1, 4), slice(3, 6), slice(10, 12))):
            mask = np.zeros((12, 16), np.uint8)
            mask[2:8, columns] = 255
            save(home / name / "masks" / f"{nucleus}.png", mask)
    return home
