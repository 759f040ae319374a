"""From names, files and tables to refiners, and what is refused on the way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.edge_aware import DomainTransform, GuidedFilter
from segfield.crf.presets import PRESETS
from segfield.crf.refiner import REFINERS, build_refiner, chosen_refiner, describe_refiner, named_refiner, refined
from segfield.errors import DataError, SettingError
from tests.inference.networks import Confident


@pytest.mark.parametrize("name", REFINERS)
def test_every_refiner_comes_back_from_its_table_through_json(name):
    refiner = build_refiner({"name": name})
    document = json.loads(json.dumps(refiner.as_dict()))
    assert document["name"] == name
    assert build_refiner(document) == refiner


def test_settings_of_a_table_arrive():
    assert build_refiner({"name": "dense_crf", "bilateral_sxy": 12.0}) == DenseCRF(bilateral_sxy=12.0)
    assert build_refiner({"name": "guided_filter", "radius": 3}) == GuidedFilter(radius=3)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"name": "dense_cfr"}, r"'dense_cfr'.*dense_crf\?"),
        ({"iterations": 3}, "no refiner 'None'"),
        ({"name": ["dense_crf"]}, "no refiner"),
        ({"name": "guided_filter", "radios": 3}, r"'radios'.*radius\?"),
        ({"name": "domain_transform", "sxy": -1}, "sxy of domain_transform is -1.*above 0"),
        ({"name": "guided_filter", "eps": float("nan")}, "eps of guided_filter is nan"),
        ({"name": "guided_filter", "radius": True}, "radius of guided_filter is True"),
    ],
)
def test_tables_that_do_not_fit(document, told):
    with pytest.raises(SettingError, match=told):
        build_refiner(document)


def test_choices():
    carried = DomainTransform()
    assert chosen_refiner("auto") is None and chosen_refiner("auto", carried) is carried
    assert chosen_refiner("off", carried) is None and chosen_refiner(None, carried) is None
    assert chosen_refiner("on", carried) is carried and chosen_refiner("on") == DenseCRF()
    assert chosen_refiner("guided_filter", carried) == GuidedFilter()
    assert chosen_refiner({"name": "domain_transform", "sxy": 2}) == DomainTransform(sxy=2)
    assert chosen_refiner(carried) is carried
    with pytest.raises(SettingError, match=r"refine is int.*auto, off, on"):
        chosen_refiner(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_dense_crfs(name):
    assert named_refiner(name) == DenseCRF.preset(name)


def test_a_misspelt_name_is_told_all_that_would_work():
    with pytest.raises(SettingError, match=r"'of'.*off\?.*deeplab.*JSON"):
        chosen_refiner("of")
    with pytest.raises(SettingError, match=r"did you mean deeplab"):
        named_refiner("deeplap")


def test_json_files(tmp_path):
    file = tmp_path / "my crf.json"
    file.write_text(json.dumps({"name": "dense_crf", "gaussian_weight": 1.5}))
    assert named_refiner(str(file)) == DenseCRF(gaussian_weight=1.5)
    file.write_text("[1, 2]")
    with pytest.raises(SettingError, match=r"my crf\.json.*no refiner.*write one"):
        named_refiner(str(file))
    file.write_text('{"name": "dense_crf", "sxy": 3}')
    with pytest.raises(SettingError, match=r"my crf\.json.*'sxy'"):
        named_refiner(str(file))
    file.write_text('{"name": "dens')
    with pytest.raises(DataError, match=r"my crf\.json.*damaged"):
        named_refiner(str(file))
    with pytest.raises(DataError, match=r"none\.json.*no such"):
        named_refiner(str(tmp_path / "none.json"))


def test_a_refiner_in_one_line():
    assert describe_refiner(None) is None
    assert describe_refiner(GuidedFilter(radius=4)) == "guided_filter radius=4 eps=100.0"
    assert describe_refiner(DenseCRF(iterations=7)).startswith("dense_crf bilateral_weight=4.0")
    assert describe_refiner(DenseCRF(iterations=7)) != describe_refiner(DenseCRF())


def test_what_a_refiner_gives_must_fit():
    class Cropping:
        def __call__(self, image, *, probabilities):
            return probabilities[:, 1:]

        def as_dict(self):
            return {"name": "cropping"}

    with pytest.raises(SettingError, match=r"Cropping .*\(2, 3, 5\).*\(2, 4, 5\)"):
        refined(Cropping(), np.zeros((1, 4, 5)), np.zeros((2, 4, 5)))


def test_it_is_given_contiguous_float32():
    class Looking:
        def __call__(self, image, *, probabilities):
            assert probabilities.dtype == np.float32 and probabilities.flags.c_contiguous and image.flags.c_contiguous
            return probabilities.astype(np.float64)

        def as_dict(self):
            return {"name": "looking"}

    grey = np.broadcast_to(np.arange(20, dtype=np.uint8).reshape(1, 4, 5), (3, 4, 5))
    found = refined(Looking(), grey, np.full((5, 4, 2), 0.5, np.float16).T)
    assert found.dtype == np.float32 and (found == 0.5).all()


def test_nan_of_a_refiner_names_its_settings():
    """NaN has no largest class; argmax would call it class 0."""

    class Overflows(Confident):
        def __call__(self, image, *, probabilities):
            found = probabilities.copy()
            found[:, 1, 2] = np.nan
            return found

    image, probabilities = np.zeros((3, 4, 5), np.uint8), np.full((2, 4, 5), 0.5, np.float32)
    with pytest.raises(SettingError, match=r"NaN .* at 1 of 20 pixels.*confident favoured=1.*--refine off"):
        refined(Overflows(), image, probabilities)


def test_nan_is_not_given_to_a_refiner():
    probabilities = np.full((2, 4, 5), 0.5, np.float32)
    probabilities[1, 2, 3] = np.inf
    refiner = Confident()
    with pytest.raises(DataError, match=r"infinite at 1 of 20 pixels .*row 2, column 3"):
        refined(refiner, np.zeros((3, 4, 5), np.uint8), probabilities)
    assert not refiner.calls
