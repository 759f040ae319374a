"""CRF-RNN: the dense CRF as a layer whose parameters are learned with a classifier (Zheng et al. 2015, arXiv:1502.03240).

X ← U − M (W_b K̂_b Q + W_s K̂_s Q), Q = softmax(X), from X = U: the mean field of Krähenbühl & Koltun 2011, whose weights and
compatibility are matrices between classes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.filters.batch import batch_filter, batch_grid_gaussian
from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_range import batch_in_byte_units, in_byte_units, white_value
from segfield.crf.mean_field_gradient import BatchKernel, Messages, unrolled_mean_field
from segfield.crf.parameters import Number, check_choice, check_count
from segfield.crf.presets import PRESETS
from segfield.crf.unrolled_images import unrolled_images
from segfield.errors import DataError, SettingError

WeightForm = Literal["potts", "diagonal", "symmetric", "full"]
CompatibilityForm = Literal["potts", "symmetric", "full"]

START = DenseCRF.from_dict(PRESETS["crf_rnn"])
"""Where the paper starts (section 7): weights 5 and 3, bandwidths 160 pixels, 3 grey values and 3 pixels."""


class CRFRNN(nn.Module):
    """A dense CRF over images and logits, differentiable to all of its parameters, the logits and the images.

    With its starting values it is `start`, step for step. In training it runs fewer iterations than in prediction: 5 and
    10 in the paper, where 10 in training did worse (-0.7 IoU).

    Args:
        classes: K.
        bands: C of the images.
        start: parameters to start from, normalisation and accuracy; the paper's by default.
        iterations: T in training mode.
        test_iterations: T in evaluation mode.
        weights: form of a kernel's weights W: 'potts' one number, 'diagonal' one a class, 'symmetric' or 'full' (K, K).
        compatibility: form of M: 'potts' stays −1 for the same class, as it starts; 'symmetric' or 'full' (K, K).
        separate: weights and compatibility of their own for every iteration; `test_iterations` is `iterations` then.
        learn_bandwidths: of both kernels as well. Their gradients by the moment formula are rough on a lattice; with
            `start.accuracy` "exact" they are right to its epsilon, and slow.

    Raises:
        SettingError: if a choice is unknown, or `start` does not fit the classes.
    """

    def __init__(
        self,
        classes: int,
        bands: int = 3,
        start: DenseCRF = START,
        *,
        iterations: int = 5,
        test_iterations: int = 10,
        weights: WeightForm = "full",
        compatibility: CompatibilityForm = "full",
        separate: bool = False,
        learn_bandwidths: bool = False,
    ) -> None:
        super().__init__()
        check_choice("weights", weights, get_args(WeightForm))
        check_choice("compatibility", compatibility, get_args(CompatibilityForm))
        check_count("iterations", iterations, 1)
        check_count("test_iterations", test_iterations, 1)
        if start.damping or start.tolerance:
            raise SettingError(
                "a CRF-RNN runs all of its iterations in full; start it from a CRF without damping and tolerance"
            )
        start._check_classes(classes)
        self.classes, self.bands, self.start = classes, bands, start
        self.iterations = iterations
        self.test_iterations = iterations if separate else test_iterations
        self.weights, self.compatibility_form = weights, compatibility
        sets = iterations if separate else 1
        given = start.compatibility
        fixed = torch.tensor(given, dtype=torch.float32) if given is not None else -torch.eye(classes)
        table = fixed.expand(sets, classes, classes).clone()
        if compatibility == "potts":
            self.register_buffer("compatibility", table)
        else:
            self.compatibility = nn.Parameter(table)
        self.bilateral_weight, self.bilateral_sxy = self._kernel(
            start.bilateral_weight, start.bilateral_sxy, sets, "bilateral"
        )
        self.gaussian_weight, self.gaussian_sxy = self._kernel(
            start.gaussian_weight, start.gaussian_sxy, sets, "gaussian"
        )
        self.bilateral_srgb = _logarithms(start.bilateral_srgb, bands)
        for name in ("bilateral_sxy", "bilateral_srgb", "gaussian_sxy"):
            width = getattr(self, name)
            if width is not None:
                width.requires_grad_(learn_bandwidths)

    def forward(self, images: Tensor, logits: Tensor) -> Tensor:
        """Refined logits: X of the last iteration, whose softmax are the probabilities.

        Args:
            images: (B, C, H, W), in the files' units or learned features; a gradient flows to them if they require it. What
                counts as white is `start.image_range`, or is found for each image as `DenseCRF` finds it.
            logits: (B, K, H, W) of any precision; computed in float32, or float64 if they are.

        Returns:
            (B, K, H, W), of the precision it was computed in.

        Raises:
            DataError: if the shapes do not fit the layer or each other, or it cannot be told what counts as white.
        """
        self._check(images, logits)
        with torch.autocast(logits.device.type, enabled=False):
            dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
            steps = self.iterations if self.training else self.test_iterations
            if self._suits_image_engine(images, logits):
                return unrolled_images(images, logits.to(dtype), *self.kernel_tables(), self._build, steps)
            rows = logits.to(dtype).flatten(2).mT.contiguous()
            terms = self._terms(batch_in_byte_units(images, self.start.image_range, dtype), rows)
            found = unrolled_mean_field(rows, terms, steps)
            return found.mT.reshape(logits.shape)

    def kernel_tables(self) -> tuple[Tensor, Tensor]:
        """C of the bilateral and the Gaussian kernel, (S, K, K): energy of class l for a neighbour's class m, M W."""
        matrix = self._matrix(self.compatibility, self.compatibility_form)
        bilateral, gaussian = (
            matrix @ self._matrix(weight, self.weights) for weight in (self.bilateral_weight, self.gaussian_weight)
        )
        return bilateral, gaussian

    def as_dense_crf(self) -> DenseCRF:
        """What has been learned as a refiner, with the iterations of prediction."""
        if self.compatibility_form == "potts" and self.start.compatibility is None:
            compatibility = None
        else:
            compatibility = _numbers(self._matrix(self.compatibility, self.compatibility_form))
        return dataclasses.replace(
            self.start,
            bilateral_weight=self._plain_weight(self.bilateral_weight),
            gaussian_weight=self._plain_weight(self.gaussian_weight),
            compatibility=compatibility,
            bilateral_sxy=_widths(self.bilateral_sxy),
            bilateral_srgb=_widths(self.bilateral_srgb),
            gaussian_sxy=_widths(self.gaussian_sxy),
            iterations=self.test_iterations,
            cheap_start=False,
        )

    def _kernel(
        self, weight: Any, sxy: Number | None, sets: int, name: str
    ) -> tuple[nn.Parameter, nn.Parameter | None]:
        """A kernel's weights in their form, and its bandwidth; a kernel that is off has weights 0 that stay."""
        value = torch.tensor(weight, dtype=torch.float32) if sxy is not None else torch.zeros(())
        needed = {"potts": 0, "diagonal": 1}.get(self.weights, 2)
        if value.ndim > needed:
            raise SettingError(
                f"{name}_weight has {value.ndim} dimensions to start from, and weights '{self.weights}' have {needed}; "
                "give 'full' weights"
            )
        if value.ndim < needed:
            value = value.expand(self.classes)
        if needed == 2 and value.ndim == 1:
            value = torch.diag(value)
        parameter = nn.Parameter(value.expand(sets, *value.shape[-needed:] if needed else ()).clone())
        parameter.requires_grad_(sxy is not None)
        return parameter, None if sxy is None else _logarithms(sxy, 2)

    def _matrix(self, given: Tensor, form: str) -> Tensor:
        """(S, K, K) of weights or compatibility in their form."""
        if form == "symmetric":
            return 0.5 * (given + given.mT)
        if given.ndim == 3:
            return given
        rows = given if given.ndim == 2 else given[:, None].expand(-1, self.classes)
        return torch.diag_embed(rows)

    def _plain_weight(self, weight: Tensor) -> Any:
        is_table = weight.ndim == 3 or len(weight) > 1
        return _numbers(self._matrix(weight, self.weights) if is_table else weight)

    def _suits_image_engine(self, images: Tensor, logits: Tensor) -> bool:
        """Whether the fused loops will do: float32 on the CPU, a lattice, no gradient to images or bandwidths."""
        widths = (self.bilateral_sxy, self.bilateral_srgb, self.gaussian_sxy)
        learned = any(width is not None and width.requires_grad for width in widths) or images.requires_grad
        on_cpu = logits.device.type == "cpu" and logits.dtype != torch.float64
        needs = torch.is_grad_enabled() and learned
        return on_cpu and self.start.accuracy != "exact" and not needs

    def _build(self, image: Any, threads: int | None) -> ImageCRF:
        """The kernels of one image (C, H, W)."""
        return ImageCRF(
            in_byte_units(image, white_value(image, self.start.image_range)),
            bilateral_sxy=_widths(self.bilateral_sxy),
            bilateral_srgb=_widths(self.bilateral_srgb),
            gaussian_sxy=_widths(self.gaussian_sxy),
            normalization=self.start.normalization,
            fine=self.start.accuracy == "fine",
            threads=threads,
        )

    def _terms(self, images: Tensor, rows: Tensor) -> list[Messages]:
        tables = [table.to(rows) for table in self.kernel_tables()]
        terms = []
        positions = _positions(images)
        if self.bilateral_sxy is not None:
            near = positions / self.bilateral_sxy.to(rows).exp()
            alike = images.flatten(2).mT / self.bilateral_srgb.to(rows).exp()
            features = torch.cat([near.expand(len(images), -1, -1), alike], dim=-1)
            filter_ = batch_filter(features, self.start.accuracy, self.start.epsilon)
            terms.append(Messages(BatchKernel(filter_, self.start.normalization, rows), tables[0], features))
        if self.gaussian_sxy is not None:
            widths = self.gaussian_sxy.to(rows).exp()
            near = (positions / widths).expand(len(images), -1, -1)
            size = (int(images.shape[2]), int(images.shape[3]))
            grid = batch_grid_gaussian(size, widths.tolist(), rows)
            terms.append(Messages(BatchKernel(grid, self.start.normalization, rows), tables[1], near))
        return terms

    def _check(self, images: Tensor, logits: Tensor) -> None:
        if (
            images.ndim != 4
            or logits.ndim != 4
            or images.shape[0] != logits.shape[0]
            or images.shape[2:] != logits.shape[2:]
        ):
            raise DataError(
                f"the images are {tuple(images.shape)} and the logits {tuple(logits.shape)}; give (B, C, H, W) and "
                "(B, K, H, W) of one batch and size"
            )
        if images.shape[1] != self.bands or logits.shape[1] != self.classes:
            raise DataError(
                f"the images have {images.shape[1]} bands and the logits {logits.shape[1]} classes; this CRF-RNN was made "
                f"for {self.bands} and {self.classes}"
            )


def _positions(images: Tensor) -> Tensor:
    """(H·W, 2): x and y of each pixel."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device, dtype=images.dtype)
    columns = torch.arange(width, device=images.device, dtype=images.dtype)
    return torch.stack([columns.repeat(height), rows.repeat_interleave(width)], dim=-1)


def _logarithms(widths: Number, count: int) -> nn.Parameter:
    """Bandwidths are learned as logarithms: they stay above 0, and a step is a share of them."""
    values = widths if isinstance(widths, tuple) else (widths,) * count
    if len(values) != count:
        raise SettingError(
            f"bilateral_srgb has {len(values)} values, but the images have {count} bands; give one a band"
        )
    return nn.Parameter(torch.tensor([math.log(value) for value in values]))


def _widths(logarithms: Tensor | None) -> Any:
    return None if logarithms is None else tuple(logarithms.detach().double().exp().tolist())


def _numbers(values: Tensor) -> Any:
    """A parameter (S, …) as nested tuples, without its first dimension where S is 1."""
    plain = values.detach().cpu()
    return (plain[0] if len(plain) == 1 else plain).tolist()
