"""A dense CRF learned by gradients behind a classifier that stays as it is (Krähenbühl & Koltun, ICML 2013).

Mean field is unrolled; weights, compatibility and, if asked, bandwidths go downhill by L-BFGS over all images at once.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from segfield.classes import Array, ClassTable
from segfield.crf.arrays import as_array
from segfield.crf.crf_rnn import CRFRNN, CompatibilityForm, WeightForm
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.image_range import white_value
from segfield.crf.parameters import check_choice, check_count, check_number
from segfield.crf.threads import usable_threads
from segfield.crf.tuning.cross_validation import fold_images
from segfield.crf.tuning.measures import verdict
from segfield.crf.tuning.progress import stage
from segfield.crf.tuning.trials import Prepare, TuningSample, checked_sample, over_images, prepare_where
from segfield.crf.unary import clipped_unary
from segfield.errors import DataError, SettingError
from segfield.evaluation.bootstrap import Difference
from segfield.evaluation.evaluator import Evaluator
from segfield.evaluation.refinement import Refinement

Goal = Literal["log_likelihood", "hamming", "soft_iou"]

DECAYS = (1e-2, 1e-3, 1e-4)
"""Weights of the squared distance from the start, from stiff to free: few images allow little more than the start."""

ROBUST = 1e-3
"""Added to the probability inside the logarithm, so that single hopeless pixels do not rule (ours; the paper has some)."""


@dataclass(frozen=True)
class Learned:
    """What a learning came to.

    Attributes:
        classes: the class table.
        refiner: the CRF to use, learned on all images; None where it does not help (and was not asked to be kept).
        best: the same, whether it helps or not.
        helps: the cross-validated gain is above 0 with all of its interval.
        refinement: scores without and with a CRF, each image with what was learned on the other folds.
        decay: weight of the squared distance from the start, of those tried.
        losses: of the last learning, on all images: what was minimised, at the start and after each step.
        verdict: whether it helps, in a sentence.
        seconds: it took.
    """

    classes: ClassTable
    refiner: DenseCRF | None
    best: DenseCRF
    helps: bool
    refinement: Refinement
    decay: float
    losses: tuple[float, ...]
    verdict: str
    seconds: float

    @property
    def gain(self) -> Difference:
        """Cross-validated mIoU with the CRF minus without, 0..1."""
        return self.refinement.gain

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images."""
        return self.refinement.before.images

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON."""
        return {
            "verdict": self.verdict,
            "helps": self.helps,
            "refiner": None if self.refiner is None else self.refiner.as_dict(),
            "best": self.best.as_dict(),
            "images": len(self.names),
            "decay": self.decay,
            "losses": list(self.losses),
            **self.refinement.as_dict(),
            "seconds": round(self.seconds, 1),
        }


def learn(
    samples: Sequence[TuningSample],
    classes: ClassTable,
    *,
    names: Sequence[str] | None = None,
    start: DenseCRF | None = None,
    goal: Goal = "log_likelihood",
    weights: WeightForm = "diagonal",
    compatibility: CompatibilityForm = "potts",
    learn_bandwidths: bool = False,
    iterations: int = 5,
    steps: int = 15,
    decay: float | Sequence[float] = DECAYS,
    folds: int = 2,
    keep: bool = False,
    threads: int = 0,
    console: Console | None = None,
    device: Any = None,
) -> Learned:
    """Learn a CRF's parameters from images, a classifier's probabilities and labels, and say whether it is worth it.

    The classifier must not have been trained on the images: it is too sure there. The scores told are of each image with
    what was learned on the other folds; the refiner that comes out is learned on all. How far it may go from the start the
    same folds decide, which makes the scores a little too good; parameters that fit these images alone are worse.

    Args:
        samples: (image (C, H, W), probabilities (K, H, W), labels (H, W)); read anew whenever they are needed.
        classes: the class table: K and the ignored id.
        names: of the samples.
        start: parameters to start from, bandwidths and normalisation; `DenseCRF()` by default.
        goal: 'log_likelihood' of the labels; 'hamming', the expected share of right pixels, classes weighted by the root of
            their rarity; 'soft_iou', mIoU of probabilities, pooled over the images.
        weights, compatibility, learn_bandwidths: what is learned, as for `CRFRNN`. The paper's Potts, diagonal and
            symmetric compatibilities are `weights` of that form with a Potts `compatibility`.
        iterations: of mean field; the refiner has those of `start`.
        steps: of L-BFGS, at most.
        decay: weight of the squared distance from the start, the paper's L2 term. Of several the largest comes first; each
            smaller one goes on from it, as long as the scores get better.
        folds: of the cross-validation, stretches of the list; as many as images where these are fewer.
        keep: give a refiner even where it does not help.
        threads: images at once; 0 takes one a core.
        console: where progress is shown.
        device: of torch, on which it is learned; None: the processor.

    Raises:
        DataError: if a sample's parts do not fit together, or no pixel is known.
        SettingError: if a setting is unknown, or there are fewer than two images or folds.
    """
    began = time.monotonic()
    check_choice("goal", goal, get_args(Goal))
    check_count("steps", steps, 1)
    decays = sorted({decay} if isinstance(decay, (int, float)) else {*decay}, reverse=True)
    if not decays:
        raise SettingError("no decay is given; give one or more, 0 or above")
    for value in decays:
        check_number("decay", value, 0)
    start = start or DenseCRF()
    titles = tuple(names) if names is not None else tuple(f"image {i}" for i in range(len(samples)))
    held_out = fold_images(len(samples), folds)
    checked = _Checked(samples, titles, classes)
    # the layer is given floats, whose white cannot be told
    start = dataclasses.replace(start, image_range=white_value(checked[0][0], start.image_range))

    def new_layer() -> CRFRNN:
        return CRFRNN(
            len(classes), len(checked[0][0]), start, iterations=iterations, test_iterations=start.iterations or iterations,
            weights=weights, compatibility=compatibility, learn_bandwidths=learn_bandwidths,
        ).to(device).train()  # fmt: skip

    learner = _Learner(new_layer, checked, goal, _class_shares(checked), steps, console)
    tried = _cross_validated(learner, held_out, decays, threads)
    final, refinement = new_layer(), tried[-1][1]
    losses: tuple[float, ...] = ()
    for value, _ in tried:
        losses = learner.descend(final, range(len(samples)), value, "on all")
    best = final.as_dense_crf()
    helps = refinement.gain.is_gain
    scores = (refinement.before.scores.mean_iou, refinement.after.scores.mean_iou)
    return Learned(
        classes=classes,
        refiner=best if helps or keep else None,
        best=best,
        helps=helps,
        refinement=refinement,
        decay=tried[-1][0],
        losses=losses,
        verdict=verdict("The learned CRF", *scores, refinement.gain, len(samples), len(held_out), helps, keep),
        seconds=time.monotonic() - began,
    )


class _Checked:
    """The samples, each checked when it is read."""

    def __init__(self, samples: Sequence[TuningSample], names: Sequence[str], classes: ClassTable) -> None:
        self.samples, self.names, self.classes = samples, names, classes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> TuningSample:
        return checked_sample(self.samples[index], self.names[index], self.classes)


def _class_shares(samples: _Checked) -> Tensor:
    """(K,) share of each class in the known pixels."""
    counts = np.zeros(len(samples.classes), np.int64)
    for index in range(len(samples)):
        labels = samples[index][2]
        counts += np.bincount(labels[labels != samples.classes.ignored_id].ravel(), minlength=len(counts))
    if not counts.any():
        raise DataError(
            f"no pixel of the {len(samples)} images has a known class, so nothing can be learned; give labels"
        )
    return torch.from_numpy(counts / counts.sum())


@dataclass(frozen=True)
class _Learner:
    """Learns on some of the images; see `learn`."""

    new_layer: Callable[[], CRFRNN]
    samples: _Checked
    goal: Goal
    shares: Tensor
    steps: int
    console: Console | None

    def descend(self, layer: CRFRNN, images: Sequence[int], decay: float, what: str) -> tuple[float, ...]:
        """Minimise the goal over the images, and the distance from a new layer; the losses of the steps.

        The layer is left at the best of them.
        """
        parameters = _learnable(layer)
        first = [parameter.detach() for parameter in _learnable(self.new_layer())]
        best, best_loss = [parameter.detach().clone() for parameter in parameters], float("inf")
        losses: list[float] = []
        # of the loss, so that the first step changes the parameters by 1 in all: these goals are nearly flat at first
        scale = 0.0

        def closure() -> float:
            nonlocal best, best_loss, scale
            optimiser.zero_grad()
            loss = _backward(layer, self.samples, images, self.goal, self.shares)
            for parameter, beginning in zip(parameters, first):
                away = parameter - beginning
                loss += decay * float(away.detach().square().sum())
                (decay * away.square().sum()).backward()  # type: ignore[no-untyped-call,unused-ignore]
            if not losses:
                losses.append(loss)
            if loss < best_loss:
                best, best_loss = [parameter.detach().clone() for parameter in parameters], loss
            slopes = [parameter.grad for parameter in parameters if parameter.grad is not None]
            scale = scale or 1 / max(sum(float(slope.abs().sum()) for slope in slopes), 1e-12)
            for slope in slopes:
                slope *= scale
            return scale * loss

        optimiser, restarted = _lbfgs(parameters), False
        with stage(self.console, f"learn, decay {decay:g}, {what}", self.steps) as advance:
            for _ in range(self.steps):
                before = best_loss
                optimiser.step(closure)  # type: ignore[arg-type,no-untyped-call,unused-ignore]
                losses.append(best_loss)
                advance()
                stuck = before - best_loss < 1e-6 * max(abs(best_loss), 1e-6)
                if stuck and restarted:
                    break
                if stuck:  # by curvature that no longer fits: begin anew from the best, as the paper does
                    _put(parameters, best)
                    optimiser, scale = _lbfgs(parameters), 0.0
                restarted = stuck
        _put(parameters, best)
        return tuple(losses)


def _cross_validated(
    learner: _Learner, held_out: Sequence[Sequence[int]], decays: Sequence[float], threads: int
) -> list[tuple[float, Refinement]]:
    """The decays gone through, as long as scores got better: those of each image with what was learned on the other folds."""
    count = len(learner.samples)
    layers = [learner.new_layer() for _ in held_out]
    tried: list[tuple[float, Refinement]] = []
    for decay in decays:
        own: dict[int, DenseCRF] = {}
        for number, (part, layer) in enumerate(zip(held_out, layers), 1):
            others = sorted({*range(count)} - {*part})
            learner.descend(layer, others, decay, f"fold {number} of {len(held_out)}")
            own.update(dict.fromkeys(part, layer.as_dense_crf()))
        prepare = prepare_where(next(layers[0].parameters()).device)
        found = _measured(learner.samples, own, prepare, threads, learner.console)
        if tried and found.after.scores.mean_iou <= tried[-1][1].after.scores.mean_iou:
            break
        tried.append((decay, found))
    return tried


def _learnable(layer: CRFRNN) -> list[torch.nn.Parameter]:
    return [parameter for parameter in layer.parameters() if parameter.requires_grad]


def _put(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def _lbfgs(parameters: list[torch.nn.Parameter]) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(parameters, max_iter=1, tolerance_change=0, line_search_fn="strong_wolfe")


def _backward(layer: CRFRNN, samples: _Checked, images: Sequence[int], goal: Goal, shares: Tensor) -> float:
    """The loss over the images, its gradient added to the layer's parameters."""
    known = sum(int((samples[index][2] != samples.classes.ignored_id).sum()) for index in images)
    slopes, value = None, 0.0
    if goal == "soft_iou":  # of sums over all images: first the sums, then their gradient
        with torch.no_grad():
            sums = torch.stack([_overlaps(q, labels) for q, labels in _refined(layer, samples, images)]).sum(dim=0)
        value, slopes = _soft_iou(sums)
    for q, labels in _refined(layer, samples, images):
        if slopes is not None:
            (slopes * _overlaps(q, labels)).sum().backward()  # type: ignore[no-untyped-call,unused-ignore]
            continue
        mask = labels != samples.classes.ignored_id
        right = q.gather(1, torch.where(mask, labels, 0)[:, None])[:, 0][mask]
        if goal == "log_likelihood":
            loss = -(right + ROBUST).log().sum() / known
        else:
            rarity = torch.where(shares > 0, shares.clamp(min=1e-12) ** -0.5, 0.0)
            rarity = (rarity / (rarity * shares).sum()).to(right)
            loss = -(rarity[labels[mask]] * right).sum() / known
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        value += float(loss.detach())
    return value


