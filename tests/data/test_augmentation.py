import ast
import dataclasses
import inspect
import itertools
import subprocess
import sys

import pytest

from segfield.data import augmentation
from segfield.data.augmentation import AugmentationConfig
from segfield.errors import SettingError


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"scale": (2.0, 0.5)}, r"augment\.scale is 2,0\.5"),
        ({"scale": (0.0, 1.0)}, "two numbers above 0"),
        ({"crop": (0, 10)}, r"augment\.crop is 0,10"),
        ({"crop": (32, 32), "whole": True}, "both given"),
        ({"hue": 0.7}, r"augment\.hue is 0\.7.*0 and 0\.5"),
        ({"noise": -0.1}, "augment.noise"),
        ({"rotate": 200}, "between 0 and 180"),
        ({"elastic_grid": 1}, "2 points a side"),
        ({"blur_sigma": (0, 1)}, "augment.blur_sigma"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(SettingError, match=said):
        AugmentationConfig(**settings)


def test_lists_from_yaml_become_tuples():
    config = AugmentationConfig(scale=[1, 2], crop=[320, 416])
    assert config.scale == (1.0, 2.0) and config.crop == (320, 416)
    assert AugmentationConfig(**dataclasses.asdict(config)) == config


def test_every_setting_has_its_help():
    body = ast.parse(inspect.getsource(augmentation.AugmentationConfig)).body[0].body
    names = [node.target.id for node in body if isinstance(node, ast.AnnAssign)]
    followed = [
        node.target.id
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value.value, str)
    ]
    assert followed == names == [field.name for field in dataclasses.fields(AugmentationConfig)]


def test_import_loads_no_torch():
    code = "import sys, segfield.data.augmentation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [0, -1, 4.5])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(SettingError, match=r"augment.size is .*; give a number above 0"):
        AugmentationConfig(size=size)
