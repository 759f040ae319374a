"""What is found for files, folders and globs, and what the outputs are called."""

import pytest

from segfield.errors import DataError, SettingError
from segfield.inference.inputs import Input, find_inputs, take_part

SUFFIXES = frozenset({".png", ".jpg"})


def touch(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def names(inputs, out, suffixes=SUFFIXES):
    return [image.name for image in find_inputs([str(i) for i in inputs], out, suffixes).images]


def test_folders_are_searched_and_mirrored(tmp_path):
    touch(tmp_path, "in/b.png", "in/a.JPG", "in/sub dir/ä ö.png", "in/sub dir/deep/b.png", "in/notes.txt", "in/._a.jpg")
    touch(tmp_path, "in/.hidden/c.png")
    found = find_inputs([str(tmp_path / "in")], tmp_path / "out", SUFFIXES)
    assert found.base == (tmp_path / "in").resolve()
    assert [image.name for image in found.images] == ["a", "b", "sub dir/ä ö", "sub dir/deep/b"]
    assert all(image.file.is_file() for image in found.images)


def test_several_folders_keep_equal_names_apart(tmp_path):
    touch(tmp_path, "one/x.png", "two/x.png")
    assert names([tmp_path / "one", tmp_path / "two"], tmp_path / "out") == ["one/x", "two/x"]


def test_equal_stems_in_a_folder_keep_their_endings(tmp_path):
    touch(tmp_path, "a.png", "a.jpg", "b.png", "B.jpg", "c.png")
    assert sorted(names([tmp_path], tmp_path / "out")) == ["B.jpg", "a.jpg", "a.png", "b.png", "c"]


def test_nothing_is_taken_twice(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    assert names([tmp_path, tmp_path / "a.png", tmp_path / "*.png"], tmp_path / "out") == ["a", "b"]


def test_outputs_are_not_inputs(tmp_path):
    touch(tmp_path, "a.png", "predictions/ids/a.png")
    assert names([tmp_path], tmp_path / "predictions") == ["a"]
    assert names([tmp_path / "**" / "*.png"], tmp_path / "predictions") == ["a"]


def test_globs_and_names_that_look_like_globs(tmp_path, monkeypatch):
    touch(tmp_path, "x/a1.png", "x/a2.png", "y/a3.png", "odd[1].png")
    assert names([tmp_path / "*" / "a[13].png"], tmp_path / "out") == ["x/a1", "y/a3"]
    assert names([tmp_path / "odd[1].png"], tmp_path / "out") == ["odd[1]"]
    monkeypatch.chdir(tmp_path)
    assert names(["x/*.png"], tmp_path / "out") == ["a1", "a2"]
    assert names(["**/a?.png"], tmp_path / "out") == ["x/a1", "x/a2", "y/a3"]


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path):
    touch(tmp_path, "scan.dat")
    assert names([tmp_path / "scan.dat"], tmp_path / "out") == ["scan"]


def test_what_is_not_there_is_said(tmp_path):
    touch(tmp_path, "photos/street.png", "empty/readme.txt")
    with pytest.raises(DataError, match=r"stret\.png' .*mean street\.png"):
        names([tmp_path / "photos" / "stret.png"], tmp_path / "out")
    with pytest.raises(DataError, match=r"empty' holds no image.*\.jpg, \.png"):
        names([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(DataError, match=r"nothing that '.*' matches is an image"):
        names([tmp_path / "*.gif"], tmp_path / "out")
    with pytest.raises(DataError, match="no image is given"):
        names([], tmp_path / "out")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12])
def test_parts_are_the_whole_without_overlap(tmp_path, n):
    images = [Input(tmp_path / f"{i}.png", str(i)) for i in range(10)]
    parts = [take_part(images, f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(image for part in parts for image in part) == sorted(images)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert take_part(images, None) == images


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", ""])
def test_a_part_that_is_none(part):
    with pytest.raises(SettingError, match="give i/n with i from 1 to n"):
        take_part([], part)


def test_videos_are_found_beside_images_where_they_are_taken(tmp_path):
    touch(tmp_path, "a.png", "b.MP4", "c.mp4", "c.png", "d.mp4", "d/0001.png", "e.txt")
    found = find_inputs([str(tmp_path)], tmp_path / "out", SUFFIXES, frozenset({".mp4"}))
    # c keeps its ending because of c.png, d because of the folder d, which its own ids would fill
    assert sorted(image.name for image in found.images) == ["a", "b", "c.mp4", "c.png", "d.mp4", "d/0001"]
    assert names([tmp_path], tmp_path / "out") == ["a", "c", "d/0001"]


def test_what_videos_are_called_is_told(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match=r"\.jpg, \.png.*videos.*\.avi, \.mp4$"):
        find_inputs([str(tmp_path)], tmp_path / "out", SUFFIXES, frozenset({".mp4", ".avi"}))
