"""Segmentation: entropy, drawing, and files read back by other libraries."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.errors import DataError, SettingError
from segfield.segmentation import KINDS, Segmentation, normalised_entropy


@pytest.fixture
def segmentation(three_classes):
    rng = np.random.default_rng(0)
    raw = rng.random((3, 70, 50)) ** 4
    probabilities = (raw / raw.sum(axis=0)).astype(np.float16)
    labels = probabilities.argmax(axis=0).astype(np.uint8)
    return Segmentation(labels, three_classes, probabilities, name="sub dir/bild ä")


def test_entropy_is_scipys_over_log_k(segmentation):
    from scipy.stats import entropy

    theirs = entropy(segmentation.probabilities.astype(np.float64), axis=0) / np.log(3)
    assert np.abs(segmentation.entropy - theirs).max() < 2e-3
    assert segmentation.entropy.dtype == np.float32 and segmentation.entropy.shape == (70, 50)


def test_entropy_at_its_ends():
    assert normalised_entropy(np.full((4, 2), 0.25)).tolist() == [1.0, 1.0]
    assert normalised_entropy(np.array([[1.0], [0.0]])).tolist() == [0.0]
    assert normalised_entropy(np.ones((1, 3))).tolist() == [0.0] * 3


def test_entropy_that_was_not_kept(segmentation, three_classes):
    bare = Segmentation(segmentation.labels, three_classes)
    with pytest.raises(SettingError, match="keep_entropy=True"):
        _ = bare.entropy
    kept = np.full((70, 50), 0.5, np.float32)
    assert (Segmentation(segmentation.labels, three_classes, kept_entropy=kept).entropy == 0.5).all()


def test_every_kind_is_read_back(segmentation, tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    files = dict(zip(KINDS, segmentation.save(tmp_path, list(KINDS), image=image)))
    assert files["ids"] == tmp_path / "ids" / "sub dir" / "bild ä.png"
    assert (np.asarray(Image.open(files["ids"])) == segmentation.labels).all()
    palette = Image.open(files["palette"])
    assert palette.mode == "P"
    assert (np.asarray(palette.convert("RGB")) == segmentation.palette_image()).all()
    overlay = np.asarray(Image.open(files["overlay"]).convert("RGB")).astype(int)
    assert np.abs(overlay - segmentation.overlay(image, boundaries=True)).mean() < 12
    with np.load(files["probabilities"]) as archive:
        assert (archive["probabilities"] == segmentation.probabilities).all()
    entropy = np.asarray(Image.open(files["entropy"])).astype(np.float64) / 65535
    assert np.abs(entropy - segmentation.entropy).max() < 1e-4
    features = json.loads(files["polygons"].read_text(encoding="utf-8"))["features"]
    assert {feature["properties"]["class"] for feature in features} == {"sky", "road", "car"}
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(f.name for f in files.values())


def test_ids_of_a_submission_are_source_values(tmp_path):
    classes = ClassTable(("a", "b"), source_values={7: 0, 300: 1, 8: 0})
    labels = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    (file,) = Segmentation(labels, classes, name="x").save(tmp_path, ["ids"], source=True)
    assert np.asarray(Image.open(file)).tolist() == [[7, 300], [300, 7]]


def test_more_than_255_classes_are_16_bit_ids_and_an_rgb_picture(tmp_path):
    classes = ClassTable(tuple(f"c{i}" for i in range(300)))
    labels = np.array([[0, 299]], dtype=classes.dtype)
    ids, palette = Segmentation(labels, classes, name="x").save(tmp_path, ["ids", "palette"])
    assert np.asarray(Image.open(ids)).tolist() == [[0, 299]]
    assert np.asarray(Image.open(palette)).tolist() == [[list(classes.colours[0]), list(classes.colours[299])]]


def test_overlay_with_a_legend_is_wider(segmentation):
    image = np.zeros((70, 50, 3), dtype=np.uint8)
    plain, with_names = segmentation.overlay(image), segmentation.overlay(image, legend=True)
    assert (with_names[:70, :50] == plain).all() and with_names.shape[1] > 50


def test_overlay_on_bands_first_and_many_bands(segmentation):
    pytest.importorskip("segfield.data.preview")
    rgb = np.random.default_rng(2).integers(0, 256, (3, 70, 50), dtype=np.uint8)
    assert segmentation.overlay(rgb).shape == (70, 50, 3)
    assert segmentation.overlay(np.zeros((7, 70, 50), np.float32)).shape == (70, 50, 3)


def test_what_cannot_be_saved_is_said(segmentation, three_classes, tmp_path):
    with pytest.raises(SettingError, match=r"'probs' cannot be saved; .*probabilities"):
        segmentation.save(tmp_path, ["probs"])
    with pytest.raises(SettingError, match="image=image"):
        segmentation.save(tmp_path, ["overlay"])
    with pytest.raises(SettingError, match="keep_probabilities"):
        Segmentation(segmentation.labels, three_classes).save(tmp_path, ["probabilities"])
    with pytest.raises(SettingError, match=r"nothing.*saved"):
        segmentation.save(tmp_path, [])
    negative = Segmentation(np.array([[-1]]), ClassTable(("a",), ignored_id=-1))
    with pytest.raises(DataError, match="go from -1"):
        negative.save(tmp_path, ["ids"])
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_shapes_that_do_not_fit(three_classes):
    with pytest.raises(DataError, match=r"labels are \(H, W\)"):
        Segmentation(np.zeros((1, 2, 3), np.uint8), three_classes)
    with pytest.raises(DataError, match=r"\(3, 2, 2\); found \(2, 2, 2\)"):
        Segmentation(np.zeros((2, 2), np.uint8), three_classes, np.zeros((2, 2, 2), np.float16))


def test_neither_a_segmentation_nor_the_verb_loads_torch():
    code = "import sys, segfield.segmentation, segfield.commands.predict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
