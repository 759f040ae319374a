"""Names of outputs: one each, whatever the inputs are called, and the plain ones where that is enough."""

import random
from pathlib import PurePosixPath

import pytest

from segfield.data.output_plan import folded
from segfield.inference.names import unique_names

VIDEOS = frozenset({".mp4", ".avi"})
ENDINGS = {False: ("ids/{}.png", "overlay/{}.jpg", "polygons/{}.geojson", "probabilities/{}.npz")}
ENDINGS[True] = ("ids/{}/", "overlay/{}.mp4", "palette/{}.mp4", "video/{}.json")


def names(*files):
    return unique_names([PurePosixPath(file) for file in files], VIDEOS)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.png", "sub/a.png"], ["a", "sub/a"]),
        (["a.png", "a.jpg", "b.png"], ["a.png", "a.jpg", "b"]),
        (["a.mp4", "a/0001.png"], ["a.mp4", "a/0001"]),
        (["a.png", "a.jpg", "a.png.png"], ["a.png", "a.jpg", "a.png.png"]),
        (["a.png.mp4", "a.jpg"], ["a.png.mp4", "a.jpg"]),  # ids of the one in a folder, of the other in a file
        (["d.jpg", "d.png/e.png"], ["d.jpg", "d.png/e"]),
    ],
)
def test_endings_are_kept_where_they_are_needed(files, expected):
    assert names(*files) == expected


def test_digits_tell_apart_what_a_file_system_may_take_for_one_and_stay():
    capitals = names("A.png", "a.png", "b.png")
    assert capitals[0].startswith("A.png~") and capitals[1].startswith("a.png~") and capitals[2] == "b"
    assert names("a.png", "A.png", "A.jpg")[:2] == [capitals[1], capitals[0]]
    accents = names("\u00e9.png", "e\u0301.png")
    assert len({folded(name) for name in accents}) == 2


@pytest.mark.parametrize("seed", range(50))
def test_no_outputs_meet_whatever_the_inputs_are_called(seed):
    chance = random.Random(seed)
    parts = ["a", "A", "a.png", "b", "é", "e\u0301", "a.jpg", "a.mp4", "a~b"]
    endings = [".png", ".jpg", ".PNG", ".mp4", ".avi", ".png.png", ".png.mp4", ""]
    files = {
        "/".join([*chance.choices(parts, k=chance.randrange(3)), chance.choice(parts) + chance.choice(endings)])
        for _ in range(chance.randrange(2, 25))
    }
    folders = {parent.as_posix() for file in files for parent in PurePosixPath(file).parents}
    files = sorted(files - folders)  # what is a folder is no file
    taken, below = {}, set()
    for file, name in zip(files, names(*files)):
        for pattern in ENDINGS[file.lower().endswith((".mp4", ".avi"))]:
            place = folded(pattern.format(name))
            assert place.rstrip("/") not in taken, f"{file} and {taken.get(place.rstrip('/'))} at {place}"
            taken[place.rstrip("/")] = file
            below |= {parent.as_posix() for parent in PurePosixPath(place).parents}
    assert not taken.keys() & below, "a file where others need a folder"
