import pytest
import torch

from segfield.errors import SettingError
from segfield.losses import build_loss, cross_entropy, dice, focal, lovasz
from tests.losses.cases import IGNORED, batch


def test_a_single_name():
    logits, labels = batch()
    values = build_loss("cross_entropy", IGNORED)(logits, labels)
    assert values.keys() == {"cross_entropy"}
    torch.testing.assert_close(values["cross_entropy"], cross_entropy(logits, labels, IGNORED))


def test_factors_and_sums():
    logits, labels = batch()
    values = build_loss("0.5*lovasz + cross_entropy+2e-1*dice", IGNORED)(logits, labels)
    torch.testing.assert_close(values["lovasz"], 0.5 * lovasz(logits, labels, IGNORED))
    torch.testing.assert_close(values["cross_entropy"], cross_entropy(logits, labels, IGNORED))
    torch.testing.assert_close(values["dice"], 0.2 * dice(logits, labels, IGNORED))


def test_options_in_a_mapping():
    logits, labels = batch()
    values = build_loss({"focal": {"factor": 0.5, "gamma": 3.0}, "dice": 2}, IGNORED)(logits, labels)
    torch.testing.assert_close(values["focal"], 0.5 * focal(logits, labels, IGNORED, gamma=3.0))
    torch.testing.assert_close(values["dice"], 2 * dice(logits, labels, IGNORED))


def test_weights_reach_the_terms_that_take_them():
    logits, labels = batch()
    class_weights, pixel_weights = torch.tensor([0.2, 1.0, 3.0, 0.5, 9.6]), torch.rand(labels.shape)
    combined = build_loss({"cross_entropy": 1.0, "focal": {"gamma": 1.0}, "dice": 1.0}, IGNORED, class_weights)
    values = combined(logits, labels, pixel_weights)
    weights = {"class_weights": class_weights, "pixel_weights": pixel_weights}
    torch.testing.assert_close(values["cross_entropy"], cross_entropy(logits, labels, IGNORED, **weights))
    torch.testing.assert_close(values["focal"], focal(logits, labels, IGNORED, gamma=1.0, **weights))
    torch.testing.assert_close(values["dice"], dice(logits, labels, IGNORED))


def test_the_class_table_gives_the_ignored_id(three_classes):
    assert build_loss("dice", three_classes).ignored_id == three_classes.ignored_id
    with pytest.raises(SettingError, match="2 class weights for 3 classes"):
        build_loss("dice", three_classes, torch.ones(2))


@pytest.mark.parametrize(
    "terms, said",
    [
        ("cross_entropi", "did you mean cross_entropy"),
        ("ohem", r"no loss 'ohem'.*ohem_cross_entropy"),
        ("half*dice", r"write e\.g\. 0\.5\*dice"),
        ("dice+dice", "stands twice"),
        ("", "there is no loss ''"),
        ({}, "no terms"),
        ({"focal": {"gama": 2}}, "did you mean gamma"),
        ({"dice": {"gamma": 2}}, "dice.*'gamma'"),
        ({"dice": -1}, "factor of dice is -1"),
        ("nan*dice", "factor of dice is nan"),
        ({"dice": True}, "factor of dice is True"),
    ],
)
def test_what_is_not_understood_is_said(terms, said):
    with pytest.raises(SettingError, match=said):
        build_loss(terms, IGNORED)
