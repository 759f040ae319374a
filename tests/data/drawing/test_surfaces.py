"""Textures where the street's measures say what must be seen: windows, joints, markings, stripes, leaves."""

import numpy as np
import pytest

from segfield.data.drawing import surfaces
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.materials import Material
from segfield.data.drawing.street import Profile, Street, profile
from segfield.data.drawing.surfaces import Points

LOW, HIGH = np.full((3, 1), 0.1, np.float32), np.full((3, 1), 0.4, np.float32)


def points(u, v, pattern=(), albedo=(0.4, 0.4, 0.4), footprint=0.002):
    u, v = np.broadcast_arrays(np.asarray(u, np.float32), np.asarray(v, np.float32))
    u, v = u.ravel().copy(), v.ravel().copy()
    full = np.zeros((8, u.size), np.float32)
    for i, value in enumerate(pattern):
        full[i] = value
    colour = np.repeat(np.array(albedo, np.float32)[:, None], u.size, axis=1)
    return Points(u, v, np.full(u.size, footprint, np.float32), full, colour)


def empty_profile(crossing=None, green=False):
    count = 400
    ways = np.zeros(count, bool)
    if crossing:
        ways[int(crossing[0] * 4) : int(crossing[1] * 4)] = True
    heights, fronts = np.zeros((2, count), np.float32), np.full((2, count), 9, np.float32)
    return Profile(0.0, heights, fronts, np.full((2, count), green), ways)


def street_like(**wanted):
    for seed in range(200):
        street = Street(seed)
        if all(getattr(street, name) == value for name, value in wanted.items()):
            return street
    raise LookupError(wanted)


def test_ground_cover_goes_from_road_to_pavement_to_what_lies_behind():
    street = street_like(verge=0.0)
    x = np.array([0, street.road - 0.1, street.road + 0.1, street.edge - 0.1, street.edge + 0.1, 30], np.float32)
    z = np.full(6, 20, np.float32)
    names = {Material.ROAD: "r", Material.PAVEMENT: "p", Material.GRASS: "g"}
    for green, expected in ((False, "rrpppp"), (True, "rrppgg")):
        for sign in (1, -1):
            found = surfaces.ground_material(street, empty_profile(green=green), x * sign, z)
            assert "".join(names[Material(m)] for m in found) == expected


def test_a_side_street_is_road_all_across():
    street = Street(1)
    x, z = np.linspace(-25, 25, 60, dtype=np.float32), np.full(60, 33, np.float32)
    assert (surfaces.ground_material(street, empty_profile((30, 36)), x, z) == Material.ROAD).all()
    assert (surfaces.ground_material(street, empty_profile((40, 46)), x, z) != Material.ROAD).any()


def test_a_verge_lies_between_kerb_and_pavement():
    street = next(s for s in map(Street, range(200)) if s.verge > 1)
    x = np.array([street.road + 0.05, street.road + 0.5, street.road + street.verge + 0.1], np.float32)
    found = surfaces.ground_material(street, empty_profile(), x, np.full(3, 20, np.float32))
    assert found.tolist() == [Material.PAVEMENT, Material.GRASS, Material.PAVEMENT]


def test_the_middle_of_the_road_is_dashed_every_six_metres():
    street = Street(3)
    z = np.arange(12, 48, 0.05)
    bright = surfaces.road(street, empty_profile(), points(0.0, z)).mean(axis=0) > 0.3
    phase = z % 6
    assert bright[(phase > 0.2) & (phase < 2.8)].mean() > 0.97
    assert bright[(phase > 3.2) & (phase < 5.8)].mean() < 0.03


def test_a_zebra_lies_before_a_side_street_and_nowhere_else():
    street = Street(3)
    x = np.arange(-3.0, 3.0, 0.02)
    for z, striped in ((27.5, True), (20.0, False), (33.0, False)):
        bright = surfaces.road(street, empty_profile((30, 36)), points(x, z)).mean(axis=0) > 0.3
        share = bright.mean()
        assert (0.4 < share < 0.6) if striped else share < 0.1


def test_asphalt_is_darker_in_the_gutter_and_keeps_its_mean():
    street = Street(5)
    rng = Dice(1)
    x, z = (rng.array(2, 4000) * [[1.0], [60]]).astype(np.float32)
    middle = surfaces.road(street, empty_profile(), points(x + 0.3, z)).mean()
    gutter = surfaces.road(street, empty_profile(), points(street.road - 0.3 * x, z)).mean()
    assert middle == pytest.approx(np.mean(street.asphalt), rel=0.3)
    assert gutter < 0.85 * middle


def test_slabs_have_dark_joints_at_their_size_and_the_kerb_is_light():
    street = Street(7)
    k = np.arange(30, 60)
    on_joint = surfaces.paving(street, points((k + 0.015 / street.slab) * street.slab, 35.5 * street.slab)).mean()
    in_slab = surfaces.paving(street, points((k + 0.5) * street.slab, 35.5 * street.slab)).mean()
    assert on_joint < 0.75 * in_slab
    kerb = surfaces.paving(street, points(street.road + 0.08, np.arange(5, 15, 0.1)))
    assert np.allclose(kerb, 0.36, atol=1e-3)


# pitch across and up, window shares, ground floor, height, style, seed
PLASTER = (3.0, 3.2, 0.4, 0.5, 4.0, 20.0, 0.0, 12.0)


