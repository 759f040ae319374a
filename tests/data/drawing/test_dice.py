"""The draws: published SplitMix64 numbers, even spread, and independence of streams."""

import numpy as np
import pytest

from segfield.data.drawing.dice import Dice, mix


def test_mix_gives_the_published_numbers():
    # SplitMix64 seeded with 1234567, the reference sequence of its C code.
    step, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    numbers = [mix((1234567 + step * n) & mask) for n in range(1, 6)]
    assert numbers == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_an_array_is_as_many_rolls():
    one, other = Dice(5, 1), Dice(5, 1)
    rolled = [one.roll() for _ in range(12)]
    assert other.array(3, 4).ravel().tolist() == rolled
    assert other.roll() == one.roll()


def test_equal_keys_equal_draws_other_keys_others():
    streams = {keys: tuple(Dice(*keys).array(4)) for keys in [(1,), (1, 0), (0, 1), (1, 2), (2, 1), (1, -2), (-1, 2)]}
    assert len(set(streams.values())) == len(streams)
    assert streams[(1, 2)] == tuple(Dice(1, 2).array(4))


def test_first_rolls_of_neighbouring_streams_are_uncorrelated():
    first = np.array([[Dice(seed, 3, k).roll() for k in range(60)] for seed in range(60)])
    assert abs(first.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(first[:, :-1].ravel(), first[:, 1:].ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(first[:-1].ravel(), first[1:].ravel())[0, 1]) < 0.06


@pytest.mark.parametrize("low, high", [(0, 3), (-2, 2), (5, 5)])
def test_whole_numbers_reach_both_ends(low, high):
    dice = Dice(8)
    seen = {dice.whole(low, high) for _ in range(400)}
    assert seen == set(range(low, high + 1))


def test_between_choice_and_chance():
    dice = Dice(9)
    values = [dice.between(-2, 5) for _ in range(500)]
    assert -2 <= min(values) < -1.8
    assert 4.8 < max(values) < 5
    assert {dice.choice("abc") for _ in range(100)} == set("abc")
    assert 0.2 < np.mean([dice.chance(0.3) for _ in range(1000)]) < 0.4
    assert not dice.chance(0)


def test_bytes_are_even_and_of_the_length_asked_for():
    values = Dice(3).bytes(100_003)
    assert values.dtype == np.uint8
    assert len(values) == 100_003
    counts = np.bincount(values, minlength=256)
    assert counts.min() > 300
    assert counts.max() < 480
