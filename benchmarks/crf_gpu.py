"""Dense CRF on a GPU: the exact sum (ε = 1e-3) at 500×375, 21 classes, and the lattice at 2048×1024, 19 classes.

Time of one call of DenseCRF with image and energies on the device, DeepLab's parameters, 10 iterations, filters included. The
value is the slower of the two in milliseconds. Without a GPU it says so and keeps nothing; --quick runs the same code anywhere
on a small image.

    python benchmarks/crf_gpu.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import crf_cases
from crf_cases import PARAMETERS, make_case
from record import record

GOAL = 30.0
HEADLINES = {"exact": ("500x375", 21), "fast": ("2048x1024", 19)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a small image, on the CPU where there is no GPU; not kept"
    )
    quick = parser.parse_args().quick
    if not torch.cuda.is_available() and not quick:
        print(
            "crf_gpu: torch sees no CUDA device, so there is nothing to measure; run it where one is, or with --quick"
        )
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    details: dict[str, Any] = {"device": str(device), "photos": crf_cases.photo_says(), "cases": {}}
    wanted = {"exact": ("48x36", 5), "fast": ("64x48", 5)} if quick else HEADLINES
    values = []
    for accuracy, (size, classes) in wanted.items():
        found = measure(size, classes, "DL", device, accuracy=accuracy)
        details["cases"][f"{size},{classes},DL,{accuracy}"] = found
        values.append(found["ms"])
        print(accuracy, found, flush=True)
    if not quick:
        for size, classes, parameters, options in MORE:
            name = ",".join([size, str(classes), parameters, *map(str, options.values())])
            details["cases"][name] = measure(size, classes, parameters, device, **options)
            print(name, details["cases"][name], flush=True)
        details["against_exact_in_float64"] = against_cpu(device)
        print(details["against_exact_in_float64"], flush=True)
    value = max(values)
    against = "the slower of exact at ε = 1e-3, 500×375×21, and the lattice at 2048×1024×19; 10 iterations each"
    record("crf_gpu", value, "ms", against, GOAL, value < GOAL, details, quick)


MORE: tuple[tuple[str, int, str, dict[str, Any]], ...] = (
    ("500x375", 21, "DL", {"accuracy": "fast"}),
    ("500x375", 21, "DL", {"accuracy": "fine"}),
    ("500x375", 21, "DL", {"accuracy": "exact", "epsilon": 1e-1}),
    ("500x375", 21, "DL", {"accuracy": "exact", "epsilon": 1e-2}),
    ("500x375", 21, "DL", {"accuracy": "exact", "epsilon": 1e-4}),
    ("500x375", 21, "README", {"accuracy": "exact", "epsilon": 1e-3}),
    ("500x375", 21, "README", {"accuracy": "fast"}),
    ("500x375", 2, "DL", {"accuracy": "exact", "epsilon": 1e-3}),
    ("500x375", 60, "DL", {"accuracy": "exact", "epsilon": 1e-3}),
    ("2048x1024", 19, "README", {"accuracy": "fast"}),
    ("2048x1024", 19, "DL", {"accuracy": "fine"}),
)


def measure(size: str, classes: int, which: str, device: torch.device, **options: Any) -> dict[str, float]:
    """Median ms of a call and of its two parts, and the memory it adds on the device (MiB)."""
    width, height = map(int, size.split("x"))
    case = make_case(width, height, classes, kind="mosaic" if width > 854 else "photo")
    parameters = PARAMETERS[which]
    image, unary = torch.from_numpy(case.image).to(device), torch.from_numpy(case.unary).to(device)
    refiner = crf_cases.dense_crf(parameters, **options)
    weights = {"bilateral_weight": parameters.weight, "gaussian_weight": parameters.gaussian_weight}
    call = milliseconds(lambda: refiner(image, unary=unary), device)
    prepare = milliseconds(lambda: refiner.prepare(image), device)
    prepared = refiner.prepare(image)
    run = milliseconds(lambda: prepared.run(unary, **weights), device)
    extra = 0.0
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        refiner(image, unary=unary)
        extra = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    return {"ms": call, "ms_build": prepare, "ms_iterate": run, "memory_mib": round(extra, 1)}


def milliseconds(run: Callable[[], object], device: torch.device, rounds: int = 7) -> float:
    """Median of `rounds` after two to warm up, each waited for."""

    def waited() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(2):
        waited()
    return round(1e3 * statistics.median(crf_cases.seconds(waited) for _ in range(rounds)), 3)


def against_cpu(device: torch.device) -> dict[str, Any]:
    """Largest difference of probabilities and share of labels that differ from the CPU's exact sum at ε = 1e-6, 160×120."""
    case = make_case(160, 120, 21)
    reference = crf_cases.dense_crf(PARAMETERS["DL"], accuracy="exact", epsilon=1e-6)(case.image, unary=case.unary)
    image, unary = torch.from_numpy(case.image).to(device), torch.from_numpy(case.unary).to(device)
    rows: dict[str, Any] = {}
    forms: dict[str, dict[str, Any]] = {
        "exact_0.001": {"accuracy": "exact", "epsilon": 1e-3},
        "fast": {"accuracy": "fast"},
        "fine": {"accuracy": "fine"},
    }
    for name, options in forms.items():
        found = crf_cases.dense_crf(PARAMETERS["DL"], **options)(image, unary=unary).cpu().numpy()
        rows[name] = {
            "largest": round(float(np.abs(found - reference).max()), 6),
            "labels_percent": round(crf_cases.labels_differ(found, reference), 4),
        }
    return rows


if __name__ == "__main__":
    main()
