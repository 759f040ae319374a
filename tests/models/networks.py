"""Every classifier by name, with options that make it small enough for tests that go over all of them."""

from __future__ import annotations

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "fcn32s": {"width": 2, "fc_channels": 4},
    "fcn16s": {"width": 2, "fc_channels": 4, "norm": True},
    "fcn8s": {"width": 2, "fc_channels": 4, "learn_upsampling": True},
    "fcn8s_at_once": {"width": 2, "fc_channels": 4},
    "unet": {"width": 2},
    "unet_padded": {"width": 2, "levels": 3},
}
