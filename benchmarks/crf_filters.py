"""Every filter against brute force in float64 on the features of real photos. A part of crf_exactness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import crf_cases
from crf_cases import Case, Parameters
from segfield.crf.features import bilateral_features, position_features
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.filter import Normalized

BRUTE_FORCE_UP_TO = 8_000  # pixels; above, the tiled sum over all pairs in float64, which is held against it below
Doubles = npt.NDArray[np.float64]


class DenseGaussian:
    """The Gaussian of positions alone in float64: K = K_y ⊗ K_x, two full matrices, nothing cut off."""

    def __init__(self, shape: tuple[int, ...], sxy: float) -> None:
        self.size = int(np.prod(shape))
        self.shape = shape
        places = [np.arange(length, dtype=np.float64) / sxy for length in shape]
        self.factors = [np.exp(-0.5 * (place[:, None] - place[None, :]) ** 2) for place in places]

    def __call__(self, values: Doubles) -> Doubles:
        grid = values.reshape(*self.shape, -1)
        found: Doubles = np.einsum("ab,xy,byc->axc", *self.factors, grid, optimize=True)
        return found.reshape(self.size, -1)

    def transposed(self, values: Doubles) -> Doubles:
        return self(values)


def compare_filters(
    cases: Sequence[Case], parameters: Parameters, epsilons: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Per filter: error of K·v for probabilities v, averaged over the photos (largest: over all).

    relative_l1 is Σ|error| / Σ|K·v| of the bare filter; symmetric_l1 the same with its own row sums divided out, as mean
    field uses it. For the tiled filter `bound_kept` says whether |error| stays below what `neglected` promises, everywhere.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        values = np.random.default_rng(7).dirichlet(np.full(5, 0.3), case.image[0].size)
        shape = case.image.shape[1:]
        near = position_features(shape, parameters.gaussian_sxy)
        alike = bilateral_features(case.image, parameters.sxy, parameters.srgb)
        for name, found in bilateral_rows(alike, values, epsilons).items():
            rows.setdefault(name, []).append(found)
        for name, found in gaussian_rows(near, shape, parameters, values).items():
            rows.setdefault(name, []).append(found)
    return {name: joined(found) for name, found in rows.items()}


def bilateral_rows(features: Any, values: Doubles, epsilons: Sequence[float]) -> dict[str, dict[str, Any]]:
    from segfield.crf.filters.lattice import LatticeFilter
    from segfield.crf.filters.tiled import TiledFilter

    if len(features) <= BRUTE_FORCE_UP_TO:
        exact: Any = ExactFilter(features)
    else:
        exact = TiledFilter(features, epsilon=0, dtype=np.float64)
    wanted = exact(values), Normalized(exact)(values)
    rows: dict[str, dict[str, Any]] = {}
    if len(features) <= BRUTE_FORCE_UP_TO:
        rows["tiled_all_pairs_float64"] = row(TiledFilter(features, epsilon=0, dtype=np.float64), values, wanted)
    for epsilon in epsilons:
        tiled = TiledFilter(features, epsilon=epsilon)
        found = row(tiled, values.astype(np.float32), wanted)
        error = np.abs(tiled(values.astype(np.float32)) - wanted[0]).max(axis=1)
        rounding = 1e-5 * wanted[0].max(axis=1)  # of float32 sums
        found["bound_kept"] = bool((error <= tiled.neglected(values) + rounding).all())
        found["largest_bound"] = float(tiled.neglected(values).max())
        found["kept_pairs_percent"] = 100 * tiled.kept_pairs
        rows[f"tiled_{epsilon:g}"] = found
    for kind in ("fast", "fine"):
        rows[f"lattice_{kind}"] = row(LatticeFilter(features, fine=kind == "fine"), values.astype(np.float32), wanted)
        rows[f"torch_lattice_{kind}"] = row(torch_filter(features, kind == "fine"), values.astype(np.float32), wanted)
    return rows


def gaussian_rows(features: Any, shape: Any, parameters: Parameters, values: Doubles) -> dict[str, dict[str, Any]]:
    from segfield.crf.filters.gaussian_grid import GridGaussian
    from segfield.crf.filters.lattice import LatticeFilter

    exact = DenseGaussian(shape, parameters.gaussian_sxy)
    wanted = exact(values), Normalized(exact)(values)
    small = values.astype(np.float32)
    rows = {
        "gaussian_grid": row(GridGaussian(shape, parameters.gaussian_sxy), small, wanted),
        "gaussian_lattice_fast": row(LatticeFilter(features), small, wanted),
    }
    if len(features) <= BRUTE_FORCE_UP_TO:
        rows["gaussian_brute_force"] = row(ExactFilter(features), values, wanted)
    return rows


class torch_filter:  # noqa: N801  a filter made of another, called like a function
    """The torch lattice on NumPy arrays."""

    def __init__(self, features: Any, fine: bool) -> None:
        import torch

        from segfield.crf.filters.lattice_torch import TorchLatticeFilter

        self.tensor: Callable[[Any], Any] = torch.from_numpy
        self.filter = TorchLatticeFilter(torch.from_numpy(features), fine=fine)
        self.size = len(features)

    def __call__(self, values: Any) -> Any:
        return self.filter(self.tensor(values)).numpy()

    def transposed(self, values: Any) -> Any:
        return self.filter.transposed(self.tensor(values)).numpy()


def row(filtered: Any, values: Any, wanted: tuple[Doubles, Doubles]) -> dict[str, Any]:
    found = filtered(values)
    error, normalised = np.abs(found - wanted[0]), np.abs(Normalized(filtered)(values) - wanted[1])
    return {
        "relative_l1": float(error.sum() / wanted[0].sum()),
        "largest": float(error.max()),
        "symmetric_l1": float(normalised.sum() / wanted[1].sum()),
        "symmetric_largest": float(normalised.max()),
        "ms": 1e3 * crf_cases.seconds(lambda: filtered(values)),
    }


def joined(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of many: the largest of what is called largest, all of what is kept, else the mean."""
    together: dict[str, Any] = {}
    for key in rows[0]:
        values = [each[key] for each in rows]
        if key == "bound_kept":
            together[key] = all(values)
        else:
            together[key] = float(f"{max(values) if 'largest' in key else np.mean(values):.4g}")
    return together
