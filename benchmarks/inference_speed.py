"""Frames a second at 1024×2048: ICNet, DeepLab-LargeFOV and networks of segmentation-models-pytorch, on every engine here.

Scaled float image in, label map of 19 classes out (argmax included), one image at a time, weights as they are drawn: speed
does not depend on them. Engines: torch as it is, torch in bfloat16 (autocast), torch.compile in bfloat16 (needs a C++
compiler), ONNX Runtime, OpenVINO; on a GPU torch and torch.compile, in half precision. Turns alternate between networks. The
share of labels that are those of torch's float32 is in the details. The value is ICNet's frames a second on the fastest
engine, the goal 30: the paper's claim of real time, made on a TitanX (on an H200, ten times that is the aim).

    python benchmarks/inference_speed.py [--size 1024 2048] [--engines torch,onnxruntime] [--networks icnet,…]

`--quick` runs a small image through two networks and keeps nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from record import elapsed

CLASSES = 19
GOAL = 30.0
NETWORKS = (
    "icnet",
    "deeplab_largefov",
    "deeplabv3plus:mobilenetv2_100",
    "pspnet:resnet18",
    "fpn:resnet18",
    "unet:resnet18",
    "linknet:resnet18",
    "segformer:mobilenetv2_100",
)
ENGINES = ("torch", "torch_bf16", "compiled", "onnxruntime", "openvino")
Runner = Callable[[Tensor], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small image, two networks; nothing is kept")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument(
        "--engines", help="of torch, torch_bf16, compiled, onnxruntime, openvino; all that are here by default"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    from record import record
    from segfield.inference.devices import pick_device, set_threads

    device, size = pick_device(options.device), tuple(options.size)
    set_threads()
    names, engines = (
        options.networks.split(","),
        (options.engines or "").split(",") if options.engines else list(ENGINES),
    )
    if options.quick:
        size, names, engines = (65, 129), ["icnet", "deeplab_largefov"], ["torch", "onnxruntime"]
    if device.type != "cpu":
        engines = [engine for engine in engines if not engine.startswith(("onnx", "openvino"))]
    image = torch.randn(1, 3, *size)
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    for engine in engines:
        with tempfile.TemporaryDirectory() as folder:
            turns(engine, names, image, device, Path(folder), rows, 2 if options.quick else 7)
    for name, row in rows.items():
        print(
            name,
            {engine: round(found["frames_a_second"], 3) for engine, found in row.items() if "frames_a_second" in found},
        )
    best = {
        name: max(f["frames_a_second"] for f in row.values() if "frames_a_second" in f) for name, row in rows.items()
    }
    others = ", ".join(f"{name} {rate:.3g}" for name, rate in best.items() if name != "icnet")
    record(
        "inference_speed",
        best["icnet"],
        f"frames/s, ICNet at {size[0]}×{size[1]} on {device.type}",
        f"on the fastest engine of each: {others}",
        GOAL,
        best["icnet"] >= GOAL,
        {
            "size": size,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "rows": rows,
            "icnet_against": {name: best["icnet"] / rate for name, rate in best.items() if name != "icnet"},
            "published": "ICNet 30.3 frames/s at 1024×2048 on a TitanX",
        },
        quick=options.quick,
    )


def turns(
    engine: str, names: Sequence[str], image: Tensor, device: torch.device, folder: Path,
    rows: dict[str, dict[str, Any]], repeats: int,
) -> None:  # fmt: skip
    """All networks on one engine, in turn, `repeats` times after a warm-up; the median goes to `rows`."""
    runners: dict[str, Runner] = {}
    for name in names:
        network = build(name)
        try:
            runners[name] = BUILD[engine](network, image, device, folder / f"{name.replace(':', '-')}.onnx")
            labels = torch.as_tensor(runners[name](image))
        except Exception as error:
            runners.pop(name, None)
            rows[name][engine] = {
                "left_out": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
            }
            print(f"{name} on {engine} left out: {rows[name][engine]['left_out']}", flush=True)
            continue
        with torch.inference_mode():
            plain = network.to(device)(image.to(device)).argmax(dim=1).cpu()
        rows[name][engine] = {"labels_as_float32": float((labels.cpu().to(plain.dtype) == plain).float().mean())}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(repeats):
        for name, runner in runners.items():
            began = time.perf_counter()
            runner(image)
            seconds[name].append(elapsed(began))
    for name, taken in seconds.items():
        median = statistics.median(taken)
        rows[name][engine] |= {"frames_a_second": 1 / median, "median_seconds": median, "seconds": taken}
        print(f"{name:32s} {engine:12s} {1 / median:.3f} frames/s", flush=True)


def build(name: str) -> Any:
    from segfield.models import build_classifier

    torch.manual_seed(0)
    network = build_classifier(name, 3, CLASSES).eval()
    return network.to(memory_format=torch.channels_last)


def plain_torch(network: Any, image: Tensor, device: torch.device, file: Path) -> Runner:
    return _torch_runner(network, device, None)


def torch_bf16(network: Any, image: Tensor, device: torch.device, file: Path) -> Runner:
    return _torch_runner(network, device, torch.bfloat16 if device.type == "cpu" else torch.float16)


def compiled(network: Any, image: Tensor, device: torch.device, file: Path) -> Runner:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        raise RuntimeError("torch.compile needs a C++ compiler")
    torch.compiler.reset()
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    return _torch_runner(torch.compile(network), device, half)


def _torch_runner(network: Any, device: torch.device, dtype: torch.dtype | None) -> Runner:
    network = network.to(device)

    @torch.inference_mode()
    def run(image: Tensor) -> Tensor:
        image = image.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return network(image).argmax(dim=1).cpu()

    return run


def onnxruntime(network: Any, image: Tensor, device: torch.device, file: Path) -> Runner:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(str(export_labels(network, file)), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image.numpy()})[0]


def openvino(network: Any, image: Tensor, device: torch.device, file: Path) -> Runner:
    import openvino as ov

    model = ov.Core().compile_model(str(export_labels(network, file)), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    return lambda image: model(image.numpy())[0]


def export_labels(network: Any, file: Path) -> Path:
    from segfield.inference.export import export_onnx

    return export_onnx(_Labels(network), file)  # type: ignore[arg-type]


class _Labels(torch.nn.Module):
    """A classifier whose output is the label map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.bands = network, network.bands

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image).argmax(dim=1)  # type: ignore[no-any-return]


BUILD: dict[str, Callable[[Any, Tensor, torch.device, Path], Runner]] = {
    "torch": plain_torch,
    "torch_bf16": torch_bf16,
    "compiled": compiled,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


if __name__ == "__main__":
    main()
