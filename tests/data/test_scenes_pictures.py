"""Drawn scenes as pictures: the same everywhere, labels that fit, all classes in sane shares, any size, quickly."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from segfield.data.scenes import SCENE_CLASSES, draw_scene
from segfield.errors import SettingError


def digest(seeds):
    return hashlib.sha256(b"".join(a.tobytes() for seed in seeds for a in draw_scene((48, 80), seed, 1.25))).hexdigest()


def test_another_process_draws_the_same():
    code = "from tests.data.test_scenes_pictures import digest; print(digest([3, 7, 11]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest([3, 7, 11])


def test_what_was_drawn_before_does_not_matter():
    first = draw_scene((40, 60), 4)
    draw_scene((64, 64), 9, 3.0)
    again = draw_scene((40, 60), 4)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_seeds_give_other_scenes():
    pictures = {draw_scene((32, 48), seed)[1].tobytes() for seed in range(30)}
    assert len(pictures) == 30


@pytest.mark.parametrize("size", [(32, 32), (33, 200), (200, 33), (97, 131), (160, 240)])
def test_any_size(size):
    image, labels = draw_scene(size, 6)
    assert image.shape == (3, *size)
    assert labels.shape == size
    assert image.dtype == labels.dtype == np.uint8
    assert labels.max() < len(SCENE_CLASSES)
    assert image.std() > 15


def test_the_layout_scales_with_the_size():
    _, small = draw_scene((80, 120), 2)
    _, large = draw_scene((320, 480), 2)
    assert (large[2::4, 2::4] == small).mean() > 0.85


def test_all_classes_appear_in_sane_shares():
    counts = np.zeros((40, len(SCENE_CLASSES)))
    for seed in range(40):
        counts[seed] = np.bincount(draw_scene((80, 120), seed)[1].ravel(), minlength=len(SCENE_CLASSES))
    shares = dict(zip(SCENE_CLASSES.names, counts.sum(axis=0) / counts.sum()))
    common = {"sky": (0.05, 0.3), "building": (0.1, 0.4), "road": (0.15, 0.4), "vegetation": (0.05, 0.25)}
    rare = {"pole": (0.008, 0.05), "sign": (0.001, 0.02), "person": (0.003, 0.04), "fence": (0.003, 0.04)}
    for name, (low, high) in {**common, **rare, "car": (0.05, 0.25), "pavement": (0.02, 0.12)}.items():
        assert low < shares[name] < high, name
    assert ((counts > 0).mean(axis=0) > 0.6).all()


def test_sky_is_up_and_road_is_down():
    names, rows = SCENE_CLASSES.names, {}
    for seed in range(12):
        _, labels = draw_scene((60, 90), seed)
        for name in ("sky", "building", "car", "road"):
            rows.setdefault(name, []).append(np.nonzero(labels == names.index(name))[0])
    heights = {name: np.concatenate(parts).mean() for name, parts in rows.items()}
    assert heights["sky"] < heights["building"] < heights["car"] < heights["road"]


def test_edges_in_the_picture_lie_at_the_borders_of_the_labels():
    """Steps in brightness are largest at label borders, and fall off when the labels are moved a pixel or two."""
    steps = {shift: [] for shift in (-2, -1, 0, 1, 2)}
    for seed in range(10):
        image, labels = draw_scene((120, 180), seed)
        grey = image.astype(np.float32).mean(axis=0)
        for picture, ids in ((grey, labels), (grey.T, labels.T)):
            jump = np.abs(np.diff(picture, axis=1))
            border = ids[:, 1:] != ids[:, :-1]
            for shift, found in steps.items():
                found.append(jump[np.roll(border, shift, axis=1)].mean())
    means = {shift: np.mean(found) for shift, found in steps.items()}
    assert means[0] == max(means.values())
    assert means[0] > 1.2 * max(means[1], means[-1])
    assert means[0] > 1.5 * max(means[2], means[-2])


def test_colour_alone_does_not_give_the_class():
    """A scene's best table from colour to class must fail often: grey is road, house, pole, car and sky."""
    pixels, ids = [], []
    for seed in range(16):
        image, labels = draw_scene((64, 96), seed)
        pixels.append((image // 32).reshape(3, -1))
        ids.append(labels.ravel())
    (red, green, blue), truth = np.concatenate(pixels, axis=1).astype(int), np.concatenate(ids)
    table = np.zeros((512, len(SCENE_CLASSES)), dtype=int)
    np.add.at(table, ((red * 8 + green) * 8 + blue, truth), 1)
    assert table.max(axis=1).sum() / table.sum() < 0.65


def test_jpeg_changes_the_image_alone():
    plain, compressed = draw_scene((48, 64), 1), draw_scene((48, 64), 1, jpeg=30)
    assert not np.array_equal(plain[0], compressed[0])
    assert np.array_equal(plain[1], compressed[1])


@pytest.mark.parametrize(
    "arguments, says",
    [
        (((16, 64), 0), "32 to 8192"),
        (((64, 9000), 0), "32 to 8192"),
        (((64, 64), -1), "negative"),
        (((64, 64), 0, -1.0), "seconds"),
        (((64, 64), 0, float("nan")), "seconds"),
        (((64, 64), 0, 0.0, 96), "JPEG quality 96"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, says):
    with pytest.raises(SettingError, match=says):
        draw_scene(*arguments)
