"""Every classifier by name, with options that make it small enough for tests that go over all of them."""

from __future__ import annotations

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "unet": {"width": 2},
    "unet_padded": {"width": 2, "levels": 3},
}
