"""The plan of outputs and the record behind it, each refusal alone; whole commands are in tests/commands/test_own_files.py."""

import json
from pathlib import Path

import pytest

from segfield.data.files import replacing_folder, write_text
from segfield.data.output_plan import Output, OutputFolder
from segfield.data.written import OwnFiles, Written
from segfield.errors import SettingError


def plan(folder: Path, *names: str, **settings) -> None:
    outputs = [Output(Path(f"{folder}/{name}") if name.startswith("..") else folder / name) for name in names]
    OutputFolder(folder, "test").check(outputs, **settings)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("../x.png",), "outside"),
        (("ids/../../x.png",), "outside"),
        (("/etc/x.png",), "outside"),
        (("ids/a.png", "ids/A.png"), "each other"),
        (("é.png", "e\u0301.png"), "each other"),
        (("straße.png", "STRASSE.png"), "each other"),
        (("ids/a.png", "ids/a.png/b.png"), "each other"),
        ((f"{'x' * 300}.png",), "shorten"),
        ((f"{'ü' * 150}.png",), "shorten"),
    ],
)
def test_names_that_cannot_be(tmp_path, names, told):
    with pytest.raises(SettingError, match=told):
        plan(tmp_path / "out", *names)
    assert not (tmp_path / "out").exists()


def test_a_good_plan_touches_nothing(tmp_path):
    plan(tmp_path / "out", "a.png", "b/a.png", "a.jpg")
    plan(tmp_path, "out/a.png", "b.png")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("there", ["out", "out/ids"])
def test_a_file_where_a_folder_is_needed(tmp_path, there):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    with pytest.raises(SettingError, match=r"is a file"):
        plan(tmp_path / "out", "ids/a.png")


def test_a_folder_that_would_hold_an_input_is_refused(tmp_path):
    (tmp_path / "ids" / "clip").mkdir(parents=True)
    (tmp_path / "ids" / "clip" / "a.png").write_text("mine")
    place = OutputFolder(tmp_path, "test")
    with pytest.raises(SettingError, match="input"):
        place.check([Output(tmp_path / "ids" / "clip", True)], [tmp_path / "ids" / "clip" / "a.png"])


def test_what_was_written_is_replaced_and_nothing_else(tmp_path):
    place = OutputFolder(tmp_path, "test")
    (tmp_path / "theirs.txt").write_text("mine")
    with place.writing():
        write_text(tmp_path / "ours.txt", "first")
        write_text(tmp_path / "ours.txt", "second")
        with pytest.raises(SettingError, match=r"theirs\.txt.*not written"):
            write_text(tmp_path / "theirs.txt", "ours")
        (tmp_path / "ours.txt").write_text("edited")
        with pytest.raises(SettingError, match=r"ours\.txt.*changed"):
            write_text(tmp_path / "ours.txt", "third")
    assert (tmp_path / "theirs.txt").read_text() == "mine" and (tmp_path / "ours.txt").read_text() == "edited"
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".tmp")]
    write_text(tmp_path / "theirs.txt", "whoever writes outside of a plan is answerable")


def test_a_folder_is_replaced_where_all_in_it_was_written(tmp_path):
    place = OutputFolder(tmp_path, "test")

    def write(content):
        with place.writing(), replacing_folder(tmp_path / "clip") as folder:
            for i in range(3):
                (folder / f"{i}.png").write_text(f"{content} {i}")

    write("one")
    write("two")
    (tmp_path / "clip" / "3.png").write_text("mine")
    with pytest.raises(SettingError, match=r"clip.*not written"):
        write("three")
    assert sorted(file.read_text() for file in (tmp_path / "clip").iterdir()) == ["mine", "two 0", "two 1", "two 2"]
    place.remove([tmp_path / "clip"])
    assert len(list((tmp_path / "clip").iterdir())) == 4
    (tmp_path / "clip" / "3.png").unlink()
    place.remove([tmp_path / "clip"])
    assert not (tmp_path / "clip").exists()


def test_a_stop_between_record_and_file_leaves_nothing_unknown(tmp_path, monkeypatch):
    place = OutputFolder(tmp_path, "test")
    really = Path.replace
    for before in (True, False):

        def stopped(self, target, before=before):
            if not before:
                really(self, target)
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt), place.writing():
            write_text(tmp_path / "a.txt", f"half {before}")
    monkeypatch.setattr(Path, "replace", really)
    again = OutputFolder(tmp_path, "test")
    again.check([Output(tmp_path / "a.txt")])
    with again.writing():
        write_text(tmp_path / "a.txt", "whole")


def test_processes_know_of_each_other_and_commands_do_not(tmp_path):
    one, two, other = OutputFolder(tmp_path, "test"), OutputFolder(tmp_path, "test"), OutputFolder(tmp_path, "else")
    two.check([Output(tmp_path / "a.txt")])
    with one.writing():
        write_text(tmp_path / "a.txt", "one")
    two.check([Output(tmp_path / "a.txt")])
    with two.writing():
        write_text(tmp_path / "a.txt", "two")
    with pytest.raises(SettingError, match="not written by segfield else"):
        other.check([Output(tmp_path / "a.txt")])
    assert Written(tmp_path, "test").files() == [tmp_path / "a.txt"]


@pytest.mark.parametrize("name", ["../mine.txt", "/mine.txt", "sub/../../mine.txt"])
def test_a_record_that_was_tampered_with_removes_nothing_outside(tmp_path, name):
    out = tmp_path / "out"
    place = OutputFolder(out, "test")
    with place.writing():
        write_text(out / "a.txt", "same")
    (tmp_path / "mine.txt").write_text("same")
    (record,) = (out / ".segfield").iterdir()
    line = json.loads(record.read_text().splitlines()[-1])
    record.write_text(record.read_text() + json.dumps({**line, "file": name.replace("/mine", f"{tmp_path}/mine", 1)
                                                       if name.startswith("/") else name}) + "\n{half")  # fmt: skip
    again = OutputFolder(out, "test")
    again.remove(again.written.files())
    assert (tmp_path / "mine.txt").is_file() and not (out / "a.txt").exists()


def test_through_a_link_nothing_is_removed(tmp_path):
    place = OutputFolder(tmp_path / "out", "test")
    with place.writing():
        write_text(tmp_path / "out" / "ids" / "a.txt", "same")
    (tmp_path / "out" / "ids").rename(tmp_path / "moved")
    (tmp_path / "out" / "ids").symlink_to(tmp_path / "moved")
    place.remove(place.written.files())
    assert (tmp_path / "moved" / "a.txt").is_file()


def test_own_files_are_known_by_place_also_through_links(tmp_path):
    with OutputFolder(tmp_path / "out", "test").writing():
        write_text(tmp_path / "out" / "ids" / "a.png", "ours")
    (tmp_path / "out" / "ids" / "b.png").write_text("mine")
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for way in ("out", "link"):
        own = OwnFiles(tmp_path / way)
        assert tmp_path / way / "ids" / "a.png" in own and tmp_path / "out" / "ids" / "a.png" in own
        assert tmp_path / way / "ids" / "b.png" not in own and tmp_path / "a.png" not in own
