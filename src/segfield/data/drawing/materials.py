"""What a scene is made of: the class table of drawn scenes, and the material every face has."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from segfield.classes import ClassTable

SCENE_CLASSES = ClassTable(
    names=("sky", "building", "road", "pavement", "vegetation", "pole", "sign", "car", "person", "fence"),
    colours=(
        (70, 130, 180),
        (70, 70, 70),
        (128, 64, 128),
        (244, 35, 232),
        (107, 142, 35),
        (153, 153, 153),
        (220, 220, 0),
        (0, 0, 142),
        (220, 20, 60),
        (190, 153, 153),
    ),
)


class Material(IntEnum):
    """How a face looks. Every material belongs to one class."""

    SKY = 0
    ROAD = 1
    PAVEMENT = 2
    GRASS = 3
    FACADE = 4
    STONE = 5
    FOLIAGE = 6
    BARK = 7
    METAL = 8
    BOARD = 9
    PAINT = 10
    GLASS = 11
    TYRE = 12
    CLOTH = 13
    PICKET = 14


CLASS_NAMES = {
    Material.SKY: "sky",
    Material.ROAD: "road",
    Material.PAVEMENT: "pavement",
    Material.GRASS: "vegetation",
    Material.FACADE: "building",
    Material.STONE: "building",
    Material.FOLIAGE: "vegetation",
    Material.BARK: "vegetation",
    Material.METAL: "pole",
    Material.BOARD: "sign",
    Material.PAINT: "car",
    Material.GLASS: "car",
    Material.TYRE: "car",
    Material.CLOTH: "person",
    Material.PICKET: "fence",
}
CLASS_OF_MATERIAL = np.array([SCENE_CLASSES.names.index(CLASS_NAMES[m]) for m in Material], dtype=np.uint8)
