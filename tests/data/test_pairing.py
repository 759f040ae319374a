"""Which files are images, which are masks, and which belong together."""

from __future__ import annotations

import pytest

from segfield.data.pairing import paired_files
from segfield.errors import DataError


def pairs_of(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    records, notes = paired_files(root)
    found = {
        (r.name, r.image.relative_to(root).as_posix(), r.mask and r.mask.relative_to(root).as_posix(), r.split)
        for r in records
    }
    return found, notes


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "masks"), ("image", "label"), ("JPEGImages", "SegmentationClass"), ("Images", "GT"),
     ("imgs", "ground_truth"), ("img", "annotations"), ("input", "target")],
)  # fmt: skip
def test_folders_side_by_side(tmp_path, images, masks):
    found, notes = pairs_of(tmp_path, f"{images}/1.jpg", f"{masks}/1.png")
    assert found == {("1", f"{images}/1.jpg", f"{masks}/1.png", "")}
    assert notes == []


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/{}/1.jpg", "masks/{}/1.png"), ("{}/images/1.jpg", "{}/masks/1.png"),
     ("{}_images/1.jpg", "{}_masks/1.png"), ("images_{}/1.jpg", "labels_{}/1.png"),
     ("{}/1.jpg", "{}annot/1.png"), ("{}/1.jpg", "{}_labels/1.png")],
)  # fmt: skip
@pytest.mark.parametrize(("word", "split"), [("train", "train"), ("val", "val"), ("Valid", "val"), ("testing", "test")])
def test_splits_above_or_below(tmp_path, image, mask, word, split):
    image, mask = image.format(word), mask.format(word)
    assert pairs_of(tmp_path, image, mask)[0] == {("1", image, mask, split)}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("1.jpg", "1_mask.png"), ("1.jpg", "1_label.png"), ("1.jpg", "1_labels.tif"), ("1.jpg", "1_gt.png"),
     ("1.jpg", "1_seg.gif"), ("1.jpg", "1-mask.png"), ("0016E5_1.png", "0016E5_1_L.png"), ("A1.JPG", "a1.PNG"),
     ("1.jpg", "1.jpg.png"), ("im1.png", "anno1.png"), ("img_7.png", "mask_7.png"), ("x_image.tif", "x_mask.tif"),
     ("x_sat.jpg", "x_mask.png"), ("wie groß.jpg", "wie groß_mask.png")],
)  # fmt: skip
def test_names_that_differ(tmp_path, image, mask):
    found, _ = pairs_of(tmp_path, f"images/{image}", f"masks/{mask}")
    assert {(i, m) for _, i, m, _ in found} == {(f"images/{image}", f"masks/{mask}")}


@pytest.mark.parametrize(
    ("image", "mask"), [("1.jpg", "1.png"), ("1.jpg", "1_mask.png"), ("1.png", "1_gt.png"), ("im1.png", "anno1.png")]
)
def test_images_and_masks_in_one_folder(tmp_path, image, mask):
    found, _ = pairs_of(tmp_path, image, mask)
    assert {(i, m) for _, i, m, _ in found} == {(image, mask)}


def test_an_exact_name_wins_over_a_looser_one(tmp_path):
    found, notes = pairs_of(
        tmp_path, "images/a.png", "images/a_image.png", "masks/a.png", "masks/a_image.png", "masks/A.png"
    )
    assert {(i, m) for _, i, m, _ in found} == {
        ("images/a.png", "masks/a.png"),
        ("images/a_image.png", "masks/a_image.png"),
    }
    assert notes == ["1 masks have no image and are left out, e.g. A.png"]


def test_folders_within_are_part_of_the_name(tmp_path):
    found, _ = pairs_of(tmp_path, "images/aachen/1.png", "images/ulm/1.png", "masks/aachen/1.png", "masks/ulm/1.png")
    assert found == {
        ("aachen/1", "images/aachen/1.png", "masks/aachen/1.png", ""),
        ("ulm/1", "images/ulm/1.png", "masks/ulm/1.png", ""),
    }


def test_masks_in_a_folder_of_their_own_kind(tmp_path):
    found, _ = pairs_of(tmp_path, "images/1.png", "masks/png/1.png")
    assert {m for _, _, m, _ in found} == {"masks/png/1.png"}


def test_the_mask_of_the_same_split_is_taken(tmp_path):
    found, _ = pairs_of(tmp_path, "train/images/1.png", "val/images/1.png", "train/masks/1.png", "val/masks/1.png")
    assert {(i, m) for _, i, m, _ in found} == {
        ("train/images/1.png", "train/masks/1.png"),
        ("val/images/1.png", "val/masks/1.png"),
    }


def test_one_mask_folder_for_all_splits(tmp_path):
    found, _ = pairs_of(tmp_path, "images/train/1.png", "images/val/2.png", "masks/1.png", "masks/2.png")
    assert {(i, m, s) for _, i, m, s in found} == {
        ("images/train/1.png", "masks/1.png", "train"),
        ("images/val/2.png", "masks/2.png", "val"),
    }


def test_images_without_masks_are_unlabelled_and_a_test_set_stays_one(tmp_path):
    found, _ = pairs_of(tmp_path, "train/images/1.png", "train/images/2.png", "train/masks/1.png", "test/images/3.png")
    assert {(name, split) for name, _, _, split in found} == {("1", "train"), ("2", "unlabelled"), ("3", "test")}


def test_other_pictures_and_hidden_files_are_left_out(tmp_path):
    found, notes = pairs_of(
        tmp_path, "images/1.png", "masks/1.png", "preview.png", "labels_colour/1.png", ".git/x.png",
        "__MACOSX/images/1.png", "images/._1.png", "images/notes.txt",
    )  # fmt: skip
    assert {i for _, i, _, _ in found} == {"images/1.png"}
    assert notes == ["2 pictures lie outside the image and mask folders and are left out"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "else" / "images").mkdir(parents=True)
    (tmp_path / "else" / "images" / "1.png").touch()
    (tmp_path / "home" / "masks").mkdir(parents=True)
    (tmp_path / "home" / "masks" / "1.png").touch()
    (tmp_path / "home" / "images").symlink_to(tmp_path / "else" / "images")
    (tmp_path / "home" / "masks" / "up").symlink_to(tmp_path / "home")
    assert len(paired_files(tmp_path / "home")[0]) == 1


@pytest.mark.parametrize(
    ("files", "part"),
    [
        (["notes.txt"], "no image files.*put images into"),
        (["masks/1.png"], "1 masks.*no images.*put images into"),
        (["images/a.png", "masks/b.png"], r"none of 1 masks.*image a\.png, mask b\.png"),
    ],
)
def test_refuses(tmp_path, files, part):
    with pytest.raises(DataError, match=part):
        pairs_of(tmp_path, *files)
