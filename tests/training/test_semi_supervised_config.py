"""Settings for images without masks: what is refused, with the mend."""

from __future__ import annotations

from typing import Any

import pytest

from segfield.errors import SettingError
from segfield.training.semi_supervised_config import SemiSupervisedConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 0.0}, "ratio"),
        ({"confidence": 1.5}, "confidence"),
        ({"mix": "cutmixx"}, "cutmix"),
        ({"weight": -1}, "weight"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SemiSupervisedConfig(**settings)
