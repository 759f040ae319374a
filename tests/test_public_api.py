"""The public names, and that asking for them stays cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import segfield

NAMES = [
    "AugmentationConfig", "ClassTable", "Dataset", "DenseCRF", "Recipe", "Sample", "SegfieldError", "Segmentation", "Segmenter",
    "__version__", "check", "compare", "evaluate", "folds", "open_dataset", "predict", "train",
]  # fmt: skip


def test_public_names() -> None:
    assert segfield.__all__ == NAMES
    assert all(getattr(segfield, name) is not None for name in NAMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = segfield.trian


@pytest.mark.parametrize(
    "program",
    [
        "import segfield",
        "import segfield.data.formats",
        "import segfield; segfield.DenseCRF().as_dict()",
        "from segfield.commands.main import main; main(['--help'])",
        *(f"from segfield.commands.main import main; main(['{v}', '--help'])" for v in ("train", "predict", "check")),
    ],
)
def test_torch_is_not_loaded(program: str) -> None:
    ending = "; import sys; sys.exit(3 if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", program + ending], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch was loaded"
