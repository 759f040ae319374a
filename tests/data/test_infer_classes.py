"""Class tables from masks alone."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from segfield.classes import ClassTable
from segfield.data.infer_classes import binary_classes, infer_classes, scan_mask
from segfield.data.masks import read_labels
from segfield.errors import DataError
from tests.data.tiny_layouts import patches, save, voc_palette

RNG = np.random.default_rng(0)


def grey(tmp_path, *values, suffix="png"):
    return [save(tmp_path / f"{i}.{suffix}", patches(i, list(v))) for i, v in enumerate(values)]


def test_0_and_255_are_background_and_foreground(tmp_path):
    masks = grey(tmp_path, (0, 255), (0,), (255,))
    table, notes = infer_classes(masks)
    assert table.names == ("background", "foreground")
    np.testing.assert_array_equal(read_labels(masks[0], table), patches(0, [0, 255]) // 255)
    assert notes == ["masks hold 0 and 255: 0 is taken for background, 255 for foreground"]
    assert table.to_source(np.array([0, 1])).tolist() == [0, 255]


def test_0_and_65535_too(tmp_path):
    save(tmp_path / "a.png", patches(0, [0, 1]).astype(np.uint16) * 65535)
    table, _ = infer_classes([tmp_path / "a.png"])
    assert read_labels(tmp_path / "a.png", table).tolist() == patches(0, [0, 1]).tolist()


def test_0_and_1_are_background_and_foreground(tmp_path):
    table, notes = infer_classes(grey(tmp_path, (0, 1)))
    assert table.names == ("background", "foreground") and not table.source_values and notes == []


def test_255_is_ignored_beside_other_ids(tmp_path):
    masks = grey(tmp_path, (0, 1, 255), (2, 0))
    table, notes = infer_classes(masks)
    assert table.names == ("class 0", "class 1", "class 2")
    assert "mask value 255 is ignored" in notes
    np.testing.assert_array_equal(read_labels(masks[0], table), patches(0, [0, 1, 255]))


def test_gaps_are_closed_and_can_be_opened_again(tmp_path):
    masks = grey(tmp_path, (0, 7, 26, 255))
    table, _ = infer_classes(masks)
    assert table.names == ("class 0", "class 7", "class 26")
    labels = read_labels(masks[0], table)
    assert set(np.unique(labels)) == {0, 1, 2, 255}
    np.testing.assert_array_equal(table.to_source(labels), patches(0, [0, 7, 26, 255]))


def test_negative_values_are_ignored(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", patches(0, [0, 1, 2]).astype(np.int16) - 1)
    table, notes = infer_classes([tmp_path / "a.tif"])
    assert "mask value -1 is ignored" in notes
    assert set(np.unique(read_labels(tmp_path / "a.tif", table))) == {0, 1, 255}


def test_palette_masks_keep_their_colours(tmp_path):
    mask = save(tmp_path / "a.png", patches(0, [0, 1, 2, 255]), voc_palette())
    table, _ = infer_classes([mask])
    assert table.colours == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    np.testing.assert_array_equal(read_labels(mask, table), patches(0, [0, 1, 2, 255]))


def test_palettes_that_contradict_are_read_by_colour(tmp_path):
    first, second = [0, 0, 0, 255, 0, 0, 0, 255, 0], [0, 0, 0, 0, 255, 0, 255, 0, 0]
    ids = patches(0, [0, 1, 2])
    masks = [save(tmp_path / "a.png", ids, first), save(tmp_path / "b.png", ids, second)]
    table, notes = infer_classes(masks)
    assert table.names == ("#000000", "#00ff00", "#ff0000")
    assert "palettes differ between files" in notes[0]
    np.testing.assert_array_equal(read_labels(masks[0], table), np.array([0, 2, 1])[ids])
    np.testing.assert_array_equal(read_labels(masks[1], table), ids)


def test_colours_become_classes(tmp_path):
    colours = np.array([(9, 9, 9), (0, 0, 0), (200, 10, 0)], np.uint8)
    ids = patches(0, [0, 1, 2])
    mask = save(tmp_path / "a.png", colours[ids])
    table, notes = infer_classes([mask])
    assert table.names == ("#000000", "#090909", "#c80a00")
    assert "3 colours" in notes[0]
    np.testing.assert_array_equal(table.colour_array()[read_labels(mask, table)], colours[ids])


def test_greys_saved_as_rgb_are_values(tmp_path):
    masks = [save(tmp_path / f"{i}.png", np.dstack([patches(i, v)] * 3)) for i, v in enumerate([[0, 255], [0, 0]])]
    table, notes = infer_classes(masks)
    assert table.names == ("background", "foreground") and notes[0] == "masks are greys saved as RGB"
    np.testing.assert_array_equal(read_labels(masks[0], table), patches(0, [0, 255]) // 255)
    assert (read_labels(masks[1], table) == 0).all()


@pytest.mark.parametrize("distinct", [65, 300])
def test_too_many_colours(tmp_path, distinct):
    codes = RNG.permutation(1 << 24)[:distinct]
    pixels = np.stack([codes & 255, codes >> 8 & 255, codes >> 16], -1).astype(np.uint8)[None]
    save(tmp_path / "a.png", pixels)
    with pytest.raises(DataError, match=r"too many.*classes.txt.*name and its colour"):
        infer_classes([tmp_path / "a.png"])


def test_jpeg_masks_are_told_why(tmp_path):
    noisy = RNG.integers(0, 256, (40, 40)).astype(np.uint8)
    save(tmp_path / "a.jpg", noisy)
    with pytest.raises(DataError, match="JPEG blurs"):
        infer_classes([tmp_path / "a.jpg"])


def test_pictures_are_no_masks(tmp_path):
    save(tmp_path / "a.png", np.arange(3000, dtype=np.uint16).reshape(50, 60))
    with pytest.raises(DataError, match="3000 different values"):
        infer_classes([tmp_path / "a.png"])


def test_ids_and_colours_do_not_mix(tmp_path):
    masks = [
        save(tmp_path / "a.png", patches(0, [0, 1])),
        save(tmp_path / "b.png", RNG.integers(0, 2, (4, 4, 3)).astype(np.uint8)),
    ]
    with pytest.raises(DataError, match=r"b\.png.*colour mask.*a\.png holds ids"):
        infer_classes(masks)


@pytest.mark.parametrize("as_rgb", [False, True])
def test_two_names_and_0_255(tmp_path, as_rgb):
    values = patches(0, [0, 255])
    mask = save(tmp_path / "a.png", np.dstack([values] * 3) if as_rgb else values)
    table, notes = binary_classes(ClassTable(("other", "cell")), [mask])
    assert notes == ["masks hold 0 and 255: 0 is other, 255 is cell"]
    np.testing.assert_array_equal(read_labels(mask, table), values // 255)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (ClassTable(("a", "b")), (0, 1, 255)),
        (ClassTable(("a", "b")), (0,)),
        (ClassTable(("a", "b", "c")), (0, 255)),
        (ClassTable(("a", "b"), source_values={0: 0, 255: 255, 1: 1}), (0, 255)),
    ],
)
def test_other_tables_stay(tmp_path, table, values):
    assert binary_classes(table, grey(tmp_path, values)) == (table, [])


def test_scan(tmp_path):
    assert scan_mask(grey(tmp_path, (3, 200))[0]).values == {3, 200}
    palette = scan_mask(save(tmp_path / "p.png", patches(0, [0, 15]), voc_palette()))
    assert palette.values == {0, 15} and palette.palette == {0: (0, 0, 0), 15: (192, 128, 128)}
    assert scan_mask(save(tmp_path / "c.png", np.full((2, 2, 3), 7, np.uint8))).colours == {(7, 7, 7)}


def test_a_mask_resized_with_interpolation_does_not_make_classes_of_its_greys(tmp_path):
    masks = grey(tmp_path, (0, 255), (0, 255), (0, 255), (0, 30, 60, 90, 120, 150, 180, 210, 240, 255))
    table, _ = infer_classes(masks)
    assert table.names == ("background", "foreground")
    assert read_labels(masks[0], table).max() == 1
    with pytest.raises(DataError, match=r"3\.png"):
        read_labels(masks[3], table)


@pytest.mark.parametrize("values", [(0, 1, 2, 3, 4, 5, 6, 7, 8, 255), (0, 128, 255)])
def test_ids_beside_an_ignored_255_stay_classes(tmp_path, values):
    table, notes = infer_classes(grey(tmp_path, (0, 255), (0, 255), (0, 255), values))
    assert len(table) == len(values) - 1
    assert "mask value 255 is ignored" in notes
