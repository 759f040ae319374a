"""The consistency objective: confident answers to a weak view of an image without a mask are labels for its strong view.

FixMatch (Sohn et al. 2020), for segmentation as in UniMatch (Yang et al. 2023): the strong view has other colours, and a
rectangle of another image (CutMix, French et al. 2020) or half of that image's classes (ClassMix, Olsson et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.losses import CombinedLoss
from segfield.models.classifier import Classifier
from segfield.segmenter import Scaling
from segfield.training.objective import Batch, Unlabelled
from segfield.training.recipe import Recipe
from segfield.training.supervised import Supervised, on_grid

MIXED = 0.5
"""Share of the strong views that are mixed."""

BOX_AREA, BOX_ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)
"""Of CutMix's rectangle: smallest and largest share of the image, and of height over width (UniMatch's values)."""


UNSURE = -100
"""Label of a pixel that the weak view's answer says nothing about."""


class Consistent(Supervised):
    """Minimise the combined loss on images with masks, and the cross-entropy of strong views against weak ones.

    Args:
        classifier: the network, on its device.
        loss, scaling, recipe, fused: as for `Supervised`.
    """

    measures = ("trusted_share", "unlabelled_loss")

    def __init__(
        self, classifier: Classifier, loss: CombinedLoss, scaling: Scaling, recipe: Recipe, fused: bool = True
    ) -> None:
        super().__init__(classifier, loss, scaling, recipe, fused)
        self.semi = recipe.semi_supervised
        self.weight = 1.0 if self.semi.weight is None else self.semi.weight
        self.begin_step(0, 0.0)

    def begin_step(self, step: int, progress: float) -> None:
        self.with_unlabelled = progress >= (self.semi.start or 0.0)
        self._noted: list[Tensor] = []

    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        if batch.unlabelled is None or not self.with_unlabelled:
            yield from super().turns(batch)
            return
        taught, sure, strong = self._lesson(batch.unlabelled)
        output, logits = self.classified_together(batch.images, strong)
        losses = self.all_losses(output, batch)
        if logits is not None:
            known = on_grid(batch.unlabelled.known, *taught.shape[1:]).sum().clamp(min=1)
            labels = torch.where(sure, taught, UNSURE)
            total = F.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=UNSURE)
            losses["no mask"] = self.weight * total / known
            self._noted.append(torch.stack([sure.sum() / known, losses["no mask"].detach()]))
        yield "classifier", losses

    def measured(self) -> Tensor:
        if not self._noted:
            device = next(self.networks["classifier"].parameters()).device
            return torch.full((2,), math.nan, device=device)
        return torch.stack(self._noted).float().mean(dim=0)

    @torch.no_grad()
    def _lesson(self, unlabelled: Unlabelled) -> tuple[Tensor, Tensor, Tensor]:
        """Classes and where they count, (U, h, w), on the logits' grid, and the mixed strong views (U, C, H, W)."""
        classifier = self.networks["classifier"]
        classifier.eval()
        answers = self.classified(unlabelled.weak).logits.float()
        self.train_mode()
        best, taught = answers.max(dim=1)
        sureness = (best - answers.logsumexp(dim=1)).exp()
        height, width = taught.shape[1:]
        sure = (sureness >= self.semi.confidence) & on_grid(unlabelled.known, height, width)
        if self.semi.mix == "none":
            return taught, sure, unlabelled.strong
        other = torch.roll(torch.arange(len(taught)), 1)
        from_other = self._mixing(taught, unlabelled.weak.shape[2:], other)
        strong = torch.where(from_other[:, None], unlabelled.strong[other], unlabelled.strong)
        small = on_grid(from_other, height, width)
        return torch.where(small, taught[other], taught), torch.where(small, sure[other], sure), strong

    def _mixing(self, taught: Tensor, size: torch.Size, other: Tensor) -> Tensor:
        """(U, H, W): where a strong view shows the other image; for half of them nowhere."""
        count, device = len(taught), taught.device
        if self.semi.mix == "cutmix":
            masks = torch.stack([_box(size[0], size[1]) for _ in range(count)]).to(device)
        else:
            masks = torch.stack([_half_of_the_classes(taught[index]) for index in other.tolist()])
            masks = F.interpolate(masks[:, None].float(), size=tuple(size), mode="nearest")[:, 0] > 0
        return masks & (torch.rand(count) < MIXED).to(device)[:, None, None]


def _box(height: int, width: int) -> Tensor:
    """(H, W): a random rectangle; its size as in `BOX_AREA` and `BOX_ASPECT`, drawn by torch's generator."""
    share, aspect, top, left = torch.rand(4).tolist()
    area = (BOX_AREA[0] + share * (BOX_AREA[1] - BOX_AREA[0])) * height * width
    ratio = BOX_ASPECT[0] + aspect * (BOX_ASPECT[1] - BOX_ASPECT[0])
    h, w = min(height, round(math.sqrt(area * ratio))), min(width, round(math.sqrt(area / ratio)))
    y, x = round(top * (height - h)), round(left * (width - w))
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[y : y + h, x : x + w] = True
    return mask


def _half_of_the_classes(labels: Tensor) -> Tensor:
    """(h, w): where the labels are of a random half of the classes that they hold."""
    present = torch.unique(labels)
    chosen = present[torch.randperm(len(present))[: (len(present) + 1) // 2].to(present.device)]
    return torch.isin(labels, chosen)
