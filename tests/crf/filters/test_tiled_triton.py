"""The GPU's block-sparse sum: by Triton's interpreter on the CPU, in a process of its own; on a GPU where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.filters.exact import ExactFilter
from segfield.errors import DataError, SettingError
from tests.crf.filters.photos import clusters, photo_features, probabilities
from tests.told import says

pytest.importorskip("triton", reason="the GPU's exact filter needs triton")

CASES = [
    (1, 3, 2, 16, 0.0),
    (77, 5, 21, 16, 1e-3),
    (200, 2, 70, 16, 1e-1),
    (400, 1, 3, 64, 1e-1),
    (150, 6, 3, 32, 1e-3),
]
SCRIPT = """
import json, sys
import numpy as np
import torch
from segfield.crf.filters.tiled import TiledFilter
from segfield.crf.filters.tiled_triton import TritonTiledFilter
from tests.crf.filters.photos import clusters, probabilities

found = []
for pixels, dimensions, channels, tile, epsilon in json.loads(sys.argv[1]):
    features, values = clusters(pixels, dimensions), probabilities(pixels, channels)
    gpu = TritonTiledFilter(torch.from_numpy(features), epsilon, tile, precision="ieee")
    given = torch.from_numpy(values).requires_grad_()
    sums = gpu(given)
    weights = torch.linspace(-1, 1, sums.numel()).reshape(sums.shape)
    (sums * weights).sum().backward()
    found.append({
        "sums": sums.tolist(), "bound": gpu.neglected(given.detach()).tolist(), "kept": gpu.kept_pairs,
        "gradient": given.grad.tolist(), "transposed": gpu.transposed(weights).tolist(), "size": gpu.size,
        "largest": float(gpu.bound.max()), "tiled": TiledFilter(features, epsilon, tile).kept_pairs,
    })
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def interpreted() -> list[dict[str, Any]]:
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SCRIPT, json.dumps(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_interpreted_kernel_stays_within_its_bound(interpreted: list[dict[str, Any]], case: int) -> None:
    pixels, dimensions, channels, _, epsilon = CASES[case]
    exact = ExactFilter(clusters(pixels, dimensions))(probabilities(pixels, channels))
    found = interpreted[case]
    error = np.abs(np.array(found["sums"]) - exact)
    assert found["size"] == pixels
    assert (error <= np.array(found["bound"])[:, None] + 1e-5 * exact).all()
    assert found["largest"] >= max(found["bound"]) * (1 - 1e-9)
    if epsilon == 1e-1:
        assert error.max() > 1e-3 and max(found["bound"]) < 100 * error.max()


def test_the_interpreted_kernel_keeps_the_pairs_the_cpu_keeps(interpreted: list[dict[str, Any]]) -> None:
    for found in interpreted:
        assert found["kept"] == pytest.approx(found["tiled"], abs=1e-9)


def test_the_gradient_is_the_transposed_filter(interpreted: list[dict[str, Any]]) -> None:
    for found in interpreted:
        np.testing.assert_array_equal(found["gradient"], found["transposed"])


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter takes the CPU")
def test_a_tensor_on_the_cpu_is_refused() -> None:
    from segfield.crf.filters.tiled_triton import TritonTiledFilter

    with pytest.raises(SettingError, match=r"features are on cpu.*GPU.*NumPy"):
        TritonTiledFilter(torch.zeros(4, 2))


def test_without_triton_a_sentence_says_so() -> None:
    script = "import sys; sys.modules['triton'] = None\nimport segfield.crf.filters.tiled_triton"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert says("SettingError … GPU … triton", done.stderr)


@pytest.mark.gpu
@pytest.mark.shared
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "rounding"), [("ieee", 1e-5), ("tf32x3", 1e-5), ("tf32", 2e-3), ("bf16", 1e-2)])
def test_a_photo_on_the_gpu_stays_within_its_bound(shared_data: Path, precision: Any, rounding: float) -> None:
    from segfield.crf.filters.tiled_triton import TritonTiledFilter

    features = photo_features(shared_data, 67, 3)
    values = probabilities(len(features), 21)
    gpu = TritonTiledFilter(torch.from_numpy(features).cuda(), 1e-3, precision=precision)
    exact = ExactFilter(features)(values)
    error = np.abs(gpu(torch.from_numpy(values).cuda()).cpu().numpy() - exact)
    bound = gpu.neglected(torch.from_numpy(values).cuda()).cpu().numpy()
    assert (error <= bound[:, None] + rounding * exact).all() and gpu.kept_pairs < 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_bad_settings_are_refused_on_the_gpu() -> None:
    from segfield.crf.filters.tiled_triton import TritonTiledFilter

    features = torch.from_numpy(clusters(40, 2)).cuda()
    with pytest.raises(SettingError, match="power of two"):
        TritonTiledFilter(features, tile=24)
    with pytest.raises(SettingError, match="did you mean tf32"):
        TritonTiledFilter(features, precision="tf23")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="finite numbers"):
        TritonTiledFilter(features / 0)
