"""A training's threads: the user's word, else what is free; said where the machine is taken."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator

import pytest
import torch
from rich.console import Console

from segfield.load import Taken
from segfield.training import threads as module
from segfield.training.recipe import Recipe
from segfield.training.threads import give_threads, go_on_with_threads
from tests.fake_machine import FakeMachine, fake

__all__ = ["fake"]
RECIPE = Recipe(data="", out="", device="cpu")


@pytest.fixture(autouse=True)
def _threads_stay() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def busy(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """8 cores, 3 of them taken."""
    fake.cores(8)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(module, "taken", lambda: Taken(3.1, 0.0))
    return fake


def given(recipe: Recipe) -> tuple[int, str]:
    said = io.StringIO()
    threads = give_threads(recipe, Console(file=said))
    assert torch.get_num_threads() == threads
    return threads, said.getvalue().strip()


def test_threads_go_where_it_is_free_and_the_user_is_told(busy: FakeMachine) -> None:
    assert given(RECIPE) == (5, "3 of 8 cores are busy with other work; training with 5 threads")
    assert give_threads(RECIPE) == 5  # without a console in silence


def test_an_idle_machine_is_not_spoken_of(busy: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "taken", lambda: Taken(0.2, 0.1))
    assert given(RECIPE) == (8, "")


def test_a_system_that_does_not_tell(busy: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "taken", lambda: None)
    assert given(RECIPE) == (8, "")


def test_the_users_word_is_obeyed_without_a_look(busy: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "taken", None)
    assert given(dataclasses.replace(RECIPE, threads=2)) == (2, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert given(RECIPE) == (6, "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert given(dataclasses.replace(RECIPE, devices=2)) == (8, "")  # partners would count as others
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert given(RECIPE) == (8, "")


def test_a_run_goes_on_with_the_threads_it_began_with(busy: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the machine does by then: another number would round sums differently."""
    torch.set_num_threads(3)
    assert (go_on_with_threads(0, RECIPE), torch.get_num_threads()) == (3, 3)  # a new run
    assert (go_on_with_threads(5, RECIPE), torch.get_num_threads()) == (5, 5)
    assert (go_on_with_threads(64, RECIPE), torch.get_num_threads()) == (64, 5)  # of a larger machine
    assert (go_on_with_threads(2, dataclasses.replace(RECIPE, threads=5)), torch.get_num_threads()) == (2, 5)
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert (go_on_with_threads(2, RECIPE), torch.get_num_threads()) == (2, 5)
