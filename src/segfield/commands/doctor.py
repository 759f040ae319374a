"""`segfield doctor`: what is installed, broken or missing, and whether this machine can train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from segfield.doctor.diagnosis import Finding
    from segfield.doctor.probing import Answers

STYLES = {"ok": "green", "note": "yellow", "missing": "yellow", "broken": "red"}


@dataclass(frozen=True)
class DoctorReport:
    """The findings, row by row, and the verdict in a sentence."""

    findings: Sequence[Finding]
    verdict: str

    @property
    def exit_status(self) -> int:
        """Of the command: 1 if something segfield needs is missing or broken."""
        return int(any(row.fatal for row in self.findings))

    def __str__(self) -> str:
        return self.verdict


def doctor(*, folder: str = ".", quiet: bool = False) -> DoctorReport:
    """Tell what is installed, broken or missing: packages, processor, memory, disk, GPUs, and one small training step.

    Exit status 1 if something segfield needs does not work. Example: segfield doctor

    Args:
        folder: whose disk is asked for free room.
        quiet: print nothing; the report says it all.
    """
    from segfield.doctor.diagnosis import NAMES, machine_findings, package_findings, step_finding, verdict
    from segfield.doctor.machine import read_machine
    from segfield.doctor.probe import DEVICES, STEP
    from segfield.doctor.probing import probe_all

    answers = _while_waiting(lambda: probe_all(NAMES), quiet)
    findings = [
        *_own_findings(),
        *package_findings(answers),
        *machine_findings(read_machine(folder), answers.get(DEVICES, {})),
        step_finding(answers.get(STEP, {})),
    ]
    report = DoctorReport(findings, verdict(findings))
    if not quiet:
        from rich.console import Console

        show(report, Console(highlight=False))
    return report


def _own_findings() -> list[Finding]:
    import importlib.metadata
    import platform
    import sys

    from segfield.doctor.diagnosis import Finding

    try:
        own = importlib.metadata.version("segfield")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed as a package; run from its sources"
    where = f"{platform.python_version()} ({sys.executable})"
    old = sys.version_info < (3, 10)
    python = Finding(
        "python", "broken" if old else "ok", where, "segfield needs Python 3.10" if old else "", needed=True
    )
    return [Finding("segfield", "ok", own), python]


def _while_waiting(work: Callable[[], Answers], quiet: bool) -> Answers:
    if quiet:
        return work()
    from rich.console import Console

    with Console(stderr=True).status("importing every package in a process of its own"):
        return work()


def show(report: DoctorReport, console: Console) -> None:
    """The table and the verdict on the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="dim", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "state", "found"):
        table.add_column(column, no_wrap=column != "found")
    for row in report.findings:
        found = Text(row.found)
        if row.mend:
            found.append(f"\n→ {row.mend}", style="bold")
        table.add_row(row.subject, Text(row.state, style=STYLES[row.state]), found)
    console.print(table)
    style = "bold red" if report.exit_status else "bold green"
    console.print(Text(report.verdict, style=style), soft_wrap=True)
