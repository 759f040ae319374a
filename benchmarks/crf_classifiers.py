"""The classifiers of crf_helps: trained by segfield on a part of each data set, and their scores on the rest, kept as files.

Three parts of a data set that share no image: the classifier learns from `train`, the CRF's parameters are found on `tune`
(which also chose the classifier's epoch), and what the CRF gains is measured on `test`. CamVid: the last 70 of the list of
training images are `tune`, its val clip is `test`. Stanford Background: by a seeded draw, 95 images tune and 97 test. ESPNet's
authors trained on all of CamVid's training images: the first half of the val clip tunes, the second tests.

    python benchmarks/crf_classifiers.py --cache FOLDER [--only NAME …] [--minutes 12] [--threads 1]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segfield.classes import Array
from segfield.data.dataset import Dataset
from segfield.data.formats import open_dataset

if TYPE_CHECKING:
    from segfield.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
CAMVID_TUNE, STANFORD_TUNE, STANFORD_TEST, FOLDS = 70, 95, 97, 5


@dataclass(frozen=True)
class Case:
    """One classifier.

    Attributes:
        data: camvid, stanford or camvid_halves.
        says: what it is, in a phrase.
        model, options, crop, batch_size: of its training; crop in pixels.
        weights_of: instead, the case whose trained weights it takes, with these options over its own.
    """

    data: str
    says: str
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    crop: tuple[int, int] = (256, 320)
    batch_size: int = 6
    weights_of: str | None = None


# Trained at stride 16, run at stride 8 with the atrous rates doubled: so DeepLabv3 (Chen et al. 2017, section 3.3) does it.
AT_8 = {"encoder_output_stride": 8, "decoder_atrous_rates": [24, 48, 72]}
COARSE = {"encoder_output_stride": 16, "decoder_channels": 128}
CASES: dict[str, Case] = {
    "camvid_os16": Case("camvid", "DeepLabv3+, encoder stride 16, scores at stride 4", "deeplabv3plus:mobilenetv2_100"),
    "camvid_os8": Case(
        "camvid", "the same weights at encoder stride 8, scores at stride 4", options=AT_8, weights_of="camvid_os16"
    ),
    "camvid_full": Case(
        "camvid",
        "U-Net decoder, scores at full resolution",
        "unet:mobilenetv2_100",
        {"decoder_channels": [128, 64, 48, 32, 16]},
    ),
    "camvid_coarse16": Case("camvid", "DeepLabv3, scores at stride 16", "deeplabv3:mobilenetv2_100", COARSE),
    "camvid_coarse8": Case(
        "camvid",
        "the same weights, scores at stride 8, as DeepLab-LargeFOV's are",
        options=AT_8,
        weights_of="camvid_coarse16",
    ),
    "stanford_os16": Case(
        "stanford", "DeepLabv3, scores at stride 16", "deeplabv3:mobilenetv2_100", COARSE, (224, 288)
    ),
    "stanford_os8": Case("stanford", "the same weights, scores at stride 8", options=AT_8, weights_of="stanford_os16"),
    "espnet": Case("camvid_halves", "ESPNet p 2 q 8 with its authors' weights, scores at full resolution"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for runs and scores")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for name in given.only:
        scores_of(name, given.cache, given.minutes, given.threads)


def scores_of(name: str, cache: Path, minutes: float = 12, threads: int = 1) -> dict[str, Path]:
    """Folders with the classifier's log-probabilities of `tune` and `test`; what is there already is taken as it is."""
    folders = {part: cache / name / part for part in ("tune", "test")}
    todo = {part: folder for part, folder in folders.items() if not (folder / "complete").is_file()}
    if todo and name == "espnet":
        for part, folder in todo.items():
            write_espnet_scores(dataset_of("camvid_halves", part, cache), dataset_of("camvid", "train", cache), folder)
    elif todo:
        import torch

        from segfield.segmenter import Segmenter

        torch.set_num_threads(threads)
        case = CASES[name]
        segmenter = Segmenter.load(trained(case.weights_of or name, cache, minutes, threads), "cpu")
        if case.weights_of is not None:
            segmenter = with_options(segmenter, case.options)
        for part, folder in todo.items():
            print(f"{name}: scores of {part}", flush=True)
            write_scores(segmenter, dataset_of(CASES[name].data, part, cache), folder)
    return folders