def _refined(layer: CRFRNN, samples: _Checked, images: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Probabilities (B, K, H, W) and labels (B, H, W) of batches of images of one size, an image for each core."""
    batch: list[TuningSample] = []
    for index in [*images, -1]:
        sample = samples[index] if index >= 0 else None
        if batch and (sample is None or len(batch) == usable_threads() or sample[0].shape != batch[0][0].shape):
            pixels = torch.from_numpy(np.stack([image for image, _, _ in batch]).astype(np.float32))
            scores = torch.from_numpy(np.stack([-clipped_unary(probabilities) for _, probabilities, _ in batch]))
            labels = torch.from_numpy(np.stack([labels for _, _, labels in batch]).astype(np.int64))
            device = next(layer.parameters()).device
            yield layer(pixels.to(device), scores.to(device)).softmax(dim=1), labels.to(device)
            batch = []
        if sample is not None:
            batch.append(sample)


def _overlaps(q: Tensor, labels: Tensor) -> Tensor:
    """(2, K): Σ Q of each class where it is the truth; and the union, its true pixels and Σ Q of the other known ones."""
    classes = q.shape[1]
    known = labels < classes
    truth = torch.nn.functional.one_hot(torch.where(known, labels, 0), classes).movedim(-1, 1) * known[:, None]
    hits = (q * truth).sum(dim=(0, 2, 3))
    return torch.stack([hits, truth.sum(dim=(0, 2, 3)) + (q * known[:, None]).sum(dim=(0, 2, 3)) - hits])


def _soft_iou(sums: Tensor) -> tuple[float, Tensor]:
    """−mean of hits / union over the classes there are, and its derivative to `sums` (2, K)."""
    sums = sums.double().requires_grad_()
    there = sums[1].detach() > 0
    loss = -(sums[0][there] / sums[1][there]).mean()
    (slopes,) = torch.autograd.grad(loss, sums)
    return float(loss.detach()), slopes.float()


def _measured(
    samples: _Checked, own: dict[int, DenseCRF], prepare: Prepare, threads: int, console: Console | None
) -> Refinement:
    """Scores without the CRF, and with each image's own."""

    def both(index: int) -> tuple[Array, Array, Array]:
        image, probabilities, labels = samples[index]
        crf, dtype = own[index], samples.classes.dtype
        refined = prepare(image, crf).run(
            clipped_unary(probabilities), bilateral_weight=crf.bilateral_weight, gaussian_weight=crf.gaussian_weight
        )
        return labels, probabilities.argmax(axis=0).astype(dtype), as_array(refined.argmax(0)).astype(dtype)

    before, after = (Evaluator(samples.classes, calibration=False, structure=False) for _ in range(2))
    for index, (labels, alone, refined) in enumerate(over_images(both, len(samples), threads, console, "measure")):
        before.update(samples.names[index], labels, alone)
        after.update(samples.names[index], labels, refined)
    return Refinement(before.result(), after.result())
