"""Every classifier by name, with options that make it small enough for tests that go over all of them."""

from __future__ import annotations

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "deeplab_largefov": {"width": 2, "fc_channels": 4, "norm": True},
    "deeplab_4x4": {"width": 2, "fc_channels": 4},
    "deeplab_7x7": {"width": 2, "fc_channels": 4},
    "deeplab_msc_largefov": {"width": 4, "fc_channels": 4},
    "deeplab_aspp_s": {"width": 2, "fc_channels": 4},
    "deeplab_aspp_l": {"width": 2, "fc_channels": 4},
    "deeplab_resnet101": {"encoder": "resnet18", "layers": (1, 1, 1, 1), "channels": (4, 4, 8, 8)},
    "dilation_front_end": {"width": 2, "fc_channels": 4, "norm": True},
    "dilation7": {"width": 2, "fc_channels": 4},
    "dilation8": {"width": 2, "fc_channels": 4, "context": "large"},
    "dilation10": {"width": 2, "fc_channels": 4},
    "farabet": {"width": 2, "hidden": 8, "activation": "leaky_relu"},
    "fcn32s": {"width": 2, "fc_channels": 4},
    "fcn16s": {"width": 2, "fc_channels": 4, "norm": True},
    "fcn8s": {"width": 2, "fc_channels": 4, "learn_upsampling": True},
    "fcn8s_at_once": {"width": 2, "fc_channels": 4},
    "icnet": {"width": 1 / 64},
    "scnet": {"width": 4, "depth": 11},
    "segnet": {"width": 4, "dropout": 0.5},
    "segnet_basic": {"width": 4},
    "unet": {"width": 2},
    "unet_padded": {"width": 2, "levels": 3},
}
