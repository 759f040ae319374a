"""Published parameters of dense CRFs, by name. Bandwidths in pixels and in units of 0..255.

Values belong with their normalisation: the 2011 code, DeepLab and CRF-RNN divide by K·1 at each pixel ("after"),
pydensecrf by its root on either side ("symmetric").
"""

from __future__ import annotations

from typing import Any


def _deeplab(weight: float, sxy: float, srgb: float) -> dict[str, Any]:
    """One row of DeepLab's table: the Gaussian kernel fixed, the bilateral one found by cross-validation."""
    return {
        "bilateral_weight": weight,
        "bilateral_sxy": sxy,
        "bilateral_srgb": srgb,
        "gaussian_weight": 3.0,
        "gaussian_sxy": 3.0,
        "iterations": 10,
        "normalization": "after",
    }


PRESETS: dict[str, dict[str, Any]] = {
    # Chen et al. 2015 (DeepLab v1): one set a network, searched on 100 validation images of VOC 2012.
    "deeplab": _deeplab(5.0, 50.0, 10.0),
    "deeplab_msc": _deeplab(3.0, 95.0, 3.0),
    "deeplab_coco": _deeplab(5.0, 67.0, 3.0),
    "deeplab_largefov": _deeplab(4.0, 121.0, 5.0),
    "deeplab_msc_largefov": _deeplab(4.0, 83.0, 5.0),
    "deeplab_coco_largefov": _deeplab(5.0, 69.0, 5.0),
    "deeplab_msc_coco_largefov": _deeplab(4.0, 59.0, 5.0),
    # The same for DeepLab v2's ResNet-101, as its PyTorch port (kazuto1011/deeplab-pytorch) runs it with pydensecrf.
    "deeplab_v2_resnet101": {
        "bilateral_weight": 4.0,
        "bilateral_sxy": 67.0,
        "bilateral_srgb": 3.0,
        "gaussian_weight": 3.0,
        "gaussian_sxy": 1.0,
        "iterations": 10,
        "normalization": "symmetric",
    },
    # pydensecrf's README and inference example, for labels drawn by hand with a confidence of 0.7.
    "pydensecrf_readme": {
        "bilateral_weight": 10.0,
        "bilateral_sxy": 80.0,
        "bilateral_srgb": 13.0,
        "gaussian_weight": 3.0,
        "gaussian_sxy": 3.0,
        "iterations": 5,
        "normalization": "symmetric",
    },
    # The example in the code of Krähenbühl & Koltun 2011. (The paper itself sets the Gaussian kernel to weight 1 and
    # 1 pixel, and searches the bilateral kernel for each data set.)
    "krahenbuhl_2011": {
        "bilateral_weight": 10.0,
        "bilateral_sxy": 60.0,
        "bilateral_srgb": 20.0,
        "gaussian_weight": 3.0,
        "gaussian_sxy": 3.0,
        "iterations": 10,
        "normalization": "after",
    },
    # Zheng et al. 2015 (CRF-RNN): where the learning of the weights starts; 10 iterations at test time.
    "crf_rnn": {
        "bilateral_weight": 5.0,
        "bilateral_sxy": 160.0,
        "bilateral_srgb": 3.0,
        "gaussian_weight": 3.0,
        "gaussian_sxy": 3.0,
        "iterations": 10,
        "normalization": "after",
    },
}
