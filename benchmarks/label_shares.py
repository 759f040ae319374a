"""A data set of which only a share of the training images keeps its mask, written as a folder as people have it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
IGNORED = 255


def splits(name: str, folder: Path) -> tuple[Any, Any]:
    """(train, val) of the real data: CamVid's own splits; Stanford Background's first fold of the images at hand.

    Args:
        name: 'camvid' or 'stanford'.
        folder: where what is packed is unpacked.
    """
    from segfield.data.formats import open_dataset

    if name == "camvid":
        whole = open_dataset(f"camvid:{SHARED / 'camvid' / 'CamVid'}")
        return whole.split("train"), whole.split("val")
    place = folder / "iccv09Data"
    if not place.is_dir():
        with tarfile.open(SHARED / "stanford_background" / "iccv09Data.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    whole = open_dataset(f"stanford_background:{place}")
    return whole.split("fold1-train"), whole.split("fold1-val")


def write_share(train: Any, val: Any, share: int, seed: int, folder: Path, most: int | None = None) -> str:
    """Write images, masks and the list of both; one of `share` training images keeps its mask. Returns the list's path.

    Those that keep it are the first of a permutation drawn by the seed, so that a smaller share's are among a larger one's.

    Args:
        train, val: labelled samples.
        share: 8 for one eighth.
        seed: of the draw.
        folder: to write into; images that are there stay.
        most: the largest number of training and of validation images; None for all.
    """
    images, masks = folder / "images", folder / "masks"
    for place in (images, masks):
        place.mkdir(parents=True, exist_ok=True)
    names = ",".join(train.classes.names)
    (folder / "classes.yaml").write_text(f"names: [{names}]\nignored_id: {IGNORED}\n", encoding="utf-8")
    order = np.random.default_rng(seed).permutation(len(train))[:most].tolist()
    labelled = set(order[: max(2, -(-len(order) // share))])
    rows = ["image,mask,split"]
    chosen = [(train, index, "train" if index in labelled else "unlabelled") for index in sorted(order)]
    chosen += [(val, index, "val") for index in range(len(val))[:most]]
    for dataset, index, split in chosen:
        name = f"{'val' if split == 'val' else 'train'}{index:04d}.png"
        if not (masks / name).is_file():
            sample = dataset[index]
            Image.fromarray(sample.image.transpose(1, 2, 0)).save(images / name)
            labels = np.where(sample.labels == dataset.classes.ignored_id, IGNORED, sample.labels)
            Image.fromarray(labels.astype(np.uint8)).save(masks / name)
        rows.append(f"images/{name},{'' if split == 'unlabelled' else f'masks/{name}'},{split}")
    file = folder / f"share{share}-seed{seed}.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(file)
