"""What a filter is: the linear operator K·v on values of N pixels; and the four ways to normalise one.

K_ij = exp(−½|f_i − f_j|²), the pixel's own term (j = i) included (Krähenbühl & Koltun 2011 and its reference code).
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np

from segfield.errors import SettingError, did_you_mean

Normalization = Literal["none", "before", "after", "symmetric"]

POWERS: dict[Normalization, tuple[float, float]] = {
    "none": (0.0, 0.0),
    "before": (0.0, 1.0),
    "after": (1.0, 0.0),
    "symmetric": (0.5, 0.5),
}
"""Powers of n = K·1 that divide a pixel's sum, and its value before summing."""

Values = Any
"""(N, C) values of N pixels: a NumPy array or a torch tensor; a batched torch filter takes (B, N, C)."""


class Filter(Protocol):
    """K·v and its transpose. A NumPy filter takes and gives NumPy arrays, a torch filter tensors on its device."""

    @property
    def size(self) -> int:
        """N, the number of pixels."""
        ...

    def __call__(self, values: Values) -> Values:
        """K·v: (N, C) → (N, C)."""
        ...

    def transposed(self, values: Values) -> Values:
        """Kᵀ·v: (N, C) → (N, C). An approximate filter is not exactly symmetric; gradients need the true transpose."""
        ...


class Normalized:
    """A filter with its row sums n = K·1 divided out; itself a filter.

    none       K v: as pydensecrf's NO_NORMALIZATION, without any factor.
    before     K (v / n)
    after      (K v) / n: each pixel gets a weighted mean (Krähenbühl & Koltun 2011, DeepLab, CRF-RNN).
    symmetric  n^-½ K (n^-½ v): pydensecrf's default.

    1e-20 is added to n, as the reference code does. n is found at the first call and kept; where features carry gradients,
    build the filter anew for each step, so that n belongs to that step's graph.

    Raises:
        SettingError: the kind is none of these.
    """

    def __init__(self, filter: Filter, kind: Normalization = "symmetric") -> None:  # noqa: A002  the contract's word
        if kind not in get_args(Normalization):
            raise SettingError(
                f"normalization: {kind!r} is unknown; {did_you_mean(str(kind), get_args(Normalization))}"
            )
        self.filter = filter
        self.kind = kind
        self._row_sums: Values = None

    @property
    def size(self) -> int:
        return self.filter.size

    def row_sums(self, like: Values) -> Values:
        """n = K·1 + 1e-20, shape (N, 1), in the array type, precision and device of `like` (N, C)."""
        kept = self._row_sums
        if kept is None or kept.dtype != like.dtype or getattr(kept, "device", None) != getattr(like, "device", None):
            shape = (*like.shape[:-1], 1)
            ones = np.ones(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_ones(shape)
            kept = self._row_sums = self.filter(ones) + 1e-20
        return kept

    def __call__(self, values: Values) -> Values:
        return self._apply(self.filter, values, before=self.kind == "before", after=self.kind == "after")

    def transposed(self, values: Values) -> Values:
        return self._apply(self.filter.transposed, values, before=self.kind == "after", after=self.kind == "before")

    def _apply(self, product: Any, values: Values, *, before: bool, after: bool) -> Values:
        if self.kind == "none":
            return product(values)
        n = self.row_sums(values)
        if before:
            return product(values / n)
        if after:
            return product(values) / n
        root = n**0.5
        return product(values / root) / root
