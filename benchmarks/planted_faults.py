"""How many of forty small faults do the tests find? Each of `faults.py` is planted in a copy of the tree, and tests run on it.

First the test file that mirrors the faulty one, then those of the modules that import it, then its room's, then the rest of
what `make test` runs, up to the first failure; with `--all`, what is left over is tried on what `make test-all` adds. What is
run is read from the Makefile. A test that fails is run once more on a healthy copy, so that none counts that fails anyway. The
value is the number of faults that `make test` finds; the goal is 36. `--only` replaces the kept results of some faults,
`--table` writes docs/testing.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
GOAL = 36
QUICK = ("Dice: ignored pixels count in the predicted mass", "schedules: the warm-up's end not counted from")
LIBRARIES = ("pytest", "xdist", "torchvision", "numba", "scipy.ndimage", "lightning_fabric", "timm", "torchmetrics",
             "segmentation_models_pytorch", "sklearn.metrics", "skimage", "cv2", "matplotlib.pyplot", "jsonargparse")  # fmt: skip
PROGRAM = """
from pathlib import Path
import pytest, segfield, sys
if not Path(segfield.__file__).is_relative_to(Path.cwd()):
    sys.exit(f"the source of {segfield.__file__} would be tested, not the copy in {Path.cwd()}")
sys.exit(int(pytest.main(sys.argv[1:])))
"""
MACHINE_CODE = "*.nb[ic]"  # numba's, kept in __pycache__


class Selection(NamedTuple):
    """How the Makefile runs pytest: its arguments, and the marks of `make test` and of what `make test-all` adds."""

    arguments: list[str]
    test: str
    added: str


class Stage(NamedTuple):
    """Tests to be run on a fault: the target they belong to, and pytest's arguments."""

    target: str
    arguments: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="try what survives on what `make test-all` adds")
    parser.add_argument("--only", default="", help="numbers of the faults, from 1, e.g. 3,17")
    parser.add_argument("--depth", type=int, default=4, help="1 the mirrored test file alone … 4 all tests")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time, each with a copy of its own")
    parser.add_argument("--quick", action="store_true", help="two faults; nothing is kept")
    parser.add_argument("--table", action="store_true", help="write the kept results into docs/testing.md, run nothing")
    options = parser.parse_args()
    if options.table:
        write_table()
        return
    from record import record

    chosen = chosen_faults(options.only, options.quick)
    found = run(chosen, options.jobs, options.all, 1 if options.quick else options.depth)
    if not options.quick:
        found = {**kept(), **found}
    by_test = sum(row["target"] == "make test" for row in found.values())
    by_all = sum(bool(row["target"]) for row in found.values())
    details = {"faults": len(found), "found by make test-all": by_all, "rows": found}
    versus = f"{len(found)} faults planted, {by_all} of them found by make test-all"
    met = by_test >= (len(QUICK) if options.quick else GOAL)
    record("planted_faults", by_test, "faults", versus, GOAL, met, details, quick=options.quick)


def chosen_faults(only: str, quick: bool) -> list[Fault]:
    """The faults to plant. Raises SystemExit where a number is none."""
    if quick:
        return [fault for fault in FAULTS if fault.what in QUICK]
    try:
        numbers = [int(word) for word in only.split(",") if word]
        return [FAULTS[number - 1] for number in numbers if FAULTS[number - 1] and number > 0] or list(FAULTS)
    except (ValueError, IndexError):
        raise SystemExit(f"--only is {only}; give numbers from 1 to {len(FAULTS)}, e.g. 3,17") from None


def planted(fault: Fault, root: Path = ROOT) -> str:
    """The faulty source.

    Raises:
        SystemExit: if the text that is to be changed does not stand there exactly once.
    """
    source = (root / "src" / "segfield" / fault.file).read_text(encoding="utf-8")
    times = source.count(fault.old)
    if times != 1:
        raise SystemExit(
            f"the fault '{fault.what}' cannot be planted: its text stands {times} times in src/segfield/{fault.file}; "
            "follow the change of the source in benchmarks/faults.py"
        )
    return source.replace(fault.old, fault.new)


