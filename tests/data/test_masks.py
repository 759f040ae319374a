"""Every mask encoding people have → labels; unknown values are named with file, count and mend."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from scipy.io import savemat

from segfield.classes import ClassTable
from segfield.data.masks import mask_to_labels, pack_colours, read_labels, read_mask_values
from segfield.errors import DataError
from tests.told import says

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 3, (6, 9)).astype(np.uint8)
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:3] = [(70, 130, 180), (128, 64, 128), (0, 0, 142)]


def save_palette(path, ids=IDS, palette=PALETTE):
    picture = Image.fromarray(ids)
    picture.putpalette(palette.reshape(-1).tolist())
    picture.save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp"])
def test_grey_ids(tmp_path, suffix, three_classes):
    Image.fromarray(IDS).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_labels(tmp_path / f"a.{suffix}", three_classes), IDS)


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp"])
def test_palette_masks_count_by_index(tmp_path, suffix, three_classes):
    path = save_palette(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_mask_values(path), IDS)
    np.testing.assert_array_equal(read_labels(path, three_classes), IDS)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_masks_count_by_colour_where_the_table_maps_colours_alone(tmp_path, suffix):
    path = save_palette(tmp_path / f"a.{suffix}")
    table = ClassTable(("car", "other"), source_colours={(0, 0, 142): 0, (70, 130, 180): 1, (128, 64, 128): 1})
    np.testing.assert_array_equal(read_labels(path, table), np.where(IDS == 2, 0, 1))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_colour_masks_match_the_class_colours(tmp_path, suffix, three_classes):
    Image.fromarray(PALETTE[IDS]).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    labels = read_labels(tmp_path / f"a.{suffix}", three_classes)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, IDS)


def test_black_in_a_colour_mask_is_ignored_unless_a_class_is_black(three_classes):
    values = np.zeros((2, 2, 3), np.uint8)
    assert (mask_to_labels(values, three_classes, "a") == 255).all()
    assert (mask_to_labels(values, ClassTable(("bg",), ((0, 0, 0),)), "a") == 0).all()


def test_alpha_of_a_colour_mask_is_dropped(tmp_path, three_classes):
    alpha = np.full((6, 9, 1), 128, np.uint8)
    Image.fromarray(np.concatenate([PALETTE[IDS], alpha], 2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png", three_classes), IDS)


def test_transparency_of_one_colour_alone_tells_nothing_new(tmp_path, three_classes):
    colours = np.dstack([PALETTE[IDS], np.where(IDS == 1, 0, 255)]).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png", three_classes), IDS)


SHADED = np.dstack([PALETTE[IDS], np.arange(54, dtype=np.uint8).reshape(6, 9)])
TWICE = np.dstack([PALETTE[IDS], np.where(np.arange(54).reshape(6, 9) % 2, 0, 255)]).astype(np.uint8)
FOUR = np.eye(4, dtype=np.uint8)[(IDS + np.arange(9)) % 4] * 255


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bands", [FOUR, SHADED, TWICE, SHADED[..., 2:]], ids=["one-hot", "shaded", "twice", "grey"])
def test_a_fourth_band_that_tells_something_is_not_lost_in_silence(tmp_path, suffix, bands, three_classes):
    file = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        photometric, planar = ("minisblack", "contig") if bands.shape[2] == 2 else ("rgb", None)
        tifffile.imwrite(file, bands, photometric=photometric, planarconfig=planar, extrasamples=["unassalpha"])
    else:
        Image.fromarray(bands).save(file)
    with pytest.raises(DataError, match=rf"a.{suffix}.*{bands.shape[2]} bands.*alpha"):
        read_labels(file, three_classes)


def test_four_bands_as_tifffile_writes_them_are_refused(tmp_path, three_classes):
    tifffile.imwrite(tmp_path / "a.tif", FOUR)
    with pytest.raises(DataError, match="4 bands"):
        read_labels(tmp_path / "a.tif", three_classes)
    opaque = np.dstack([PALETTE[IDS], np.full_like(IDS, 255)])
    tifffile.imwrite(tmp_path / "b.tif", opaque)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.tif", three_classes), IDS)


def test_colours_of_16_bits_are_no_mask(tmp_path, three_classes):
    header = struct.pack(">IIBBBBB", 9, 6, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header)
    with pytest.raises(DataError, match=r"a.png.*16 bits"):
        read_labels(tmp_path / "a.png", three_classes)


def test_matlab_masks_of_several_bands_are_refused(tmp_path, three_classes):
    savemat(tmp_path / "a.mat", {"LabelMap": FOUR})
    with pytest.raises(DataError, match=r"a.mat.*4 bands"):
        read_labels(tmp_path / "a.mat", three_classes)


def test_grey_ids_saved_as_rgb(three_classes):
    np.testing.assert_array_equal(mask_to_labels(np.dstack([IDS] * 3) + 0, three_classes, "a")[IDS > 0], IDS[IDS > 0])


def test_one_bit_masks_are_0_and_1(tmp_path):
    for suffix in ("png", "tif"):
        Image.fromarray(IDS > 0).save(tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(read_mask_values(tmp_path / f"a.{suffix}"), IDS > 0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_masks(tmp_path, suffix):
    Image.fromarray(IDS.astype(np.uint16) * 1000).save(tmp_path / f"a.{suffix}")
    table = ClassTable(("a", "b", "c"), source_values={0: 0, 1000: 1, 2000: 2})
    np.testing.assert_array_equal(read_labels(tmp_path / f"a.{suffix}", table), IDS)


def test_whole_floats_are_ids_and_fractions_are_not(tmp_path, three_classes):
    tifffile.imwrite(tmp_path / "a.tif", IDS.astype(np.float32))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif", three_classes), IDS)
    for wrong in (0.5, np.nan):
        tifffile.imwrite(tmp_path / "b.tif", np.full((4, 4), wrong, np.float32))
        with pytest.raises(DataError, match="fractions or NaN"):
            read_labels(tmp_path / "b.tif", three_classes)


def test_two_bands_are_no_mask(tmp_path, three_classes):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9, 2), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match="found 2 bands of uint8"):
        read_labels(tmp_path / "a.tif", three_classes)


def test_matlab_and_text_masks(tmp_path):
    table = ClassTable(("a", "b", "c"), source_values={-1: 255, 0: 0, 1: 1, 2: 2})
    savemat(tmp_path / "a.mat", {"LabelMap": IDS.astype(np.uint16)})
    np.savetxt(tmp_path / "a.txt", IDS.astype(int) - 1, fmt="%d")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.mat", table), IDS)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.txt", table), np.array([255, 0, 1], np.uint8)[IDS])


def test_object_masks_are_joined(tmp_path):
    files = []
    union = np.zeros((6, 9), bool)
    for i in range(3):
        covered = RNG.random((6, 9)) > 0.7
        union |= covered
        files.append(tmp_path / f"{i}.png")
        pixels = covered * np.uint8(255)
        Image.fromarray(np.dstack([pixels] * 3) if i == 2 else pixels).save(files[-1])
    values = read_mask_values(tuple(files))
    assert set(np.unique(values)) <= {0, 255}
    np.testing.assert_array_equal(values == 255, union)


def test_object_masks_must_agree_in_size(tmp_path):
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png is 8×6 but .*a\.png is 9×6"):
        read_mask_values((tmp_path / "a.png", tmp_path / "b.png"))
    with pytest.raises(DataError, match="empty list"):
        read_mask_values(())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("count", [2, 21, 255, 300])
def test_ids_pass_through_in_every_integer_type(dtype, count):
    table = ClassTable(tuple(f"c{i}" for i in range(count)))
    top = min(count, np.iinfo(dtype).max + 1)
    values = RNG.integers(0, top, (20, 30)).astype(dtype)
    if table.ignored_id <= np.iinfo(dtype).max:
        values[0, :5] = table.ignored_id
    labels = mask_to_labels(values, table, "a")
    assert labels.dtype == table.dtype
    assert labels.flags.writeable
    np.testing.assert_array_equal(labels, values)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_lookup_equals_a_loop_over_the_table(dtype):
    pairs = {int(v): int(RNG.integers(0, 7)) for v in RNG.permutation(200)[:40]} | {199: 255, 0: 255}
    table = ClassTable(tuple(f"c{i}" for i in range(7)), source_values=pairs)
    values = RNG.choice(list(pairs), (15, 15)).astype(dtype)
    expected = [[pairs[int(v)] for v in row] for row in values]
    np.testing.assert_array_equal(mask_to_labels(values, table, "a"), expected)


def test_labels_do_not_share_memory_with_the_values(three_classes):
    labels = mask_to_labels(IDS, three_classes, "a")
    labels[:] = 255
    assert IDS.max() == 2


def test_all_ignored_is_a_mask_like_any_other(three_classes):
    assert (mask_to_labels(np.full((3, 3), 255, np.uint8), three_classes, "a") == 255).all()


def test_an_unknown_value_names_file_value_count_and_a_line_that_works(three_classes):
    values = IDS.copy()
    values[0, :4] = 7
    with pytest.raises(DataError) as caught:
        mask_to_labels(values, three_classes, Path("masks/a b.png"))
    message = str(caught.value)
    assert says("masks/a b.png … value 7 (4 pixels)", message)
    line = message[message.index("source_values: ") :].split(" (ID")[0].replace("7: ID", "7: 255")
    mended = ClassTable.from_dict({"names": three_classes.names, **yaml.safe_load(line)})
    np.testing.assert_array_equal(mask_to_labels(values, mended, "a"), np.where(values == 7, 255, values))


def test_an_unknown_value_beside_given_source_values():
    table = ClassTable(("a", "b"), source_values={7: 0, 8: 1})
    with pytest.raises(DataError, match=r"values 1 \(1 pixels\), 2 \(2 pixels\).*add '1: ID' to source_values"):
        mask_to_labels(np.array([[7, 8, 1, 2, 2]], np.uint8), table, "a")


@pytest.mark.parametrize("value", [-1, 70000])
def test_values_far_outside_the_table(value, three_classes):
    with pytest.raises(DataError, match=rf"value {value} \(1 pixels\)"):
        mask_to_labels(np.array([[0, value]], np.int32), three_classes, "a")


def test_many_unknown_values_are_summed_up(three_classes):
    with pytest.raises(DataError, match="and 246 more"):
        mask_to_labels(np.arange(256, dtype=np.uint8)[None], three_classes, "a")


def test_every_value_in_use_leaves_no_spare_one():
    table = ClassTable(tuple(f"c{i}" for i in range(255)))
    values = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(mask_to_labels(values, table, "a"), values)


def test_an_unknown_colour_names_colour_count_and_line(three_classes):
    values = PALETTE[IDS]
    values[0, :2] = (1, 2, 3)
    with pytest.raises(DataError, match=r"colour \[1, 2, 3\] \(2 pixels\).*add \[\[1, 2, 3\], ID\] to source_colours"):
        mask_to_labels(values, three_classes, "a.png")


def test_packed_colours():
    packed = pack_colours(np.array([[[1, 2, 3], [255, 0, 255]]], np.uint8))
    assert packed.tolist() == [[1 + 2 * 256 + 3 * 65536, 255 + 255 * 65536]]


def test_damaged_masks_are_called_masks(tmp_path, three_classes):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="mask file is empty"):
        read_labels(tmp_path / "a.png", three_classes)
    with pytest.raises(DataError, match="no such mask file"):
        read_labels(tmp_path / "b.tif", three_classes)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_street_scene_of_ids_or_colours(coloured):
    table = ClassTable(tuple(f"c{i}" for i in range(19)))
    values = RNG.integers(0, 19, (1024, 2048)).astype(np.uint8)
    given = table.colour_array()[values] if coloured else values
    np.testing.assert_array_equal(mask_to_labels(given, table, "a"), values)


@pytest.mark.shared
def test_real_voc_mask(shared_data):
    path = shared_data / "voc2012_mini/VOCdevkit/VOC2012/SegmentationClass/2007_000129.png"
    values, counts = np.unique(read_mask_values(path), return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist())) == {0: 54389, 2: 34183, 15: 61143, 255: 17285}
