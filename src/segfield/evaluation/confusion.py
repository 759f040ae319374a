"""The confusion matrix: pixels of each true class by predicted class, pooled over a set, ignored pixels left out.

Real label maps are piecewise constant, so eight pixels are compared at once, and only the words in which something
changes are looked at pixel by pixel.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.compiled import compiled
from segfield.errors import DataError

Counts = npt.NDArray[np.int64]

LANES = 4
"""Copies of the histogram that neighbouring pixels take turns in: adding twice to one place waits for the store."""

HEAD_START_PIXELS = 1 << 18
"""What the calling thread counts while another one wakes up."""

THREAD_PIXELS = 1 << 18
"""Fewer pixels than this are not worth handing to a thread (about 30 µs of counting)."""


def confusion_matrix(truth: Array, predicted: Array, classes: int, ignored_id: int, threads: int = 1) -> Counts:
    """Count the pixels of each (true class, predicted class).

    Args:
        truth: (H, W) true ids, or any shape; integers.
        predicted: predicted ids, of the same shape.
        classes: K; ids are 0 … K−1.
        ignored_id: id in `truth` of the pixels that are left out, whatever is predicted there.
        threads: how many share a big map. Many maps are better counted one a thread: the lock is released.

    Returns:
        (K, K): rows are the truth, columns the prediction. Its sum is the number of pixels that are not ignored.

    Raises:
        DataError: if shapes differ, values are not integers, a true id is neither 0 … K−1 nor the ignored id, or a
            predicted id outside 0 … K−1 stands on a pixel that is not ignored. Nothing is dropped in silence.
    """
    truth, predicted = _checked(np.asarray(truth), np.asarray(predicted))
    if classes < 1 or 0 <= ignored_id < classes:
        raise DataError(f"ids 0 to {classes - 1} and the ignored id {ignored_id} cannot go together; ignore another id")
    count = _byte_loop(classes, ignored_id) if truth.dtype == np.uint8 else _wide_loop(classes, ignored_id)
    flat_truth, flat_predicted = truth.reshape(-1), predicted.reshape(-1)
    first, *others = _pieces(flat_truth.size, threads)
    jobs = [_pool(os.getpid(), threads).submit(count, flat_truth[piece], flat_predicted[piece]) for piece in others]
    table = count(flat_truth[first], flat_predicted[first])
    for job in jobs:
        table += job.result()
    wrong_truth, wrong_predicted = table[classes + 1].sum(), table[:classes, classes].sum()
    if wrong_truth or wrong_predicted:
        raise _out_of_range(truth, predicted, classes, ignored_id)
    return table[:classes, :classes].copy()


class ConfusionMatrix:
    """A confusion matrix that grows image by image. `+` joins the counts of two parts of a set.

    Args:
        classes: K.
        ignored_id: id in the truth of the pixels that are left out.
        counts: (K, K) counts to begin with; zeros by default.
    """

    def __init__(self, classes: int, ignored_id: int = 255, counts: Array | None = None) -> None:
        self.classes = classes
        self.ignored_id = ignored_id
        self.counts: Counts = np.zeros((classes, classes), np.int64) if counts is None else np.array(counts, np.int64)
        if self.counts.shape != (classes, classes):
            raise DataError(
                f"counts of shape {self.counts.shape} do not fit {classes} classes; give ({classes}, {classes})"
            )

    def update(self, truth: Array, predicted: Array, threads: int = 1) -> Counts:
        """Add one image, or a batch; gives that image's own (K, K) counts. Raises as `confusion_matrix` does."""
        counts = confusion_matrix(truth, predicted, self.classes, self.ignored_id, threads)
        self.counts += counts
        return counts

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if (self.classes, self.ignored_id) != (other.classes, other.ignored_id):
            raise DataError(
                f"counts of {self.classes} classes (ignored id {self.ignored_id}) and of {other.classes} "
                f"(ignored id {other.ignored_id}) cannot be joined; count both with one class table"
            )
        return ConfusionMatrix(self.classes, self.ignored_id, self.counts + other.counts)

    def reduce(self, sum_over_processes: Callable[[Counts], Array]) -> ConfusionMatrix:
        """The matrix of all processes, from a callable that sums an int64 array over them (an all-reduce)."""
        return ConfusionMatrix(self.classes, self.ignored_id, np.asarray(sum_over_processes(self.counts)))


