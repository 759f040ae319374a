"""read_image on every kind of good and bad file; write_png and back."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segfield.data.images import MAX_PIXELS, exif_orientation, image_size, read_image, write_png
from segfield.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
DEEP = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)


def bands(array):
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_rgb_is_read_exactly(tmp_path, suffix):
    path = tmp_path / f"a b ü.{suffix}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(path)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, bands(RGB))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm"])
def test_grey_keeps_one_band(tmp_path, suffix):
    Image.fromarray(RGB[..., 0]).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), RGB[None, ..., 0])


def test_jpeg_equals_pillow(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.JPG")
    np.testing.assert_array_equal(
        read_image(str(tmp_path / "a.JPG")), bands(np.asarray(Image.open(tmp_path / "a.JPG")))
    )


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "png"), ("P", "gif"), ("P", "tif")]
)
def test_other_colour_modes_become_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).convert(mode).save(path)
    np.testing.assert_array_equal(read_image(path), bands(np.asarray(Image.open(path).convert("RGB"))))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_is_dropped(tmp_path, suffix):
    alpha = RNG.integers(0, 256, (6, 9, 1)).astype(np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), bands(RGB))
    Image.fromarray(np.concatenate([RGB[..., :1], alpha], 2), "LA").save(tmp_path / f"b.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"b.{suffix}"), RGB[None, ..., 0])


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pbm"])
def test_one_bit_becomes_0_and_255(tmp_path, suffix):
    bits = RGB[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[0], bits * 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_stays_16_bit(tmp_path, suffix):
    Image.fromarray(DEEP).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[0], DEEP)


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(("colour_type", "count", "kept"), [(2, 3, 3), (6, 4, 3), (4, 2, 1)])
def test_16_bit_colour_png_is_not_cut_to_8_bits(tmp_path, colour_type, count, kept):
    deep = RNG.integers(0, 65536, (6, 9, count)).astype(">u2")
    rows = b"".join(b"\x00" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 9, 6, 16, colour_type, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, bands(deep.astype(np.uint16))[:kept])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body[:60])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_image(tmp_path / "b.png")


def test_one_pixel(tmp_path):
    Image.fromarray(RGB[:1, :1]).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == RGB[:1, :1].transpose(2, 0, 1).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_rotation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix == "tif":
        tifffile.imwrite(path, RGB, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        Image.fromarray(RGB).save(path, exif=exif)
    stored = np.asarray(Image.open(path)) if suffix == "jpg" else RGB
    tagged = Image.fromarray(stored)
    tagged.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(read_image(path), bands(np.asarray(ImageOps.exif_transpose(tagged))))
    assert image_size(path) == read_image(path).shape[1:]
    if suffix != "tif":
        assert exif_orientation(path) == orientation


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_read_with_a_warning(tmp_path, suffix):
    frames = [Image.fromarray(np.full((6, 9, 3), 60 * i, np.uint8)) for i in range(1, 4)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    with pytest.warns(UserWarning, match="3 frames.*first"):
        image = read_image(tmp_path / f"a.{suffix}")
    assert (image == 60).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.tile(RGB, (8, 8, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\.{suffix}.*truncated.*copy it again"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_empty_text_missing_folder(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(DataError, match="no such image file"):
        read_image(path)
    path.touch()
    with pytest.raises(DataError, match="is empty"):
        read_image(path)
    path.write_text("no picture at all " * 9)
    with pytest.raises(DataError, match="not an image"):
        read_image(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(DataError, match="not permitted"):
        read_image(tmp_path / "a.png")


def test_permission_denied_is_told(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.jpg")

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("PIL.Image.open", denied)
    with pytest.raises(DataError, match="not permitted to read"):
        read_image(tmp_path / "a.jpg")


def test_decompression_bomb(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\x00" * 7501 * 10)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=r"3,600,000,000 pixels.*178,956,970.*cut it into tiles"):
            reader(tmp_path / "a.png")
    assert 2 * Image.MAX_IMAGE_PIXELS <= MAX_PIXELS + 1


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_max_pixels_can_be_lowered(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match="54 pixels, more than the 50"):
        read_image(tmp_path / f"a.{suffix}", max_pixels=50)
    assert read_image(tmp_path / f"a.{suffix}", max_pixels=54).shape == (3, 6, 9)


def test_many_threads_read_the_same(tmp_path):
    for i in range(8):
        Image.fromarray(np.full((20, 20, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda i: read_image(tmp_path / f"{i % 8}.png"), range(200)))
    assert all((image == i % 8).all() for i, image in enumerate(images))


@pytest.mark.parametrize("array", [RGB, bands(RGB), RGB[..., 0], DEEP, RGB[..., 0].astype(np.int64), RGB[..., 0] > 9])
def test_write_png_and_back(tmp_path, array):
    write_png(tmp_path / "new" / "a.png", array)
    again = read_image(tmp_path / "new" / "a.png")
    expected = bands(array) if array.shape[-1:] == (3,) or array.ndim == 2 else array
    np.testing.assert_array_equal(again, expected)
    assert again.dtype == (np.uint16 if array.dtype == np.uint16 else np.uint8)


def test_write_palette_png(tmp_path):
    palette = RNG.integers(0, 256, (4, 3)).astype(np.uint8)
    labels = RGB[..., 0] % 4
    write_png(tmp_path / "a.png", labels, palette)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), labels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), bands(palette[labels]))


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3, 4, 5), np.uint8), np.zeros((4, 5, 6), np.uint8), np.full((2, 2), -1), np.full((2, 2), 70000),
     np.zeros((2, 2)), np.zeros((0, 4), np.uint8), np.full((2, 2, 3), 300)],
)  # fmt: skip
def test_write_png_refuses(tmp_path, array):
    with pytest.raises(DataError, match=r"a\.png"):
        write_png(tmp_path / "a.png", array)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.shared
def test_real_photos(shared_data):
    image = read_image(shared_data / "voc2012_mini/VOCdevkit/VOC2012/JPEGImages/2007_000129.jpg")
    assert image.shape == (3, 500, 334)
    assert image.dtype == np.uint8
