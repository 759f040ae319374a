"""Polygons: filled again they give the labels; rings are simple, oriented and assigned to the right region."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask

from segfield.classes import ClassTable
from segfield.errors import DataError
from segfield.polygons import geojson_of, trace_polygons


def filled(polygons, shape, background):
    """Labels from polygons, by scikit-image's point-in-polygon test at pixel centres."""
    labels = np.full(shape, background)
    for polygon in polygons:
        inside = np.zeros(shape, dtype=bool)
        for ring in [polygon["exterior"], *polygon["holes"]]:
            inside ^= polygon2mask(shape, np.array([(y - 0.5, x - 0.5) for x, y in ring]))
        labels[inside] = polygon["class_id"]
    return labels


def area(ring):
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]])) / 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape, classes", [((1, 1), 2), ((7, 9), 2), ((13, 8), 3), ((20, 21), 5), ((1, 30), 3)])
def test_filled_again_they_are_the_labels(shape, classes, seed):
    labels = np.random.default_rng(seed).integers(0, classes, shape).astype(np.uint8)
    polygons = trace_polygons(labels)
    assert (filled(polygons, shape, 255) == labels).all()
    assert sum(area(p["exterior"]) + sum(map(area, p["holes"])) for p in polygons) == labels.size


@pytest.mark.parametrize("seed", range(4))
def test_no_ring_meets_itself_and_every_vertex_is_a_turn(seed):
    labels = np.random.default_rng(seed).integers(0, 2, (24, 24)).astype(np.uint8)
    for polygon in trace_polygons(labels):
        assert area(polygon["exterior"]) > 0
        assert all(area(hole) < 0 for hole in polygon["holes"])
        for ring in [polygon["exterior"], *polygon["holes"]]:
            assert len(set(ring)) == len(ring) >= 4
            for (x0, y0), (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], [*ring[2:], *ring[:2]]):
                assert (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1) != 0


def test_regions_are_as_many_as_scikit_image_counts():
    from skimage.measure import label

    labels = np.random.default_rng(3).integers(0, 3, (40, 50)).astype(np.uint8)
    assert len(trace_polygons(labels)) == label(labels, connectivity=1, background=-1).max()


def test_a_frame_has_a_hole_and_its_filling_is_a_region():
    labels = np.zeros((5, 6), dtype=np.uint8)
    labels[2:4, 2:5] = 1
    frame, filling = trace_polygons(labels)
    assert (frame["class_id"], frame["exterior"]) == (0, [(0, 0), (6, 0), (6, 5), (0, 5)])
    assert [sorted(hole) for hole in frame["holes"]] == [[(2, 2), (2, 4), (5, 2), (5, 4)]]
    assert sorted(filling["exterior"]) == [(2, 2), (2, 4), (5, 2), (5, 4)]
    assert filling["holes"] == []


def test_a_ring_pinched_at_a_corner_becomes_an_outline_and_a_hole():
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=np.uint8)
    (ring,) = [p for p in trace_polygons(labels) if p["class_id"] == 1]
    assert area(ring["exterior"]) == 8
    assert [area(hole) for hole in ring["holes"]] == [-1]


def test_pillow_fills_a_large_one_alike():
    """Pillow rounds at borders, so a picture scaled up eight times is compared at the pixels' centres."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 2, (12, 12)), np.ones((5, 5), dtype=np.int64)).astype(np.uint8)
    sheet = Image.new("L", (480, 480), 0)
    pen = ImageDraw.Draw(sheet)
    for polygon in sorted(trace_polygons(labels, ignored_id=0), key=lambda p: -area(p["exterior"])):
        pen.polygon([(8 * x, 8 * y) for x, y in polygon["exterior"]], fill=1)
        for hole in polygon["holes"]:
            pen.polygon([(8 * x, 8 * y) for x, y in hole], fill=0)
    # Islands within holes are drawn after, being smaller.
    assert (np.asarray(sheet)[4::8, 4::8] == labels).all()


def test_ignored_pixels_belong_to_nothing():
    labels = np.full((4, 4), 255, dtype=np.uint8)
    assert trace_polygons(labels, ignored_id=255) == []
    labels[1, 1] = 0
    assert [p["exterior"] for p in trace_polygons(labels, 255)] == [[(1, 1), (2, 1), (2, 2), (1, 2)]]


def test_geojson_closes_its_rings_and_names_the_class():
    classes = ClassTable(("ground", "house"), ((0, 0, 0), (255, 0, 0)))
    collection = geojson_of(trace_polygons(np.array([[0, 1]], dtype=np.uint8)), classes)
    house = collection["features"][1]
    assert collection["type"] == "FeatureCollection"
    assert house["properties"] == {"class_id": 1, "class": "house", "colour": [255, 0, 0]}
    (ring,) = house["geometry"]["coordinates"]
    assert ring[0] == ring[-1] and len(ring) == 5


def test_only_label_maps_are_traced():
    with pytest.raises(DataError, match="integer labels"):
        trace_polygons(np.zeros((2, 2)))