def _checked(truth: Array, predicted: Array) -> tuple[Array, Array]:
    """Both maps C-contiguous and of one integer type that the loops know: uint8, int32 or int64."""
    if truth.shape != predicted.shape:
        raise DataError(
            f"the truth is {truth.shape} and the prediction {predicted.shape}; both must be label maps of one size"
        )
    for what, labels in (("truth", truth), ("prediction", predicted)):
        if labels.dtype.kind not in "iub":
            raise DataError(
                f"the {what} holds {labels.dtype} values; label maps hold whole class ids (take the argmax?)"
            )
    both = {
        labels.dtype.newbyteorder("=") if labels.dtype.kind != "b" else np.dtype(np.uint8)
        for labels in (truth, predicted)
    }
    if both == {np.dtype(np.uint8)}:
        kind: Any = np.uint8
    else:
        kind = np.int32 if all(np.can_cast(dtype, np.int32) for dtype in both) else np.int64
    return np.ascontiguousarray(truth, dtype=kind), np.ascontiguousarray(predicted, dtype=kind)


def _pieces(pixels: int, threads: int) -> list[slice]:
    """One span a thread, as many as are worth it; the first, of the calling thread, is longer by a head start."""
    count = max(1, min(threads, pixels // THREAD_PIXELS))
    head_start = min(HEAD_START_PIXELS, pixels // 4) if count > 1 else 0
    # spans begin at multiples of 64 pixels, so that words stay aligned
    inner = [(head_start + (pixels - head_start) * i // count) // 64 * 64 for i in range(1, count)]
    return [slice(low, high) for low, high in itertools.pairwise([0, *inner, pixels])]


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One pool a process: threads do not outlive a fork, so the process number is part of the key."""
    return ThreadPoolExecutor(threads, thread_name_prefix="segfield-count")


def _byte_loop(classes: int, ignored_id: int) -> Callable[[Array, Array], Counts]:
    """Counter of flat uint8 maps → (K+2, K+1). Row K: ignored; K+1: true id out of range; column K: predicted is."""
    columns = np.full(256, classes, np.uint64)
    columns[:classes] = np.arange(min(classes, 256))
    rows = np.full(256, classes + 1, np.uint64)
    rows[:classes] = np.arange(min(classes, 256))
    if 0 <= ignored_id < 256:
        rows[ignored_id] = classes
    rows *= np.uint64(classes + 1)

    def count(truth: Array, predicted: Array) -> Counts:
        whole = truth.size // 8 * 8
        lanes = np.zeros((LANES, (classes + 2) * (classes + 1)), np.int64)
        _count_words(truth, predicted, _words(truth[:whole]), _words(predicted[:whole]), rows, columns, lanes)
        table: Counts = lanes.sum(axis=0).reshape(classes + 2, classes + 1)
        return table

    return count


def _words(flat: Array) -> Array:
    """uint8 → uint64, eight pixels a word; copied where the first pixel does not lie on a word's edge."""
    words: Array = flat.view(np.uint64)
    return words if words.flags.aligned else flat.copy().view(np.uint64)


@compiled
def _count_words(
    truth: Array,
    predicted: Array,
    truth_words: Array,
    predicted_words: Array,
    rows: Array,
    columns: Array,
    lanes: Array,
) -> None:
    """Three depths: 64 pixels that are all alike are one addition, so are 16; the others are added one by one.

    Indices are unsigned throughout: with signed ones, each look-up would first ask whether to count from the end.
    """
    ones, low, byte, one = np.uint64(0x0101010101010101), np.uint64(0xFF), np.uint64(8), np.uint64(1)
    lane_0, lane_1, lane_2, lane_3 = lanes[0], lanes[1], lanes[2], lanes[3]
    blocks = truth_words.size // 8
    for block in range(blocks):
        at = np.uint64(8 * block)
        t, p = truth_words[at], predicted_words[at]
        all_t, all_p = (t & low) * ones, (p & low) * ones
        change = np.uint64(0)
        for i in range(8):
            change |= (truth_words[at + np.uint64(i)] ^ all_t) | (predicted_words[at + np.uint64(i)] ^ all_p)
        if change == 0:
            lane_0[rows[t & low] + columns[p & low]] += 64
            continue
        for _ in range(4):
            t, p = truth_words[at], predicted_words[at]
            next_t, next_p = truth_words[at + one], predicted_words[at + one]
            all_t, all_p = (t & low) * ones, (p & low) * ones
            if ((t ^ all_t) | (p ^ all_p) | (next_t ^ all_t) | (next_p ^ all_p)) == 0:
                lane_1[rows[t & low] + columns[p & low]] += 16
            else:
                for _ in range(4):
                    lane_0[rows[t & low] + columns[p & low]] += 1
                    lane_1[rows[next_t & low] + columns[next_p & low]] += 1
                    t, p, next_t, next_p = t >> byte, p >> byte, next_t >> byte, next_p >> byte
                    lane_2[rows[t & low] + columns[p & low]] += 1
                    lane_3[rows[next_t & low] + columns[next_p & low]] += 1
                    t, p, next_t, next_p = t >> byte, p >> byte, next_t >> byte, next_p >> byte
            at += one + one
    for pixel in range(64 * blocks, truth.size):
        lanes[0, rows[truth[pixel]] + columns[predicted[pixel]]] += 1


def _wide_loop(classes: int, ignored_id: int) -> Callable[[Array, Array], Counts]:
    """As `_byte_loop`, for int32 and int64 maps."""

    def count(truth: Array, predicted: Array) -> Counts:
        table = np.zeros((classes + 2, classes + 1), np.int64)
        _count_runs(truth, predicted, classes, ignored_id, table)
        return table

    return count


@compiled
def _count_runs(truth: Array, predicted: Array, classes: int, ignored_id: int, table: Array) -> None:
    """As `_count_words`, for wider integers: one addition for each run of equal pairs."""
    at = 0
    while at < truth.size:
        t, p, start = truth[at], predicted[at], at
        while at < truth.size and truth[at] == t and predicted[at] == p:
            at += 1
        row = t if 0 <= t < classes else (classes if t == ignored_id else classes + 1)
        column = p if 0 <= p < classes else classes
        table[row, column] += at - start


def _out_of_range(truth: Array, predicted: Array, classes: int, ignored_id: int) -> DataError:
    ids = f"0 to {classes - 1}" if classes > 1 else "0"
    valid = truth != ignored_id
    wrong = truth[valid & ((truth < 0) | (truth >= classes))]
    if wrong.size:
        values = np.unique(wrong)
        return DataError(
            f"the truth holds {_listed(values)} on {wrong.size} pixels, but ids are {ids} and {ignored_id} is ignored; "
            "map the value in the class table's source_values"
        )
    wrong = predicted[valid & ((predicted < 0) | (predicted >= classes))]
    return DataError(
        f"the prediction holds {_listed(np.unique(wrong))} on {wrong.size} pixels whose truth is known, "
        f"but ids are {ids}; a prediction must name a class at every pixel that is not ignored in the truth"
    )


def _listed(values: Array) -> str:
    shown = ", ".join(str(int(v)) for v in values[:5])
    return f"{'value' if values.size == 1 else 'values'} {shown}{', …' if values.size > 5 else ''}"
