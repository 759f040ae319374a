"""Numbers that are none: NaN and infinity among weights, found where a file is opened."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from segfield.errors import FileFormatError


def check_finite(tensors: Mapping[str, Tensor], source: str, mend: str) -> None:
    """Look once at every number of a file's tensors.

    Args:
        tensors: by name; those of whole numbers are passed over.
        source: the file, for the error.
        mend: what the user can do, the error's last words.

    Raises:
        FileFormatError: if a number is NaN or infinite: how many are, in how many tensors, the first of them.
    """
    bad = {name: count for name, value in tensors.items() if (count := not_finite(value))}
    if bad:
        raise FileFormatError(
            f"{source} holds {sum(bad.values()):,} weights that are NaN or infinite, in {len(bad)} of {len(tensors)} tensors "
            f"(first: {next(iter(bad))}); {mend}"
        )


def not_finite(values: Tensor) -> int:
    """How many are NaN or infinite. Where none is, it costs one sum; of finite numbers that overflow, a second look."""
    if not values.is_floating_point() or bool(torch.isfinite(values.sum())):
        return 0
    return values.numel() - int(torch.isfinite(values).sum())
