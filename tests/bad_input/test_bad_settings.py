"""Wrong, misspelt and out-of-range settings: every one is answered with what was meant, before anything is spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, contents

TRAIN = [
    (("--learning_rat", "1"), "there is no option --learning_rat; did you mean --learning_rate?"),
    (("--optimizer", "adamw"), "did you mean --optimiser"),
    (("--optimiser", "adamv"), "optimiser is adamv; did you mean adamw? Known: adamw, sgd"),
    (("--schedule", "polly"), "did you mean poly?"),
    (("--precision", "fp8"), "Known: 16-mixed, 32-true, auto, bf16-mixed"),
    (("--precision", "16-mixed"), "needs a GPU, and the device is cpu; give bf16-mixed or auto"),
    (("--learning_rate", "fast"), "learning_rate is fast; a number is expected"),
    (("--learning_rate", "nan"), "learning_rate is nan; a number is expected"),
    (("--learning_rate=-1",), "learning_rate is -1.0; it must lie between 0 and 1000"),
    (("--batch_size", "0"), "batch_size is 0; it must lie between 1 and 65536"),
    (("--batch_size", "2.5"), "batch_size is 2.5; a whole number is expected"),
    (("--epochs", "0"), "epochs is 0; it must lie between 1 and 10000000"),
    (("--epochs", "many"), "epochs is many; a whole number or null is expected"),
    (("--time", "5s"), "both epochs (1) and time (5s) are given; give one of them"),
    (("--save_every", "60x"), "save_every is '60x'; give a time such as 90s, 60m or 2h"),
    (("--cache", "much"), "cache is 'much'; give a size such as 4GiB"),
    (("--seed=-1",), "seed is -1; it must lie between 0 and"),
    (("--compile", "maybe"), "'maybe' is one word too many"),
    (("--folds", "3", "--fold", "3"), "fold 3 of 3 cannot be made"),
    (("--folds", "30"), "30 folds of 2 samples cannot be made"),
    (("--loss", "dise"), "there is no loss 'dise'; did you mean dice?"),
    (("--loss", "-1*dice"), "--loss lacks its value; write --loss VALUE, or --loss=VALUE"),
    (("--class_weights", "enett"), "there are no class weights 'enett'; did you mean enet?"),
    (("--class_weights", "1,2,3"), "3 class weights are given for 2 classes"),
    (("--class_weights", "1,,2"), "give a rule's name, or numbers as 1,2.5,1"),
    (("--class_weights", "0,0"), "all class weights are 0"),
    (("--model", "unett_padded"), "did you mean unet_padded"),
    (("--model", "deeplabv:resnet18", "--options", "{}"), "there is no decoder 'deeplabv'; did you mean deeplabv3"),
    (("--model", "unet:resnet1", "--options", "{}"), "timm has no encoder 'resnet1'; did you mean resnet18"),
    (("--options", "{widht: 2}"), "there is no option 'widht'; did you mean width? Known: dropout, levels, width"),
    (("--options", "{width: 0}"), "width is the channels of the first level, 1 to 512; found 0"),
    (("--options", "{dropout: 3}"), "dropout probability has to be between 0 and 1, but got 3; correct or leave out"),
    (("--options", "[1]"), "options is [1]; settings such as {width: 32}"),
    (("--weights", "nothing.safetensors"), "has no pretrained encoder; leave out --weights"),
    (("--classes", "nothing.yaml"), "nothing.yaml: there is no such class table file"),
    (("--val_split", "vall"), "there is no split 'vall' to choose the best weights on; did you mean val?"),
    (("--train_split", "trian"), "there is no split 'trian'; did you mean train?"),
    (("--augment.scal", "[1,2]"), "did you mean --augment.scale"),
    (("--augment.scale", "2"), "augment.scale is 2; a list such as [0.5, 2] is expected"),
    (("--augment.scale", "[2,1]"), "give two numbers above 0, the smaller one first"),
    (("--augment.crop", "[0,48]"), "augment.crop is 0,48; give height and width in pixels"),
    (("--augment.crop", "[32,a]"), "augment.crop is [32, 'a']; a list such as"),
    (("--augment.hue", "0.7"), "augment.hue is 0.7; it must lie between 0 and 0.5"),
    (("--augment", "{scal: 2}"), "there is no setting 'augment.scal'; did you mean augment.scale"),
    (("--augment", "7"), "augment is 7; give its settings one by one"),
    (("--device", "gpu"), "device 'gpu' is unknown; did you mean cuda"),
    (("surplus",), "'surplus' is one word too many"),
]


@pytest.mark.parametrize(("words", "sentence"), TRAIN, ids=[" ".join(words) for words, _ in TRAIN])
def test_train_says_what_was_meant(
    segfield: CommandLine, data: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    before = contents(data)
    assert sentence in segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK, *words)
    assert contents(data) == before
    assert not (tmp_path / "run" / "segmenter.safetensors").exists()


RECIPES = [
    ("learning_rat: 1", "{file}: there is no setting 'learning_rat'; did you mean learning_rate?"),
    ("augment: {flipp: true}", "{file}: there is no setting 'augment.flipp'; did you mean flip?"),
    ("augment: 3", "{file}: augment is 3; give settings by name"),
    ("1: 2", "{file}: there is no setting '1'"),
    ("epochs: soon", "epochs is soon; a whole number or null is expected"),
    ("time: 60", "time is 60; text (in quotes, in a YAML) or null is expected"),
    ("model: null", "model is null; give it a value"),
    ("- a\n- b", "{file} is not a recipe: expected lines of NAME: VALUE"),
    ("", "{file} is not a recipe"),
    ("loss: dice\nepochs: [1", "{file}, line 2 is not a YAML recipe"),
    ("data: !!python/object/apply:os.system ['true']", "{file}, line 1 is not a YAML recipe"),
    (bytes(range(256)), "{file} is not a YAML recipe"),
]


@pytest.mark.parametrize(("content", "sentence"), RECIPES, ids=[str(content)[:20] for content, _ in RECIPES])
def test_a_recipe_file_that_is_wrong(
    segfield: CommandLine, data: Path, tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = segfield.refuses("train", data, "--recipe", file, "--out", tmp_path / "run")
    assert sentence.format(file=file) in said


def test_a_recipe_that_is_not_there(segfield: CommandLine, tmp_path: Path) -> None:
    for file in (tmp_path / "none.yaml", tmp_path):
        assert f"there is no recipe {file}" in segfield.refuses("train", "--recipe", file)
    assert "--recipe lacks its value" in segfield.refuses("train", "--recipe")
    assert "data must be given" in segfield.refuses("train")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--split", "vall"), "there is no split 'vall' to score; did you mean val"),
        (("--splt", "val"), "there is no option --splt; did you mean --split"),
        (("--scales", "[-1]"), "scales are sizes relative to the image, above 0 and up to 8"),
        (("--scales", "big"), "scales is big; a list such as [0.5, 2] or null is expected"),
        (("--tile", "3"), "tile is 3 pixels; give"),
        (("--worst=-3",), "worst is -3; give the number of images"),
        (("--device", "tpu"), "device 'tpu' is unknown"),
    ],
)
def test_evaluate_says_what_was_meant(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in segfield.refuses("evaluate", segmenter, data, "--out", tmp_path / "scores", *words)
    assert not (tmp_path / "scores" / "scores.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--save", "ids,overlays"), "did you mean overlay"),
        (("--tile", "big"), "tile is big; a whole number or null is expected"),
        (("--tile=-5",), "tile is -5 pixels; give"),
        (("--overlap", "9999"), "overlap is 9999 pixels"),
        (("--scales", "[0]"), "scales are sizes relative to the image"),
        (("--part", "3/2"), "give i/n with i from 1 to n"),
        (("--flip", "all"), "there is no option --flip; did you mean --flips"),
        (("--flips", "horizontl"), "flips is horizontl; did you mean horizontal?"),
        (("--flips",), "--flips lacks its value; write --flips VALUE"),
    ],
)
def test_predict_says_what_was_meant(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    said = segfield.refuses("predict", segmenter, data / "images", "--out", tmp_path / "out", *words)
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_verbs_and_missing_words(segfield: CommandLine, data: Path, segmenter: Path) -> None:
    assert "there is no verb 'evalute'; did you mean evaluate?" in segfield.refuses("evalute", segmenter, data)
    assert "inputs must be given; see segfield predict --help" in segfield.refuses("predict", segmenter)
    assert "data must be given; see segfield evaluate --help" in segfield.refuses("evaluate", segmenter)
    assert "workers is -1; choose 0" in segfield.refuses("check", data, "--workers=-1")
    assert "give a name that ends in .html" in segfield.refuses("check", data, "--out", "page.pdf")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_where_none_is(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    for device in ("cuda", "cuda:3"):
        for words in (
            ("train", data, "--out", tmp_path / "run", *NETWORK),
            ("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK),
            ("predict", segmenter, data / "images", "--out", tmp_path / "out"),
        ):
            said = segfield.refuses(*words, "--device", device)
            assert f"device '{device}' asks for a GPU, but" in said and "give --device cpu" in said
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_mended_setting_trains_in_the_same_folder(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    words = ("train", data, "--out", tmp_path / "run", *NETWORK)
    segfield.refuses(*words, "--loss", "dise")
    segfield.works(*words, "--loss", "dice")
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_finished_run_is_never_overwritten(segfield: CommandLine, run: Path) -> None:
    before, data = contents(run), run.parent / "data"
    said = segfield.refuses("train", data, "--out", run, *NETWORK, "--augment.crop", "[16,16]", "--epochs", "2")
    assert "(augment.crop None → [16, 16], epochs 1 → 2); choose another --out" in said
    told = segfield.works("train", data, "--out", run, *NETWORK)
    assert "is finished already; its report is" in told.out
    assert contents(run) == before


@pytest.mark.parametrize("kind", ["a file", "below a file", "other things", "nowhere"])
def test_an_output_folder_that_cannot_be_one(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, kind: str
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    out = {
        "a file": mine / "thesis.tex",
        "below a file": mine / "thesis.tex" / "run",
        "other things": mine,
        "nowhere": Path("/proc/nowhere/run"),
    }[kind]
    assert "--out" in segfield.refuses("train", data, "--out", out, *NETWORK) or kind in ("below a file", "nowhere")
    if kind != "other things":
        segfield.refuses("evaluate", segmenter, data, "--out", out, *QUICK)
        segfield.refuses("predict", segmenter, data / "images", "--out", out, "--device", "cpu")
    assert contents(mine) == {"thesis.tex": b"years of work"}
