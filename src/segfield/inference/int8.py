"""An ONNX file's network in 8-bit integers: about a third of the size, and often faster on a CPU that has instructions for them.

By ONNX Runtime's own tools (static quantisation, QDQ form): weights by output channel, what flows between layers by the mean
range it has on a few real images. The convolutions that read the image stay float32: they are a small part of the work, and
what 256 steps lose there, every later layer is without.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from segfield.data.files import replacing
from segfield.errors import SettingError
from segfield.inference.runtimes import Floats


def quantise_onnx(
    file: str | Path, target: str | Path, images: Iterable[Floats], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the network of an ONNX file in 8-bit integers, to be given and to give float32 as before.

    Args:
        file: with one input (B, C, H, W) float32 and fixed weights.
        target: the file to write, all at once.
        images: (C, H, W) each, as the network will meet them; a few dozen are enough.
        metadata: texts to keep in the file, by name.

    Returns:
        the target's path.

    Raises:
        SettingError: if the packages onnx and onnxruntime are not there.
        Exception: what ONNX Runtime raises, if it cannot read or run the network.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise SettingError(f"8-bit integers need the package {error.name}; pip install segfield[export]") from error
    name = onnx.load(str(file)).graph.input[0].name
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(quantised), _reader(name, images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, extra_options={"CalibMovingAverage": True},
            nodes_to_exclude=first_convolutions(onnx.load(str(prepared)).graph),
        )  # fmt: skip
        model = onnx.load(str(quantised))
    onnx.helper.set_model_props(model, dict(metadata or {}))
    with replacing(target) as place:
        onnx.save(model, str(place))
    return Path(target)


def first_convolutions(graph: Any) -> list[str]:
    """Names of the convolutions of an ONNX graph, in order of computation, that are made of no other's output."""
    made, found = set[str](), []  # made: what a convolution had a part in
    for node in graph.node:
        follows = any(name in made for name in node.input)
        if node.op_type == "Conv" and not follows:
            found.append(node.name)
        if node.op_type == "Conv" or follows:
            made.update(node.output)
    return found


def _reader(name: str, images: Iterable[Floats]) -> object:
    """What the calibration asks for one input after another."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            self._left: Iterator[Floats] = iter(images)

        def get_next(self) -> dict[str, Floats] | None:
            image = next(self._left, None)
            return None if image is None else {name: image[None]}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tools' advice, which is for those who call them by hand."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
