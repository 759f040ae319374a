"""The street's plan: endless, gapless where it should be, the same from wherever it is asked for."""

from itertools import pairwise

import numpy as np
import pytest

from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light, linear, varied
from segfield.data.drawing.materials import CLASS_NAMES, CLASS_OF_MATERIAL, SCENE_CLASSES, Material
from segfield.data.drawing.street import Street, profile


@pytest.mark.parametrize("seed", range(8))
def test_the_same_lots_from_every_stretch(seed):
    street = Street(seed)
    long = {(lot.side, lot.number): lot for lot in street.lots(-50, 250)}
    short = {(lot.side, lot.number): lot for lot in street.lots(40, 100)}
    assert len(short) >= 8
    assert all(long[key] == lot for key, lot in short.items())


@pytest.mark.parametrize("seed", range(8))
def test_lots_come_from_far_to_near_and_do_not_overlap(seed):
    for side in (-1, 1):
        lots = [lot for lot in Street(seed).lots(0, 300) if lot.side == side]
        assert all(far.near >= near.far - 1e-9 for far, near in pairwise(lots))
        assert all(lot.far - lot.near > 2 for lot in lots)


def test_side_streets_open_on_both_sides_at_once():
    for seed in range(20):
        lots = Street(seed).lots(0, 400)
        openings = {side: {lot.near for lot in lots if lot.side == side and lot.kind == "crossing"} for side in (-1, 1)}
        assert openings[-1] == openings[1]


def test_streets_differ():
    streets = [Street(seed) for seed in range(40)]
    assert {street.kind for street in streets} == {"city", "suburb", "avenue"}
    assert len({street.road for street in streets}) == 40
    assert all(4 < street.road <= street.road + street.verge < street.edge < 14 for street in streets)


@pytest.mark.parametrize("seed", range(5))
def test_the_profile_says_what_the_lots_say(seed):
    street = Street(seed)
    lots = street.lots(0, 150)
    look = profile(street, lots, 0, 150)
    for lot in lots:
        middle = (lot.near + lot.far) / 2
        if 1 < middle < 149:
            cell = look.cell(np.array([middle], dtype=np.float32))[0]
            row = (lot.side + 1) // 2
            assert look.heights[row, cell] == np.float32(lot.height)
            assert look.fronts[row, cell] == np.float32(street.edge + lot.setback)
            assert look.crossing[cell] == (lot.kind == "crossing") == look.is_crossing(middle, 0)
    ends = look.cell(np.array([-99, 999], dtype=np.float32))
    assert ends.tolist() == [0, len(look.crossing) - 1]


@pytest.mark.parametrize("seed", range(20))
def test_light_is_plausible(seed):
    light = draw_light(Dice(seed, 1))
    assert np.linalg.norm(light.sun) == pytest.approx(1)
    assert light.sun[1] > 0
    assert 0 < light.haze < 0.03
    # Skies are bluer overhead than at the horizon.
    assert light.zenith[2] / light.zenith[0] > light.horizon[2] / light.horizon[0] * 0.9
    assert all(c > 0 for c in (*light.sunlight, *light.skylight, *light.balance))


def test_colours():
    assert linear(255, 0, 255) == (1, 0, 1)
    assert varied(Dice(1), (0.2, 0.4, 0.6), 0) == (0.2, 0.4, 0.6)
    assert all(0 <= c <= 0.95 for c in varied(Dice(1), (0.9, 0.9, 0.9), 0.5))


def test_every_material_has_a_class_and_every_class_a_material():
    assert set(CLASS_NAMES) == set(Material)
    assert set(CLASS_NAMES.values()) == set(SCENE_CLASSES.names)
    assert SCENE_CLASSES.names[CLASS_OF_MATERIAL[Material.TYRE]] == "car"
    assert len(set(SCENE_CLASSES.colours)) == len(SCENE_CLASSES)