def trained(name: str, cache: Path, minutes: float, threads: int) -> Path:
    """Train the classifier, or take up its run; returns the segmenter file."""
    from segfield.commands.train import train
    from segfield.data.augmentation import AugmentationConfig
    from segfield.training.recipe import Recipe

    case = CASES[name]
    recipe = Recipe(
        data=str(dataset_folder(case.data, cache)),
        out=str(cache / name / "run"),
        model=case.model,
        weights=str(SHARED / "weights" / "mobilenetv2_100.imagenet.safetensors"),
        options={"pad_type": "same", **case.options},
        loss="cross_entropy",
        rare_crops=0.3,
        batch_size=case.batch_size,
        time=f"{round(minutes * 60)}s",
        learning_rate=0.002,
        encoder_rate=0.25,
        weight_decay=0.02,
        ema=0.98,
        validate_every=3,
        threads=threads,
        augment=AugmentationConfig(crop=case.crop, scale=(0.6, 1.6)),
    )
    return train(recipe).segmenter


def with_options(segmenter: Segmenter, options: Mapping[str, Any]) -> Segmenter:
    """The same weights in a network of other options."""
    from segfield.models import build_classifier
    from segfield.segmenter import Segmenter

    spec = dataclasses.replace(segmenter.spec, options={**segmenter.spec.options, **options})
    classifier = build_classifier(spec.name, spec.bands, spec.classes, None, spec.options)
    classifier.load_state_dict(segmenter.classifier.state_dict())
    return Segmenter(classifier, spec, segmenter.classes, segmenter.scaling)


def training_of(name: str, cache: Path) -> dict[str, float]:
    """Steps, crops, seconds and mIoU on the tuning images (which chose the weights) at the end of a case's training."""
    name = CASES[name].weights_of or name
    curves = cache / name / "run" / "curves.csv"
    if not curves.is_file():
        return {}
    rows = [line.split(",") for line in curves.read_text(encoding="utf-8").splitlines()]
    last = dict(zip(rows[0], map(float, rows[-1]), strict=True))
    crops = last["step"] * CASES[name].batch_size
    return {"steps": last["step"], "crops": crops, "seconds": last["seconds"], "tune_miou": 100 * last["val_miou"]}


def write_scores(segmenter: Segmenter, dataset: Dataset, folder: Path) -> None:
    """NAME.npy: (K, H, W) float16 log-probabilities of each image, whole images at once."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for sample in dataset:
        logits = segmenter.window_logits(torch.from_numpy(np.ascontiguousarray(sample.image))[None])[0]
        np.save(folder / f"{sample.name}.npy", logits.log_softmax(0).clamp(min=-60).half().numpy())
    (folder / "complete").touch()


def write_espnet_scores(dataset: Dataset, statistics_of: Dataset, folder: Path) -> None:
    """The same of ESPNet, standardised by the training images' statistics as its authors did, void's score left out."""
    import torch

    from espnet import VOID, load_espnet, scaled

    network = load_espnet(SHARED / "weights" / "espnet_p_2_q_8_camvid.pth")
    some = np.stack([statistics_of[i].image[:, ::4, ::4] for i in range(0, len(statistics_of), 6)]).astype(np.float32)
    mean, std = torch.from_numpy(some.mean(axis=(0, 2, 3))), torch.from_numpy(some.std(axis=(0, 2, 3)))
    folder.mkdir(parents=True, exist_ok=True)
    for sample in dataset:
        with torch.inference_mode():
            logits = network(scaled(torch.from_numpy(np.ascontiguousarray(sample.image))[None], mean, std))[0, :VOID]
        np.save(folder / f"{sample.name}.npy", logits.log_softmax(0).clamp(min=-60).half().numpy())
    (folder / "complete").touch()


class Scored(Sequence[tuple[Array, Array, Array]]):
    """(image, probabilities (K, H, W) float32 that sum to one, labels) of every sample, read when asked for."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.folder, self.dataset = folder, dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        sample = self.dataset[index]
        raw = np.exp(np.load(self.folder / f"{sample.name}.npy").astype(np.float32))
        return sample.image, raw / raw.sum(axis=0), sample.labels


