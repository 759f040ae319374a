"""From a recipe to its objective: supervised, behind a CRF, with an adversary, with images that have no masks."""

from __future__ import annotations

from rich.console import Console

from segfield.errors import SettingError
from segfield.losses import CombinedLoss
from segfield.models.adversaries import Adversary, build_adversary
from segfield.models.classifier import Classifier
from segfield.segmenter import Scaling
from segfield.training.adversarial import Adversarial
from segfield.training.adversary_size import check_size, size_in_words
from segfield.training.consistency import Consistent
from segfield.training.objective import Objective
from segfield.training.recipe import Recipe
from segfield.training.refined import Refined, build_crf
from segfield.training.setup import Measured
from segfield.training.supervised import Supervised


def build_objective(
    recipe: Recipe,
    classifier: Classifier,
    loss: CombinedLoss,
    scaling: Scaling,
    measured: Measured,
    fused: bool,
    console: Console | None = None,
) -> Objective:
    """The objective that a recipe asks for, on the classifier's device.

    Args:
        recipe: of this stage of the run, with its crop.
        classifier, loss, scaling, fused: as for `Supervised`.
        measured: of the training set.
        console: where an adversary's size is told; None tells nothing.

    Raises:
        SettingError: if settings do not fit together, or the adversary's do not fit the crop.
    """
    if recipe.crf != "none":
        if recipe.adversary != "none" or recipe.unlabelled != "none":
            raise SettingError(
                "a CRF learns from masks alone: leave out adversary and unlabelled where crf is given, or give them to an "
                "earlier stage"
            )
        crf = build_crf(recipe, classifier.classes, measured.bands, measured.values)
        device = next(classifier.parameters()).device
        return Refined(classifier, crf.to(device), loss, scaling, recipe, fused)
    if recipe.adversary != "none":
        adversary = _adversary(recipe, classifier, measured, console)
        return Adversarial(classifier, adversary, loss, scaling, recipe, measured.values, fused)
    if recipe.unlabelled != "none":
        return Consistent(classifier, loss, scaling, recipe, fused)
    return Supervised(classifier, loss, scaling, recipe, fused)


def _adversary(recipe: Recipe, classifier: Classifier, measured: Measured, console: Console | None) -> Adversary:
    maps = classifier.classes * (measured.bands if recipe.adversarial.input == "product" else 1)
    adversary = build_adversary(recipe.adversary, maps, measured.bands, recipe.adversarial.normalise)
    size = check_size(adversary, classifier, maps, recipe, min(measured.sizes))
    if console is not None:
        console.print(size_in_words(recipe.adversary, adversary, size), highlight=False, soft_wrap=True)
    adversary = adversary.to(next(classifier.parameters()).device)
    return adversary
