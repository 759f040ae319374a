"""The adversarial objective: a second network tells true label maps from predicted ones, and so teaches the classifier.

Luc, Couprie, Chintala and Verbeek 2016. With images without masks, the adversary also chooses the pixels of their predicted
maps that count as labels (Hung, Tsai, Liou, Lin and Yang 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from segfield.data.value_range import ValueRange
from segfield.losses import CombinedLoss
from segfield.losses.adversarial import adversary_loss, border, deceiving_loss, trust
from segfield.models.adversaries import Adversary
from segfield.models.classifier import Classifier
from segfield.segmenter import Scaling
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.adversary_input import AdversaryInput
from segfield.training.objective import Batch, Unlabelled
from segfield.training.processes import not_learning
from segfield.training.recipe import Recipe
from segfield.training.supervised import Supervised, on_grid

SELF_TAUGHT_WEIGHT, SELF_TAUGHT_START = 0.1, 0.25
"""λ_semi, and the share of the run before it counts (Hung et al. 2018, section 4: 0.1, and 5,000 of 20,000 steps)."""

WON, LOST = 0.98, 0.02
"""Accuracies from which on an adversary that is right everywhere, or calls everything the same, is remarked on."""


SETTLED = 50
"""Steps before which nothing is remarked on: every adversary begins by calling everything the same."""


class Adversarial(Supervised):
    """Minimise the combined loss, and λ times the adversary's doubt that the predicted map is true; train the adversary.

    Args:
        classifier: the network, on its device.
        adversary: the other, on the same.
        loss, scaling, recipe, fused: as for `Supervised`.
        values: what the images' numbers mean, for an adversary that sees the image.
    """

    measures = (
        "network_loss",
        "adversary_loss",
        "adversary_accuracy_true",
        "adversary_accuracy_predicted",
        "trusted_share",
    )

    def __init__(
        self,
        classifier: Classifier,
        adversary: Adversary,
        loss: CombinedLoss,
        scaling: Scaling,
        recipe: Recipe,
        values: ValueRange,
        fused: bool = True,
    ) -> None:
        super().__init__(classifier, loss, scaling, recipe, fused)
        self.networks["adversary"] = adversary
        self.optimisers["adversary"] = adversary_optimiser(adversary, recipe.adversarial)
        self.config, self.semi = recipe.adversarial, recipe.semi_supervised
        self.input = AdversaryInput(self.config, classifier.classes, loss.ignored_id, values)
        self.wants_image = adversary.wants_image
        self.begin_step(0, 0.0)
        self._remarked: set[str] = set()

    def begin_step(self, step: int, progress: float) -> None:
        config, self.step = self.config, step
        both_from = config.network_first + config.adversary_first
        turn = (step // config.turns) % 2
        if progress < config.network_first:
            self.network_learns, self.adversary_learns = True, False
        elif progress < both_from:
            self.network_learns, self.adversary_learns = False, True
        else:
            self.network_learns, self.adversary_learns = config.turns == 1 or not turn, config.turns == 1 or bool(turn)
        risen = 1.0 if not config.rise else min(1.0, max(0.0, progress - both_from) / config.rise)
        self.weight = 0.0 if progress < both_from else config.weight * risen
        self.with_unlabelled = progress >= (SELF_TAUGHT_START if self.semi.start is None else self.semi.start)
        self._noted: dict[str, list[Tensor]] = {}

    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        unlabelled = batch.unlabelled if self.with_unlabelled and self.network_learns else None
        with torch.set_grad_enabled(self.network_learns):
            output, without = self.classified_together(batch.images, None if unlabelled is None else unlabelled.weak)
        grid = output.logits.shape[2], output.logits.shape[3]
        predicted = self.input.predicted(output.logits, batch.labels != self.loss.ignored_id)
        image = self._shown(batch.images, predicted)
        if self.network_learns:
            losses = self.all_losses(output, batch)
            if self.weight:
                with not_learning(self.networks["adversary"]):
                    losses["adversarial"] = self.weight * self._deceiving(self._decisions(predicted, image))
            if unlabelled is not None and without is not None:
                losses |= self._unlabelled_losses(without, unlabelled)
            self._note("network_loss", torch.stack(list(losses.values())).sum())
            yield "classifier", losses
        if self.adversary_learns:
            predicted = predicted.detach()
            maps = torch.cat([self.input.true(batch.labels, predicted, grid), predicted])
            both = None if image is None else torch.cat([image, image])
            true, of_predicted = self._decisions(maps, both).float().chunk(2)
            limit = border(self.config.loss)
            loss = adversary_loss(true, of_predicted, self.config.loss)
            self._note("adversary_loss", loss)
            self._note("adversary_accuracy_true", (true > limit).float().mean())
            self._note("adversary_accuracy_predicted", (of_predicted <= limit).float().mean())
            yield "adversary", {"adversary": loss}

    def measured(self) -> Tensor:
        nothing = torch.full((), math.nan, device=next(self.networks["classifier"].parameters()).device)
        means = [torch.stack(self._noted[name]).mean() if name in self._noted else nothing for name in self.measures]
        return torch.stack(means)

    def remarks(self, row: Mapping[str, float]) -> list[str]:
        if self.step < SETTLED:
            return []
        true, predicted = (row.get(f"adversary_accuracy_{which}", math.nan) for which in ("true", "predicted"))
        if min(true, predicted) >= WON:
            text = (
                "the adversary tells true from predicted maps nearly everywhere, and so teaches little; lower "
                "adversarial.rate, or soften the true maps by adversarial.input scaling"
            )
        elif max(true, predicted) >= WON and min(true, predicted) <= LOST:
            what = "true" if true > predicted else "predicted"
            text = (
                f"the adversary has collapsed: it calls every map {what}; raise adversarial.rate, or let it learn alone first "
                "by adversarial.adversary_first 0.1"
            )
        else:
            return []
        told = text in self._remarked
        self._remarked.add(text)
        return [] if told else [text]

    def _decisions(self, maps: Tensor, image: Tensor | None) -> Tensor:
        """(B, M, h, w), (B, C, h, w) → the adversary's decisions, one a place or one an image."""
        shown = self.input(maps, image)
        network = self.networks["adversary"]
        decisions: Tensor = network(shown, image) if self.wants_image else network(shown)
        return decisions.mean(dim=(2, 3)) if self.config.decision == "average" else decisions

    def _deceiving(self, decisions: Tensor) -> Tensor:
        return deceiving_loss(decisions, self.config.loss)

    def _shown(self, images: Tensor, maps: Tensor) -> Tensor | None:
        wanted = self.wants_image or self.config.input == "product"
        return self.input.image(images, maps.shape[2:]) if wanted else None

    def _unlabelled_losses(self, logits: Tensor, unlabelled: Unlabelled) -> dict[str, Tensor]:
        """The adversary's doubt of maps without a truth, and the loss against their own classes where it trusts them."""
        maps = self.input.predicted(logits, unlabelled.known)
        with not_learning(self.networks["adversary"]):
            decisions = self._decisions(maps, self._shown(unlabelled.weak, maps))
        losses = {}
        if self.weight:
            losses["adversarial, no mask"] = self.semi.adversarial_weight * self.weight * self._deceiving(decisions)
        height, width = logits.shape[2:]
        sure = trust(decisions.detach(), self.config.loss)
        if sure.ndim == 4:
            sure = F.interpolate(sure, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
        else:
            sure = sure[:, :, None]
        known = on_grid(unlabelled.known, height, width)
        trusted = known & (sure > self.semi.trust)
        self._note("trusted_share", trusted.sum() / known.sum().clamp(min=1))
        each = F.cross_entropy(logits.float(), logits.detach().argmax(dim=1), reduction="none")
        weight = SELF_TAUGHT_WEIGHT if self.semi.weight is None else self.semi.weight
        losses["self-taught"] = weight * (each * trusted).sum() / known.sum().clamp(min=1)
        return losses

    def _note(self, name: str, value: Tensor) -> None:
        self._noted.setdefault(name, []).append(value.detach().float())


def adversary_optimiser(adversary: Adversary, config: AdversarialConfig) -> Optimizer:
    """The adversary's own optimiser, whose rate follows the schedule of the run."""
    group = {"params": list(adversary.parameters()), "lr": config.rate, "highest_rate": config.rate}
    if config.optimiser == "sgd":
        return SGD([group], lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay)
    return AdamW([group], lr=config.rate, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)
