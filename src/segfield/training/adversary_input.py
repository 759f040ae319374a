"""What an adversary is shown: label maps, true and predicted, on one grid (Luc et al. 2016, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.data.value_range import ValueRange
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.supervised import grid_step, on_grid


class AdversaryInput:
    """Makes label maps of scores and of labels; where nothing is known both are zero, so that neither looks true for it.

    Args:
        config: which form, and at which stride.
        classes: K.
        ignored_id: the label that does not count.
        values: what the images' numbers mean: an image is shown from black, 0, to white, 1.
    """

    def __init__(self, config: AdversarialConfig, classes: int, ignored_id: int, values: ValueRange) -> None:
        self.form, self.tau, self.stride = config.input, config.tau, config.stride
        self.classes, self.ignored_id, self.values = classes, ignored_id, values

    def predicted(self, logits: Tensor, known: Tensor) -> Tensor:
        """Scores (B, K, h, w) of images (H, W), and where labels are known, (B, H, W) → class maps (B, K, h', w')."""
        height, width = logits.shape[2:]
        rows, columns = (self._every(fine, coarse) for fine, coarse in zip(known.shape[1:], (height, width)))
        maps = logits.float().softmax(dim=1)[:, :, ::rows, ::columns]
        return maps * on_grid(known, height, width)[:, None, ::rows, ::columns]

    def true(self, labels: Tensor, predicted: Tensor, grid: tuple[int, int]) -> Tensor:
        """Labels (B, H, W), the maps predicted of their images, and the scores' (h, w) → class maps like those predicted.

        'scaling': the true class has the larger of τ and its predicted probability, the others share the rest as predicted.
        """
        rows, columns = (self._every(fine, coarse) for fine, coarse in zip(labels.shape[1:], grid))
        shrunk = on_grid(labels, *grid)[:, ::rows, ::columns].long()
        known = (shrunk != self.ignored_id)[:, None]
        chosen = torch.where(known[:, 0], shrunk, 0)
        maps = F.one_hot(chosen, self.classes).movedim(3, 1).to(predicted.dtype)
        if self.form == "scaling":
            maps = self._softened(maps, predicted.detach())
        return maps * known

    def image(self, images: Tensor, size: torch.Size) -> Tensor:
        """Images (B, C, H, W) → (B, C, h', w') in 0..1, each value the mean of the pixels that it stands for."""
        shown = (images.float() - self.values.black) / self.values.span
        kernel = [-(-fine // coarse) for fine, coarse in zip(images.shape[2:], size)]
        return F.avg_pool2d(shown, kernel, ceil_mode=True) if max(kernel) > 1 else shown

    def __call__(self, maps: Tensor, image: Tensor | None) -> Tensor:
        """Class maps as they go into the adversary: 'product' multiplies each with each band, (B, K·C, h', w')."""
        if self.form != "product" or image is None:
            return maps
        return (maps[:, :, None] * image[:, None]).flatten(1, 2)

    def _every(self, fine: int, coarse: int) -> int:
        """How many of the scores' pixels lie between two that are shown."""
        return max(1, self.stride // grid_step(fine, coarse))

    def _softened(self, maps: Tensor, predicted: Tensor) -> Tensor:
        of_true = (maps * predicted).sum(dim=1, keepdim=True)
        kept = of_true.clamp(min=self.tau)
        rest = (1 - of_true).clamp(min=1e-6)
        return torch.where(maps > 0, kept, predicted * (1 - kept) / rest)
