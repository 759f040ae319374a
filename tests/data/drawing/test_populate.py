"""Who is on the street: back to front, clear of the camera, and painted exactly as labelled."""

from itertools import pairwise

import numpy as np
import pytest
from skimage.draw import polygon

from segfield.data.drawing.camera import NEAR, Camera, clip_near
from segfield.data.drawing.canvas import Canvas
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.materials import CLASS_OF_MATERIAL, SCENE_CLASSES
from segfield.data.drawing.populate import Moment, populate
from segfield.data.drawing.scene import camera_at
from segfield.data.drawing.street import SIGHT, Street, profile

ID = {name: i for i, name in enumerate(SCENE_CLASSES.names)}


class Recorder(Canvas):
    """A canvas that keeps the faces it is given, as points in the street."""

    def __init__(self, camera):
        self.seen = []
        super().__init__(camera)

    def add(self, frame, outline, material, albedo, glow=0.0, pattern=()):
        corners = [tuple(frame.origin[i] + u * frame.across[i] + v * frame.up[i] for i in range(3)) for u, v in outline]
        self.seen.append((corners, int(CLASS_OF_MATERIAL[material])))
        super().add(frame, outline, material, albedo, glow, pattern)


def moment_of(seed, camera, speed=5.0, seconds=0.0):
    street, eye = Street(seed), camera.position
    lots = street.lots(eye[2] - 40, eye[2] + SIGHT + 60)
    look = profile(street, lots, eye[2] - 40, eye[2] + SIGHT + 60)
    near = [lot for lot in lots if lot.far > eye[2] - 2 and lot.near < eye[2] + SIGHT]
    return Moment(street, draw_light(Dice(seed, 1)), look, near, eye, speed, seconds)


def recorded(seed, size=(90, 140), seconds=0.0):
    camera, speed = camera_at(Street(seed), size, seconds)
    canvas = Recorder(camera)
    moment = moment_of(seed, camera, speed, seconds)
    populate(canvas, moment)
    return canvas, moment


def painted_by_hand(canvas):
    """The class each pixel shows, each face filled by scikit-image over all before; −1 where no face is."""
    camera = canvas.camera
    image = np.full((camera.height, camera.width), -1)
    for corners, label in canvas.seen:
        if not corners:
            continue
        right, above, ahead = camera.to_camera(np.array(corners))
        kept = np.array(clip_near(list(zip(right.tolist(), above.tolist(), ahead.tolist()))))
        if len(kept) < 3:
            continue
        x, y = (np.clip(a, -1e5, 1e5) for a in camera.project(*kept.T))
        rows, columns = polygon(y - 0.5, x - 0.5, image.shape)
        image[rows, columns] = label
    return image


@pytest.mark.parametrize("seed", [1, 4, 6])
def test_labels_are_those_of_painting_each_face_by_hand(seed):
    canvas, _ = recorded(seed)
    painted = canvas.paint()
    shown = CLASS_OF_MATERIAL[painted.looks[4].astype(int)].astype(int)
    shown[:2] = -1
    ours, by_hand = shown[painted.faces], painted_by_hand(canvas)
    # scikit-image fills pixels whose centre is inside; Pillow half a pixel more, which matters at borders alone.
    same = ours == by_hand
    inside = np.ones_like(same)
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            inside &= np.roll(by_hand, shift, axis) == by_hand
    inside[:2] = inside[-2:] = inside[:, :2] = inside[:, -2:] = False
    assert inside.mean() > 0.3
    assert same[inside].mean() > 0.98
    assert same.mean() > 0.87


@pytest.mark.parametrize("seed", range(6))
def test_things_in_the_street_are_painted_from_far_to_near(seed):
    _, moment = recorded(seed)
    assert len(moment.things) > 15
    canvas = Recorder(Camera.looking((60, 90), 60, moment.eye))
    distances = []
    for _, draw in sorted(moment.things, key=lambda thing: -thing[0]):
        before = len(canvas.seen)
        draw.func(canvas, *draw.args[1:])
        places = [(x, z) for corners, _ in canvas.seen[before:] for x, _, z in corners]
        distances.append(min(np.hypot(x - moment.eye[0], z - moment.eye[2]) for x, z in places) if places else None)
    known = [distance for distance in distances if distance is not None]
    # Wires are ordered by their middles, all else by its place.
    assert all(later < earlier + 14 for earlier, later in pairwise(known))
    assert np.corrcoef(known, -np.arange(len(known)))[0, 1] > 0.85
    assert known[0] - known[-1] > 30


def test_people_make_way_smoothly():
    moment = moment_of(0, Camera.looking((60, 90), 60, (1.0, 1.5, 10.0)))
    path = [moment.aside(1.3, 10 + ahead) for ahead in np.linspace(12, 0.5, 200)]
    assert path[0] == 1.3
    assert path[-1] == pytest.approx(2.25)
    assert np.diff(path).min() >= 0
    assert np.diff(path).max() < 0.03
    assert moment.aside(4.0, 11.0) == 4.0
    assert moment.aside(0.9, 11.0) == pytest.approx(1 - 1.25)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_stands_in_the_cameras_way(seed):
    canvas, moment = recorded(seed, seconds=0.7 * seed)
    for corners, label in canvas.seen:
        if label not in (ID["person"], ID["pole"], ID["car"]):
            continue
        for x, y, z in corners:
            clear = abs(x - moment.eye[0]) > 0.25 or z - moment.eye[2] > 1 or z < moment.eye[2] + NEAR
            assert clear or y > moment.eye[1] + 1.5


def test_traffic_wraps_round_without_end():
    camera = Camera.looking((60, 90), 60, (0.0, 1.5, 50.0))
    moment = moment_of(0, camera)
    for z in (-1000.0, 0.0, 49.0, 123.4, 9999.0):
        placed = moment.wrapped(z, -8.0, 122.0)
        assert 42 <= placed < 172
        assert (placed - z) % 130 == pytest.approx(0, abs=1e-6) or (placed - z) % 130 == pytest.approx(130, abs=1e-6)


def test_put_leaves_out_what_would_block_the_view():
    camera = Camera.looking((60, 90), 60, (1.0, 1.5, 10.0))
    moment = moment_of(0, camera)
    for x, z, kept in ((1.0, 12.0, False), (1.0, 14.0, True), (4.0, 11.0, True), (4.0, 9.0, False), (0.0, 12.9, False)):
        moment.things.clear()
        moment.put(x, z, 3.0, lambda: None)
        assert bool(moment.things) == kept, (x, z)


def test_all_walks_of_life_appear():
    found = set()
    for seed in range(8):
        canvas, _ = recorded(seed)
        found |= {SCENE_CLASSES.names[label] for _, label in canvas.seen}
    assert found >= set(SCENE_CLASSES.names) - {"pavement"}


def test_cars_and_people_move_while_houses_stay():
    for seed in (1, 2, 3):
        camera, _ = camera_at(Street(seed), (60, 90), 0.0)
        corners = {}
        for seconds in (0.0, 1.0):
            canvas = Recorder(camera)
            populate(canvas, moment_of(seed, camera, 0.0, seconds))
            for name in ("building", "person"):
                corners[name, seconds] = {tuple(c) for face, label in canvas.seen if label == ID[name] for c in face}
        assert corners["building", 0.0] == corners["building", 1.0]
        assert corners["person", 0.0] != corners["person", 1.0]
