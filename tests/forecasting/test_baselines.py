"""Forecasts without learning on films whose motion is known, and on a drawn one whose labels are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from segfield.data.drawing.scene import draw_sequence
from segfield.data.flow import DenseInverseSearch, Flow
from segfield.data.scenes import SCENE_CLASSES
from segfield.errors import DataError, SettingError
from segfield.evaluation.confusion import ConfusionMatrix
from segfield.evaluation.scores import scores_from_confusion
from segfield.forecasting.baselines import carry_on, copy_last, extrapolate, warp_on

HEIGHT, WIDTH = 14, 20


def uniform(right: float, down: float) -> Flow:
    return np.broadcast_to(np.float32([right, down]), (HEIGHT, WIDTH, 2)).copy()


def view(scene: Tensor, t: int, step: tuple[int, int]) -> Tensor:
    """(K, H, W) of a scene (K, H + 40, W + 40) that has moved by t steps of (right, down) pixels."""
    right, down = 20 - t * step[0], 20 - t * step[1]
    return scene[:, down : down + HEIGHT, right : right + WIDTH]


def test_a_still_film_stays_as_it_is() -> None:
    frame = torch.randn(2, 1, 3, HEIGHT, WIDTH)
    film = frame.expand(-1, 9, -1, -1, -1)
    assert torch.equal(copy_last(film[:, :4], 5), film[:, 4:])
    for said in warp_on(frame[0, 0], uniform(0, 0), 3):
        torch.testing.assert_close(said, frame[0, 0], atol=1e-4, rtol=0)


def test_copies_are_of_the_last_frame() -> None:
    past = torch.randn(1, 4, 3, 5, 6)
    assert torch.equal(copy_last(past, 2), torch.stack((past[:, 3], past[:, 3]), dim=1))


@pytest.mark.parametrize("step", [(1, 0), (0, 2), (-3, 1), (2, -2)])
def test_what_moves_as_a_whole_is_exact_but_at_the_border(step: tuple[int, int]) -> None:
    scene = torch.randn(3, HEIGHT + 40, WIDTH + 40)
    found = warp_on(view(scene, 0, step), uniform(-step[0], -step[1]), 4)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    for t, said in enumerate(found, start=1):
        truth = view(scene, t, step)
        from_row, from_column = rows - t * step[1], columns - t * step[0]
        seen = (from_row >= 0) & (from_row < HEIGHT) & (from_column >= 0) & (from_column < WIDTH)
        torch.testing.assert_close(said[:, seen], truth[:, seen], atol=1e-4, rtol=0)
        nearest = view(scene, 0, step)[:, from_row.clip(0, HEIGHT - 1), from_column.clip(0, WIDTH - 1)]
        torch.testing.assert_close(said, nearest, atol=1e-4, rtol=0)
        assert not torch.allclose(said, truth, atol=1e-2)


def test_between_pixels_scores_are_on_the_line() -> None:
    """A slope moved by a fraction of a pixel stays a slope, as bilinear reading has it."""
    slope = torch.arange(WIDTH).expand(1, HEIGHT, WIDTH) / 10
    for t, said in enumerate(warp_on(slope, uniform(-0.75, 0.25), 3), start=1):
        torch.testing.assert_close(said[..., 3:], slope[..., 3:] - 0.075 * t, atol=1e-5, rtol=0)


def box_film(step: tuple[int, int], frames: int, left: int = 8) -> Tensor:
    """(T, 2, H, W): the scores of a box of 5 × 4 pixels, centred at the first frame where left is 8, before still ground."""
    film = torch.zeros(frames, 2, HEIGHT, WIDTH)
    for t in range(frames):
        top, start = 5 + t * step[1], left + t * step[0]
        film[t, 1, top : top + 4, start : start + 4] = 1
    film[:, 0] = 1 - film[:, 1]
    return film


def box_flow(frame: Tensor, step: tuple[int, int]) -> Flow:
    """From a frame of `box_film` to the one before: the box came from where it was, the ground stood."""
    return np.where(frame[1, ..., None].numpy() > 0, -np.float32(step), np.float32(0))


@pytest.mark.parametrize("step", [(2, 0), (-1, 1), (0, -1), (2, 1)])
def test_a_thing_that_moves_keeps_its_size(step: tuple[int, int]) -> None:
    film = box_film(step, 5)
    found = warp_on(film[1], box_flow(film[1], step), 3)
    torch.testing.assert_close(found, film[2:], atol=1e-4, rtol=0)
    assert not torch.allclose(film[1].expand(3, -1, -1, -1), film[2:])


def test_where_two_arrive_the_faster_stays() -> None:
    flow = np.zeros((1, 6, 2), np.float32)
    flow[0, 0], flow[0, 2] = (-3, 0), (-1, 0)  # both go to column 3
    assert extrapolate(flow)[0, :, 0].tolist() == [-3, 0, -1, -3, 0, 0]
    assert extrapolate(flow[:, ::-1] * -1)[0, :, 0].tolist() == [0, 0, 3, 1, 0, 3]


def test_a_motion_of_all_is_extrapolated_to_itself() -> None:
    for step in ((0.0, 0.0), (3.4, -2.6), (100.0, 0.0)):
        np.testing.assert_array_equal(extrapolate(uniform(*step)), uniform(*step))


def test_time_backwards_is_the_mirror_image() -> None:
    """A box that crosses the middle: backwards, it moves as its mirror image does, and so does the forecast."""
    step = (2, 0)
    film = box_film(step, 3, left=6)  # its middle frame is its own mirror image
    backwards = film.flip(0)
    torch.testing.assert_close(backwards, film.flip(-1))
    forwards = warp_on(film[2], box_flow(film[2], step), 2)
    found = warp_on(backwards[2], box_flow(backwards[2], (-2, 0)), 2)
    torch.testing.assert_close(found, forwards.flip(-1), atol=1e-5, rtol=0)


def test_flow_is_asked_for_from_the_last_image_to_the_one_before() -> None:
    asked = []

    def flow_between(first: np.ndarray, second: np.ndarray) -> Flow:
        asked.append((int(first[0, 0, 0]), int(second[0, 0, 0])))
        return uniform(-1, 0)

    before, last = np.full((3, HEIGHT, WIDTH), 10, np.uint8), np.full((3, HEIGHT, WIDTH), 20, np.uint8)
    scores = torch.randn(4, HEIGHT, WIDTH)
    found = carry_on(scores, before, last, 2, flow_between)
    assert asked == [(20, 10)]
    torch.testing.assert_close(found[1, ..., 2:], scores[..., :-2], atol=1e-4, rtol=0)


def test_scores_of_half_precision_are_read_in_full() -> None:
    scores = torch.randn(2, HEIGHT, WIDTH).half()
    found = warp_on(scores, uniform(-1, 0), 1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, ..., 1:], scores[..., :-1].float(), atol=1e-4, rtol=0)


def mean_iou(forecast: Tensor, truth: np.ndarray) -> float:
    matrix = ConfusionMatrix(len(SCENE_CLASSES), SCENE_CLASSES.ignored_id)
    for said, labels in zip(forecast.argmax(dim=1).numpy().astype(np.uint8), truth, strict=True):
        matrix.update(labels, said)
    return scores_from_confusion(matrix.counts, SCENE_CLASSES.names).mean_iou


def test_the_flow_of_drawn_films_beats_copying() -> None:
    """The mean of four films, from exact labels of the last frame; on a film that hardly moves the two are alike."""
    pytest.importorskip("cv2")
    classes, copied, carried = len(SCENE_CLASSES), [], []
    for seed in range(4):
        images, labels = draw_sequence((96, 144), seed, 5)
        known = torch.from_numpy(labels[1]).long().clip(max=classes - 1)
        scores = torch.nn.functional.one_hot(known, classes).permute(2, 0, 1)
        copied.append(mean_iou(copy_last(scores[None, None], 3)[0], labels[2:]))
        carried.append(mean_iou(carry_on(scores, images[0], images[1], 3, DenseInverseSearch()), labels[2:]))
    assert np.mean(carried) > np.mean(copied) + 0.01


def test_what_does_not_go_together_is_refused() -> None:
    scores = torch.zeros(2, HEIGHT, WIDTH)
    for frames in (0, -2):
        with pytest.raises(SettingError, match=f"{frames} frames.*1 or more"):
            copy_last(scores[None, None], frames)
        with pytest.raises(SettingError, match=f"{frames} frames.*1 or more"):
            warp_on(scores, uniform(0, 0), frames)
    with pytest.raises(DataError, match=r"\(14, 19\).*\(14, 20\).*one size"):
        warp_on(scores[..., 1:], uniform(0, 0), 1)
