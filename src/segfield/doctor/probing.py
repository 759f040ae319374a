"""Run probes in processes of their own and gather what they say, whatever becomes of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Answers = dict[str, dict[str, Any]]


def probe(names: Sequence[str], timeout: float = 60.0, environment: Mapping[str, str] | None = None) -> Answers:
    """Examine `names` in one process after another: where one dies or hangs, the next goes on behind the culprit.

    Args:
        names: packages to import, or the probe's own names.
        timeout: seconds for all of them.
        environment: variables of the process; by default this one's.

    Returns:
        name → 'version' and 'seconds', or 'missing', or 'error' with the cause.
    """
    answers: Answers = {}
    left = list(names)
    until = time.monotonic() + timeout
    while left:
        said, begun, how = _run(left, max(0.1, until - time.monotonic()), environment)
        answers.update(said)
        left = [name for name in left if name not in said]
        if not left:
            break
        if how == "in time":
            answers.update({name: {"error": "the probe ended without a word on it"} for name in left})
            break
        culprit = begun if begun in left else left[0]
        answers[culprit] = {"error": how}
        left.remove(culprit)
        if time.monotonic() >= until:
            answers.update({name: {"error": "not examined: the time was used up"} for name in left})
            break
    return answers


def probe_all(groups: Sequence[Sequence[str]], timeout: float = 60.0) -> Answers:
    """Several groups of names, each in processes of its own, at once."""
    with ThreadPoolExecutor(len(groups)) as pool:
        parts = list(pool.map(lambda group: probe(group, timeout), groups))
    return {name: answer for part in parts for name, answer in part.items()}


def _run(names: Sequence[str], timeout: float, environment: Mapping[str, str] | None) -> tuple[Answers, str, str]:
    """(answers, the name begun last, how it ended: 'in time' or the reason it did not)."""
    command = [sys.executable, "-m", "segfield.doctor.probe", *names]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=None if environment is None else dict(environment),
    )
    try:
        output, _ = process.communicate(timeout=timeout)
        how = "in time" if process.returncode == 0 else _cause_of_death(process.returncode)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        how = f"it did not come back within {timeout:.0f} s"
    answers: Answers = {}
    begun = ""
    for line in output.decode("utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the line a dying process could not finish
        begun = entry.get("begin", begun)
        if "name" in entry:
            answers[entry.pop("name")] = entry
    return answers, begun, how


def _cause_of_death(status: int) -> str:
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        return f"the process crashed with {signal.Signals(-status).name}"
    except ValueError:
        return f"the process was ended by signal {-status}"
