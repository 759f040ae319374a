"""check_dataset and the pooled report: counts against numpy, every planted fault named, clean data left in peace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segfield.data.check import check_dataset
from segfield.data.check.report import membership
from segfield.data.dataset import Dataset
from segfield.data.records import FileDataset
from segfield.errors import DataError
from tests.data.check.facts import CLASSES, Memory, files_dataset, labels, picture


def healthy(count: int = 6) -> Memory:
    rng = np.random.default_rng(3)
    drawn = {f"s{i}": rng.integers(0, 3, (12, 10), dtype=np.uint8) for i in range(count)}
    for mask in drawn.values():
        mask[0, :2] = 255
    return Memory(
        {
            n: ("train" if i % 2 else "val", picture(i).transpose(2, 0, 1)[:, :12, :10], m)
            for i, (n, m) in enumerate(drawn.items())
        }
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_counts_equal_numpy_and_order_does_not_depend_on_threads(workers: int) -> None:
    dataset = healthy()
    report = check_dataset(dataset, "memory", workers)
    for split in ("train", "val", None):
        part: Dataset = dataset if split is None else dataset.split(split)
        stacked = np.stack([sample.labels for sample in part if sample.labels is not None])
        assert report.pixels(split).tolist() == [int((stacked == i).sum()) for i in range(3)]
        assert report.images_with(split).tolist() == [int((stacked == i).any(axis=(1, 2)).sum()) for i in range(3)]
    assert [fact.name for fact in report.facts] == dataset.names
    assert report.ignored_share == pytest.approx(2 / 120)
    images = np.stack([sample.image for sample in dataset]).astype(float)
    assert report.band_stats is not None
    np.testing.assert_allclose(report.band_stats.mean, images.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(report.band_stats.std, images.std(axis=(0, 2, 3)))


def test_healthy_data_is_usable_without_a_word() -> None:
    report = check_dataset(healthy())
    assert (report.verdict, report.exit_status, list(report.problems)) == ("usable", 0, [])


def test_weights_come_from_the_training_split() -> None:
    samples = {
        "a": ("train", picture(0).transpose(2, 0, 1), labels(0, 1, 2)),
        "b": ("val", picture(1).transpose(2, 0, 1), labels(0, 0, 0)),
    }
    np.testing.assert_allclose(check_dataset(Memory(samples)).weights["median_frequency"], [1, 1, 1])


def test_progress_counts_every_sample_once() -> None:
    ticks: list[tuple[int, int]] = []
    check_dataset(healthy(5), workers=2, tick=lambda done, total: ticks.append((done, total)))
    assert ticks == [(i, 5) for i in range(1, 6)]


def plant(folder: Path) -> FileDataset:
    """A data set with one of everything."""
    good = {f"ok{i}": labels(0, 1, 2) for i in range(4)}
    bad: dict[str, Any] = {
        "unknown": labels(0, 1, 42),
        "small": labels(0, 1, width=20),
        "void": labels(255),
        "bare": None,
        "broken": labels(0, 1),
        "gone": labels(0, 1),
        "colour": np.array(CLASSES.colours, dtype=np.uint8)[labels(0, 1, 2)],
        "twin": labels(0, 1, 2),
    }
    splits = ["train", "train", "val", "val", *["train"] * 7, "val"]
    dataset = files_dataset(folder, {**good, **bad}, splits)
    (folder / "images/broken.png").write_bytes(b"no image")
    (folder / "images/gone.png").unlink()
    (folder / "images/twin.png").write_bytes((folder / "images/ok0.png").read_bytes())
    Image.fromarray(picture(50)[..., 0]).save(folder / "images/ok1.png")
    Image.fromarray(labels(0)).save(folder / "masks/lost.png")
    return dataset


def test_every_planted_fault_is_found(tmp_path: Path) -> None:
    report = check_dataset(plant(tmp_path), "planted")
    found = {problem.kind: problem for problem in report.problems}
    assert set(found) == {
        "unknown mask values",
        "size mismatch",
        "all ignored",
        "no mask",
        "corrupt image",
        "missing image",
        "mixed masks",
        "duplicates across splits",
        "band counts",
        "masks without an image",
    }
    assert {kind for kind, problem in found.items() if problem.severity == "error"} == {
        "unknown mask values",
        "size mismatch",
        "corrupt image",
        "missing image",
    }
    assert "42" in found["unknown mask values"].files[0] and "unknown.png" in found["unknown mask values"].files[0]
    assert found["no mask"].files == ("bare",)
    assert found["duplicates across splits"].files == ("ok0 (train) = twin (val)",)
    assert found["masks without an image"].files == (str(tmp_path / "masks/lost.png"),)
    assert (report.verdict, report.usable, report.exit_status) == ("unusable", False, 1)
    assert [problem.rank for problem in report.problems] == sorted(problem.rank for problem in report.problems)


def test_warnings_alone_leave_it_usable() -> None:
    samples = {
        f"{s}{i}": (s, picture(9).transpose(2, 0, 1), labels(0, 1, 2)) for s in ("train", "val") for i in range(2)
    }
    report = check_dataset(Memory(samples))
    assert (report.verdict, report.exit_status) == ("usable with warnings", 0)


def test_report_as_json(tmp_path: Path) -> None:
    read = json.loads(json.dumps(check_dataset(plant(tmp_path), "planted").as_dict()))
    assert read["samples"] == 12
    assert read["splits"] == {"train": 9, "val": 3}
    assert read["verdict"] == "unusable"
    assert {"severity", "kind", "message", "count", "files", "paste"} == set(read["problems"][0])


def test_empty_data_set_is_unusable() -> None:
    report = check_dataset(Memory({}))
    assert [problem.kind for problem in report.problems] == ["empty"]
    assert report.exit_status == 1


def test_float_images_with_nan() -> None:
    image = np.ones((4, 20, 30), dtype=np.float32)
    image[0, 0, 0] = np.nan
    report = check_dataset(Memory({"a": ("train", image, labels(0, 1, 2)), "b": ("val", image + 1, labels(0, 1, 2))}))
    assert "not finite" in {problem.kind for problem in report.problems}


class Overlapping(Memory):
    """Splits that nest, one that adds a sample, one that cannot be read."""

    @property
    def splits(self) -> list[str]:
        return ["train", "val", "trainval", "extra", "lost"]

    def split(self, name: str) -> Dataset:
        if name == "lost":
            raise DataError("lost.txt is not there")
        if name == "extra":
            return Memory({"x": ("extra", picture(8).transpose(2, 0, 1), labels(0, 1, 2))})
        names = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}[name]
        return Memory({k: v for k, v in self.samples.items() if v[0] in names})


def test_overlapping_splits_open_every_sample_once() -> None:
    dataset = Overlapping(healthy().samples)
    members, lost = membership(dataset)
    assert [splits for _, _, splits in members] == [("val", "trainval"), ("train", "trainval")] * 3 + [("extra",)]
    assert [problem.message for problem in lost] == ["the split 'lost' cannot be read: lost.txt is not there"]
    report = check_dataset(dataset)
    assert (len(report.facts), report.facts[-1].name) == (7, "x")
    assert report.main_splits == ("train", "val")
