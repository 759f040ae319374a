"""Whether video is predicted in real time: ICNet on drawn films, frames a second end to end and latency.

The value is frames a second end to end on 360×640 (reading, network, writing the overlay; nothing measured) by the quickest
engine: PyTorch, and on a CPU the exported segmenter in OpenVINO and ONNX Runtime, where they are installed, and there in 8-bit
integers (`int8`, what `segfield export --int8` writes, by ONNX Runtime); the goal is 25.
Other sizes, and what measuring the temporal consistency and smoothing cost, are in the details. The network's weights are
random: they do not change its speed. `--quick` takes small and short films.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

GOAL = 25.0
CLASSES = 19  # Cityscapes'
SIZES = ((180, 320), (360, 640), (720, 1280))
HEADLINE = (360, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, short films; the number is not kept")
    parser.add_argument("--model", default="icnet", help="any classifier")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda …")
    options = parser.parse_args()
    from record import record

    sizes = ((48, 64),) if options.quick else SIZES
    headline = sizes[0] if options.quick else HEADLINE
    frames = 6 if options.quick else 60
    segmenter = untrained(options.model, options.device)
    details: dict[str, Any] = {"model": options.model, "device": str(segmenter.device), "classes": CLASSES}
    print(f"{'film':>10} {'engine':12} {'':9} {'frames/s':>9} {'latency ms':>11} {'95 %':>8}")
    with tempfile.TemporaryDirectory() as folder:
        engines = {"torch": segmenter, **exported(segmenter, Path(folder), headline)}
        for size in sizes:
            clip = drawn_film(Path(folder) / f"{size[0]}.mp4", size, frames)
            for engine, each in engines.items():
                for way in ("plain", "measured", "smoothed"):
                    report = predicted(each, clip, Path(folder) / "overlay.mp4", way)
                    details[f"{size[0]}x{size[1]} {engine} {way}"] = report
                    print(
                        f"{size[0]:>4}×{size[1]:<5} {engine:12} {way:9} {report['frames_a_second']:9.1f} "
                        f"{1000 * report['latency']:11.1f} {1000 * report['latency_95']:8.1f}"
                    )
    rates = {engine: details[f"{headline[0]}x{headline[1]} {engine} plain"]["frames_a_second"] for engine in engines}
    best, value = max(rates.items(), key=lambda rate: rate[1])
    record(
        "video_speed",
        value,
        f"frames/s, {options.model} at {headline[0]}×{headline[1]} by {best}",
        "a film's 25 frames a second",
        GOAL,
        value >= GOAL,
        details,
        quick=options.quick,
    )


def untrained(model: str, device: str) -> Any:
    """A segmenter with random weights."""
    from segfield.classes import ClassTable
    from segfield.inference.devices import pick_device, set_threads
    from segfield.models import build_classifier
    from segfield.segmenter import ClassifierSpec, Scaling, Segmenter

    set_threads()
    spec = ClassifierSpec(model, 3, CLASSES)
    classifier = build_classifier(spec.name, spec.bands, spec.classes, None, {})
    table = ClassTable(tuple(f"class {i}" for i in range(CLASSES)))
    segmenter = Segmenter(classifier, spec, table, Scaling((120.0,) * 3, (60.0,) * 3))
    return segmenter.to(pick_device(device))


def exported(segmenter: Any, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Engine → the segmenter as an ONNX file in it; empty on a GPU, and where nothing is installed."""
    from segfield.data.scenes import draw_sequence
    from segfield.errors import SettingError
    from segfield.exported import ExportedSegmenter, export_segmenter, quantise_segmenter

    if segmenter.device.type != "cpu":
        return {}
    found: dict[str, Any] = {}
    try:
        file = export_segmenter(segmenter, folder / "segmenter.onnx")
        for engine in ("openvino", "onnxruntime"):
            found[engine] = ExportedSegmenter.load(file, engine)  # type: ignore[arg-type]
        images = (image.astype("float32") for image in draw_sequence(size, 3, 4, fps=25)[0])
        found["int8"] = ExportedSegmenter.load(quantise_segmenter(file, folder / "int8.onnx", images))
    except SettingError as error:
        print(f"left out: {error}")
    return found


def drawn_film(file: Path, size: tuple[int, int], frames: int) -> Path:
    """A film of a drawn street; few frames are drawn, and shown to and fro, because drawing takes longer than predicting."""
    from segfield.data.scenes import draw_sequence
    from segfield.data.video_writing import VideoWriter

    images, _ = draw_sequence(size, 3, min(frames, 12), fps=25)
    there_and_back = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    with VideoWriter(file, size, 25) as writer:
        for number in range(frames):
            writer.write(images[there_and_back[number % len(there_and_back)]].transpose(1, 2, 0))
    return file


def predicted(segmenter: Any, clip: Path, overlay: Path, way: str) -> dict[str, Any]:
    """The report of one prediction; 'plain' measures nothing, 'measured' the consistency, 'smoothed' smooths as well."""
    from segfield.data.flow import DenseInverseSearch
    from segfield.evaluation.temporal import TemporalConsistency
    from segfield.inference.frames import FramePredictor
    from segfield.inference.smoothing import FlowSmoother
    from segfield.inference.video import predict_video

    smoother = FlowSmoother(0.7, DenseInverseSearch()) if way == "smoothed" else None
    temporal = None if way == "plain" else TemporalConsistency(CLASSES, 255, DenseInverseSearch())
    return predict_video(
        FramePredictor(segmenter, smoother=smoother), clip, {"overlay": overlay}, temporal=temporal
    ).as_dict()


if __name__ == "__main__":
    main()