def test_windows_stand_in_the_middle_of_their_cells():
    column = np.arange(0, 12)
    row = 4.0 + 3.2 * np.arange(0, 4)[:, None]
    in_panes = surfaces.facade(points(3 * column + 1.3, row + 1.6, PLASTER, (0.9, 0.1, 0.1)), LOW, HIGH, 0.0)[0]
    between = surfaces.facade(points(3 * column + 0.2, row + 1.6, PLASTER, (0.9, 0.1, 0.1)), LOW, HIGH, 0.0)[0]
    # Panes mirror grey; the wall is red.
    assert np.allclose(in_panes[0], in_panes[1], atol=0.02)
    assert (between[0] > 3 * between[1]).all()


def test_windows_differ_but_each_is_one_pane():
    column = np.arange(0, 40)
    first, second = (
        surfaces.facade(points(3 * column + off, 5.6 + 3.2, PLASTER), LOW, HIGH, 0.0)[0][0] for off in (1.25, 1.35)
    )
    assert np.allclose(first, second, atol=0.02)
    assert first.std() > 0.02


def test_the_share_of_lit_windows_is_the_one_asked_for():
    column, row = np.arange(0, 60), 5.6 + 3.2 * np.arange(0, 4)[:, None]
    for share in (0.0, 0.3, 0.8):
        _, glow = surfaces.facade(points(3 * column + 1.3, row, PLASTER), LOW, HIGH, share)
        assert (glow > 0).mean() == pytest.approx(share, abs=0.1)


def test_glass_houses_are_mostly_glass():
    u, v = np.meshgrid(np.arange(0, 24, 0.11), np.arange(5, 18, 0.13))
    shares = []
    for style, width, height in ((0.0, 0.4, 0.5), (2.0, 0.92, 0.86)):
        pattern = (3.0, 3.2, width, height, 4.0, 20.0, style, 5.0)
        colour, _ = surfaces.facade(points(u, v, pattern, (0.9, 0.1, 0.1)), LOW, HIGH, 0.0)
        shares.append((colour[0] < 2 * colour[1]).mean())
    assert shares[0] < 0.4
    assert shares[1] > 0.7


def test_brick_has_courses_every_fifteen_centimetres():
    v = 4.5 + 0.15 * np.arange(1, 3)[:, None] + np.array([0.01, 0.08])
    pattern = (*PLASTER[:6], 1.0, 3.0)
    u = np.tile(np.arange(0, 3, 0.013)[:, None, None], (1, 2, 2))
    colour, _ = surfaces.facade(points(u, v[None], pattern, (0.4, 0.2, 0.1), 0.001), LOW, HIGH, 0.0)
    joint, face = colour[0].reshape(-1, 2).mean(axis=0)
    assert joint < 0.85 * face


def test_a_house_seen_from_afar_has_its_mean_colour():
    u, v = np.meshgrid(np.arange(0, 24, 0.21), np.arange(5, 18, 0.17))
    near, _ = surfaces.facade(points(u, v, PLASTER), LOW, HIGH, 0.0)
    far, _ = surfaces.facade(points(u, v, PLASTER, footprint=1.5), LOW, HIGH, 0.0)
    assert far.mean() == pytest.approx(near.mean(), rel=0.12)
    assert far.std() < 0.75 * near.std()


def test_leaves_are_lighter_at_the_top_and_never_black():
    u = np.arange(0, 40, 0.05)
    low, high = (surfaces.foliage(points(u, v, (5.0, 2.0, 3.0), (0.1, 0.2, 0.05))) for v in (3.2, 6.8))
    assert high.mean() > 1.4 * low.mean()
    assert low.min() > 0
    assert (high[1] > high[0]).all()


def test_panes_of_cars_mirror_more_sky_higher_up():
    u = np.arange(0, 3, 0.01)
    low, high = (
        surfaces.pane(points(u, v, (0.0, 0.6, 1.0), (0.02, 0.02, 0.02)), LOW, HIGH).mean() for v in (0.05, 0.55)
    )
    assert high > 1.2 * low


def test_stripes_only_where_asked_for():
    v = np.arange(1, 1.5, 0.001)
    plain = surfaces.cloth(points(0.1, v, (0.0,)))[0]
    striped = surfaces.cloth(points(0.1, v, (10.0,)))[0]
    assert np.ptp(striped) > 2 * np.ptp(plain)
    dark = striped < 0.5 * plain
    assert dark.mean() == pytest.approx(0.45, abs=0.03)
    assert np.count_nonzero(np.diff(dark.astype(int)) == 1) == pytest.approx(5, abs=1)


def test_speckles_keep_the_colour():
    rng = (Dice(3).array(2, 5000) * 40).astype(np.float32)
    colour = surfaces.speckled(points(rng[0], rng[1], albedo=(0.6, 0.3, 0.2)), 0.1, 0.3)
    assert np.allclose(colour.mean(axis=1), (0.6, 0.3, 0.2), rtol=0.06)
    assert colour[0].std() > 0.02


def test_textures_stay_where_they_are():
    """The same place looks the same, whatever else is drawn with it: frames of a film fit together."""
    street = Street(2)
    look = profile(street, street.lots(0, 100), 0, 100)
    x, z = (Dice(4).array(2, 300) * [[6.0], [80]]).astype(np.float32)
    for surface in (lambda p: surfaces.road(street, look, p), lambda p: surfaces.paving(street, p)):
        whole = surface(points(x, z, footprint=0.03))
        part = surface(points(x[::3], z[::3], footprint=0.03))
        assert np.array_equal(whole[:, ::3], part)
