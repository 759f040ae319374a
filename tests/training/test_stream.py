"""The stream of samples: every one once a pass, from the seed alone."""

from __future__ import annotations

from segfield.training.stream import Stream, item_seed


def test_every_sample_comes_once_a_pass() -> None:
    stream = Stream(10, seed=1)
    passes = [[stream[p] for p in range(k * 10, k * 10 + 10)] for k in range(3)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]
    assert [Stream(10, seed=1)[p] for p in range(30)] == [i for one in passes for i in one]
    assert [Stream(10, seed=2)[p] for p in range(10)] != passes[0]


def test_item_seeds_differ() -> None:
    seeds = {item_seed(s, p) for s in range(20) for p in range(500)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)
