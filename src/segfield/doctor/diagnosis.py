"""From what the probes said to findings with their mends, and one verdict."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segfield.doctor.machine import Machine
from segfield.doctor.probe import DEVICES, STEP

State = Literal["ok", "note", "missing", "broken"]
GIB = 1 << 30

# Import name → name to install. First those that bring torch along, then those that do not: one process each.
TORCH_FAMILY = {
    "torch": "torch",
    "torchvision": "torchvision",
    "lightning_fabric": "lightning-fabric",
    "timm": "timm",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
}
LIGHT = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "PIL": "pillow",
    "tifffile": "tifffile",
    "safetensors": "safetensors",
    "yaml": "pyyaml",
    "jsonargparse": "jsonargparse",
    "rich": "rich",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "tensorboard": "tensorboard",
}
EXTRAS = {
    "rasterio": ("rasterio", "GeoTIFF with its coordinates"),
    "av": ("av", "video files"),
    "onnx": ("onnx", "export to ONNX"),
    "onnxruntime": ("onnxruntime", "running exported segmenters"),
    "openvino": ("openvino", "running exported segmenters, the quickest on a CPU"),
    "gradio": ("gradio", "the page in the browser"),
}


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's table; `needed` says whether segfield stands or falls with it."""

    subject: str
    state: State
    found: str
    mend: str = ""
    needed: bool = False

    @property
    def fatal(self) -> bool:
        return self.needed and self.state in ("missing", "broken")


