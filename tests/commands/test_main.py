"""The command line's frame: help, unknown verbs, exit statuses."""

from __future__ import annotations

import signal
import warnings

import pytest

import segfield
from segfield.commands import main as main_module
from segfield.commands.main import VERBS, main
from segfield.errors import DataError


def test_help_names_every_verb_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb, (_, what, example) in VERBS.items():
        assert f"  {verb}" in shown
        assert what in shown
        assert example in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"segfield {segfield.__version__}"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: segfield {verb}" in shown
    assert "example: " in shown


def test_a_misspelt_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evalute"]) == 2
    assert "did you mean evaluate?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (DataError("file x is empty; give another"), 2, "segfield: file x is empty; give another"),
        (KeyboardInterrupt(), 2, "stopped"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "Permission denied (/x/y)"),
        (MemoryError(), 2, "there is not enough memory for this; give a smaller --batch_size"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), 2, "there is not enough memory"),
    ],
)
def test_errors_are_one_sentence(
    error: BaseException, status: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_run", fail)
    assert main(["check", "x"]) == status
    printed = capsys.readouterr().err
    assert shown in printed
    assert printed.count("\n") == 1


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str]) -> int:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(main_module, "_run", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["check", "x"])


def test_warnings_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = warnings.formatwarning
    shown: list[str] = []

    def warn(words: list[str]) -> int:
        shown.append(warnings.formatwarning("a.gif holds 3 frames", UserWarning, "images.py", 7))
        return 0

    monkeypatch.setattr(main_module, "_run", warn)
    assert main(["check", "x"]) == 0
    assert shown == ["note: a.gif holds 3 frames\n"]
    assert warnings.formatwarning is usual


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_any_verb_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """And a second one while it is said ends nothing more; handlers are put back."""
    before = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)]
    told = main_module._told

    def run(words: list[str]) -> int:
        signal.raise_signal(number)
        return 0

    def again(error: BaseException) -> int:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        return told(error)

    monkeypatch.setattr(main_module, "_run", run)
    monkeypatch.setattr(main_module, "_told", again)
    try:
        assert main(["train"]) == 2
        assert "stopped" in capsys.readouterr().err
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for handled, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(handled, handler)
