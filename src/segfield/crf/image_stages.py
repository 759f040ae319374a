"""Which mean-field iterations may be cheap ones: later iterations correct what early ones lack in exactness.

`benchmarks/crf_exactness.py` measures what it costs `fine` and `exact`. Its images are too small for half resolution, whose
effect `benchmarks/crf_speed.py` shows: more labels that differ from pydensecrf's than between the lattices alone.
"""

from __future__ import annotations

import math

_LAST, _LAST_FINE = 3, 4  # iterations that are never cheap
_SHARE = 0.4  # of the iterations, at least, are not
_WORTH, _WORTH_FINE = 4, 3  # fewer cheap iterations do not pay for what they need built
_SMALLEST = 200  # pixels: images with a shorter side are not halved, and gain little by it
_FEWEST = 9  # classes: with less, an iteration costs too little beside what half resolution needs built


def cheap_iterations(iterations: int, fine: bool, classes: int, shape: tuple[int, int]) -> int:
    """How many of the first iterations are cheap for an image (H, W): at half resolution, or for `fine` on the plain lattice."""
    last = max(_LAST_FINE if fine else _LAST, math.ceil(_SHARE * iterations))
    early = iterations - last
    if fine:
        return early if early >= _WORTH_FINE else 0
    return early if early >= _WORTH and classes >= _FEWEST and min(shape) >= _SMALLEST else 0