def package_findings(answers: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """A row for each package: version, or what is wrong and the line that mends it."""
    rows = []
    cause = _pair_trap(answers.get("torchvision", {}))
    for name, project in {**TORCH_FAMILY, **LIGHT}.items():
        answer = answers.get(name, {"error": "not examined"})
        if "error" in answer and cause and name in TORCH_FAMILY and name != "torch":
            mend = cause if name == "torchvision" else "mend torchvision first"
            rows.append(Finding(project, "broken", str(answer["error"]), mend, needed=True))
        else:
            rows.append(_package(project, answer, needed=True))
    for name, (project, purpose) in EXTRAS.items():
        answer = answers.get(name, {"error": "not examined"})
        if "missing" in answer:
            rows.append(Finding(project, "missing", f"for {purpose}", f"pip install {project}"))
        else:
            rows.append(_package(project, answer, needed=False))
    return rows


def _package(project: str, answer: Mapping[str, Any], needed: bool) -> Finding:
    if "missing" in answer:
        return Finding(project, "missing", "not installed", f"pip install {project}", needed)
    if "error" in answer:
        mend = f"pip install --force-reinstall {project}"
        return Finding(project, "broken", str(answer["error"]), mend, needed)
    version = str(answer.get("version", "")) or _installed(project)
    wanted = _too_old(project, version)
    if wanted:
        mend = f"pip install --upgrade '{project}{wanted}'"
        return Finding(project, "broken", f"{version}, but {wanted} is needed", mend, needed)
    return Finding(project, "ok", version, needed=needed)


def _pair_trap(answer: Mapping[str, Any]) -> str:
    """The mend of a torchvision that was built for another torch; '' where that is not the cause.

    Its compiled operators then do not register: 'operator torchvision::nms does not exist', or a symbol is undefined.
    """
    text = str(answer.get("error", ""))
    if not any(sign in text for sign in ("torchvision::", "torchvision._C", "undefined symbol", "libtorch")):
        return ""
    pair = f"torch {_installed('torch')} and torchvision {_installed('torchvision')} are no pair"
    return (
        f"{pair}; take both from one registry: pip install --force-reinstall torch torchvision "
        "(for the CPU build, both with --index-url https://download.pytorch.org/whl/cpu)"
    )


def _installed(project: str) -> str:
    try:
        return importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _too_old(project: str, version: str) -> str:
    """What segfield asks of `project` ('>=2.6') if `version` does not meet it, else ''."""
    try:
        from packaging.requirements import Requirement
        from packaging.version import Version

        here = Version(version)
        asked = [Requirement(line) for line in importlib.metadata.requires("segfield") or []]
    except (ImportError, ValueError, importlib.metadata.PackageNotFoundError):
        return ""  # a version nobody can read is let pass
    for requirement in asked:
        if requirement.name.lower().replace("_", "-") == project and requirement.marker is None:
            return "" if requirement.specifier.contains(here, prereleases=True) else str(requirement.specifier)
    return ""


def machine_findings(machine: Machine, devices: Mapping[str, Any]) -> list[Finding]:
    """Rows for processor, memory, disk and GPUs."""
    threads = devices.get("threads")
    can = ", ".join(machine.abilities) or "no AVX2"
    usable = machine.processors if machine.allowance is None else min(machine.processors, machine.allowance)
    kept = max(1, int(usable + 0.5))
    found = f"{machine.processor}: {machine.processors} processors, {can}"
    rows = [Finding("system", "ok", machine.system), Finding("processor", "ok", found)]
    if machine.allowance is not None and machine.allowance < machine.processors:
        allowed = f"a quota allows {machine.allowance:g} of {machine.processors} processors"
        mend = f"segfield keeps to it; for other programs set OMP_NUM_THREADS={kept}"
        rows.append(Finding("quota", "note", allowed, mend))
    if isinstance(threads, int):
        state: State = "note" if threads > kept else "ok"
        mend = f"more than the processors at hand: set OMP_NUM_THREADS={kept}" if state == "note" else ""
        rows.append(Finding("threads", state, f"segfield computes with {threads}", mend))
    if machine.load is not None and machine.load > 2 * usable + 1:  # the doctor's own two processes count as well
        busy = f"{machine.load:.1f} processes want {usable:g} processors"
        rows.append(Finding("load", "note", busy, "others compute here: times measured now say little"))
    rows += [_room("memory", machine.memory_free, machine.memory, 2), _room("disk", machine.disk_free, None, 2)]
    if machine.shared_free is not None and machine.shared_free < GIB:
        small = f"{machine.shared_free / GIB:.2g} GiB free in /dev/shm"
        rows.append(
            Finding("shared memory", "note", small, "little for training with --workers; Docker: --shm-size=2g")
        )
    return rows + _gpu_findings(devices)


def _room(subject: str, free: int | None, total: int | None, little: float) -> Finding:
    if free is None:
        return Finding(subject, "note", "unknown")
    found = f"{free / GIB:.1f} GiB free" + (f" of {total / GIB:.1f}" if total else "")
    if free < little * GIB:
        return Finding(subject, "note", found, f"under {little:g} GiB: training may stop for want of {subject}")
    return Finding(subject, "ok", found)


def _gpu_findings(devices: Mapping[str, Any]) -> list[Finding]:
    if "gpus" not in devices:
        return [Finding("GPU", "note", "unknown, for torch could not be asked")]
    rows = [
        Finding(f"GPU {i}", "ok", f"{gpu['name']}, {gpu['bytes'] / GIB:.0f} GiB, capability {gpu['capability']}")
        for i, gpu in enumerate(devices["gpus"])
    ]
    if devices.get("mps"):
        rows.append(Finding("GPU", "ok", "Apple, through MPS"))
    if not rows and shutil.which("nvidia-smi"):
        built = f"CUDA {devices['cuda_built']}" if devices.get("cuda_built") else "no CUDA"
        mend = "update the driver" if devices.get("cuda_built") else "install the CUDA build of torch and torchvision"
        rows.append(Finding("GPU", "note", f"nvidia-smi is here, but torch ({built}) sees no GPU", mend))
    return rows or [Finding("GPU", "ok", "none; the processor computes")]


def step_finding(answer: Mapping[str, Any]) -> Finding:
    """The row of the small training step."""
    subject = "training step"
    if "milliseconds" not in answer:
        error = str(answer.get("error", "torch is missing"))
        return Finding(subject, "broken", error, "mend torch first; if it is well, report this", needed=True)
    listed = ", ".join(f"{kind} {taken:.3g} ms" for kind, taken in answer["milliseconds"].items())
    return Finding(subject, "ok", f"forward and backward: {listed}", needed=True)


def verdict(findings: list[Finding]) -> str:
    """One line: ready and on what, or what must be mended first."""
    fatal = [row for row in findings if row.fatal]
    if fatal:
        first = fatal[0]
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        return f"segfield cannot work: {first.subject} is {first.state}{more}; {first.mend}"
    gpus = [row.found.split(",")[0] for row in findings if row.subject.startswith("GPU") and row.state == "ok"]
    on = gpus[0] if gpus and not gpus[0].startswith("none") else "the processor"
    absent = [row.subject for row in findings if row.state == "missing"]
    broken = [row.subject for row in findings if row.state == "broken"]
    extras = f"; without {', '.join(absent)}" if absent else ""
    return f"segfield is ready, on {on}{extras}" + (f"; broken extras: {', '.join(broken)}" if broken else "")


NAMES = ([*TORCH_FAMILY, DEVICES, STEP], [*LIGHT, *EXTRAS])  # what the two processes examine