def dataset_of(data: str, part: str, cache: Path) -> Dataset:
    """One of `train`, `tune`, `test` of camvid or stanford, or the halves of CamVid's val clip for who saw all the rest."""
    if data == "camvid_halves":
        clip = dataset_of("camvid", "test", cache)
        middle = len(clip) // 2
        return clip.subset(range(middle) if part == "tune" else range(middle, len(clip)), part)
    if data == "camvid" or part != "test":
        return open_dataset(dataset_folder(data, cache)).split({"tune": "val"}.get(part, part))
    dataset_folder(data, cache)
    return open_dataset(cache / "stanford_test")


def dataset_folder(data: str, cache: Path) -> Path:
    """A folder of links in the data set's own layout, in which `val` is our tune part."""
    folder = cache / data
    if not (folder / "complete").is_file():
        (_link_camvid if data == "camvid" else _link_stanford)(cache)
        (folder / "complete").touch()
    return folder


def _link_camvid(cache: Path) -> None:
    source, folder = SHARED / "camvid" / "CamVid", cache / "camvid"
    folder.mkdir(parents=True, exist_ok=True)
    for split, origin in (("train", "train"), ("val", "train"), ("test", "val")):
        for suffix in ("", "annot"):
            _link(source / f"{origin}{suffix}", folder / f"{split}{suffix}")
    names = {part: [Path(line.split()[0]).stem for line in (source / f"{part}.txt").read_text().splitlines()]
             for part in ("train", "val")}  # fmt: skip
    parts = {"train": names["train"][:-CAMVID_TUNE], "val": names["train"][-CAMVID_TUNE:], "test": names["val"]}
    for split, stems in parts.items():
        lines = [f"{split}/{stem}.jpg {split}annot/{stem}.png\n" for stem in stems]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")


def _link_stanford(cache: Path) -> None:
    """The format's first fold is the first fifth by name, so the tune part's names begin with 0 and the others' with 1."""
    source = _unpacked_stanford(cache)
    names = sorted(path.stem for path in (source / "images").glob("*.jpg"))
    drawn = np.random.default_rng(0).permutation(names).tolist()
    test, tune, rest = np.split(np.array(drawn), [STANFORD_TEST, STANFORD_TEST + STANFORD_TUNE])
    if len(tune) != len(np.array_split(np.arange(len(tune) + len(rest)), FOLDS)[0]):
        raise SystemExit(f"{source} holds {len(names)} images; 572 were expected")
    for part, folder, mark in ((test, "stanford_test", ""), (tune, "stanford", "0_"), (rest, "stanford", "1_")):
        for kind, suffix in (("images", ".jpg"), ("labels", ".regions.txt")):
            (cache / folder / kind).mkdir(parents=True, exist_ok=True)
            for name in part:
                _link(source / kind / f"{name}{suffix}", cache / folder / kind / f"{mark}{name}{suffix}")


def _unpacked_stanford(cache: Path) -> Path:
    folder = cache / "iccv09Data"
    if not folder.is_dir():
        import tarfile

        with tarfile.open(SHARED / "stanford_background" / "iccv09Data.tar.xz") as archive:
            archive.extractall(cache, filter="data")
    return folder


def _link(source: Path, target: Path) -> None:
    if not target.exists():
        target.symlink_to(source.resolve())


if __name__ == "__main__":
    main()
