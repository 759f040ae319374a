"""Batches reach the run whole whether shared memory has room for them or not."""

from __future__ import annotations

import pytest
import torch

from segfield import machine
from segfield.machine import Room
from segfield.training.passing import SPARE, came_by_pipe, received, sent, size_of, too_little


def _batch() -> tuple[torch.Tensor, torch.Tensor, None]:
    return torch.arange(96.0).reshape(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8), None


@pytest.mark.parametrize(("free", "by_pipe"), [(0, True), (SPARE, True), (SPARE + 416, False), (None, False)], ids=str)
def test_it_comes_whole(monkeypatch: pytest.MonkeyPatch, free: int | None, by_pipe: bool) -> None:
    monkeypatch.setattr(machine, "shared_memory", lambda: Room(free, free))
    images, labels, _ = _batch()
    assert size_of(_batch()) == 416
    passed = sent(_batch())
    assert came_by_pipe(passed) is by_pipe
    found = received(passed)
    assert found[0] is not None and torch.equal(found[0], images) and found[0].is_shared() is not by_pipe
    assert found[1] is not None and torch.equal(found[1], labels) and found[1].dtype == torch.uint8
    assert found[2] is None


def test_where_another_was_quicker_it_still_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

    monkeypatch.setattr(machine, "shared_memory", lambda: Room(2**40, 2**40))
    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    passed = sent(_batch())
    assert came_by_pipe(passed) and torch.equal(received(passed)[0], _batch()[0])  # type: ignore[arg-type]


def test_the_note_has_the_size_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "shared_memory", lambda: Room(64 * 10**6, 3 * 10**6))
    told = too_little(20 * 10**6, workers=4)  # two batches a worker, two on the way: ten of 20 MB, and what is spared
    assert "3 MB free" in told and "--shm-size=209m" in told and "--workers 0" in told
