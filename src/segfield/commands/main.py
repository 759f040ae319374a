"""The command line: one verb, one module. A verb's signature gives its options; its errors are sentences, exit status 2."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from segfield.errors import SegfieldError, did_you_mean
from segfield.openmp import let_waiting_threads_sleep
from segfield.training.interrupt import CommandSignals

# verb → (module, what it does, an example). The function has the verb's name.
VERBS: dict[str, tuple[str, str, str]] = {
    "data": ("segfield.commands.data", "list the known data sets; fetch and verify one", "segfield data camvid"),
    "check": (
        "segfield.commands.check",
        "say what is wrong with a data set, before any training",
        "segfield check FOLDER",
    ),
    "train": ("segfield.commands.train", "train a segmenter, or go on with a run", "segfield train FOLDER --time 60m"),
    "evaluate": (
        "segfield.commands.evaluate",
        "score a segmenter on a split, with a report",
        "segfield evaluate run/segmenter.safetensors FOLDER --split test",
    ),
    "compare": (
        "segfield.commands.compare",
        "train and rank several recipes, same data, same budget",
        "segfield compare recipes/a.yaml recipes/b.yaml --data FOLDER --time 20m",
    ),
    "predict": (
        "segfield.commands.predict",
        "predict images and videos of any size",
        "segfield predict run/segmenter.safetensors photos/*.jpg --out out",
    ),
    "tune": (
        "segfield.commands.tune",
        "find the CRF's parameters by cross-validation",
        "segfield tune run/segmenter.safetensors FOLDER",
    ),
    "refine": (
        "segfield.commands.refine",
        "clean the edges of labels or probabilities by their image",
        "segfield refine photo.jpg labels.png --out refined",
    ),
    "export": (
        "segfield.commands.export",
        "write a segmenter as ONNX, for OpenVINO, ONNX Runtime and others",
        "segfield export run/segmenter.safetensors --out cells.onnx",
    ),
    "demo": ("segfield.commands.demo", "the whole road on drawn street scenes, in minutes", "segfield demo"),
    "doctor": ("segfield.commands.doctor", "what is installed, broken or missing", "segfield doctor"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0 done, 1 the verdict is no, 2 something given cannot be used, or it was stopped.

    Args:
        argv: the words after `segfield`; None takes the process's own, and that the process ends with the command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with CommandSignals(is_process=argv is None) as signals:
        try:
            with _plain_warnings():
                signals.status = _run(words)
        except BaseException as error:
            signals.hear_no_more()
            signals.status = _told(error)
        return signals.status


def _told(error: BaseException) -> int:
    """What ended a verb, in a sentence on stderr where it can be told in one. Returns the exit status; raises all else."""
    if isinstance(error, SegfieldError):
        print(f"segfield: {error}", file=sys.stderr)
        return error.exit_status
    if isinstance(error, KeyboardInterrupt):
        print("segfield: stopped; what was finished is kept", file=sys.stderr)
        return 2
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"segfield: {error.strerror or error}{where}; check the path, its permissions and free space",
            file=sys.stderr,
        )
        return 2
    out_of_memory = re.search(r"out of memory|can't allocate memory", str(error))
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and out_of_memory):
        print(
            "segfield: there is not enough memory for this; give a smaller --batch_size, --augment.crop or --tile, or "
            "leave it to a machine with more",
            file=sys.stderr,
        )
        return 2
    raise error


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings ('the first of 3 frames is read') as plain lines, not with a line of our source."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *place: f"note: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        import segfield

        print(f"segfield {segfield.__version__}")
        return 0
    verb, *rest = words
    let_waiting_threads_sleep()
    if verb not in VERBS:
        raise SegfieldError(f"there is no verb '{verb}'; {did_you_mean(verb, VERBS)}")
    module, _, _ = VERBS[verb]
    function: Callable[..., Any] = getattr(importlib.import_module(module), verb)
    from segfield.commands.arguments import call_with_words

    result = call_with_words(verb, function, rest, example=VERBS[verb][2])
    return int(getattr(result, "exit_status", 0) or 0)


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [
        "segfield gives every pixel of an image its class: from folders of images and masks to a file that predicts anywhere.",
        "",
        "usage: segfield VERB …      (segfield VERB --help tells a verb's options)",
        "",
        *(f"  {verb:<{width}}  {what}" for verb, (_, what, _) in VERBS.items()),
        "",
        "examples:",
        *(f"  {example}" for _, _, example in VERBS.values()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
