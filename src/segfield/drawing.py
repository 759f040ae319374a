"""Pictures of labels: colours, overlay on the image, class borders, and a legend with names."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segfield.classes import Array, ClassTable
from segfield.errors import DataError, SettingError

if TYPE_CHECKING:
    from PIL import ImageFont

Picture = npt.NDArray[np.uint8]
_LINES_AT_ONCE = 256  # an overlay of a huge image must not hold float copies of the whole of it
_ROW, _SWATCH, _GAP, _FONT_SIZE = 24, 16, 8, 14  # pixels


def draw_overlay(
    image: Picture, labels: Array, classes: ClassTable, alpha: float = 0.5, boundaries: bool = False
) -> Picture:
    """Blend class colours into a picture: (H, W, 3) uint8. Ignored pixels show the picture alone.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) class ids.
        classes: the colours.
        alpha: weight of the colour, 0 (picture alone) to 1 (colour alone).
        boundaries: draw a white line, one pixel wide, where the class changes.

    Raises:
        SettingError: if alpha is outside 0..1.
        DataError: if image and labels differ in size.
    """
    if not 0 <= alpha <= 1:
        raise SettingError(f"alpha is the weight of the colour, 0 to 1; found {alpha}")
    if image.shape != (*labels.shape, 3):
        raise DataError(f"an overlay needs a picture of {(*labels.shape, 3)}, as the labels; found {image.shape}")
    colours = classes.colour_array().astype(np.float32)
    drawn = np.empty_like(image)
    for top in range(0, len(labels), _LINES_AT_ONCE):
        lines = slice(top, top + _LINES_AT_ONCE)
        weight = np.where(labels[lines] == classes.ignored_id, 0, alpha).astype(np.float32)[..., None]
        blended = image[lines] * (1 - weight) + colours[labels[lines]] * weight
        drawn[lines] = np.rint(blended).astype(np.uint8)
    if boundaries:
        drawn[class_borders(labels)] = 255
    return drawn


def class_borders(labels: Array) -> npt.NDArray[np.bool_]:
    """(H, W): True where the right or the lower neighbour has another label."""
    borders = np.zeros(labels.shape, dtype=np.bool_)
    borders[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    return borders


def draw_legend(classes: ClassTable, ids: Sequence[int] | None = None, height: int | None = None) -> Picture:
    """Colour and name of each class, in columns: (h, w, 3) uint8 on white.

    Args:
        classes: names and colours.
        ids: the classes to show; all of them by default.
        height: pixels to fit into where more columns can do so; 600 by default.
    """
    from PIL import Image, ImageDraw

    shown = list(range(len(classes))) if ids is None else list(ids)
    font = legend_font()
    rows = max(1, min(len(shown) or 1, ((height or 600) - 2 * _GAP) // _ROW))
    columns = -(-max(len(shown), 1) // rows)
    text_width = max((round(font.getlength(classes.names[i])) for i in shown), default=0)
    column_width = _SWATCH + 3 * _GAP + text_width
    picture = Image.new("RGB", (columns * column_width + _GAP, rows * _ROW + 2 * _GAP), "white")
    pen = ImageDraw.Draw(picture)
    for place, i in enumerate(shown):
        left, top = _GAP + place // rows * column_width, _GAP + place % rows * _ROW
        box = (left, top + (_ROW - _SWATCH) // 2, left + _SWATCH, top + (_ROW + _SWATCH) // 2)
        pen.rectangle(box, fill=classes.colours[i], outline="black")
        pen.text((left + _SWATCH + _GAP, top + _ROW // 2), classes.names[i], fill="black", font=font, anchor="lm")
    return np.asarray(picture).copy()


def with_legend(picture: Picture, labels: Array, classes: ClassTable) -> Picture:
    """The picture with a legend of the classes in it at its right; white below the shorter of the two."""
    present = [i for i in np.unique(labels).tolist() if 0 <= i < len(classes) and i != classes.ignored_id]
    legend = draw_legend(classes, present, height=picture.shape[0])
    height = max(len(picture), len(legend))
    sheet = np.full((height, picture.shape[1] + legend.shape[1], 3), 255, dtype=np.uint8)
    sheet[: len(picture), : picture.shape[1]] = picture
    sheet[: len(legend), picture.shape[1] :] = legend
    return sheet


def with_titles(picture: Picture, titles: Sequence[str]) -> Picture:
    """The picture, columns of equal width, with each column's title above it."""
    from PIL import Image, ImageDraw

    head = Image.new("RGB", (picture.shape[1], _ROW), "white")
    pen = ImageDraw.Draw(head)
    for place, title in enumerate(titles):
        pen.text(
            ((place + 0.5) * head.width / len(titles), _ROW // 2), title, fill="black", font=legend_font(), anchor="mm"
        )
    return np.vstack([np.asarray(head), picture])


def legend_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which matplotlib brings (Latin, Greek, Cyrillic), not importing it; else pillow's own."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        file = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), _FONT_SIZE)
    return ImageFont.load_default(_FONT_SIZE)