def selection(makefile: str) -> Selection:
    """What the targets quick (of test) and test-all of the Makefile run.

    Raises:
        SystemExit: if it is not written as expected.
    """
    arguments = re.search(r"^PYTEST :=.* -m pytest (.*)$", makefile, re.MULTILINE)
    marks = [
        re.search(rf"^{target}:.*\n\t\$\(PYTEST\).* -m \"([^\"]+)\"", makefile, re.M)
        for target in ("quick", "test-all")
    ]
    if arguments is None or marks[0] is None or marks[1] is None:
        raise SystemExit(
            "the Makefile's targets quick and test-all are not of the form that benchmarks/planted_faults.py reads"
        )
    return Selection(shlex.split(arguments[1]), marks[0][1], marks[1][1])


def stages(fault: Fault, chosen: Selection, thorough: bool, depth: int, root: Path = ROOT) -> list[Stage]:
    """The runs of a fault, nearest tests first: its mirror, those of the modules that import it, its room, the rest."""
    place = Path(fault.file)
    room = [Path("tests", place.parts[0])] if len(place.parts) > 1 else []
    near = [[mirror(place)], [mirror(user) for user in users(place, root)], room][:depth]
    paths = [[str(path) for path in group if (root / path).exists()] for group in near]
    paths = [group for group in paths if group]
    done = [path for group in paths for path in group]
    found = []
    for target, marks in (("make test", chosen.test), ("make test-all", chosen.added)):
        if target == "make test" or thorough:
            found += [Stage(target, ["--numprocesses", "0", "-m", marks, *group]) for group in paths]
            if depth > 3:
                found.append(Stage(target, ["-m", marks, "tests", *(f"--ignore={path}" for path in done)]))
    return found


def mirror(place: Path) -> Path:
    """The test file of a module of src/segfield."""
    return Path("tests", place.parent, f"test_{place.stem}.py")


def users(place: Path, root: Path = ROOT) -> list[Path]:
    """The modules that import from one, below src/segfield."""
    source, statement = root / "src" / "segfield", f"from segfield.{'.'.join(place.with_suffix('').parts)} import"
    files = sorted(source.rglob("*.py"))
    return [file.relative_to(source) for file in files if statement in file.read_text(encoding="utf-8")]


