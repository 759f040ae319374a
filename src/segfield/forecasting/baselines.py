"""Forecasts without learning, which any network must beat: the last scores as they are, or carried on along the optical flow.

Luc et al. 2017 compare with both. Theirs is a learned flow, and how they carry it on is not in their code: extrapolation and
what happens at occlusions and borders are a reconstruction.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segfield.classes import Array
from segfield.data.flow import Flow, FlowBetween
from segfield.errors import DataError
from segfield.forecasting.unroll import check_frames
from segfield.inference.smoothing import warped


def copy_last(past: Tensor, frames: int) -> Tensor:
    """The last of (B, N, C, H, W) frames, `frames` times: (B, T, C, H, W), a view.

    Raises:
        SettingError: if `frames` is below one.
    """
    check_frames(frames)
    return past[:, -1:].expand(-1, frames, -1, -1, -1)


def carry_on(scores: Tensor, before: Array, last: Array, frames: int, flow_between: FlowBetween) -> Tensor:
    """The last frame's scores along the flow between the last two images: see `warp_on`.

    Args:
        scores: (K, H, W) of the last frame.
        before, last: (C, H, W) uint8, the last two images, as far apart in time as each forecast frame from the next.
        frames: T.
        flow_between: estimates optical flow: `DenseInverseSearch()`, which is OpenCV's (an extra).

    Raises:
        DataError, SettingError: as `warp_on` and `flow_between` do.
    """
    return warp_on(scores, flow_between(last, before), frames)


def warp_on(scores: Tensor, flow: Flow, frames: int) -> Tensor:
    """Scores carried along a motion that goes on as it was: the flow is extrapolated by a frame, the scores read along it, and
    both repeated for each further frame.

    Between pixels scores are read bilinearly, so that a fraction of a pixel blurs them a little more each time. What comes in at
    the border is not known: scores of the nearest border pixel are read there.

    Args:
        scores: (K, H, W) of the last frame.
        flow: (H, W, 2) pixels to the right and down, from the last frame to the one before.
        frames: T, 1 or more.

    Returns:
        (T, K, H, W) float32, on the device of the scores.

    Raises:
        SettingError: if `frames` is below one.
        DataError: if the sizes differ.
    """
    check_frames(frames)
    if scores.shape[1:] != flow.shape[:2]:
        raise DataError(
            f"scores of {tuple(scores.shape[1:])} and a flow of {flow.shape[:2]} differ in size; give one size"
        )
    scores, found = scores.float(), []
    for _ in range(frames):
        flow = extrapolate(flow)
        scores = warped(scores, torch.from_numpy(flow).to(scores.device))
        found.append(scores)
    return torch.stack(found)


def extrapolate(flow: Flow) -> Flow:
    """The flow from frame t + 1 to t, from that of t to t − 1 (H, W, 2), where everything moves on at its speed.

    Each pixel takes its flow along to the nearest pixel of where it goes, so that what moves keeps its size. Where several
    arrive the furthest moved stays, as the nearer mostly is; where none does, the flow that was there stays, which reads what
    lies behind.
    """
    height, width = flow.shape[:2]
    slowest_first = np.argsort(np.square(flow).sum(axis=-1), axis=None, kind="stable")  # (HW,)
    rows, columns = np.divmod(slowest_first, width)
    moved = flow[rows, columns]  # (HW, 2)
    there = np.rint(np.stack((rows - moved[:, 1], columns - moved[:, 0]))).astype(np.int64)
    inside = (there[0] >= 0) & (there[0] < height) & (there[1] >= 0) & (there[1] < width)
    found = flow.copy()
    found[there[0, inside], there[1, inside]] = moved[inside]
    return found
