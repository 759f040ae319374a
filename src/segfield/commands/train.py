"""`segfield train`: from a recipe to a run folder with a segmenter, its scores and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segfield.training.recipe import Recipe

if TYPE_CHECKING:
    from segfield.evaluation.evaluator import Evaluation


_SWITCHED_OFF = "refiner that was switched off"
"""Among the facts of a segmenter: the CRF it lost."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the segmenter file and the scores on the validation split."""

    folder: Path
    segmenter: Path
    report: Path
    evaluation: Evaluation | None


def train(recipe: Recipe) -> Run:
    """Train a segmenter, or go on with a run that was stopped; ends with a report in the run folder.

    The run folder holds recipe.yaml, curves.csv, tensorboard/, resume.safetensors, segmenter.safetensors (the best weights
    so far), scores.json and report.html; with stages, those before the last one lie in its folder stages/. A second call
    with the same recipe continues or, if all is done, says so.

    Args:
        recipe: everything about the run.

    Raises:
        SegfieldError: for data or settings that cannot be used; one sentence with the mend.
    """
    from segfield.training.processes import is_first_process
    from segfield.training.run_lock import alone_in

    with alone_in(Path(recipe.out), is_first_process()):
        return _train(recipe)


def _train(recipe: Recipe) -> Run:
    from rich.console import Console

    from segfield.crf.refiner import build_refiner
    from segfield.inference.scoring import evaluate_segmenter, report_facts
    from segfield.segmenter import Segmenter
    from segfield.training.stages import fit_in_stages

    console = Console()
    fitted = fit_in_stages(recipe, console)
    folder = fitted.folder
    run = Run(folder.path, folder.segmenter, folder.report, None)
    if not fitted.is_first_process:
        return run
    if folder.is_finished():
        console.print(
            f"{folder.path} is finished already; its report is {folder.report}", highlight=False, soft_wrap=True
        )
        return run
    segmenter = Segmenter.load(folder.segmenter, device=recipe.device)
    if _SWITCHED_OFF in segmenter.facts:  # by a start that was killed before its scores were written: judged once more
        segmenter.refiner = build_refiner(segmenter.facts.pop(_SWITCHED_OFF))
    from segfield.evaluation.evaluator import Evaluator
    from segfield.evaluation.refinement import Refinement
    from segfield.evaluation.report import write_report

    unrefined = Evaluator(segmenter.classes, calibration=False, structure=False)
    evaluation, gallery = evaluate_segmenter(segmenter, fitted.val, unrefined=unrefined, console=console)
    refinement, switched_off = None, False
    if segmenter.refiner is not None:
        refinement = Refinement(unrefined.result(), evaluation)
        console.print(refinement.sentence(), highlight=False, soft_wrap=True)
        switched_off = not (refinement.helps or recipe.crf_keep)
        if switched_off:
            segmenter.facts[_SWITCHED_OFF] = segmenter.refiner.as_dict()
            segmenter.refiner = None
            segmenter.save(folder.segmenter)
            evaluation, gallery = evaluate_segmenter(segmenter, fitted.val, console=console)
            console.print(
                f"the CRF {refinement.doubt} on the validation split, so the segmenter is without it; "
                "--crf_keep true leaves it on",
                highlight=False,
                soft_wrap=True,
            )

    facts = report_facts(
        seed=recipe.seed, data_hash=fitted.measured.hash, data=recipe.data, split=fitted.val.split_name
    )
    write_report(
        folder.report,
        evaluation,
        curves=fitted.counters.rows,
        gallery=gallery,
        recipe=recipe.as_dict(),
        facts=facts,
        refinement=refinement,
    )
    changed = {} if refinement is None else {"refinement": {**refinement.as_dict(), "switched off": switched_off}}
    folder.write_scores({"facts": facts, **evaluation.as_dict(), **changed})
    scores = evaluation.scores
    console.print(
        f"validation mIoU {100 * scores.mean_iou:.2f}, pixel accuracy {100 * scores.pixel_accuracy:.2f}: "
        f"segmenter {folder.segmenter}, report {folder.report}",
        highlight=False,
        soft_wrap=True,
    )
    return Run(folder.path, folder.segmenter, folder.report, evaluation)
