"""Refinement by a fully connected CRF. Public names are loaded on first use; only CRFRNN loads torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public name → module that holds it.
_PUBLIC = {
    "CRFRNN": "segfield.crf.crf_rnn",
    "DenseCRF": "segfield.crf.dense_crf",
    "Kernel": "segfield.crf.mean_field",
    "MeanField": "segfield.crf.mean_field",
    "PRESETS": "segfield.crf.presets",
    "mean_field": "segfield.crf.mean_field",
    "tune": "segfield.crf.tune",
    "unary_from_labels": "segfield.crf.unary",
    "unary_from_logits": "segfield.crf.unary",
    "unary_from_probabilities": "segfield.crf.unary",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'segfield.crf' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from segfield.crf.crf_rnn import CRFRNN as CRFRNN
    from segfield.crf.dense_crf import DenseCRF as DenseCRF
    from segfield.crf.mean_field import Kernel as Kernel
    from segfield.crf.mean_field import MeanField as MeanField
    from segfield.crf.mean_field import mean_field as mean_field
    from segfield.crf.presets import PRESETS as PRESETS
    from segfield.crf.tune import tune as tune
    from segfield.crf.unary import unary_from_labels as unary_from_labels
    from segfield.crf.unary import unary_from_logits as unary_from_logits
    from segfield.crf.unary import unary_from_probabilities as unary_from_probabilities
