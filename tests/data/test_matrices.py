"""Label maps in Matlab and text files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from segfield.data.matrices import read_matlab_labels, read_text_labels
from segfield.errors import DataError

RNG = np.random.default_rng(0)


def as_text(labels, gap=" ", end="\n"):
    return end.join(gap.join(str(value) for value in row) for row in labels) + end


@pytest.mark.parametrize(("low", "high"), [(0, 9), (-1, 8), (-1, 300), (-40, 100_000)])
@pytest.mark.parametrize(("gap", "end"), [(" ", "\n"), ("\t", "\r\n"), ("  ", " \n\n")])
def test_text_equals_what_numpy_reads(tmp_path, low, high, gap, end):
    path = tmp_path / "a.regions.txt"
    path.write_text(as_text(RNG.integers(low, high, (7, 11)), gap, end))
    np.testing.assert_array_equal(read_text_labels(path), np.loadtxt(path, dtype=int))


def test_one_number(tmp_path):
    (tmp_path / "a.txt").write_text("-1")
    assert read_text_labels(tmp_path / "a.txt").tolist() == [[-1]]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("0 1 2\n3 4\n", "rows differ in length"),
        ("0 1\n2 x\n", "whole numbers"),
        ("0 1\n2 0.5\n", "whole numbers"),
        ("0 -\n1 2\n", "whole numbers"),
        ("0 1-1\n", "whole numbers"),
    ],
)
def test_text_refuses(tmp_path, content, part):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=part):
        read_text_labels(tmp_path / "a.txt")


def test_context_and_sbd(tmp_path):
    labels = RNG.integers(0, 459, (7, 11)).astype(np.uint16)
    savemat(tmp_path / "context.mat", {"LabelMap": labels})
    savemat(tmp_path / "sbd.mat", {"GTcls": {"Segmentation": (labels % 21).astype(np.uint8), "Boundaries": [1]}})
    np.testing.assert_array_equal(read_matlab_labels(tmp_path / "context.mat"), labels)
    np.testing.assert_array_equal(read_matlab_labels(tmp_path / "sbd.mat"), labels % 21)


def test_another_matlab_file_says_what_it_holds(tmp_path):
    savemat(tmp_path / "a.mat", {"picture": np.zeros((2, 2))})
    with pytest.raises(DataError, match="holds picture; expected LabelMap"):
        read_matlab_labels(tmp_path / "a.mat")


@pytest.mark.parametrize("content", [b"", b"not a mat file", b"MATLAB 5.0 MAT-file" + b" " * 120])
def test_matlab_refuses(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mat"):
        read_matlab_labels(tmp_path / "a.mat")


def test_matlab_truncated(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"LabelMap": RNG.integers(0, 459, (70, 110)).astype(np.uint16)})
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_matlab_labels(path)


def test_missing_files(tmp_path):
    for reader in (read_matlab_labels, read_text_labels):
        with pytest.raises(DataError, match="no such label file"):
            reader(tmp_path / "none.mat")
