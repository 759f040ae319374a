"""Steadier labels for video: a running average of the class probabilities, carried along the motion. Causal: no frame waits.

S_t(p) = (1 − s w(p)) P_t(p) + s w(p) S_{t−1}(p + f(p)), with f the flow from frame t to frame t−1, s the strength and w(p)
the trust in the flow: exp(−50 e), e the mean squared difference of the two colours (0..1), and 0 where f leaves the image.
The weight is the visibility mask of Lai et al.: Learning Blind Video Temporal Consistency, ECCV 2018, section 3.2 (from memory).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.classes import Array
from segfield.data.flow import Flow, FlowBetween
from segfield.errors import SettingError

SHARPNESS = 50.0
"""Of the trust in the flow: at a colour difference of a tenth of the range it is exp(−0.5)."""


class FlowSmoother:
    """Smooths one clip's frames, in order.

    Args:
        strength: s, the share of the past where the flow is perfect: 0 (no smoothing) to below 1.
        flow_between: estimates optical flow.

    Attributes:
        backward: the flow from the latest frame to the one before, (H, W, 2); None at the first frame.

    Raises:
        SettingError: if the strength is out of range.
    """

    def __init__(self, strength: float, flow_between: FlowBetween) -> None:
        if not 0 <= strength < 1:
            raise SettingError(f"smoothing strength is {strength}; give 0 (none) to below 1, e.g. 0.7")
        self.strength = strength
        self.backward: Flow | None = None
        self._flow_between = flow_between
        self._last: tuple[Array, Tensor] | None = None

    def __call__(self, image: Array, probabilities: Tensor) -> Tensor:
        """(C, H, W) uint8 and (K, H, W) probabilities of the next frame → (K, H, W) smoothed ones, on the same device."""
        average = probabilities.float()
        if self._last is not None:
            old_image, before = self._last
            self.backward = self._flow_between(image, old_image)
            flow = torch.from_numpy(self.backward).to(average.device)
            weight = self.strength * trust(_unit(image, average), _unit(old_image, average), flow)
            average = running_average(average, before, flow, weight)
        self._last = (image, average)
        return average


def running_average(probabilities: Tensor, before: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """(1 − w) P + w S(p + f).

    Args:
        probabilities: P, (K, H, W) of this frame.
        before: S, (K, H, W), the average of the frame before.
        flow: f, (H, W, 2) pixels to the right and down, from this frame to the one before.
        weight: w, (H, W), 0..1.

    Returns:
        (K, H, W); sums to 1 over K where both did.
    """
    return torch.lerp(probabilities, warped(before, flow), weight)


def trust(image: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """(H, W), 0..1: exp(−50 e), e the mean over bands of the squared difference of image and warped image before.

    Args:
        image, before: (C, H, W), 0..1, of this frame and the one before.
        flow: (H, W, 2), from this frame to the one before.
    """
    error = (image - warped(before, flow)).square_().mean(dim=0)  # (H, W)
    return torch.exp(-SHARPNESS * error) * stays_inside(flow)


def warped(values: Tensor, flow: Tensor) -> Tensor:
    """Values (C, H, W) read at p + flow[p], between pixels bilinearly, beyond the border from it: (C, H, W)."""
    height, width = values.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[..., 1]  # (H, W)
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[..., 0]
    # pixel i of n lies at (2i + 1)/n − 1 of the sampler's −1..1, which counts from the image's edges
    grid = torch.stack(((2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1), dim=-1)  # (H, W, 2)
    return F.grid_sample(values[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def stays_inside(flow: Tensor) -> Tensor:
    """(H, W) bool: whether p + flow[p] is in the image."""
    height, width = flow.shape[:2]
    rows = torch.arange(height, device=flow.device)[:, None] + flow[..., 1]
    columns = torch.arange(width, device=flow.device) + flow[..., 0]
    return (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)


def _unit(image: Array, like: Tensor) -> Tensor:
    """(C, H, W) uint8 → 0..1 on a tensor's device."""
    return torch.from_numpy(image).to(like.device).float().div_(255)
