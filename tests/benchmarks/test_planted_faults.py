"""The forty planted faults stay plantable, and what finds them is what the Makefile runs."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "segfield"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import planted_faults

    return planted_faults


def test_every_fault_can_be_planted_and_is_one(script: ModuleType) -> None:
    assert len(script.FAULTS) == 40 == len({fault.what for fault in script.FAULTS})
    for fault in script.FAULTS:
        faulty = script.planted(fault)
        compile(faulty, fault.file, "exec")
        whole = (SOURCE / fault.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(faulty)) != ast.dump(ast.parse(whole)), (
            f"{fault.what}: nothing but the form is changed"
        )


def test_faults_are_spread_over_the_rooms(script: ModuleType) -> None:
    rooms = {Path(fault.file).parts[0] for fault in script.FAULTS}
    folders = {folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").is_file()}
    assert folders - rooms == set()


@pytest.mark.parametrize("times", [0, 2])
def test_a_text_that_does_not_stand_once_is_refused(script: ModuleType, tmp_path: Path, times: int) -> None:
    (tmp_path / "src" / "segfield").mkdir(parents=True)
    (tmp_path / "src" / "segfield" / "a.py").write_text("x = 1\n" * times)
    with pytest.raises(SystemExit, match=rf"'a sign'.*{times} times.*a\.py.*benchmarks/faults\.py"):
        script.planted(script.Fault("a sign", "a.py", "x = 1", "x = -1"), tmp_path)


def test_what_is_run_is_what_the_makefile_runs(script: ModuleType) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    chosen = script.selection(makefile)
    for marks in (chosen.test, chosen.added):
        assert f'-m "{marks}"' in makefile
    assert "--numprocesses" in chosen.arguments
    with pytest.raises(SystemExit, match="Makefile"):
        script.selection(makefile.replace("\ntest-all:", "\nall-tests:"))


def test_the_nearest_tests_come_first(script: ModuleType) -> None:
    chosen = script.Selection(["-v"], "quick", "long")
    fault = script.Fault("", "losses/lovasz_cpu.py", "", "")  # lovasz.py alone imports it
    runs = script.stages(fault, chosen, thorough=True, depth=4)
    near = ["tests/losses/test_lovasz.py", "tests/losses"]
    assert [run.arguments[4:] for run in runs[:2]] == [[path] for path in near]
    assert runs[2].arguments == ["-m", "quick", "tests", *(f"--ignore={path}" for path in near)]
    assert [run.target for run in runs] == ["make test"] * 3 + ["make test-all"] * 3
    top = script.stages(script.Fault("", "polygons.py", "", ""), chosen, thorough=False, depth=1)
    assert [run.arguments[-1] for run in top] == ["tests/test_polygons.py"]


def test_a_copy_is_searched_and_left_as_it_was(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [tmp_path / name for name in ("faulty", "healthy")]
    for tree in trees:
        (tree / "src" / "segfield").mkdir(parents=True)
        (tree / "src" / "segfield" / "a.py").write_text("x = 1\n")
    seen = []

    def first_failure(tree: Path, arguments: list[str]) -> str:
        seen.append((tree, (tree / "src" / "segfield" / "a.py").read_text(), arguments))
        return "tests/test_a.py::test_x" if tree == trees[0] and "second" in arguments else ""

    monkeypatch.setattr(script, "first_failure", first_failure)
    fault, chosen = script.Fault("a sign", "a.py", "1", "-1"), script.Selection(["-v"], "quick", "long")
    runs = [
        script.Stage("make test", ["first"]),
        script.Stage("make test-all", ["second"]),
        script.Stage("", ["third"]),
    ]
    assert script.search(fault, "x = -1\n", *trees, runs, chosen) == ("make test-all", "tests/test_a.py::test_x")
    assert [(tree, text) for tree, text, _ in seen] == [(trees[0], "x = -1\n")] * 2 + [(trees[1], "x = 1\n")]
    assert seen[-1][2][-1] == "tests/test_a.py::test_x"
    assert (trees[0] / "src" / "segfield" / "a.py").read_text() == "x = 1\n"
    monkeypatch.setattr(script, "first_failure", lambda tree, arguments: "tests/test_b.py::test_y")
    with pytest.raises(SystemExit, match=r"test_y.*without any fault"):
        script.search(fault, "x = -1\n", *trees, runs, chosen)


def test_the_table_is_made_from_the_kept_results(script: ModuleType) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    kept = page.partition(script.BEGIN)[2].partition(script.END)[0].strip()
    assert kept == script.table(), "run: python benchmarks/planted_faults.py --table"
