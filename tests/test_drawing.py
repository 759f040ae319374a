"""Pictures of labels, pixel by pixel."""

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.drawing import class_borders, draw_legend, draw_overlay, legend_font, with_legend, with_titles
from segfield.errors import DataError, SettingError

CLASSES = ClassTable(("grün", "дорога"), ((0, 200, 0), (100, 0, 50)))


def test_overlay_is_the_weighted_mean_and_leaves_the_ignored_alone():
    picture = np.full((300, 4, 3), 60, dtype=np.uint8)
    labels = np.zeros((300, 4), dtype=np.uint8)
    labels[:, 2], labels[:, 3] = 1, 255
    drawn = draw_overlay(picture, labels, CLASSES, alpha=0.25)
    assert (drawn[:, 0] == [45, 95, 45]).all()
    assert (drawn[:, 2] == [70, 45, 58]).all()  # 57.5 rounds to even
    assert (drawn[:, 3] == 60).all()
    assert (draw_overlay(picture, labels, CLASSES, alpha=0) == picture).all()
    assert (draw_overlay(picture, labels, CLASSES, alpha=1)[:, 0] == CLASSES.colours[0]).all()


def test_borders_lie_where_the_class_changes():
    labels = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert class_borders(labels).astype(int).tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 0]]
    drawn = draw_overlay(np.zeros((3, 3, 3), np.uint8), labels, CLASSES, boundaries=True)
    assert (drawn[0, 1] == 255).all() and not (drawn[0, 0] == 255).any()


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_out_of_range(alpha):
    with pytest.raises(SettingError, match="weight of the colour"):
        draw_overlay(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), CLASSES, alpha)


def test_a_picture_of_another_size():
    with pytest.raises(DataError, match="as the labels; found"):
        draw_overlay(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2), np.uint8), CLASSES)


def test_legend_shows_each_colour_and_writes_names():
    legend = draw_legend(CLASSES)
    for colour in CLASSES.colours:
        assert (legend == colour).all(axis=-1).sum() > 100
    one = draw_legend(CLASSES, [1])
    assert not (one == CLASSES.colours[0]).all(axis=-1).any()
    # Letters beyond ASCII are drawn, not replaced by one and the same box.
    assert legend_font().getmask("д").getbbox() and bytes(legend_font().getmask("д")) != bytes(
        legend_font().getmask("о")
    )


def test_many_classes_go_to_columns():
    many = ClassTable(tuple(f"class {i}" for i in range(150)))
    legend = draw_legend(many, height=300)
    assert legend.shape[0] <= 300 < legend.shape[1]


def test_with_legend_keeps_the_picture_and_shows_present_classes_only():
    picture = np.full((100, 80, 3), 7, dtype=np.uint8)
    sheet = with_legend(picture, np.ones((100, 80), np.uint8), CLASSES)
    assert (sheet[:100, :80] == 7).all() and sheet.shape[1] > 80
    assert (sheet == CLASSES.colours[1]).all(axis=-1).any() and not (sheet == CLASSES.colours[0]).all(axis=-1).any()


def test_titles_stand_above_their_columns():
    picture = np.full((10, 200, 3), 9, dtype=np.uint8)
    titled = with_titles(picture, ("left", "right"))
    assert (titled[-10:] == picture).all()
    head = (titled[:-10] < 128).any(axis=(0, 2))
    assert head[:100].any() and head[100:].any()
    alone = with_titles(picture, ("left", ""))
    assert (alone[:-10, :100] == titled[:-10, :100]).all() and (alone[:-10, 100:] == 255).all()
