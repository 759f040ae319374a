"""Reports are made here, and looked at in tests/evaluation."""

from __future__ import annotations

from tests.plain_figures import plain_figures

__all__ = ["plain_figures"]
