"""Wrong, misspelt and out-of-range settings: every one is answered with what was meant, before anything is spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, contents
from tests.told import says

TRAIN = [
    (("--learning_rat", "1"), "--learning_rat … did you mean --learning_rate?"),
    (("--optimizer", "adamw"), "did you mean --optimiser"),
    (("--optimiser", "adamv"), "optimiser is adamv … mean adamw … adamw, sgd"),
    (("--schedule", "polly"), "did you mean poly?"),
    (("--precision", "fp8"), "16-mixed, 32-true, auto, bf16-mixed"),
    (("--precision", "16-mixed"), "GPU … cpu … bf16-mixed or auto"),
    (("--learning_rate", "fast"), "learning_rate is fast … number"),
    (("--learning_rate", "nan"), "learning_rate is nan … number"),
    (("--learning_rate=-1",), "learning_rate is -1.0 … 0 and 1000"),
    (("--batch_size", "0"), "batch_size is 0 … 1 and 65536"),
    (("--batch_size", "2.5"), "batch_size is 2.5 … whole number"),
    (("--epochs", "0"), "epochs is 0 … 1 and 10000000"),
    (("--epochs", "many"), "epochs is many … whole number or null"),
    (("--time", "5s"), "epochs (1) … time (5s) … give one"),
    (("--save_every", "60x"), "save_every is '60x' … 90s, 60m or 2h"),
    (("--cache", "much"), "cache is 'much' … 4GiB"),
    (("--seed=-1",), "seed is -1 … between 0 and"),
    (("--compile", "maybe"), "'maybe'"),
    (("--folds", "3", "--fold", "3"), "fold 3 of 3"),
    (("--folds", "30"), "30 folds of 2 samples"),
    (("--loss", "dise"), "loss 'dise' … dice?"),
    (("--loss", "-1*dice"), "--loss … write --loss VALUE, or --loss=VALUE"),
    (("--class_weights", "enett"), "class weights 'enett' … enet?"),
    (("--class_weights", "1,2,3"), "3 class weights … 2 classes"),
    (("--class_weights", "1,,2"), "rule's name … 1,2.5,1"),
    (("--class_weights", "0,0"), "all class weights are 0"),
    (("--model", "unett_padded"), "did you mean unet_padded"),
    (("--model", "deeplabv:resnet18", "--options", "{}"), "decoder 'deeplabv' … mean deeplabv3"),
    (("--model", "unet:resnet1", "--options", "{}"), "encoder 'resnet1' … mean resnet18"),
    (("--options", "{widht: 2}"), "'widht' … width? … dropout, levels … width"),
    (("--options", "{width: 0}"), "width … 1 to 512 … 0"),
    (("--options", "{dropout: 3}"), "dropout probability … between 0 and 1 … 3 … leave out"),
    (("--options", "[1]"), "options is [1] … {width: 32}"),
    (("--weights", "nothing.safetensors"), "encoder … leave out --weights"),
    (("--classes", "nothing.yaml"), "nothing.yaml … no such class table"),
    (("--val_split", "vall"), "split 'vall' … val?"),
    (("--train_split", "trian"), "split 'trian' … train?"),
    (("--augment.scal", "[1,2]"), "did you mean --augment.scale"),
    (("--augment.scale", "2"), "augment.scale is 2 … [0.5, 2]"),
    (("--augment.scale", "[2,1]"), "above 0 … smaller one first"),
    (("--augment.crop", "[0,48]"), "augment.crop is 0,48 … height and width"),
    (("--augment.crop", "[32,a]"), "augment.crop is [32, 'a'] … list"),
    (("--augment.hue", "0.7"), "augment.hue is 0.7 … 0 and 0.5"),
    (("--augment", "{scal: 2}"), "'augment.scal' … mean augment.scale"),
    (("--augment", "7"), "augment is 7 … one by one"),
    (("--adversary", "largfov"), "adversary is 'largfov' … mean largefov"),
    (("--adversarial.weight", "-1"), "adversarial.weight is -1 … between 0"),
    (("--adversarial.wieght", "1"), "mean --adversarial.weight"),
    (("--adversary", "fully_convolutional"), "32 pixels a side … adversarial.stride"),
    (("--adversary", "smallfov", "--crf", "joint", "--crf_folds", "1"), "crf_folds is 1"),
    (("--unlabelled",), "every image … has a mask … --unlabelled FOLDER"),
    (("--unlabelled", "nowhere"), "no images without masks at 'nowhere' … train, val"),
    (("--unlabelled", "val"), "validated on … others"),
    (("--semi_supervised.mix", "cutmixx"), "mix is cutmixx … mean cutmix"),
    (("--device", "gpu"), "device 'gpu' … mean cuda"),
    (("surplus",), "'surplus'"),
]


@pytest.mark.parametrize(("words", "sentence"), TRAIN, ids=[" ".join(words) for words, _ in TRAIN])
def test_train_says_what_was_meant(
    segfield: CommandLine, data: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    before = contents(data)
    assert says(sentence, segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK, *words))
    assert contents(data) == before
    assert not (tmp_path / "run" / "segmenter.safetensors").exists()


RECIPES = [
    ("learning_rat: 1", "{file} … 'learning_rat' … learning_rate?"),
    ("augment: {flipp: true}", "{file} … 'augment.flipp' … flip?"),
    ("augment: 3", "{file} … augment is 3 … by name"),
    ("1: 2", "{file} … '1'"),
    ("epochs: soon", "epochs is soon … whole number or null"),
    ("time: 60", "time is 60 … text … or null"),
    ("model: null", "model is null … give it a value"),
    ("- a\n- b", "{file} … not a recipe … NAME: VALUE"),
    ("", "{file} is not a recipe"),
    ("loss: dice\nepochs: [1", "{file}, line 2 … YAML"),
    ("data: !!python/object/apply:os.system ['true']", "{file}, line 1 … YAML"),
    (bytes(range(256)), "{file} … YAML"),
]


@pytest.mark.parametrize(("content", "sentence"), RECIPES, ids=[str(content)[:20] for content, _ in RECIPES])
def test_a_recipe_file_that_is_wrong(
    segfield: CommandLine, data: Path, tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = segfield.refuses("train", data, "--recipe", file, "--out", tmp_path / "run")
    assert says(sentence.format(file=file), said)


def test_a_recipe_that_is_not_there(segfield: CommandLine, tmp_path: Path) -> None:
    for file in (tmp_path / "none.yaml", tmp_path):
        assert f"there is no recipe {file}" in segfield.refuses("train", "--recipe", file)
    assert "--recipe lacks its value" in segfield.refuses("train", "--recipe")
    assert "data must be given" in segfield.refuses("train")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--split", "vall"), "split 'vall' … mean val"),
        (("--splt", "val"), "--splt … mean --split"),
        (("--scales", "[-1]"), "scales … above 0 and up to 8"),
        (("--scales", "big"), "scales is big … [0.5, 2] or null"),
        (("--tile", "3"), "tile is 3 pixels; give"),
        (("--worst=-3",), "worst is -3 … give"),
        (("--device", "tpu"), "device 'tpu' is unknown"),
    ],
)
def test_evaluate_says_what_was_meant(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert says(sentence, segfield.refuses("evaluate", segmenter, data, "--out", tmp_path / "scores", *words))
    assert not (tmp_path / "scores" / "scores.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--save", "ids,overlays"), "did you mean overlay"),
        (("--tile", "big"), "tile is big … whole number or null"),
        (("--tile=-5",), "tile is -5 pixels; give"),
        (("--overlap", "9999"), "overlap is 9999 pixels"),
        (("--scales", "[0]"), "scales … relative to the image"),
        (("--part", "3/2"), "give i/n with i from 1 to n"),
        (("--flip", "all"), "--flip; … mean --flips"),
        (("--flips", "horizontl"), "flips is horizontl … horizontal?"),
        (("--flips",), "--flips … write --flips VALUE"),
    ],
)
def test_predict_says_what_was_meant(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    said = segfield.refuses("predict", segmenter, data / "images", "--out", tmp_path / "out", *words)
    assert says(sentence, said)
    assert not (tmp_path / "out").exists()


def test_verbs_and_missing_words(segfield: CommandLine, data: Path, segmenter: Path) -> None:
    assert says("verb 'evalute' … evaluate?", segfield.refuses("evalute", segmenter, data))
    assert says("inputs … segfield predict --help", segfield.refuses("predict", segmenter))
    assert says("data … segfield evaluate --help", segfield.refuses("evaluate", segmenter))
    assert "workers is -1; choose 0" in segfield.refuses("check", data, "--workers=-1")
    assert "ends in .html" in segfield.refuses("check", data, "--out", "page.pdf")


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
    assert says("augment.crop None → [16, 16], epochs 1 → 2 … choose another --out", said)
    told = segfield.works("train", data, "--out", run, *NETWORK)
    assert says("finished already … report", told.out)
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
