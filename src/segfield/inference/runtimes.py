"""What runs an ONNX file: OpenVINO or ONNX Runtime, on the CPU. Both take images of any size."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from segfield.errors import SettingError
from segfield.inference.signal_stack import signal_stack_kept

Floats = npt.NDArray[np.float32]
Engine = Literal["auto", "openvino", "onnxruntime"]
Run = Callable[[Floats], Floats]
"""(B, C, h, w) → (B, K, h, w)."""

PACKAGES = {"openvino": "openvino", "onnxruntime": "export"}
"""Engine (and its package) → the extra that installs it; the quicker one for float32 first."""


def open_runtime(file: Path, engine: Engine = "auto", integers: bool = False) -> tuple[str, Run]:
    """(name, what runs the file) with as many threads as torch has.

    Args:
        file: an ONNX file with one input and one output.
        engine: 'auto' takes the quicker of those installed: OpenVINO (benchmarks/inference_speed.py), and for integers ONNX
            Runtime (benchmarks/int8.py).
        integers: the file is of 8-bit integers.

    Raises:
        SettingError: if the engine is unknown or not installed.
        Exception: what the engine raises if it cannot read the file.
    """
    if engine != "auto" and engine not in PACKAGES:
        raise SettingError(f"engine is '{engine}'; give auto, openvino or onnxruntime")
    there = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    if engine != "auto" and engine not in there:
        raise SettingError(f"{engine} is not installed; pip install segfield[{PACKAGES[engine]}]")
    if not there:
        raise SettingError("nothing that runs ONNX files is installed; pip install segfield[openvino]")
    name = there[-1 if integers else 0] if engine == "auto" else engine
    return name, {"openvino": _openvino, "onnxruntime": _onnxruntime}[name](file)


def _openvino(file: Path) -> Run:
    """In bfloat16 where the processor computes in it, as OpenVINO does unasked."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    core = openvino.Core()
    with signal_stack_kept():
        compiled = core.compile_model(core.read_model(file), "CPU", settings)

    def run(image: Floats) -> Floats:
        with signal_stack_kept():
            found: Floats = compiled(image)[0]
        return found

    return run


def _onnxruntime(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]
