"""TIFF: which axis holds bands, what is dropped, what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from segfield.data.images import read_image
from segfield.data.tiff import read_tiff
from segfield.data.value_matching import RangeWarning
from segfield.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", [2, 5, 13])
def test_bands_first_and_bands_last(tmp_path, dtype, count):
    stack = (RNG.random((count, 20, 31)) * 200).astype(dtype)
    tifffile.imwrite(tmp_path / "first.tif", stack)
    tifffile.imwrite(tmp_path / "last.tif", stack.transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "planes.tif", stack, photometric="minisblack", planarconfig="separate")
    tifffile.imwrite(tmp_path / "mixed.tif", stack.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    for name in ("first", "last", "planes", "mixed"):
        image = read_image(tmp_path / f"{name}.tif")
        assert image.dtype == dtype
        np.testing.assert_array_equal(image, stack, err_msg=name)


def test_stated_axes_win_over_sizes(tmp_path):
    stack = RNG.integers(0, 255, (40, 5, 6)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    assert read_image(tmp_path / "a.tif").shape == (40, 5, 6)


@pytest.mark.parametrize(("extra", "kept"), [("unassalpha", 3), ("assocalpha", 3), ("unspecified", 4)])
def test_a_fourth_band_is_dropped_only_if_it_is_alpha(tmp_path, extra, kept):
    pixels = RNG.integers(0, 255, (9, 8, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels.transpose(2, 0, 1)[:kept])


def test_alpha_that_may_be_a_band_is_left_out_with_a_word(tmp_path):
    pixels = RNG.integers(0, 255, (9, 8, 4)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels
    )  # red, green, blue and near infrared, as plain array writers leave them
    with pytest.warns(RangeWarning, match="ExtraSamples"):
        read_image(tmp_path / "a.tif")
    pixels[..., 3] = 255
    tifffile.imwrite(tmp_path / "b.tif", pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_both_byte_orders(tmp_path, byteorder):
    pixels = RNG.integers(0, 65536, (9, 8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=byteorder)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], pixels)


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [
        (np.array([[0, 65535]], np.uint32), np.uint16),
        (np.array([[0, 65536]], np.uint32), np.float32),
        (np.array([[-5, 9]], np.int16), np.float32),
        (np.array([[0.5, 1.5]], np.float64), np.float32),
    ],
)
def test_other_number_types(tmp_path, pixels, dtype):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == dtype
    np.testing.assert_array_equal(image[0], pixels)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_not_a_number_is_refused(tmp_path, wrong):
    pixels = np.ones((4, 5), np.float32)
    pixels[1, 2] = wrong
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(DataError, match=r"NaN or infinite \(1 of 20\)"):
        read_image(tmp_path / "a.tif")


def test_complex_numbers_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5), np.complex64))
    with pytest.raises(DataError, match="complex numbers"):
        read_image(tmp_path / "a.tif")


def test_four_axes_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4, 9, 8), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"shape \(3, 4, 9, 8\)"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["zlib", "tiff_packbits", "tiff_lzw", "tiff_jpeg"])
def test_compressions(tmp_path, compression):
    pixels = np.full((16, 16, 3), (90, 120, 200), np.uint8)
    if compression.startswith("tiff_"):
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression.replace("tiff_packbits", "packbits"))
    else:
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression=compression)
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - pixels.transpose(2, 0, 1)).max() <= 2


def test_lzw_of_one_deep_band_goes_through_pillow(tmp_path):
    pixels = RNG.integers(0, 65536, (9, 8)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], pixels)


def test_a_palette_is_kept_apart(tmp_path):
    palette = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    pixels = RNG.integers(0, 256, (9, 8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=palette)
    bands = read_tiff(tmp_path / "a.tif", 1000)
    np.testing.assert_array_equal(bands.pixels[0], pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), (palette >> 8)[:, pixels])


def test_min_is_white_is_turned(tmp_path):
    pixels = RNG.integers(0, 256, (9, 8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], 255 - pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_anywhere(tmp_path, compression, share):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RNG.integers(0, 255, (30, 30)).astype(np.uint8), compression=compression)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"a\.tif"):
        read_image(path)


def test_a_stack_of_frames_gives_its_first(tmp_path):
    frames = RNG.integers(0, 255, (4, 9, 8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", frames, metadata={"axes": "TYX"})
    with pytest.warns(UserWarning, match="4 frames"):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), frames[:1])


def test_what_overflows_float32_is_refused(tmp_path):
    pixels = np.ones((4, 5))
    pixels[1, 2:4] = 1e300
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(DataError, match=r"a.tif .*infinite \(2 of 20\)"):
        read_image(tmp_path / "a.tif")
