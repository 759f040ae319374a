"""Small folders of images and masks, the settings of a network that trains in a moment, and files that are broken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 48)
# the smallest network there is, one epoch of it
NETWORK = (
    "--model", "unet_padded", "--weights", "none", "--options", "{width: 2, levels: 2}", "--epochs", "1",
    "--batch_size", "2", "--device", "cpu", "--threads", "1",
)  # fmt: skip
QUICK = ("--boundaries", "false", "--calibration", "false", "--worst", "0", "--device", "cpu")


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """Dark left half, bright right half, with noise: RGB."""
    noise = np.random.default_rng(seed).integers(0, 60, (*size, 3))
    return Image.fromarray((truth(size)[..., None] * 120 + noise).astype(np.uint8))


def truth(size: tuple[int, int] = SIZE) -> np.ndarray:
    """0 on the left half, 1 on the right: (H, W)."""
    return (np.indices(size)[1] >= size[1] // 2).astype(np.uint8)


def write_mask(file: Path, values: np.ndarray) -> None:
    """Write ids as a grey PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(file)


def write_folder(folder: Path, count: int = 4, masks: bool = True, size: tuple[int, int] = SIZE) -> Path:
    """images/ and masks/, half of them in train and half in val: train/0.png, val/1.png, train/2.png …"""
    for i in range(count):
        split = ("train", "val")[i % 2]
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        picture(i, size).save(folder / "images" / split / f"{i}.png")
        if masks:
            write_mask(folder / "masks" / split / f"{i}.png", truth(size))
    return folder


def bomb() -> bytes:
    """A PNG of a hundred bytes that says it is 60,000 pixels a side."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
