"""The process that imports and computes for the doctor, so that a crash there takes nobody along.

`python -m segfield.doctor.probe NAME ...` writes a JSON line when it begins with a name and one with what came of it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

DEVICES, STEP = ":devices", ":step"  # not packages: what torch sees, and one small training step


def main(names: list[str]) -> None:
    """Examine each name in turn. What libraries print goes to stderr, for stdout carries the answers alone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for name in names:
        print(json.dumps({"begin": name}), file=answers, flush=True)
        print(json.dumps({"name": name, **examine(name)}), file=answers, flush=True)


def examine(name: str) -> dict[str, Any]:
    """What came of one name: its facts and seconds, or 'missing', or 'error' with the cause."""
    began = time.perf_counter()
    try:
        facts = devices() if name == DEVICES else step() if name == STEP else package(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return {"missing": True}
        return {"error": f"it needs '{error.name}', which is not installed"}
    except BaseException as error:  # an import may raise anything, SystemExit included
        text = " ".join(str(error).split())
        return {"error": f"{type(error).__name__}: {text[:300]}"}
    return {**facts, "seconds": round(time.perf_counter() - began, 2)}


def package(name: str) -> dict[str, Any]:
    """Import a package; gives its version where it says one."""
    module = importlib.import_module(name)
    version = getattr(module, "__version__", None)
    return {"version": str(version) if version is not None else ""}


def devices() -> dict[str, Any]:
    """What torch can compute on: GPUs with name, bytes and capability, MPS, CPU threads and instruction set."""
    import torch

    from segfield.inference.devices import set_threads

    gpus = []
    for i in range(torch.cuda.device_count()):
        seen = torch.cuda.get_device_properties(i)
        gpus.append({"name": seen.name, "bytes": seen.total_memory, "capability": f"{seen.major}.{seen.minor}"})
    return {
        "cuda_built": torch.version.cuda or "",
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
        "threads": set_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def step() -> dict[str, Any]:
    """Forward and backward through two convolutions on every kind of device; milliseconds of the quickest of five."""
    import torch
    import torch.nn.functional as F

    kinds = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    taken = {}
    for kind in kinds:
        for dtype in (torch.float32, torch.bfloat16):
            random = torch.Generator().manual_seed(0)
            image = torch.randn(2, 3, 32, 32, generator=random).to(kind)
            labels = torch.randint(0, 4, (2, 32, 32), generator=random).to(kind)
            first = torch.randn(8, 3, 3, 3, generator=random).to(kind).requires_grad_()
            second = (0.1 * torch.randn(4, 8, 3, 3, generator=random)).to(kind).requires_grad_()
            milliseconds = float("inf")
            for _ in range(5):
                began = time.perf_counter()
                with torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                    logits = F.conv2d(F.conv2d(image, first, padding=1).relu(), second, padding=1)
                    loss = F.cross_entropy(logits.float(), labels)
                gradients = torch.autograd.grad(loss, [first, second])
                finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
                milliseconds = min(milliseconds, 1000 * (time.perf_counter() - began))
            if not finite:
                raise ArithmeticError(f"the gradients of a small step on {kind} in {dtype} are not finite")
            taken[f"{kind} {str(dtype).removeprefix('torch.')}"] = round(milliseconds, 2)
    return {"milliseconds": taken}


if __name__ == "__main__":
    main(sys.argv[1:])
