"""Every ```console and ```python block of docs/*.md is run, page by page, from the top down, in a folder of tiny data.

Commands and settings are read as they stand; only what costs time is made small on the way to the training loop. What a
command prints must be what its page shows, but for the numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.commands.main import main
from segfield.training.recipe import Recipe
from tests.commands.in_process import run_in_process
from tests.data.tiny_layouts import make_camvid, make_cityscapes, make_nuclei, make_stanford, make_voc
from tests.doc_blocks import Step, agrees, steps_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def shrunk(recipe: Recipe) -> Recipe:
    """The recipe as a run of a second: a tiny network, one epoch, crops of 32 pixels; all else as it stands."""
    crop = tuple(min(side, 32) for side in recipe.augment.crop or (32, 32))
    return dataclasses.replace(
        recipe,
        model="unet_padded",
        options={"width": 4, "levels": 3},
        weights="none",
        epochs=1,
        time=None,
        batch_size=2,
        precision="32-true",
        device="cpu",
        devices=1,
        augment=dataclasses.replace(recipe.augment, crop=crop),
    )


def is_known(model: str) -> bool:
    """Whether the network a page names can be had, though another is trained here."""
    import timm

    from segfield.models import CLASSIFIERS
    from segfield.models.bridge import DECODERS

    decoder, colon, encoder = model.partition(":")
    return (decoder in DECODERS and timm.is_model(encoder)) if colon else model in CLASSIFIERS


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The folder the pages speak of, with everything in it small; and a training loop that takes no time."""
    from segfield.commands import comparison_queue
    from segfield.training import loop

    whole_fit = loop.fit

    def quick_fit(recipe, console=None, introduce=True):
        return whole_fit(shrunk(recipe) if is_known(recipe.model) else recipe, console, introduce)

    monkeypatch.setattr(loop, "fit", quick_fit)
    monkeypatch.setattr(comparison_queue, "run_process", run_in_process)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)
    cells = load_script("draw_cells")
    cells.write(Path("cells"), count=9, size=64)
    (Path("cells") / "classes.yaml").write_text("names: [background, cell]\nsource_values: {0: 0, 255: 1}\n")
    make_broken(Path("cells"), Path("broken"))
    Path("slides").mkdir()
    for number, size in enumerate((64, 80)):
        Image.fromarray(cells.draw(50 + number, size)[0]).save(f"slides/slide{number}.png")
    make_camvid(Path())
    make_stanford(Path())
    make_voc(Path())
    make_cityscapes(Path("cityscapes"))
    make_nuclei(Path())
    shutil.copytree(ROOT / "recipes", "recipes")
    for name, width in (("narrow", 8), ("wide", 32)):
        Path(f"{name}.yaml").write_text(f"model: unet_padded\noptions: {{width: {width}}}\n")
    return tmp_path


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_broken(source: Path, target: Path) -> None:
    """A copy with three faults: a value no class has, a mask of another size, an image cut short."""
    shutil.copytree(source, target)
    masks, images = sorted((target / "masks").iterdir()), sorted((target / "images").iterdir())
    values = np.asarray(Image.open(masks[1])).copy()
    values[:4, :3] = 128
    Image.fromarray(values).save(masks[1])
    Image.open(masks[2]).resize((30, 30), Image.Resampling.NEAREST).save(masks[2])
    images[3].write_bytes(images[3].read_bytes()[:500])


def make_segmenter(file: Path) -> None:
    """An untrained segmenter of cells, for pages that speak of one without training it."""
    from segfield.models import build_classifier
    from segfield.segmenter import ClassifierSpec, Scaling, Segmenter

    spec = ClassifierSpec("unet_padded", 1, 2, {"width": 4, "levels": 3})
    classifier = build_classifier(spec.name, spec.bands, spec.classes, None, spec.options)
    file.parent.mkdir(parents=True)
    Segmenter(classifier, spec, ClassTable(("background", "cell")), Scaling((100.0,), (30.0,))).save(file)


