"""How much memory a prediction will take, said before it starts."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segfield.classes import Array
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.large_image import WHOLE_PIXELS, WHOLE_VALUES
from segfield.crf.memory import crf_bytes
from segfield.crf.refiner import Refiner, works_on
from segfield.inference.augmented import WindowLogits
from segfield.inference.tiles import LINES_AT_ONCE, TilePlan
from segfield.machine import memory

# Bytes a pixel and class, and a pixel: of refiners that do not tell, and of a dense CRF's lattice in tensors, on a GPU.
_REFINER_CLASS, _REFINER_PIXEL = 32, 100
_TENSORS_CLASS, _TENSORS_PIXEL = 28, 400
_PROBE = 128  # pixels a side: large enough that padding to the stride does not count, small enough to cost nothing


class NetworkBytes(NamedTuple):
    """Bytes a classifier takes beside its weights: for each pixel of a tile, and at any size."""

    per_pixel: float
    fixed: int = 0


class Peak(NamedTuple):
    """Bytes beyond the image itself and the loaded segmenter.

    Attributes:
        on_device: lines being blended, and a tile's passage through the classifier; on the GPU, if there is one.
        result: labels and what else is kept of the whole image, in main memory.
        saving: pictures made after prediction, in main memory.
        refining: the refinement of the whole image, after its tiles and before saving, in main memory.
    """

    on_device: int
    result: int
    saving: int = 0
    refining: int = 0

    @property
    def total(self) -> int:
        """The most at one time, where device and main memory are the same: saving begins when the tiles are gone."""
        return self.result + max(self.on_device, self.saving, self.refining)


def peak_bytes(
    plan: TilePlan,
    classes: int,
    network: NetworkBytes,
    *,
    bands: int = 3,
    keep_probabilities: bool = False,
    keep_entropy: bool = False,
    refining: int = 0,
    saving: Collection[str] = (),
    scales: Sequence[float] = (1.0,),
    batch: int = 1,
) -> Peak:
    """The memory of `predict_tiled` and what `predict_image` keeps.

    Args:
        plan: the tiles.
        classes: K.
        network: from `network_bytes(...)`.
        bands: C.
        keep_probabilities: float16 (K, H, W) is kept.
        keep_entropy: float32 (H, W) is kept.
        refining: from `refinement_bytes(...)` where a refiner works on the float16 (K, H, W) of the whole image, which is
            held for it; 0 without one.
        saving: kinds that will be saved; an overlay needs four pictures (the view, the drawing, and the encoder's two).
        scales: of test-time augmentation.
        batch: tiles at once.
    """
    pixels = plan.height * plan.width
    held = classes * plan.tile_height * plan.width * 4
    tile_pixels = batch * plan.tile_height * plan.tile_width
    largest = max(1.0, max(scales)) ** 2
    in_tile = tile_pixels * (bands * 4 + max(network.per_pixel, classes * 8) * largest)
    averaging = tile_pixels * classes * 4 if len(scales) > 1 or scales[0] != 1.0 else 0
    lines = min(LINES_AT_ONCE, plan.tile_height) * plan.width * (8 + (classes * 12 if keep_entropy else 0))
    result = pixels * (
        (1 if classes <= 255 else 4) + 4 * keep_entropy + 2 * classes * (keep_probabilities or refining > 0)
    )
    pictures = pixels * 13 if "overlay" in saving else 0
    return Peak(held + int(max(in_tile + averaging + network.fixed, lines)), result, pictures, refining)


def refinement_bytes(refiner: Refiner | None, image: Array, classes: int, device: torch.device | str = "cpu") -> int:
    """What a refiner takes of the memory where it works, beside the float16 probabilities (K, H, W) it begins with.

    Args:
        refiner: the dense CRF tells by the image; of others it is a rule of thumb. None: 0.
        image: (C, H, W) as the refiner will be given it.
        classes: K.
        device: where the network computes.
    """
    if refiner is None:
        return 0
    pixels = int(image.shape[1]) * int(image.shape[2])
    given = 4 * classes * pixels  # as float32
    if not isinstance(refiner, DenseCRF):
        return given + pixels * (classes * _REFINER_CLASS + _REFINER_PIXEL)
    if works_on(refiner, torch.device(device)):
        at_once = min(pixels, WHOLE_PIXELS, WHOLE_VALUES // classes)
        return 2 * given + at_once * (classes * _TENSORS_CLASS + _TENSORS_PIXEL)
    return given + crf_bytes(refiner, image, classes)


def network_bytes(
    window_logits: WindowLogits, bands: int, device: torch.device | str = "cpu", size: int = _PROBE
) -> NetworkBytes:
    """What the classifier takes for a tile, from a run on a small black one.

    Tensors are counted where they are made. On the CPU three tenths are added for freed blocks that the allocator
    keeps, and the largest weights once more, which oneDNN brings into its own order at every call: so measured with
    plain convolutions, DeepLabV3+ and U-Net.
    """
    tile = torch.zeros((1, bands, size, size), device=device)
    with torch.inference_mode(), _LiveBytes() as counted:
        window_logits(tile)
    on_cpu = torch.device(device).type == "cpu"
    return NetworkBytes(counted.peak / size**2 * (1.3 if on_cpu else 1.0), counted.largest_given if on_cpu else 0)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages made inside it and takes off those released."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.largest_given = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        given = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
        made_before = [size for key, size in given.items() if key not in self._known]
        self.largest_given = max([self.largest_given, *made_before])
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def released(_: object) -> None:
            self.live -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, released)
        self.live += size
        self.peak = max(self.peak, self.live)


def available_bytes(device: torch.device | str = "cpu") -> int | None:
    """Memory free on the device now, limits of containers heeded; None where the system does not say."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory().free


def in_words(count: float) -> str:
    """Bytes as people say them: '812 MiB', '1.4 GiB'."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count / 2**20, 0.1):.3g} MiB"
