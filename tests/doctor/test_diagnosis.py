"""From answers to findings: every kind of trouble gets its mend, and only what is needed is fatal."""

from __future__ import annotations

from typing import Any

import pytest

from segfield.doctor import diagnosis
from segfield.doctor.diagnosis import (
    EXTRAS,
    GIB,
    LIGHT,
    TORCH_FAMILY,
    Finding,
    machine_findings,
    package_findings,
    step_finding,
    verdict,
)
from segfield.doctor.machine import Machine

WELL: dict[str, dict[str, Any]] = {name: {"version": "9999"} for name in [*TORCH_FAMILY, *LIGHT, *EXTRAS]}
MACHINE = Machine("Linux", "Xeon", 8, None, ("AVX-512", "bf16"), 32 * GIB, 20 * GIB, 100 * GIB)
NO_GPU: dict[str, Any] = {"gpus": [], "mps": False, "threads": 8, "cuda_built": ""}


def rows(changes: dict[str, dict[str, Any]]) -> dict[str, Finding]:
    return {row.subject: row for row in package_findings({**WELL, **changes})}


def test_all_is_well() -> None:
    found = rows({})
    assert {row.state for row in found.values()} == {"ok"}
    assert len(found) == len(WELL)


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError: operator torchvision::nms does not exist",
        "ImportError: /x/torchvision/_C.so: undefined symbol: _ZN3c10",
        "OSError: libtorch_cuda.so: cannot open shared object file",
    ],
)
def test_torch_and_torchvision_that_are_no_pair(error: str) -> None:
    """The trap: every package above torchvision dies with it; one mend is named, once."""
    found = rows({name: {"error": error} for name in ("torchvision", "timm", "segmentation_models_pytorch")})
    assert "one registry" in found["torchvision"].mend
    assert found["timm"].mend == found["segmentation-models-pytorch"].mend == "mend torchvision first"
    assert found["torchvision"].fatal and found["torch"].state == "ok"


def test_other_breakage_is_not_taken_for_the_pair_trap() -> None:
    found = rows({"torchvision": {"error": "ValueError: odd"}, "scipy": {"error": "ImportError: broken"}})
    assert found["torchvision"].mend == "pip install --force-reinstall torchvision"
    assert found["scipy"].mend == "pip install --force-reinstall scipy"


def test_breakage_beside_the_pair_trap_keeps_its_own_mend() -> None:
    trap = {"error": "operator torchvision::nms does not exist"}
    assert rows({"torchvision": trap, "scipy": {"error": "bad"}})["scipy"].mend.endswith("scipy")


def test_missing_packages() -> None:
    found = rows({"PIL": {"missing": True}, "rasterio": {"missing": True}})
    assert found["pillow"].fatal and found["pillow"].mend == "pip install pillow"
    assert not found["rasterio"].fatal and "GeoTIFF" in found["rasterio"].found


def test_too_old_package_names_what_is_asked() -> None:
    found = rows({"timm": {"version": "0.4.12"}})["timm"]
    assert found.fatal
    assert "0.4.12, but >=1" in found.found
    assert found.mend.startswith("pip install --upgrade 'timm>=")


def test_version_that_cannot_be_read_is_let_pass() -> None:
    assert rows({"timm": {"version": "built by hand"}})["timm"].state == "ok"


def machine_rows(machine: Machine = MACHINE, **devices: Any) -> dict[str, Finding]:
    return {row.subject: row for row in machine_findings(machine, {**NO_GPU, **devices})}


def test_machine_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis.shutil, "which", lambda name: None)
    found = machine_rows()
    assert found["GPU"].found.startswith("none")
    assert "AVX-512, bf16" in found["processor"].found
    assert found["memory"].found == "20.0 GiB free of 32.0"
    assert {row.state for row in found.values()} == {"ok"}


def test_gpus_are_listed() -> None:
    found = machine_rows(gpus=[{"name": "H200", "bytes": 139 * GIB, "capability": "9.0"}])
    assert found["GPU 0"].found == "H200, 139 GiB, capability 9.0"
    assert "GPU" not in found
    assert machine_rows(mps=True)["GPU"].found.startswith("Apple")


@pytest.mark.parametrize(("built", "mend"), [("", "CUDA build"), ("13.2", "driver")])
def test_driver_without_a_gpu_in_torch(monkeypatch: pytest.MonkeyPatch, built: str, mend: str) -> None:
    monkeypatch.setattr(diagnosis.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    found = machine_rows(cuda_built=built)["GPU"]
    assert found.state == "note" and mend in found.mend


def test_threads_beyond_the_quota() -> None:
    small = Machine("Linux", "Xeon", 8, 2.0, (), 32 * GIB, 20 * GIB, 100 * GIB)
    found = machine_rows(small)
    assert found["quota"].found == "a quota allows 2 of 8 processors"
    assert found["threads"].state == "note" and "OMP_NUM_THREADS=2" in found["threads"].mend
    assert machine_rows(threads=4)["threads"].state == "ok"


def test_busy_machine() -> None:
    busy = Machine("Linux", "Xeon", 8, None, (), 32 * GIB, 20 * GIB, 100 * GIB, load=30.0)
    assert machine_rows(busy)["load"].found == "30.0 processes want 8 processors"
    assert "load" not in machine_rows()


def test_little_room() -> None:
    tight = Machine("Linux", "Xeon", 8, None, (), 32 * GIB, GIB // 2, None)
    found = machine_rows(tight)
    assert found["memory"].state == "note" and "under 2 GiB" in found["memory"].mend
    assert found["disk"].found == "unknown"


def test_unknown_devices() -> None:
    assert {row.subject: row.state for row in machine_findings(MACHINE, {"error": "x"})}["GPU"] == "note"


def test_step() -> None:
    assert step_finding({"milliseconds": {"cpu float32": 1.234}}).found == "forward and backward: cpu float32 1.23 ms"
    broken = step_finding({"error": "the process crashed with SIGILL"})
    assert broken.fatal and "SIGILL" in broken.found


def test_verdicts() -> None:
    well = [Finding("torch", "ok", "2", needed=True), Finding("GPU", "ok", "none; the processor computes")]
    assert verdict(well) == "segfield is ready, on the processor"
    assert verdict([*well, Finding("GPU 0", "ok", "H200, 139 GiB")]).endswith("the processor")
    assert verdict([Finding("GPU 0", "ok", "H200, 139 GiB")]) == "segfield is ready, on H200"
    assert verdict([*well, Finding("av", "missing", "")]).endswith("without av")
    assert "broken extras: onnx" in verdict([*well, Finding("onnx", "broken", "")])
    ill = [Finding("timm", "broken", "x", "do this", needed=True), Finding("numba", "missing", "", "m", needed=True)]
    assert verdict([*well, *ill]) == "segfield cannot work: timm is broken (and 1 more); do this"