def run(faults: list[Fault], jobs: int, thorough: bool, depth: int) -> dict[str, dict[str, Any]]:
    """Plant each fault: what it is → the target and test that found it, '' where none did, and the seconds."""
    sources = {fault: planted(fault) for fault in faults}
    chosen = selection((ROOT / "Makefile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="segfield-faults-") as place:
        healthy = copy_tree(ROOT, Path(place, "healthy", "tree"))
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            copies.put(copy_tree(ROOT, Path(place, str(number), "tree")))

        def one(fault: Fault) -> dict[str, Any]:
            tree, began = copies.get(), time.monotonic()
            try:
                target, test = search(
                    fault, sources[fault], tree, healthy, stages(fault, chosen, thorough, depth), chosen
                )
            finally:
                copies.put(tree)
            row = {"file": fault.file, "target": target, "test": test, "seconds": round(time.monotonic() - began)}
            print(f"{row['seconds']:5d} s  {fault.what}: {f'{target}, {test}' if target else 'SURVIVES'}", flush=True)
            return row

        if jobs == 1:
            load_libraries()
            rows = [one(fault) for fault in faults]
        else:
            with ThreadPoolExecutor(jobs) as pool:
                rows = list(pool.map(one, faults))
    return {fault.what: row for fault, row in zip(faults, rows)}


def search(
    fault: Fault, source: str, tree: Path, healthy: Path, runs: list[Stage], chosen: Selection
) -> tuple[str, str]:
    """The target and the test that finds a fault; two empty strings where none does."""
    file = Path("src", "segfield", fault.file)
    if "@compiled" in source:  # machine code of modules that call the faulty one would hide the fault
        forget_machine_code(tree)
    (tree / file).write_text(source, encoding="utf-8")
    try:
        for stage in runs:
            failed = first_failure(tree, [*chosen.arguments, *stage.arguments])
            if not failed:
                continue
            again = first_failure(healthy, [*chosen.arguments, "--numprocesses", "0", failed])
            if again:
                raise SystemExit(f"{again} fails without any fault; mend that first")
            return stage.target, failed
        return "", ""
    finally:
        shutil.copy2(healthy / file, tree / file)
        if "@compiled" in source:
            forget_machine_code(tree)
            copy_machine_code(healthy, tree)


def first_failure(tree: Path, arguments: list[str]) -> str:
    """Runs pytest in a copy up to the first failure: its node, or '' where all passed.

    Raises:
        SystemExit: if pytest cannot run, or runs another tree's source.
    """
    status, printed = run_pytest(tree, ["-x", "--tb=no", "-p", "no:cacheprovider", *arguments])
    if status in (0, 5):  # all passed; none was selected
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", printed, re.MULTILINE)
    if failed is None:
        raise SystemExit(f"pytest ended with status {status}: {printed[-3000:]}")
    return failed[1]


def run_pytest(tree: Path, arguments: list[str]) -> tuple[int, str]:
    """Status and output of pytest on a copy, in a fork of this process where there can be: the libraries are loaded once."""
    environment = {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        if not hasattr(os, "fork") or threading.active_count() > 1:
            command = [sys.executable, "-c", PROGRAM, *arguments]
            place = {"cwd": tree, "env": {**os.environ, **environment}}
            status = subprocess.run(command, stdout=log, stderr=log, check=False, **place).returncode
        elif not (child := os.fork()):
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.chdir(tree)
            os.environ.update(environment)
            sys.path[:] = [str(tree), str(tree / "src"), *(place for place in sys.path if not is_tree(place))]
            sys.argv[1:] = arguments
            try:
                exec(PROGRAM)
            except SystemExit as ended:
                print("" if isinstance(ended.code, int) else ended.code, flush=True)
                os._exit(ended.code if isinstance(ended.code, int) else 70)
            except BaseException:  # a child that went on would clear up after its parent
                traceback.print_exc()
            os._exit(70)
        else:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        return status, log.read()


def is_tree(place: str) -> bool:
    """Whether an entry of the module path is a checkout of this project, or its source."""
    return any((Path(place) / source / "segfield").is_dir() for source in ("", "src"))


def load_libraries() -> None:
    """Load what the tests load, before the first fork; what is not installed is passed over."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def copy_tree(source: Path, target: Path) -> Path:
    """The tree's files as they are now, machine code with them, and the real data beside it where there are any."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=source, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    copy_machine_code(source, target)
    shared, beside = source.parent / "shared", target.parent / "shared"
    if shared.is_dir() and not beside.exists():
        beside.symlink_to(shared, target_is_directory=True)
    return target


def copy_machine_code(source: Path, target: Path) -> None:
    """Give a copy what is compiled in another; numba knows it by the sources' times and sizes."""
    for file in (source / "src").rglob(MACHINE_CODE):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)


def forget_machine_code(tree: Path) -> None:
    """Delete what is compiled in a copy."""
    for file in list((tree / "src").rglob(MACHINE_CODE)):
        file.unlink()


def kept() -> dict[str, dict[str, Any]]:
    """The results of earlier runs, of faults that are still in the list."""
    file = ROOT / "benchmarks" / "results" / "planted_faults.json"
    if not file.is_file():
        return {}
    rows = json.loads(file.read_text(encoding="utf-8"))["details"]["rows"]
    return {fault.what: rows[fault.what] for fault in FAULTS if fault.what in rows}


def table() -> str:
    """The kept results as Markdown, in the order of the list."""
    rows, lines = kept(), ["| fault | in | found by |", "|---|---|---|"]
    for fault in FAULTS:
        row = rows.get(fault.what, {"target": "not run", "test": ""})
        test = f", `{row['test'].partition('[')[0].removeprefix('tests/')}`" if row["test"] else ""
        lines.append(f"| {fault.what} | `{fault.file}` | {row['target'] or 'no test'}{test} |")
    found = [row["target"] for row in rows.values()]
    count = f"{found.count('make test')} of {len(FAULTS)} are found by `make test`, {sum(map(bool, found))} by `make test-all`."
    return "\n".join([count, "", *lines])


def write_table() -> None:
    """Put the table between its marks in docs/testing.md."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
