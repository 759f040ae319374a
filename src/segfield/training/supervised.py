"""The supervised objective: a classifier, its losses on the logits and on auxiliary logits, one optimiser."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from segfield.losses import CombinedLoss
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.segmenter import Scaling
from segfield.training.objective import Batch, Objective
from segfield.training.optimiser import build_optimiser, train_but_frozen_norm
from segfield.training.recipe import Recipe


class Supervised(Objective):
    """Minimise the combined loss of the classifier's logits against the labels.

    Args:
        classifier: the network, on its device.
        loss: what `build_loss` made.
        scaling: input scaling of the segmenter.
        recipe: for the optimiser's settings.
        fused: whether the optimiser may step all parameters in one kernel.
    """

    def __init__(
        self, classifier: Classifier, loss: CombinedLoss, scaling: Scaling, recipe: Recipe, fused: bool = True
    ) -> None:
        self.networks = {"classifier": classifier}
        self.optimisers = {"classifier": build_optimiser(classifier, recipe, fused)}
        self.loss = loss
        self.scaling = scaling
        self.freeze_norm = recipe.freeze_norm

    def train_mode(self) -> None:
        train_but_frozen_norm(self.networks["classifier"], self.freeze_norm)

    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        output = self.classified(batch.images)
        yield "classifier", self.all_losses(output, batch)

    def all_losses(self, output: TrainingOutput, batch: Batch) -> dict[str, Tensor]:
        """The losses of what the classifier said of a batch, with those of its auxiliary heads."""
        return {**self.losses(output.logits, batch), **self.auxiliary_losses(output, batch)}

    def classified(self, images: Tensor) -> TrainingOutput:
        """What the classifier says of images."""
        scaled = self.scaling(images).contiguous(memory_format=torch.channels_last)
        output = self.networks["classifier"](scaled)
        return output if isinstance(output, TrainingOutput) else TrainingOutput(output, [])

    def classified_together(self, labelled: Tensor, without: Tensor | None) -> tuple[TrainingOutput, Tensor | None]:
        """What the classifier says of images with a mask, and the logits of those without, in one batch where sizes agree."""
        if without is None:
            return self.classified(labelled), None
        if labelled.shape[1:] != without.shape[1:]:
            return self.classified(labelled), self.classified(without).logits
        output, count = self.classified(torch.cat([labelled, without])), len(labelled)
        auxiliary = [(weight, logits[:count]) for weight, logits in output.auxiliary]
        return TrainingOutput(output.logits[:count], auxiliary), output.logits[count:]

    def auxiliary_losses(self, output: TrainingOutput, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses of the auxiliary heads."""
        return {
            f"auxiliary{number}": weight * torch.stack(list(self.losses(logits, batch).values())).sum()
            for number, (weight, logits) in enumerate(output.auxiliary)
        }

    def losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The losses of logits (B, K, h, w) against the labels on their grid."""
        height, width = logits.shape[2:]
        weights = None if batch.pixel_weights is None else on_grid(batch.pixel_weights, height, width)
        return self.loss(logits, on_grid(batch.labels, height, width), weights)


def on_grid(labels: Tensor, height: int, width: int) -> Tensor:
    """Labels (B, H, W) → (B, height, width): every s-th pixel from the first, as the papers shrink them.

    s is the power of two that gives this size, ⌈H/s⌉ = height; where none does, the nearest pixels above are taken.
    """
    if labels.shape[1:] == (height, width):
        return labels
    rows, columns = (
        (torch.arange(coarse, device=labels.device) * grid_step(fine, coarse)).clamp(max=fine - 1)
        for fine, coarse in zip(labels.shape[1:], (height, width))
    )
    return labels[:, rows[:, None], columns]


def grid_step(fine: int, coarse: int) -> int:
    """The smallest power of two s with s · coarse ≥ fine: no other can give ⌈fine/s⌉ = coarse."""
    return 1 << max(0, -(-fine // coarse) - 1).bit_length()
