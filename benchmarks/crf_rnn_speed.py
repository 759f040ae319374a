"""The CRF-RNN layer, forward and backward, on the CPU: against crfasrnn_pytorch, and against plain torch operations unrolled.

One image, 5 iterations, the CRF-RNN paper's start (bilateral 160 pixels and 3 grey values, Gaussian 3), gradients to logits,
kernel weights and compatibility, in alternating runs of one process. The peer is not on PyPI and is compiled from source:
give the folder of its checkout, built with `python setup.py build_ext --inplace` in its folder crfasrnn. Without it the value
is against plain torch alone. Also kept: by how much backward at T = 10 needs more memory than at T = 5 (goal: at most 1.3 times).

    python benchmarks/crf_rnn_speed.py [--peer FOLDER] [--quick] [--rounds 5]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import crf_cases
from crf_cases import make_case
from record import ratio, record

GOAL, MEMORY_GOAL = 10.0, 1.3
ITERATIONS = 5
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small image; nothing is kept")
    parser.add_argument("--peer", help="checkout of crfasrnn_pytorch with its extension built")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    size, classes = ((96, 64), 5) if given.quick else ((500, 375), 21)
    if given.peer:
        sys.path[:0] = [given.peer, str(Path(given.peer) / "crfasrnn")]
    rounds = 1 if given.quick else given.rounds
    details: dict[str, Any] = {
        "photo": crf_cases.photo_says(),
        "case": f"{size[0]}x{size[1]}, {classes} classes, {ITERATIONS} iterations",
        "times": "median milliseconds of forward + backward",
        "load_average_before": os.getloadavg()[0],
    }
    runs = {"ours, 2 threads": ours(2), "ours, 1 thread": ours(1), "plain torch, 2 threads": plain(2)}
    if given.peer:
        runs |= {"crfasrnn_pytorch, 1 thread": peer(1), "crfasrnn_pytorch, 2 threads": peer(2)}
    details["agreement with plain torch"] = agreement(given.peer, (96, 64), 5)
    times = timed({name: run(size, classes) for name, run in runs.items()}, rounds)
    details["milliseconds"] = {name: round(1000 * value, 1) for name, value in times.items()}
    print(details["milliseconds"], flush=True)
    quickest = min(value for name, value in times.items() if name.startswith("crfasrnn")) if given.peer else None
    details["ratio to plain torch"] = round(times["plain torch, 2 threads"] / times["ours, 2 threads"], 2)
    details["batch"] = batch(size, classes, rounds)
    details["growth of memory in MiB at T iterations"] = memory = {t: growth(size, classes, t) for t in (5, 10)}
    details["memory at T = 10 over T = 5"] = ratio(memory[10], memory[5])
    details["memory goal"], details["memory met"] = MEMORY_GOAL, memory[10] <= MEMORY_GOAL * memory[5]
    if torch.cuda.is_available():
        details["gpu"] = on_gpu(size, classes, rounds)
    value = (quickest or times["plain torch, 2 threads"]) / times["ours, 2 threads"]
    against = (
        "crfasrnn_pytorch at its quickest" if given.peer else "plain torch operations, unrolled (no peer was given)"
    )
    quick = given.quick or not given.peer
    record("crf_rnn_speed", value, "x", f"{against}; ours on 2 threads", GOAL, value >= GOAL, details, quick)


Run = Callable[[], dict[str, Tensor]]
"""Forward and backward once → the gradients by name."""


def inputs(size: tuple[int, int], classes: int, count: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, 3, H, W) in 0..255, logits (B, K, H, W), labels (B, H, W)."""
    cases = [make_case(*size, classes, number) for number in range(count)]
    images = torch.stack([torch.from_numpy(case.image) for case in cases]).float()
    logits = torch.stack([torch.from_numpy(-case.unary) for case in cases])
    return images, logits, logits.argmax(dim=1).roll(3, dims=2)


def ours(threads: int, iterations: int = ITERATIONS, device: str = "cpu") -> Callable[..., Run]:
    def prepare(size: tuple[int, int], classes: int, count: int = 1) -> Run:
        from segfield.crf import CRFRNN

        images, logits, labels = (given.to(device) for given in inputs(size, classes, count))
        layer = CRFRNN(classes, iterations=iterations).to(device)
        return lambda: gradients(layer, lambda x: layer(images, x), logits, labels, threads)

    return prepare


