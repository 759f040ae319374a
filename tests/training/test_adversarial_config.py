"""Settings of an adversary: what is refused, with the mend."""

from __future__ import annotations

from typing import Any

import pytest

from segfield.errors import SettingError
from segfield.training.adversarial_config import AdversarialConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, "adversarial.weight"),
        ({"input": "produkt"}, "product"),
        ({"stride": 3}, "power of two"),
        ({"network_first": 0.5, "adversary_first": 0.5}, "lower one"),
        ({"loss": "hing"}, "hinge"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        AdversarialConfig(**settings)
