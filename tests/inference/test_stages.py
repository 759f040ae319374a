"""Stages in threads: order, how far one runs ahead, and errors from anywhere."""

import itertools
import threading
import time

import pytest

from segfield.inference.stages import Stages


def alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("segfield-s")]


def test_order_is_kept_through_all_stages():
    seen, also = [], []
    with Stages(2) as stages:
        first = stages.sink(lambda item: (time.sleep(0.002 * (item % 3)), seen.append(item)))
        second = stages.sink(also.append)
        for item in stages.source(range(50)):
            first(item)
            second(-item)
    assert seen == list(range(50))
    assert also == [-item for item in range(50)]
    assert not alive()


@pytest.mark.parametrize("room", [1, 4])
def test_no_stage_runs_far_ahead(room):
    """What bounds memory: items made but not yet consumed are those in two queues, and one in each hand."""
    made, done, ahead = [], [], []

    def slowly(item):
        time.sleep(0.003)
        done.append(item)
        ahead.append(len(made) - len(done))

    def items():
        for item in range(60):
            made.append(item)
            yield item

    with Stages(room) as stages:
        put = stages.sink(slowly)
        for item in stages.source(items()):
            put(item)
    assert done == list(range(60))
    assert max(ahead) <= 2 * room + 3


def test_stages_work_at_the_same_time():
    """Three of them wait for each other at every item: one after the other they would wait for ever."""
    meeting = threading.Barrier(3, timeout=300)

    def items():
        for item in range(8):
            yield item
            meeting.wait()

    with Stages() as stages:
        put = stages.sink(lambda item: meeting.wait())
        for item in stages.source(items()):
            put(item)
            meeting.wait()
    assert not alive()


def test_a_source_need_not_be_used_up():
    seen = []
    with Stages() as stages:
        put = stages.sink(seen.append)
        for item in stages.source(itertools.count()):
            put(item)
            if item == 7:
                break
    assert seen == list(range(8))
    assert not alive()


class Trouble(Exception):
    pass


def failing(after):
    for item in range(1000):
        if item == after:
            raise Trouble("source")
        yield item


def test_an_error_in_the_source_is_raised_and_all_ends():
    seen = []
    with pytest.raises(Trouble, match="source"), Stages() as stages:
        put = stages.sink(seen.append)
        for item in stages.source(failing(5)):
            put(item)
    assert seen == sorted(seen)
    assert not alive()


def test_an_error_in_a_sink_stops_the_others():
    def refuse(item):
        if item == 3:
            raise Trouble("sink")

    seen = []
    with pytest.raises(Trouble, match="sink"), Stages() as stages:
        put, other = stages.sink(refuse), stages.sink(seen.append)
        for item in stages.source(range(100_000)):
            put(item)
            other(item)
    assert len(seen) < 100
    assert not alive()


def test_an_error_with_the_last_item_is_not_lost():
    def refuse(item):
        time.sleep(0.05)
        raise Trouble("late")

    with pytest.raises(Trouble, match="late"), Stages() as stages:
        stages.sink(refuse)(1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_the_middle_wins_and_nothing_hangs(error):
    with pytest.raises(error), Stages(1) as stages:
        put = stages.sink(lambda item: time.sleep(0.01))
        for item in stages.source(range(100_000)):
            put(item)
            if item == 5:
                raise error
    assert not alive()
