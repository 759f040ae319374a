"""Facts of one sample: statistics against numpy, faults against files broken on purpose."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.check.sample import SampleFacts, band_stats, describe_image, describe_labels, examine, unknown_values
from segfield.data.formats import open_dataset
from segfield.data.records import FileDataset, Record
from tests.data.check.facts import CLASSES, Memory, files_dataset, labels, picture

RNG = np.random.default_rng(1)
IMAGES = {
    "uint8": RNG.integers(0, 256, (3, 17, 23), dtype=np.uint8),
    "uint16": RNG.integers(0, 65536, (5, 9, 11), dtype=np.uint16),
    "float32": RNG.normal(1000.0, 0.5, (2, 13, 7)).astype(np.float32),
    "one pixel": np.array([[[7]]], dtype=np.uint8),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_band_stats_equal_numpy(image: np.ndarray) -> None:
    stats = band_stats(image)
    flat = image.reshape(len(image), -1).astype(np.float64)
    np.testing.assert_allclose(stats.mean, flat.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(stats.std, flat.std(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(stats.low, flat.min(axis=1))
    np.testing.assert_array_equal(stats.high, flat.max(axis=1))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_merged_stats_equal_those_of_all_pixels_at_once(offset: float) -> None:
    parts = [RNG.normal(offset, 1.0, (2, 5, n)) for n in (3, 40, 1)]
    merged = band_stats(parts[0])
    for part in parts[1:]:
        merged = merged.merged(band_stats(part))
    whole = band_stats(np.concatenate(parts, axis=2))
    assert merged.pixels == whole.pixels
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-8)


def test_digest_tells_images_apart_and_thumb_ignores_brightness() -> None:
    image = picture(0).transpose(2, 0, 1)
    same, other, darker = image.copy(), image.copy(), (image // 2 + 20).astype(np.uint8)
    other[0, 0, 0] ^= 1
    facts = [SampleFacts(0, "x", ()) for _ in range(4)]
    for entry, pixels in zip(facts, (image, same, other, darker)):
        describe_image(entry, pixels)
    assert facts[0].digest == facts[1].digest != facts[2].digest
    assert facts[0].thumb is not None and facts[3].thumb is not None
    assert float(facts[0].thumb @ facts[3].thumb) > 0.99
    assert float(np.linalg.norm(facts[0].thumb)) == pytest.approx(1.0)


def test_flat_image_has_no_thumb_and_nan_is_counted() -> None:
    flat, holes = SampleFacts(0, "x", ()), SampleFacts(0, "y", ())
    describe_image(flat, np.full((3, 8, 8), 9, dtype=np.uint8))
    assert flat.thumb is None
    image = np.ones((1, 4, 4), dtype=np.float32)
    image[0, 0, :3] = np.nan, np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe_image(holes, image)
    assert holes.not_finite == 3
    assert holes.stats is not None and np.isfinite(holes.stats.mean).all()


def test_label_counts() -> None:
    facts = SampleFacts(0, "x", ())
    describe_labels(facts, np.array([[0, 0, 2], [255, 255, 2]], dtype=np.uint8), CLASSES)
    assert facts.counts is not None
    assert (facts.counts.tolist(), facts.ignored) == ([2, 0, 2], 2)


def test_label_counts_with_many_classes() -> None:
    table = ClassTable(tuple(f"c{i}" for i in range(300)))
    facts = SampleFacts(0, "x", ())
    describe_labels(facts, np.array([[299, 65535, 0]], dtype=np.int32), table)
    assert facts.counts is not None
    assert (facts.counts[299], facts.counts.sum(), facts.ignored) == (1, 2, 1)


def test_healthy_sample(tmp_path: Path) -> None:
    facts = examine(files_dataset(tmp_path, {"ä b": labels(0, 1, 2)}), 0, ("train",))
    assert facts.faults == [] and facts.unknown == {}
    assert (facts.name, facts.size, facts.bands, facts.dtype) == ("ä b", (20, 30), 3, "uint8")
    assert (facts.encoding, facts.values, facts.counts.tolist()) == ("grey", (), [200, 200, 200])


def test_sample_without_files() -> None:
    facts = examine(Memory({"m": ("val", picture(0).transpose(2, 0, 1), labels(1))}), 0, ("val",))
    assert (facts.image_file, facts.encoding, facts.size) == (None, None, (20, 30))
    assert facts.counts is not None and facts.counts.tolist() == [0, 600, 0]


def palette_mask() -> Image.Image:
    mask = Image.fromarray(labels(0, 1, 2), mode="L").convert("P")
    mask.putdata(labels(0, 1, 2).ravel().tolist())
    mask.putpalette([value for colour in CLASSES.colours for value in colour])
    return mask


@pytest.mark.parametrize(
    ("mask", "encoding"),
    [
        (labels(0, 1), "grey"),
        (palette_mask(), "palette"),
        (np.array(CLASSES.colours, dtype=np.uint8)[labels(0, 2)], "colour"),
        (labels(0, 1).astype(np.uint16), "16-bit"),
        (Image.fromarray(labels(0, 255)).convert("1"), "1-bit"),
    ],
)
def test_encodings(tmp_path: Path, mask: object, encoding: str) -> None:
    table = ClassTable(CLASSES.names, CLASSES.colours, source_values={0: 0, 1: 1, 2: 2, 255: 1})
    facts = examine(files_dataset(tmp_path, {"a": mask}, classes=table), 0, ())
    assert facts.faults == []
    assert facts.encoding == encoding


def test_values_of_masks_with_two_labels(tmp_path: Path) -> None:
    dataset = files_dataset(tmp_path, {"a": labels(0, 255), "b": labels(0, 1, 255)})
    assert examine(dataset, 0, ()).values == (0, 255)
    assert examine(dataset, 1, ()).values == ()


def test_unknown_values_are_counted(tmp_path: Path) -> None:
    facts = examine(files_dataset(tmp_path, {"a": labels(0, 7, 9)}), 0, ())
    assert facts.unknown == {7: 200, 9: 200}
    assert facts.faults == []
    assert facts.size == (20, 30)


def test_unknown_colours_and_greys_saved_as_rgb() -> None:
    known = np.array(CLASSES.colours, dtype=np.uint8)[labels(0, 1)]
    known[:2, :5] = (1, 2, 3)
    assert unknown_values(known, CLASSES) == {(1, 2, 3): 10}
    assert unknown_values(np.repeat(labels(0, 1, 8)[..., None], 3, axis=2), CLASSES) == {8: 200}


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("images", b"", "corrupt image"),
        ("images", None, "missing image"),
        ("masks", b"\x89PNG\r\n\x1a\nrest", "corrupt mask"),
        ("masks", None, "missing mask"),
    ],
)
def test_broken_files_are_told_apart(tmp_path: Path, file: str, content: bytes | None, kind: str) -> None:
    dataset = files_dataset(tmp_path, {"a": labels(0, 1)})
    path = tmp_path / file / "a.png"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    facts = examine(dataset, 0, ())
    assert [fault[0] for fault in facts.faults] == [kind]
    assert str(path) in facts.faults[0][1]


def test_truncated_image_and_broken_mask_give_two_faults(tmp_path: Path) -> None:
    dataset = files_dataset(tmp_path, {"a": labels(0, 1)})
    for folder in ("images", "masks"):
        path = tmp_path / folder / "a.png"
        path.write_bytes(path.read_bytes()[:60])
    assert [fault[0] for fault in examine(dataset, 0, ()).faults] == ["corrupt image", "corrupt mask"]


def test_size_mismatch_names_both_sizes(tmp_path: Path) -> None:
    dataset = files_dataset(tmp_path, {"a": labels(0, 1, height=10)})
    (kind, sentence), *rest = examine(dataset, 0, ()).faults
    assert kind == "size mismatch" and rest == []
    assert "30×20" in sentence and "30×10" in sentence


def test_object_masks(tmp_path: Path) -> None:
    files_dataset(tmp_path, {"a": labels(0, 255), "b": labels(255, 0)})
    record = Record("x", tmp_path / "images/a.png", (tmp_path / "masks/a.png", tmp_path / "masks/b.png"), "train")
    table = ClassTable(("background", "nucleus"), source_values={0: 0, 255: 1})
    facts = examine(FileDataset([record], table, "nuclei", tmp_path), 0, ("train",))
    assert facts.encoding == "a file an object"
    assert facts.counts is not None and facts.counts.tolist() == [0, 600]


def test_an_image_that_holds_no_numbers_is_named_and_counted(tmp_path: Path) -> None:
    import tifffile

    pixels = np.ones((6, 7))
    pixels[0, :3] = np.nan, np.inf, 1e300
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", pixels)
    Image.fromarray(np.eye(6, 7, dtype=np.uint8)).save(tmp_path / "masks" / "a.png")
    ((kind, sentence),) = examine(open_dataset(str(tmp_path)), 0, ("train",)).faults
    assert kind == "not finite" and "a.tif" in sentence and "3 of 42" in sentence
