"""`segfield tune`: find the CRF's parameters on held-out images, and put them into the segmenter file if they help."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segfield.errors import SettingError

if TYPE_CHECKING:
    from segfield.crf.learn import Learned
    from segfield.crf.tune import Tuning
    from segfield.data.output_plan import OutputFolder


def tune(
    segmenter: str,
    data: str,
    *,
    split: str = "val",
    classes: str | None = None,
    out: str = "tuning",
    out_of_fold: str | None = None,
    limit: int = 100,
    folds: int = 5,
    rounds: int = 1,
    base: str = "dense_crf",
    learn: Literal["off", "log_likelihood", "hamming", "soft_iou"] = "off",
    weights: Literal["potts", "diagonal", "symmetric", "full"] = "diagonal",
    learn_bandwidths: bool = False,
    keep: bool = False,
    write: bool = True,
    allow_seen: bool = False,
    tile: int | None = None,
    image_range: float | None = None,
    gallery: int = 6,
    threads: int = 0,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> Tuning | Learned:
    """Find the dense CRF's parameters on held-out images; where they help, they go into the segmenter file.

    OUT gets tuning.html, tuning.json, refiner.json (for --refine) and the probabilities, so that a second start goes on
    where the first ended.

    Args:
        segmenter: the file `segfield train` wrote; it is the one that gets the CRF.
        data: data set, as for `segfield train`.
        split: labelled split that the segmenter was not trained on; 'held_out' takes what the folds of a run left out.
        classes: class table that replaces the format's own.
        out: folder for the page, the numbers and the probabilities.
        out_of_fold: folder of the runs of a cross-validation (RUN/fold0, RUN/fold1 …, trained with --folds): each predicts the
            images it was not trained on, in place of the split.
        limit: images to tune on, drawn by seed; 0 takes all.
        folds: parameters for each part of the images, a stretch of their list, are chosen on the other parts, so that the gain
            told is honest.
        rounds: refinements about the best of the coarse grid.
        base: what all settings share: dense_crf, a preset's name, or a JSON file; its bilateral kernel and the weight of its
            Gaussian kernel are what is tuned, gaussian_sxy, iterations and the rest stay. What is learned starts from it.
        learn: learn the kernels' weights by gradients instead of searching a grid: for the likelihood of the labels, the share
            of right pixels (hamming), or mIoU of probabilities (soft_iou).
        weights: what is learned for each kernel: one number (potts), one a class (diagonal), or a table of classes.
        learn_bandwidths: learn those of both kernels as well.
        keep: switch the CRF on even if it does not help.
        write: put the result into the segmenter file.
        allow_seen: tune on images the segmenter was trained on.
        tile: tile side of prediction in pixels, for large images; by default as in `segfield predict`.
        image_range: the value that counts as white in all images given, where they are of another kind or depth than those
            trained on and it cannot be told: 4095 for 12 bits in 16-bit files, 1 for floats of 0..1.
        gallery: images to show before and after.
        threads: images at once; 0 takes one a core.
        seed: of the images drawn and the intervals.
        device: auto, cpu, cuda, cuda:1, mps; of prediction.
        overwrite: replace a tuning that lies in the folder.

    Returns:
        What was found; `refiner` is None where the CRF stays off.

    Raises:
        SegfieldError: if the segmenter, the data or a setting cannot be used.
    """
    from rich.console import Console

    from segfield.crf.refiner import in_range
    from segfield.crf.tune import tune as tune_crf
    from segfield.crf.tuning.page import write_page
    from segfield.crf.tuning.progress import stage
    from segfield.crf.tuning.store import TrialFolder
    from segfield.crf.tuning.trials import gpu_of, prepare_where
    from segfield.data.files import write_text
    from segfield.data.formats import open_dataset
    from segfield.inference.devices import set_threads
    from segfield.inference.range_notes import counted_range_notes
    from segfield.inference.scoring import check_same_classes, report_facts
    from segfield.segmenter import Segmenter
    from segfield.training.held_out import HeldOut, Part, fold_parts, limited
    from segfield.training.recipe import Recipe
    from segfield.training.seen import chosen_split, refuse_seen, seen

    console = Console()
    folder = Path(out)
    place = _checked_folder(folder, overwrite, [segmenter, data, base, *([classes] if classes else [])])
    crf = _base_crf(base)
    set_threads()
    loaded = Segmenter.load(segmenter, device=device)
    loaded.image_range = image_range
    if loaded.values is not None:
        crf = in_range(crf, loaded.values)
    if out_of_fold is not None:
        parts = fold_parts(out_of_fold, data, classes, _recipe)
    else:
        whole = open_dataset(data, classes)
        chosen = chosen_split(loaded.facts, whole, split, "tune on")
        known = seen(loaded.facts, chosen, whole, loaded.bands, assumed=Recipe(data=data))
        note = refuse_seen(known, chosen, allow_seen, _TOO_SURE)
        if note:
            console.print(note, highlight=False, soft_wrap=True)
        parts = [Part(Path(segmenter), chosen)]
    for part in parts:
        check_same_classes(loaded, part.dataset)
    samples = HeldOut(limited(parts, limit, seed), folder / "probabilities", loaded.bands, loaded.in_own_units)
    origin = samples.origin(
        {"data": data, "tile": tile} | ({} if image_range is None else {"image_range": image_range})
    )
    told = partial(console.print, markup=False, soft_wrap=True, highlight=False)
    with place.writing(besides=[segmenter]):
        place.remove(_of_the_last(place))
        samples.claim(origin, overwrite)
        with stage(console, "predict", len(samples)) as advance, counted_range_notes(told):
            samples.predict(partial(_opened, device=device, image_range=image_range), tile, advance)
        gpu = gpu_of(loaded.device)
        prepare = prepare_where(gpu)
        where = split if out_of_fold is None else "out of fold"
        facts = {**report_facts(seed=seed, data_hash=None, data=data, split=where), "segmenter": segmenter}
        if learn != "off":
            from segfield.crf.learn import learn as learn_crf

            learned = learn_crf(
                samples, loaded.classes, names=samples.names, start=crf, goal=learn, weights=weights,
                learn_bandwidths=learn_bandwidths, folds=folds, keep=keep,
                threads=threads, console=console, device=gpu,
            )  # fmt: skip
            facts |= {"learned for": learn, "weights": weights, "decay": learned.decay}
            _write_learned(folder, learned, samples, gallery, facts)
            if write:
                console.print(_into(loaded, Path(segmenter), learned, split), highlight=False, soft_wrap=True)
            document = {"facts": facts, **learned.as_dict()}
            write_text(folder / "tuning.json", json.dumps(document, indent=2, default=str) + "\n")  # last, as below
            console.print(f"{learned.verdict} Page {folder / 'tuning.html'}", highlight=False, soft_wrap=True)
            return learned
        tuning = tune_crf(
            samples,
            loaded.classes,
            names=samples.names,
            base=crf,
            rounds=rounds,
            folds=folds,
            keep=keep,
            seed=seed,
            threads=threads or (1 if gpu else 0),  # one image at once fills a GPU
            console=console,
            prepare=prepare,
            store=TrialFolder(folder / "trials", {"base": crf.as_dict(), "origin": origin}),
        )
        facts |= {"kernels built": tuning.builds, "mean fields run": tuning.runs}
        write_page(folder / "tuning.html", tuning, samples, gallery=gallery, facts=facts, prepare=prepare)
        write_text(folder / "refiner.json", json.dumps(tuning.best.as_dict(), indent=2) + "\n")
        if write:
            console.print(_into(loaded, Path(segmenter), tuning, split), highlight=False, soft_wrap=True)
        # last: from now on the tuning is finished
        write_text(
            folder / "tuning.json", json.dumps({"facts": facts, **tuning.as_dict()}, indent=2, default=str) + "\n"
        )
        if tuning.at_rim:
            rim = ", ".join(tuning.at_rim)
            console.print(f"the best {rim} lies at the rim of what was tried: --rounds {rounds + 1} goes further out")
        console.print(f"{tuning.verdict} Page {folder / 'tuning.html'}", highlight=False, soft_wrap=True)
        return tuning


_TOO_SURE = (
    "where it is too sure, so that weights come out too small; --out_of_fold takes the runs of a cross-validation"
)


def _checked_folder(folder: Path, overwrite: bool, read: Sequence[str]) -> OutputFolder:
    from segfield.data.output_plan import Output, OutputFolder

    if (folder / "tuning.json").exists() and not overwrite:
        raise SettingError(f"{folder} holds a tuning already; give another --out, or --overwrite true")
    place = OutputFolder(folder, "tune")
    names = ("tuning.html", "tuning.json", "refiner.json", "probabilities/origin.json")
    place.written.follows_older = (folder / "probabilities" / "origin.json").exists() and not place.written.exists()
    place.check([Output(folder / name) for name in names], read)
    return place


def _of_the_last(place: OutputFolder) -> list[Path]:
    """What a finished tuning leaves that is made anew: the masks may have been mended since."""
    if not (place.path / "tuning.json").exists():
        return []
    return [file for file in place.written.files() if file.name == "tuning.json" or file.parent.name == "trials"]


def _opened(file: Path, device: str, image_range: float | None) -> Any:
    from segfield.segmenter import Segmenter

    segmenter = Segmenter.load(file, device=device)
    segmenter.image_range = image_range
    return segmenter


def _base_crf(name: str) -> Any:
    from segfield.crf.dense_crf import DenseCRF
    from segfield.crf.refiner import named_refiner

    found = named_refiner(name)
    if not isinstance(found, DenseCRF):
        raise SettingError(
            f"base is '{name}', which is no dense CRF; give dense_crf, a preset of it, or a JSON file of one"
        )
    return found


def _recipe(segmenter: Path) -> Any:
    """The recipe a segmenter was trained by."""
    from segfield.segmenter import read_facts
    from segfield.training.recipe import Recipe

    settings = read_facts(segmenter).get("facts", {}).get("recipe")
    if not settings:
        raise SettingError(f"{segmenter} does not tell how it was trained; give runs that `segfield train` made")
    return Recipe.from_stored(settings)


def _write_learned(folder: Path, learned: Learned, samples: Any, gallery: int, facts: dict[str, Any]) -> None:
    """tuning.html, in the manner of a report, and refiner.json."""
    from segfield.crf.unary import clipped_unary
    from segfield.data.files import write_text
    from segfield.evaluation.report import write_report

    after = learned.refinement.after
    shown = []
    for name in after.worst(gallery):
        image, probabilities, labels = samples[samples.names.index(name)]
        refined = learned.best.prepare(image).run(clipped_unary(probabilities)).argmax(axis=0)
        shown.append((name, image, labels, refined.astype(labels.dtype)))
    write_report(
        folder / "tuning.html",
        after,
        gallery=shown,
        recipe=learned.best.as_dict(),
        facts=facts,
        refinement=learned.refinement,
    )
    write_text(folder / "refiner.json", json.dumps(learned.best.as_dict(), indent=2) + "\n")


def _into(loaded: Any, path: Path, tuning: Tuning | Learned, split: str) -> str:
    """Puts the result into the segmenter file; what was done, in a sentence."""
    had, loaded.refiner = loaded.refiner, tuning.refiner
    if tuning.refiner is None and had is None:
        return f"{path} is as it was: without a CRF"
    interval = tuning.gain.interval.as_dict()
    loaded.facts["tuning"] = {"split": split, "images": len(tuning.names), "gain": interval, "verdict": tuning.verdict}
    loaded.save(path)
    return (
        f"{path} refines with this CRF now" if tuning.refiner else f"{path} is without a CRF now; it carried one before"
    )
