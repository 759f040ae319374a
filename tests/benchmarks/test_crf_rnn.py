"""The list of pairs that the CRF-RNN benchmark trains on."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from segfield.data.formats import open_dataset

from ..data.tiny_layouts import make_stanford

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_labels_in_text_files_become_pictures_of_the_same_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import crf_rnn

    home = make_stanford(tmp_path / "data", count=130)
    options = argparse.Namespace(set="stanford_background", data=str(home), quick=False)
    pairs = crf_rnn.write_list(options, tmp_path)
    whole = open_dataset(f"stanford_background:{home}")
    listed = open_dataset(pairs, str(tmp_path / "classes.json"))
    assert [record.split for record in listed.records].count("tune") == 10 and len(listed) == len(whole)
    named = {sample.name: sample for sample in (listed[index] for index in range(len(listed)))}
    for index in (0, 30, 129):
        expected = whole[index]
        np.testing.assert_array_equal(named[expected.name].labels, expected.labels)
        np.testing.assert_array_equal(named[expected.name].image, expected.image)
