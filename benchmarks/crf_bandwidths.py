"""Gradients of the CRF to its bandwidths: which form points the right way, and how often.

Exact gradients come from the sum over all pairs in float64. Against them: finite differences of the plain lattice, which are what
autograd through its interpolation weights gives; the moment formula over the plain lattice, over the finer one, and over the
tiled exact sum. Photos × parameters × noise, 48×64, 5 iterations, a loss of random weights on the probabilities. The value
is the share, in percent, of right signs of the moment formula over the finer lattice, for both widths; its goal is the 44 of
54 that a prototype of the formula over the plain lattice reached.

    python benchmarks/crf_bandwidths.py [--quick]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import crf_cases
from record import record
from segfield.crf import CRFRNN, DenseCRF
from segfield.crf.dense_crf import Accuracy

HEIGHT, WIDTH, CLASSES, ITERATIONS = 48, 64, 4, 5
GOAL = 100 * 44 / 54
STEP = 1e-3  # of a width's logarithm, in finite differences
PARAMETERS = {  # bilateral weight, sxy, srgb, at this size
    "DeepLab": (4.0, 12.0, 5.0),
    "wide": (4.0, 20.0, 13.0),
    "narrow": (10.0, 6.0, 20.0),
}
FORMS = ("lattice, through its weights", "lattice, moments", "finer lattice, moments", "tiles, moments")
WIDTHS = ("sxy", "srgb")

Slopes = dict[str, float]
"""Width → the loss's slope to its logarithm."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one photo, one seed; nothing is kept")
    given = parser.parse_args()
    photos, seeds = (1, 1) if given.quick else (3, 3)
    found: dict[str, list[Slopes]] = {form: [] for form in ("exact", *FORMS)}
    for photo in range(photos):
        for name, (weight, sxy, srgb) in PARAMETERS.items():
            start = DenseCRF(bilateral_weight=weight, bilateral_sxy=sxy, bilateral_srgb=srgb, gaussian_weight=1.0,
                             gaussian_sxy=1.5, normalization="after", epsilon=1e-9)  # fmt: skip
            for seed in range(seeds):
                image, logits, wanted = problem(photo, seed)
                found["exact"].append(slopes(start, "exact", image.double(), logits.double(), wanted.double()))
                found[FORMS[0]].append(differences(start, image, logits, wanted))
                for form, accuracy in zip(FORMS[1:], ("fast", "fine", "exact")):
                    found[form].append(slopes(start, accuracy, image, logits, wanted))  # type: ignore[arg-type]
            print(f"photo {photo}, {name}", {form: found[form][-1] for form in found}, flush=True)
    table = {form: judged(found[form], found["exact"]) for form in FORMS}
    for form, told in table.items():
        print(f"{form:30s} {told}", flush=True)
    value = table["finer lattice, moments"]["right signs, percent"]
    details = {
        "photos": crf_cases.photo_says(),
        "cases": len(found["exact"]),
        "size": f"{HEIGHT}×{WIDTH}",
        "forms": table,
    }
    versus = f"the sum over all pairs in float64; through the lattice's weights {table[FORMS[0]]['right signs, percent']:.0f} %"
    record("crf_bandwidths", value, "% right signs", versus, GOAL, value >= GOAL, details, given.quick)


def problem(photo: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image (1, 3, H, W), logits (1, K, H, W), and what each probability counts in the loss."""
    case = crf_cases.make_case(WIDTH, HEIGHT, CLASSES, photo)
    random = np.random.default_rng(1000 * photo + seed)
    noise = random.standard_normal(case.unary.shape).astype(np.float32)
    wanted = random.standard_normal((CLASSES, HEIGHT // 8, WIDTH // 8)).repeat(8, 1).repeat(8, 2)
    image, logits = torch.from_numpy(case.image)[None].float(), torch.from_numpy(-case.unary + noise)[None]
    return image, logits, torch.from_numpy(wanted)[None].float()


def slopes(start: DenseCRF, accuracy: Accuracy, image: Any, logits: Any, wanted: Any) -> Slopes:
    """By the moment formula, of one width for both axes and one for all bands."""
    crf = dataclasses.replace(start, accuracy=accuracy)
    layer = CRFRNN(CLASSES, 3, crf, iterations=ITERATIONS, learn_bandwidths=True).to(logits.dtype)
    (layer(image, logits).softmax(dim=1) * wanted).sum().backward()
    assert layer.bilateral_sxy is not None
    return {"sxy": float(layer.bilateral_sxy.grad.sum()), "srgb": float(layer.bilateral_srgb.grad.sum())}  # type: ignore[union-attr]


def differences(start: DenseCRF, image: Any, logits: Any, wanted: Any) -> Slopes:
    """Of the plain lattice in float64, as its interpolation weights move."""

    def loss(crf: DenseCRF) -> float:
        layer = CRFRNN(CLASSES, 3, crf, iterations=ITERATIONS).double()
        with torch.no_grad():
            return float((layer(image.double(), logits.double()).softmax(dim=1) * wanted).sum())

    def slope(name: str) -> float:
        width = getattr(start, name)
        up, down = (dataclasses.replace(start, **{name: width * np.exp(step)}) for step in (STEP, -STEP))
        return (loss(up) - loss(down)) / (2 * STEP)

    return {name: slope(f"bilateral_{name}") for name in WIDTHS}


def judged(found: list[Slopes], exact: list[Slopes]) -> dict[str, Any]:
    """How often the sign is right, and the median error as a share of the true slope, for each width and for both."""
    told: dict[str, Any] = {}
    right = 0
    median: Callable[[Any], float] = lambda values: round(float(np.median(values)), 3)  # noqa: E731
    for name in WIDTHS:
        pairs = [(one[name], other[name]) for one, other in zip(found, exact, strict=True)]
        hits = sum(one * other > 0 for one, other in pairs)
        right += hits
        told[name] = {
            "right": f"{hits}/{len(pairs)}",
            "median error": median([abs(one / other - 1) for one, other in pairs]),
        }
    told["right signs, percent"] = round(100 * right / (len(WIDTHS) * len(found)), 1)
    return told


if __name__ == "__main__":
    main()