def plain(threads: int) -> Callable[..., Run]:
    """The iteration written down in torch and left to autograd, over the lattice in torch operations."""

    def prepare(size: tuple[int, int], classes: int) -> Run:
        from segfield.crf import CRFRNN
        from segfield.crf.features import bilateral_features, position_features
        from segfield.crf.filters.lattice_torch import TorchLatticeFilter

        images, logits, labels = inputs(size, classes)
        layer = CRFRNN(classes, iterations=ITERATIONS)
        features = [bilateral_features(images[0].numpy(), 160, 3), position_features((size[1], size[0]), 3)]

        def forward(x: Tensor) -> Tensor:
            unary = x[0].flatten(1).T
            filters = [TorchLatticeFilter(torch.from_numpy(feature)) for feature in features]
            sums = [filter_(torch.ones_like(unary[:, :1])) for filter_ in filters]
            found = unary
            for _ in range(ITERATIONS):
                q = found.softmax(dim=1)
                for filter_, n, table in zip(filters, sums, layer.kernel_tables()):
                    term = (filter_(q) / n) @ table[0].T
                    found = unary - term if filter_ is filters[0] else found - term
            return found.T.reshape(x.shape)

        return lambda: gradients(layer, forward, logits, labels, threads)

    return prepare


def peer(threads: int) -> Callable[..., Run]:
    def prepare(size: tuple[int, int], classes: int) -> Run:
        from crfasrnn.crfrnn import CrfRnn

        images, logits, labels = inputs(size, classes)
        layer = CrfRnn(classes, ITERATIONS)
        layer.params.alpha, layer.params.beta, layer.params.gamma = 160.0, 3.0, 3.0
        with torch.no_grad():
            layer.bilateral_ker_weights.copy_(5 * torch.eye(classes))
            layer.spatial_ker_weights.copy_(3 * torch.eye(classes))
        return lambda: gradients(layer, lambda x: layer(images, x), logits, labels, threads)

    return prepare


def gradients(
    layer: torch.nn.Module, forward: Callable[[Tensor], Tensor], logits: Tensor, labels: Tensor, threads: int
) -> dict[str, Tensor]:
    """Forward, cross-entropy, backward."""
    layer.zero_grad()
    logits = logits.detach().requires_grad_()
    with limited(threads):
        torch.nn.functional.cross_entropy(forward(logits), labels).backward()
    found = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return {"logits": logits.grad, **found}  # type: ignore[dict-item]


@contextlib.contextmanager
def limited(threads: int) -> Any:
    """torch and our loops on so many threads."""
    before, limit = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop("OMP_NUM_THREADS")
        if limit is not None:
            os.environ["OMP_NUM_THREADS"] = limit


def timed(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each, in alternating runs."""
    for run in runs.values():
        run()  # compiles, and touches memory
    return crf_cases.in_turns(runs, rounds)


def agreement(with_peer: str | None, size: tuple[int, int], classes: int) -> dict[str, float]:
    """Cosines of the gradients to the logits with those of plain torch: all three do the same work."""
    others = {"ours": ours(1), **({"crfasrnn_pytorch": peer(1)} if with_peer else {})}
    expected = plain(1)(size, classes)()["logits"].flatten()
    return {
        name: float(
            torch.nn.functional.cosine_similarity(prepare(size, classes)()["logits"].flatten(), expected, dim=0)
        )
        for name, prepare in others.items()
    }


def batch(size: tuple[int, int], classes: int, rounds: int) -> dict[str, float]:
    """Milliseconds an image in a batch, which the peer has to do one by one."""
    found = timed({"batch": ours(2)(size, classes, BATCH)}, rounds)
    return {"images": BATCH, "ours, 2 threads, milliseconds an image": round(1000 * found["batch"] / BATCH, 1)}


def growth(size: tuple[int, int], classes: int, iterations: int) -> float:
    """MiB that forward and backward add in a fresh process, over imports, compiled code and inputs."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parent)!r}); import crf_rnn_speed; "
        f"crf_rnn_speed.print_growth({size!r}, {classes}, {iterations})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def print_growth(size: tuple[int, int], classes: int, iterations: int) -> None:
    """In a fresh process; see `growth`."""
    before = 0.0
    for where in ((48, 32), size):
        run = ours(2, iterations)(where, classes)
        before = crf_cases.forget_peak()
        run()
    print(json.dumps(round(crf_cases.peak_memory_mib() - before, 1)))


def on_gpu(size: tuple[int, int], classes: int, rounds: int) -> dict[str, float]:
    """Milliseconds of forward and backward on the GPU."""
    found = {}
    for count in (1, BATCH):
        run = ours(2, device="cuda")(size, classes, count)
        times = timed({"gpu": functools.partial(_synchronised, run)}, rounds)
        found[f"batch of {count}"] = round(1000 * times["gpu"], 1)
    return {"device": torch.cuda.get_device_name(), **found}


def _synchronised(run: Run) -> dict[str, Tensor]:
    found = run()
    torch.cuda.synchronize()
    return found


if __name__ == "__main__":
    main()
