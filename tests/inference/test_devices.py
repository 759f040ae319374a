"""Devices: what is asked for and not there is named with the mend."""

import pytest
import torch

from segfield.errors import SettingError
from segfield.inference.devices import pick_device, set_threads
from segfield.machine import usable_cores


def test_auto_and_cpu(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


def test_a_gpu_where_none_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SettingError, match=r"'cuda:1'.*GPU.*CPU.*give --device cpu"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(SettingError, match="torch sees no GPU"):
        pick_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingError, match="Apple GPU"):
        pick_device("mps")


def test_a_gpu_beyond_the_last(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SettingError, match=r"GPU 2.*there are 2.*cuda:0 to cuda:1"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["cdua", "gpu", "cuda:-1", "cuda:x", ""])
def test_a_misspelt_device(name):
    with pytest.raises(SettingError, match=r"is unknown; .*cuda"):
        pick_device(name)


def test_threads_follow_cores_the_environment_and_the_argument(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert set_threads() == usable_cores() >= 1
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert set_threads() == torch.get_num_threads() == 3
        assert set_threads(2) == torch.get_num_threads() == 2
        with pytest.raises(SettingError, match="threads is 0"):
            set_threads(0)
    finally:
        torch.set_num_threads(before)
