"""Ranking and differences against sums by hand and against the single pieces they are made of."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segfield.errors import DataError
from segfield.evaluation.bootstrap import bootstrap_difference
from segfield.evaluation.comparison import (
    FailedRun,
    compare_runs,
    differing_settings,
    most_disputed,
)
from segfield.evaluation.scores import mean_iou_from_tally
from tests.evaluation.compared import IMAGES, NAMES, scored, tallies

NETWORKS = {"low": "unet", "high": "fcn8s", "broken": "icnet", "middle": "unet"}


@pytest.fixture(scope="module")
def comparison():
    shares = {"low": 0.5, "high": 0.8, "middle": 0.7}
    runs = [scored(name, seed, share) for seed in (2, 0, 1) for name, share in shares.items()]
    runs = [run for run in runs if (run.recipe, run.seed) != ("middle", 1)]
    failures = [FailedRun("broken", 0, "it diverged"), FailedRun("middle", 1, "no memory")]
    return compare_runs(NETWORKS, runs, failures, images=NAMES, facts={"data": "x", "split": "val"})


def test_best_is_on_top_and_what_failed_below(comparison):
    assert [row.name for row in comparison.rows] == ["high", "middle", "low", "broken"]
    assert [row.network for row in comparison.rows] == ["fcn8s", "unet", "unet", "icnet"]
    assert [(row.name, len(row.runs), len(row.failures)) for row in comparison.rows][1:] == [
        ("middle", 2, 1), ("low", 3, 0), ("broken", 0, 1),
    ]  # fmt: skip
    assert comparison.exit_status == 2
    assert [failed.reason for failed in comparison.failures] == ["no memory", "it diverged"]


def test_mean_and_deviation_over_the_seeds(comparison):
    row = comparison.rows[0]
    values = [float(mean_iou_from_tally(*tallies(0.8, seed).sum(axis=1))) for seed in range(3)]
    assert row.mean_iou == pytest.approx(sum(values) / 3)
    assert row.deviation == pytest.approx(math.sqrt(sum((v - sum(values) / 3) ** 2 for v in values) / 2))
    assert row.mean("boundary_iou") == pytest.approx(0.4)
    assert math.isnan(comparison.rows[-1].mean_iou) and math.isnan(comparison.rows[-1].median("prediction_rate"))


def test_one_seed_has_no_deviation():
    single = compare_runs({"a": "unet"}, [scored("a", 0, 0.5)], images=NAMES)
    assert math.isnan(single.rows[0].deviation)
    assert single.neighbours == () and single.exit_status == 0
    assert single.verdict() == f"a is first with mIoU {100 * single.rows[0].mean_iou:.2f}"


def test_costs_are_medians_and_largest():
    rates = [{"prediction_rate": r, "training_memory": m} for r, m in ((10.0, 5), (30.0, None), (11.0, 7))]
    row = compare_runs({"a": "unet"}, [scored("a", i, 0.5, **c) for i, c in enumerate(rates)], images=NAMES).rows[0]
    assert row.median("prediction_rate") == 11.0 and row.largest("training_memory") == 7
    unknown = compare_runs({"a": "unet"}, [scored("a", 0, 0.5, training_memory=None)], images=NAMES).rows[0]
    assert math.isnan(unknown.largest("training_memory")) and unknown.as_dict()["training_memory"] is None


def test_neighbours_differ_by_their_means_over_the_seeds_both_have(comparison):
    first, second = comparison.neighbours
    assert (first.better, first.worse, first.seeds) == ("high", "middle", (0, 2))
    assert (second.better, second.worse, second.seeds) == ("middle", "low", (0, 2))
    by_seed = {(row.name, run.seed): run.mean_iou for row in comparison.rows for run in row.runs}
    expected = np.mean([by_seed["high", s] - by_seed["middle", s] for s in (0, 2)])
    assert first.difference.interval.value == pytest.approx(expected)
    assert first.difference.interval.low < expected < first.difference.interval.high


def test_the_interval_is_that_of_the_seeds_mean_in_every_resample(comparison):
    """Drawn here once more, seed by seed, with the weights the bootstrap draws."""
    weights = np.random.default_rng(0).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=1000)
    drawn = np.zeros(1000)
    for seed in (0, 2):
        for share, sign in ((0.8, 1), (0.7, -1)):
            drawn += sign * mean_iou_from_tally(*(weights @ tallies(share, seed))) / 2
    interval = comparison.neighbours[0].difference.interval
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def test_with_one_seed_it_is_the_plain_paired_bootstrap():
    found = compare_runs({"a": "u", "b": "u"}, [scored("a", 0, 0.5), scored("b", 0, 0.8)], images=NAMES)
    assert found.neighbours[0].difference == bootstrap_difference(tallies(0.5, 0), tallies(0.8, 0))


def test_recipes_without_a_common_seed_are_not_compared():
    found = compare_runs({"a": "u", "b": "u"}, [scored("a", 0, 0.5), scored("b", 1, 0.8)], images=NAMES)
    assert [row.name for row in found.rows] == ["b", "a"] and found.neighbours == ()


def test_equals_stay_in_the_order_they_were_given():
    found = compare_runs({"b": "u", "a": "u"}, [scored("a", 0, 0.5), scored("b", 0, 0.5)], images=NAMES)
    assert [row.name for row in found.rows] == ["b", "a"]
    assert found.verdict().endswith("; these images do not tell the two apart")


def test_the_verdict_says_how_far_and_how_sure(comparison):
    row, interval = comparison.rows[0], comparison.neighbours[0].difference.interval
    assert comparison.verdict() == (
        f"high is first with mIoU {100 * row.mean_iou:.2f} ± {100 * row.deviation:.2f}, {100 * interval.value:.2f} points above "
        f"middle (95 % interval {100 * interval.low:+.2f} to {100 * interval.high:+.2f}, over the 2 of its seeds that both "
        "finished)"
    )


def test_other_images_are_refused():
    other = scored("b", 0, 0.8)
    other.tallies[1] += 1
    with pytest.raises(DataError, match=r"'b' and 'a'.*other images or masks"):
        compare_runs({"a": "u", "b": "u"}, [scored("a", 0, 0.5), other], images=NAMES)


def test_disputed_images_are_those_with_the_widest_spread(comparison):
    values = np.array([mean_iou_from_tally(*tallies(share, 0)) for share in (0.8, 0.7, 0.5)])
    spread = np.ptp(values, axis=0)
    chosen = most_disputed(comparison, 4)
    assert len(chosen) == 4 and chosen[0] == spread.argmax()
    assert min(spread[chosen]) >= max(np.delete(spread, chosen))


def test_settings_that_differ():
    settings = {
        "a": {"model": "unet", "augment": {"flip": True, "crop": (32, 32)}, "rates": {}},
        "b": {"model": "unet", "augment": {"flip": False, "crop": (32, 32)}, "rates": {"*.bias": 2}},
    }
    assert differing_settings(settings) == {
        "augment.flip": {"a": True, "b": False}, "rates.*.bias": {"a": None, "b": 2},
    }  # fmt: skip


def test_json_holds_everything(comparison):
    told = json.loads(json.dumps(comparison.as_dict(), allow_nan=False))
    assert [row["recipe"] for row in told["rows"]] == ["high", "middle", "low", "broken"]
    assert told["rows"][0]["mean_iou"] == pytest.approx(comparison.rows[0].mean_iou)
    assert told["rows"][0]["runs"][1] == {
        "seed": 1, "mean_iou": comparison.rows[0].runs[1].mean_iou, "unrefined": None,
        "parameters": 2_000_000, "multiply_adds": 3_000_000_000,
        "image_size": [48, 64], "training_seconds": 60.0, "training_rate": 20.0, "training_memory": 512 * 2**20,
        "prediction_rate": 10.0, "prediction_memory": 128 * 2**20, "device": "cpu",
    }  # fmt: skip
    assert told["rows"][3]["mean_iou"] is None and told["rows"][3]["failures"] == [{"seed": 0, "reason": "it diverged"}]
    assert told["differences"][0]["low"] == comparison.neighbours[0].difference.interval.low
    assert told["images"] == IMAGES and set(told["how_measured"]) >= {"mIoU", "memory", "multiply–adds"}
