"""The objective of CRF-RNN: the loss is on the refined logits; the CRF alone learns, or the classifier with it.

Zheng et al. 2015, section 6: classifier first, then end to end. Their rates are for a summed loss; here losses are means.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW

from segfield.crf.crf_rnn import CRFRNN
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.refiner import Refiner, named_refiner
from segfield.data.value_range import ValueRange
from segfield.errors import SegfieldError, SettingError, did_you_mean
from segfield.losses import CombinedLoss
from segfield.models.classifier import Classifier
from segfield.models.grid import from_label_grid
from segfield.segmenter import Scaling, read_segmenter_file
from segfield.training.objective import Batch
from segfield.training.recipe import Recipe
from segfield.training.supervised import Supervised


class Refined(Supervised):
    """Minimise the combined loss of the CRF's logits; auxiliary heads keep their losses.

    With `crf` 'learn' the classifier is as it is, in evaluation mode; with 'joint' both learn, each at its own rate, and the
    classifier's own logits count as well, `crf_network_loss` times: a network that is scored behind the CRF alone leans on it.
    The CRF's logits are divided by `crf_temperature`: mean field's marginals are overconfident, and the loss of the few pixels
    that are wrong with certainty would outweigh all else.

    Args:
        classifier: the network, on its device.
        crf: the layer, on the same.
        loss, scaling, recipe, fused: as for `Supervised`.
    """

    as_they_are = frozenset({"crf"})  # in float32, whatever the run's precision

    def __init__(
        self,
        classifier: Classifier,
        crf: CRFRNN,
        loss: CombinedLoss,
        scaling: Scaling,
        recipe: Recipe,
        fused: bool = True,
    ) -> None:
        self.crf, self.alone = crf, recipe.crf == "learn"
        self.network_loss, self.temperature = recipe.crf_network_loss, recipe.crf_temperature
        learned = [parameter for parameter in crf.parameters() if parameter.requires_grad]
        group: dict[str, Any] = {
            "params": learned, "lr": recipe.crf_rate, "highest_rate": recipe.crf_rate, "weight_decay": 0.0,
        }  # fmt: skip
        if not learned:
            raise SettingError(
                "the CRF has nothing to learn: both of its kernels are off; start it from another crf_start"
            )
        if self.alone:
            classifier.requires_grad_(False)
            self.loss, self.scaling, self.freeze_norm = loss, scaling, True
            if recipe.optimiser == "sgd":
                self.optimisers = {"crf": SGD([group], lr=recipe.crf_rate, momentum=recipe.momentum)}
            else:
                self.optimisers = {"crf": AdamW([group], lr=recipe.crf_rate)}
        else:
            super().__init__(classifier, loss, scaling, recipe, fused)
            self.optimisers["classifier"].add_param_group(group)
        self.networks = {"classifier": classifier, "crf": crf}

    def train_mode(self) -> None:
        if self.alone:
            self.networks["classifier"].eval()
        else:
            super().train_mode()
        self.networks["crf"].train()

    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        with torch.set_grad_enabled(not self.alone):
            output = self.classified(batch.images)
        height, width = batch.labels.shape[1:]
        logits = from_label_grid(output.logits.float(), height, width)
        losses = self.losses(self.networks["crf"](batch.images, logits) / self.temperature, batch)
        if self.alone:
            yield "crf", losses
            return
        if self.network_loss:
            own = self.losses(output.logits, batch)
            losses |= {f"network {name}": self.network_loss * loss for name, loss in own.items()}
        yield "classifier", losses | self.auxiliary_losses(output, batch)

    def refiner(self) -> Refiner:
        return self.crf.as_dense_crf()


def build_crf(recipe: Recipe, classes: int, bands: int, values: ValueRange) -> CRFRNN:
    """The CRF layer of a recipe, with the parameters of the segmenter it starts from where that has a CRF.

    Args:
        recipe: its crf, crf_start, crf_options and start count.
        classes, bands: K and C.
        values: what the images' numbers mean.

    Raises:
        SettingError: if an option is unknown, or the start is no dense CRF.
        FileFormatError: if the segmenter to start from is damaged.
    """
    known = list(inspect.signature(CRFRNN).parameters)[3:]
    for name in recipe.crf_options:
        if name not in known:
            raise SettingError(f"crf_options has no '{name}'; {did_you_mean(str(name), known)}")
    carried = carried_crf(recipe.start)
    start = carried or starting_crf(recipe)
    if carried is not None or start.image_range is None:  # augmented images are floats, whose white cannot be told
        start = dataclasses.replace(start, image_range=values.span)
    try:
        return CRFRNN(classes, bands, start, **recipe.crf_options)
    except TypeError as error:
        raise SettingError(f"crf_options: {error}") from error


def starting_crf(recipe: Recipe) -> DenseCRF:
    """The dense CRF that `crf_start` names.

    Raises:
        SettingError: if it is none.
    """
    start = named_refiner(recipe.crf_start)
    if not isinstance(start, DenseCRF):
        raise SettingError(
            f"crf_start is '{recipe.crf_start}', which is no dense CRF; give a preset of it, or a JSON file of one"
        )
    return start


def carried_crf(start: str | None) -> DenseCRF | None:
    """The dense CRF that the segmenter to start from carries, if it does."""
    if start is None:
        return None
    file = Path(start) / "segmenter.safetensors" if Path(start).is_dir() else Path(start)
    document, _ = read_segmenter_file(file)
    described = document.get("refiner")
    if not described or described.get("name") != DenseCRF.name:
        return None
    try:
        return DenseCRF.from_dict(described)
    except (SegfieldError, TypeError, ValueError) as error:
        raise SettingError(f"{file} carries a CRF that cannot be made ({error}); take the original again") from error
