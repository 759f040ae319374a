"""What NumPy arrays and torch tensors have in common, so that a formula is written once and torch is not loaded for it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_tensor(values: Any) -> bool:
    """Whether `values` is a torch tensor; never loads torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def namespace(values: Any) -> Any:
    """The module, numpy or torch, whose functions take `values`."""
    return sys.modules["torch"] if is_tensor(values) else np


def as_float32(values: Any) -> Any:
    """`values` as float32, of the same library and on the same device; no copy where they are float32 already."""
    return values.float() if is_tensor(values) else np.asarray(values, dtype=np.float32)


def dtype_name(values: Any) -> str:
    """ "uint8", "float32" …, whichever the library."""
    return str(values.dtype).removeprefix("torch.")


def like(values: Any, reference: Any) -> Any:
    """`values` as float32 in the library and on the device of `reference`."""
    if is_tensor(reference):
        return sys.modules["torch"].as_tensor(values, device=reference.device).float()
    return as_array(values).astype(np.float32)


def as_array(values: Any) -> Any:
    """`values` as a NumPy array; tensors are detached, and share their memory where they can."""
    if not is_tensor(values):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