def run(step: Step, names: dict) -> str:
    """Run a step; gives what it printed, to both outputs, in its order."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        if step.kind == "python":
            exec(compile(step.source, f"line {step.line}", "exec"), names)
            return printed.getvalue()
        program, *words = shlex.split(step.source)
        assert program == "segfield", f"line {step.line}: only segfield's commands are run; mark others as sh"
        status = main(words)
    expected = 2 if re.search(r"^segfield: ", step.shown, re.MULTILINE) else int("unusable" in step.shown)
    assert status == expected, f"line {step.line}: status {status} of {step.source}\n{printed.getvalue()}"
    return printed.getvalue()


@pytest.mark.thorough
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page, tiny):
    names = {"__name__": "__main__"}
    if "train cells" not in page.read_text(encoding="utf-8"):
        make_segmenter(Path("runs/cells/segmenter.safetensors"))
    wrong = []
    for step in steps_of(page):
        printed = run(step, names)
        if step.shown and not agrees(step.shown, printed):
            wrong.append(
                f"{page.name}, line {step.line}: {step.source}\nprints\n{printed}\nthe page shows\n{step.shown}"
            )
    assert not wrong, "\n".join(wrong)


def test_the_pages_have_something_to_run():
    steps = [step for page in PAGES for step in steps_of(page)]
    verbs = {step.source.split()[1] for step in steps if step.kind == "console"}
    assert {"data", "check", "train", "evaluate", "predict"} <= verbs
    assert any(step.kind == "python" for step in steps)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_are_there(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    # results.md is written from benchmarks/results, and may come later than the page that points there
    missing = [t for t in targets if "://" not in t and t != "results.md" and not (page.parent / t).exists()]
    assert not missing


def settings_shown() -> list[tuple[str, str]]:
    """(name, default) of every row of the tables of settings in docs/recipes.md."""
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| setting \| default \| meaning \|\n(?:\|.*\n)+", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()[2:]]
    return [re.match(r"\| `([\w.]+)` \| (.*?) \|", row).groups() for row in rows]


def test_every_setting_is_explained_once():
    settings = [field.name for field in dataclasses.fields(Recipe) if field.name not in Recipe.NESTED]
    settings += [f"{name}.{field.name}" for name, kind in Recipe.NESTED.items() for field in dataclasses.fields(kind)]
    assert sorted(name for name, _ in settings_shown()) == sorted(settings)


def test_defaults_are_those_of_the_recipe():
    import yaml

    plain = Recipe(data="x").as_dict()
    for name, shown in settings_shown():
        outer, _, inner = name.partition(".")
        value = plain[outer][inner] if inner else plain[name]
        found = yaml.safe_load(shown.strip("`")) if shown != "required" else "x"
        assert found == (list(value) if isinstance(value, tuple) else value), f"{name}: the page shows {shown}"


def test_formats_are_all_described():
    from segfield.data.formats import FORMATS

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## .*`(\w+)`$", text, re.MULTILINE)) == set(FORMATS)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("mIoU 71.2 over 5 images: …", "mIoU 9.87  over 24 images:\nreport out.html\n", True),
        ("mIoU 71.2 over 5 images", "mIoU 9.87 over 24 pictures", False),
        ("first\n…\nlast", "first\n1\n2\nlast", True),
        ("first\n…\nlast", "first\nlast", True),
        ("first\nlast", "first\nmiddle\nlast", False),
        ("IoU 5.1", "IoU –", True),
        ("IoU – 5.1", "IoU 3 –", True),
        ("mIoU -0.10 to +0.39", "mIoU +12 to -3", True),
        ("a-1", "a+1", False),
        ("──── 1,000", "─ 7", True),
        ("x\n", "", False),
    ],
)
def test_numbers_and_ellipses_stand_for_others(shown, printed, same):
    assert agrees(shown, printed) is same


def test_steps_are_read_from_a_page(tmp_path):
    page = tmp_path / "p.md"
    blocks = (
        "```sh\nmake\n```\n",
        "```console\n$ segfield a \\\n>   --b 1\nout\n$ segfield c\n```\n",
        "```text\nshown alone\n```\n",
        "```python\nprint(1)\n```\n\n```text\n1\n```\n",
        "```python\nx = 1\n```\n",
    )
    page.write_text("# T\n" + "and\n".join(blocks))
    assert steps_of(page) == [
        Step(7, "console", "segfield a   --b 1", "out\n"),
        Step(10, "console", "segfield c", ""),
        Step(18, "python", "print(1)\n", "1\n"),
        Step(26, "python", "x = 1\n", ""),
    ]
