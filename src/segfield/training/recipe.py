"""Recipe: everything about a training run. Its fields are the Python call, the command line and the YAML at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from segfield.data.augmentation import AugmentationConfig
from segfield.errors import FileFormatError, SettingError, did_you_mean
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.recipe_limits import CHOICES, RANGES
from segfield.training.semi_supervised_config import SemiSupervisedConfig


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run. Sizes are in pixels, rates are those of the mean loss."""

    ALTERNATIVES: ClassVar = (("epochs", "steps", "time"),)
    """Settings of which one stands: on the command line one takes the place of the others in a YAML."""
    ALONE: ClassVar = {"unlabelled": "unlabelled"}
    """What an option means that stands on the command line without a value."""
    NESTED: ClassVar = {
        "augment": AugmentationConfig, "adversarial": AdversarialConfig, "semi_supervised": SemiSupervisedConfig,
    }  # fmt: skip
    """Settings that have settings of their own."""

    data: str
    """Data set: a folder, FORMAT:PATH (see `segfield data`), or scenes: for drawn street scenes."""
    out: str = "run"
    """Run folder; a second start with the same recipe continues the run in it."""
    classes: str | None = None
    """Class table that replaces the format's own: YAML, JSON, or a text file with a name a line."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split that chooses the best weights."""
    folds: int = 0
    """Instead of splits: cut the training split into this many folds."""
    fold: int = 0
    """Which fold validates, 0 to folds - 1."""
    fold_draw: Literal["stretches", "random"] = "stretches"
    """Folds are stretches of the list, which keeps a film's frames together, or drawn at random by the seed."""

    unlabelled: str = "none"
    """Images to learn from without masks: a split, another data set, a folder of images; alone: the split unlabelled."""
    semi_supervised: SemiSupervisedConfig = field(default_factory=SemiSupervisedConfig)
    """How images without masks are learned from."""

    model: str = "deeplabv3plus:mobilenetv2_100"
    """Network: a classic one (unet, fcn8s, segnet, icnet …: docs/models.md), or DECODER:ENCODER with any timm encoder."""
    weights: str = "imagenet"
    """Encoder weights: imagenet (fetched by timm), none, or a safetensors file."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the network, e.g. {width: 64} or {pad_type: same}."""
    start: str | None = None
    """Segmenter file or run folder whose weights are taken over where they fit, instead of encoder weights."""
    half_size_first: float = 0.0
    """Share of the budget that is trained at half the resolution first, at a quarter of the cost; 0.5 suits short trainings."""
    stages: list[dict[str, Any]] = field(default_factory=list)
    """Trainings one after another, each starting from the last: settings that differ, with a name and a share of the budget."""

    loss: str = "cross_entropy"
    """Sum of losses, e.g. cross_entropy+dice or 0.5*lovasz+cross_entropy; also focal, ohem_cross_entropy."""
    class_weights: str = "none"
    """none, median_frequency, enet, inverse, or numbers: 1,2.5,1."""
    border_weight: float = 0.0
    """w0 of U-Net's border weight map (10 in the paper); 0 leaves it out."""
    border_sigma: float = 5.0
    """Sigma of the border weight map, pixels."""
    rare_crops: float = 0.0
    """Share of crops centred on a pixel of a class drawn by rarity."""
    augment: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random changes to each training image."""

    epochs: int | None = None
    """Passes over the training set; 100 where neither epochs, steps nor time is given."""
    steps: int | None = None
    """Optimiser steps instead of epochs, as papers count."""
    time: str | None = None
    """Wall-clock budget instead of epochs: 90s, 60m, 2h; the schedule follows the clock."""
    patience: int = 0
    """Stop after this many validations without a better mIoU; 0 never stops early."""
    keep: Literal["best", "last"] = "best"
    """Which weights the segmenter gets: the best on val_split, or the last, which leaves val_split out of every choice."""
    batch_size: int = 8
    """Crops in a step, on each device."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """adamw or sgd."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    encoder_rate: float = 1.0
    """The pretrained encoder's learning rate as a multiple of learning_rate."""
    rates: dict[str, float] = field(default_factory=dict)
    """Multiples of learning_rate by names of parameters, e.g. {"classify.*": 10, "*.bias": 2}; 0 freezes them."""
    freeze_norm: bool = False
    """Leave batch norm as the weights came with it: its statistics, scale and shift."""
    recompute_norm: bool = False
    """Measure batch norm's statistics anew at the end, on whole training images as they are."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.01
    """Weight decay; biases and norm parameters have none."""
    clip: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    schedule: Literal["poly", "cosine", "step", "constant"] = "poly"
    """How the learning rate falls over the run."""
    power: float = 0.9
    """Power of poly."""
    step_every: float = 0.34
    """Share of the run after which step multiplies the rate by step_factor."""
    step_factor: float = 0.1
    """Factor of step."""
    warmup: float = 0.02
    """Share of the run in which the rate rises from zero."""
    ema: float = 0.0
    """Decay of the running average of the weights that is validated and saved, e.g. 0.999; 0 for none."""

    adversary: str = "none"
    """A second network that learns to tell true label maps from predicted ones, and so teaches the first: largefov, smallfov …"""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """How the adversary is built, fed and trained."""

    crf: Literal["none", "learn", "joint"] = "none"
    """A CRF behind the network: learn it on the trained network, or joint: then train both together (CRF-RNN)."""
    crf_start: str = "crf_rnn"
    """What the CRF starts from: a preset's name, or a JSON file such as refiner.json of `segfield tune`."""
    crf_rate: float = 0.01
    """Highest learning rate of the CRF's parameters."""
    crf_network_loss: float = 0.0
    """Weight of the loss of the network's own scores beside that of the refined ones, where both are trained; 0 as published."""
    crf_temperature: float = 1.0
    """What the refined scores are divided by in the loss: mean field is too sure of itself; 1 as published."""
    crf_folds: int = 0
    """Learn the CRF from what networks of so many folds say of images they did not see; 0: on images as they are trained on."""
    crf_keep: bool = False
    """Leave the CRF in the segmenter even where its gain on val_split is not certain (its 95 % interval holds 0)."""
    crf_options: dict[str, Any] = field(default_factory=dict)
    """Options of the CRF layer, e.g. {iterations: 5, weights: diagonal, compatibility: potts, learn_bandwidths: true}."""

    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16-mixed where the processor computes in it, else 32-true."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    devices: int = 1
    """Devices on each node, one process each."""
    nodes: int = 1
    """Nodes; start with torchrun or under SLURM."""
    compile: bool = False
    """Compile the network with torch.compile (needs a C++ compiler on the machine)."""
    workers: int = -1
    """Processes that prepare batches; -1 chooses: none on a CPU, several on a GPU."""
    threads: int = 0
    """CPU threads; 0 takes the usable cores."""
    cache: str = "4GiB"
    """Memory for decoded images; 0 decodes anew each time."""
    hold: Literal["auto", "yes", "no"] = "auto"
    """Hold the data set on the GPU and augment there; auto does where it fits."""

    validate_every: int = 1
    """Epochs between validations."""
    save_every: str = "2m"
    """Time between resume states; one is also written after every validation."""
    seed: int = 0
    """Seed of everything random."""
    accept_changed_data: bool = False
    """Go on with a run although its images or labels are not those it was begun on."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if getattr(self, item.name) is None and "None" not in str(item.type):
                raise SettingError(f"{item.name} is null; give it a value, or leave it out for the usual one")
        for name, low, high in RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingError(f"{name} is {value}; it must lie between {low} and {high}")
        if self.time is not None:
            seconds(self.time, "time")
        seconds(self.save_every, "save_every")
        memory_bytes(self.cache, "cache")
        for name, values in CHOICES.items():
            if getattr(self, name) not in values:
                raise SettingError(
                    f"{name} is '{getattr(self, name)}'; {did_you_mean(str(getattr(self, name)), values)}"
                )
        budgets = {name: getattr(self, name) for name in self.ALTERNATIVES[0] if getattr(self, name) is not None}
        if len(budgets) > 1:
            listed = " and ".join(f"{name} ({value})" for name, value in budgets.items())
            raise SettingError(f"both {listed} are given; give one of them")
        for pattern, factor in self.rates.items():
            if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1000:
                raise SettingError(
                    f"rates has {factor!r} for '{pattern}'; it is a multiple of learning_rate, 0 to 1000"
                )
        for number, stage in enumerate(self.stages, 1):
            _check_stage(number, stage)
        if self.half_size_first and self.stages:
            raise SettingError(
                f"half_size_first is {self.half_size_first:g}, and the recipe has stages of its own; leave it out, or give "
                "one of them augment: {size: 0.5}"
            )
        if self.crf_folds and (self.crf == "none" or self.crf_folds == 1 or self.folds or self.start):
            raise SettingError(
                f"crf_folds is {self.crf_folds}; it cuts the training split into 2 folds or more for a CRF that is learned from "
                "the start: give crf, and neither folds nor start"
            )
        if self.folds == 1 or (self.folds and self.fold >= self.folds):
            raise SettingError(
                f"fold {self.fold} of {self.folds} cannot be made; folds is 2 or more, fold 0 to folds - 1"
            )

    def budget_steps(self, steps_an_epoch: int) -> int | None:
        """Optimiser steps to train, or None where the clock decides."""
        if self.time is not None:
            return None
        return self.steps if self.steps is not None else (self.epochs or 100) * steps_an_epoch

    @property
    def budget_seconds(self) -> float | None:
        """Seconds to train, or None where epochs decide."""
        return None if self.time is None else seconds(self.time, "time")

    @property
    def fold_seed(self) -> int | None:
        """The seed that draws the folds; None where they are stretches of the list."""
        return self.seed if self.fold_draw == "random" else None

    def given_class_weights(self) -> str | list[float]:
        """The name of a rule, or the numbers."""
        text = self.class_weights
        if not re.fullmatch(r"[\d.,\s eE+-]+", text):
            return text
        try:
            return [float(part) for part in text.split(",")]
        except ValueError as error:
            raise SettingError(f"class_weights is '{text}'; give a rule's name, or numbers as 1,2.5,1") from error

    def as_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`. Raises SettingError naming an unknown setting's close spellings."""
        _check_names(settings)
        values = dict(settings)
        for name, kind in cls.NESTED.items():
            if isinstance(values.get(name), Mapping):
                values[name] = kind(**{key: _tuples(value) for key, value in values[name].items()})
        for name in ("rates", "options", "crf_options"):
            if not isinstance(values.get(name, {}), Mapping):
                raise SettingError(f"{name} is {values[name]}; give values by name, e.g. {name}: {{NAME: VALUE}}")
        try:
            return cls(**values)
        except TypeError as error:
            raise SettingError(f"the recipe is incomplete or of wrong types: {error}") from error

    @classmethod
    def from_stored(cls, settings: Mapping[str, Any]) -> Recipe:
        """A recipe as a run or segmenter file keeps it, which may be older than some settings."""
        return cls.from_dict(completed(settings))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """A recipe from a YAML file.

        Raises:
            FileFormatError: if the file is missing or not YAML.
            SettingError: if a setting is unknown or out of range.
        """
        return cls.from_dict(cls.read(path))

    @staticmethod
    def read(path: str | Path) -> dict[str, Any]:
        """The settings in a YAML file, by name; their values are not looked at yet.

        Raises:
            FileFormatError: if the file is missing or not YAML.
            SettingError: if a setting is unknown.
        """
        import yaml

        file = Path(path)
        if not file.is_file():
            raise FileFormatError(f"there is no recipe {file}; recipes are YAML files, see the folder recipes/")
        try:
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}"
            reason = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise FileFormatError(
                f"{file}{where} is not a YAML recipe: {reason}; write lines of NAME: VALUE"
            ) from error
        if not isinstance(settings, dict):
            raise FileFormatError(f"{file} is not a recipe: expected lines of NAME: VALUE")
        try:
            _check_names(settings)
        except SettingError as error:
            raise SettingError(f"{file}: {error}") from error
        return settings


