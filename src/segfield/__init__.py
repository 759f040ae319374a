"""segfield: semantic segmentation, from raw folders of images and masks to a file that predicts anywhere."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name → module that holds it. Loaded on first use, so that `import segfield` stays instant and torch-free.
_PUBLIC = {
    "AugmentationConfig": "segfield.data.augmentation",
    "ClassTable": "segfield.classes",
    "Dataset": "segfield.data.dataset",
    "DenseCRF": "segfield.crf.dense_crf",
    "Recipe": "segfield.training.recipe",
    "Sample": "segfield.data.dataset",
    "folds": "segfield.data.dataset",
    "open_dataset": "segfield.data.formats",
    "Segmentation": "segfield.segmentation",
    "Segmenter": "segfield.segmenter",
    "SegfieldError": "segfield.errors",
    "check": "segfield.commands.check",
    "compare": "segfield.commands.compare",
    "evaluate": "segfield.commands.evaluate",
    "predict": "segfield.commands.predict",
    "train": "segfield.commands.train",
}

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'segfield' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from segfield.classes import ClassTable as ClassTable
    from segfield.commands.check import check as check
    from segfield.commands.compare import compare as compare
    from segfield.commands.evaluate import evaluate as evaluate
    from segfield.commands.predict import predict as predict
    from segfield.commands.train import train as train
    from segfield.crf.dense_crf import DenseCRF as DenseCRF
    from segfield.data.augmentation import AugmentationConfig as AugmentationConfig
    from segfield.data.dataset import Dataset as Dataset
    from segfield.data.dataset import Sample as Sample
    from segfield.data.dataset import folds as folds
    from segfield.data.formats import open_dataset as open_dataset
    from segfield.errors import SegfieldError as SegfieldError
    from segfield.segmentation import Segmentation as Segmentation
    from segfield.segmenter import Segmenter as Segmenter
    from segfield.training.recipe import Recipe as Recipe
