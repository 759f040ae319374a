"""The supervised objective: a classifier, its losses on the logits and on auxiliary logits, one optimiser."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from segfield.losses import CombinedLoss
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.segmenter import Scaling
from segfield.training.objective import Batch, Objective
from segfield.training.recipe import Recipe


class Supervised(Objective):
    """Minimise the combined loss of the classifier's logits against the labels.

    Args:
        classifier: the network, on its device.
        loss: what `build_loss` made.
        scaling: input scaling of the segmenter.
        recipe: for the optimiser's settings.
    """

    def __init__(self, classifier: Classifier, loss: CombinedLoss, scaling: Scaling, recipe: Recipe) -> None:
        self.networks = {"classifier": classifier}
        self.optimisers = {"classifier": build_optimiser(classifier, recipe)}
        self.loss = loss
        self.scaling = scaling

    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        scaled = self.scaling(batch.images).contiguous(memory_format=torch.channels_last)
        output = self.networks["classifier"](scaled)
        if not isinstance(output, TrainingOutput):
            yield "classifier", self.loss(output, batch.labels, batch.pixel_weights)
            return
        losses = self.loss(output.logits, batch.labels, batch.pixel_weights)
        for number, (weight, logits) in enumerate(output.auxiliary):
            total = torch.stack(list(self.loss(logits, batch.labels, batch.pixel_weights).values())).sum()
            losses[f"auxiliary{number}"] = weight * total
        yield "classifier", losses


def build_optimiser(classifier: Classifier, recipe: Recipe) -> Optimizer:
    """SGD or AdamW with the encoder's own rate, and no weight decay on biases and norm parameters.

    Every group carries `highest_rate`, which the loop multiplies by the schedule's factor.
    """
    encoder = {id(parameter) for parameter in classifier.encoder_parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in classifier.parameters():
        groups.setdefault((id(parameter) in encoder, parameter.ndim > 1), []).append(parameter)
    arguments = []
    for (in_encoder, decays), parameters in sorted(groups.items()):
        rate = recipe.learning_rate * (recipe.encoder_rate if in_encoder else 1.0)
        decay = recipe.weight_decay if decays else 0.0
        arguments.append({"params": parameters, "lr": rate, "highest_rate": rate, "weight_decay": decay})
    if recipe.optimiser == "sgd":
        return SGD(arguments, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)
    return AdamW(arguments, lr=recipe.learning_rate, fused=True)