def _check_names(settings: Mapping[str, Any]) -> None:
    known = {item.name for item in dataclasses.fields(Recipe)}
    for name in settings:
        if name not in known:
            raise SettingError(f"there is no setting '{name}'; {did_you_mean(str(name), known)}")
    for outer, kind in Recipe.NESTED.items():
        given = settings.get(outer, {})
        inner = [item.name for item in dataclasses.fields(kind)]
        if not isinstance(given, Mapping | kind):
            default = getattr(kind(), inner[0])
            raise SettingError(f"{outer} is {given}; give settings by name, e.g. {outer}: {{{inner[0]}: {default}}}")
        for name in given if isinstance(given, Mapping) else ():
            if name not in inner:
                raise SettingError(f"there is no setting '{outer}.{name}'; {did_you_mean(str(name), inner)}")


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a run kept, with those that came later as they were meant then: folds were drawn at random."""
    return {"fold_draw": "random", **settings} if settings.get("folds") else dict(settings)


STAGE_WORDS = ("name", "share")
"""What a stage may say beside settings."""

_OF_ALL_STAGES = (
    "data",
    "out",
    "start",
    "half_size_first",
    "stages",
    "classes",
    "train_split",
    "val_split",
    "folds",
    "fold",
    "fold_draw",
)


def _check_stage(number: int, stage: Any) -> None:
    if not isinstance(stage, Mapping):
        raise SettingError(
            f"stage {number} is {stage!r}; give settings by name, e.g. {{name: context, learning_rate: 0.001}}"
        )
    settings = {name: value for name, value in stage.items() if name not in STAGE_WORDS}
    try:
        _check_names(settings)
    except SettingError as error:
        raise SettingError(f"stage {number}: {error}") from error
    for name in settings:
        if name in _OF_ALL_STAGES:
            raise SettingError(f"stage {number} gives {name}, which is of the whole run; give it outside of stages")
    share = stage.get("share", 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1e6:
        raise SettingError(
            f"the share of stage {number} is {share!r}; give a number above 0, e.g. 2 for twice the budget of 1"
        )


def seconds(text: str, setting: str = "time") -> float:
    """'90s', '60m', '1.5h' or '2d' → seconds.

    Raises:
        SettingError: naming the setting, if the text is none of these or not above zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(text))
    if match is None or float(match[1]) <= 0:
        raise SettingError(f"{setting} is '{text}'; give a time such as 90s, 60m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def memory_bytes(text: str, setting: str = "cache") -> int:
    """'4GiB', '500MB' or '0' → bytes.

    Raises:
        SettingError: naming the setting, if the text is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)[bB]?\s*", str(text))
    if match is None:
        raise SettingError(f"{setting} is '{text}'; give a size such as 4GiB, 500MB or 0")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " "))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
