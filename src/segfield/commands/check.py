"""`segfield check`: what is wrong with a data set, before any training; one table, and an HTML page where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segfield.errors import DataError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from segfield.data.check import CheckReport, Problem
    from segfield.data.dataset import Dataset

MADE_BY = '<meta name="generator" content="segfield check">'  # in every page of check, and in nothing of the user's
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


def check(
    data: str, *, classes: str | None = None, out: str | None = None, workers: int = 0, quiet: bool = False
) -> CheckReport:
    """Say what is wrong with a data set: sizes, classes with their pixel shares, unknown mask values, mismatched pairs.

    Exit status 1 if training could not start. Example: segfield check folder:my_data --out check.html

    Args:
        data: the data set: a path, or FORMAT:PATH (see segfield data).
        classes: class table, a YAML, JSON or text file; by default the data set's own.
        out: HTML page to write, or a folder for check.html.
        workers: threads that open samples; 0 for one a processor.
        quiet: show nothing while it runs, and no table.

    Returns:
        The report; `.usable`, `.verdict` and `.problems` say what was found.
    """
    from rich.console import Console

    from segfield.data.check import check_dataset

    if workers < 0:
        raise SettingError(f"workers is {workers}; choose 0 for one a processor, or a number above")
    page = None if out is None else page_path(Path(out))
    dataset, obstacle = open_or_explain(data, classes)
    report = _with_progress(lambda tick: check_dataset(dataset, data, workers, tick, obstacle), quiet)
    if page is not None:
        from segfield.data.check.page import render_page
        from segfield.data.files import write_text

        write_text(page, render_page(report, dataset))
        report.page = str(page)
    if not quiet:
        show(report, Console())
    return report


def open_or_explain(data: str, classes: str | None) -> tuple[Dataset, str]:
    """The data set, and '' or the reason why it cannot be opened as it is.

    One broken mask keeps the classes from being read off the masks; a table that knows all 8-bit values then stands in,
    so that every broken file is found and not the first alone.

    Raises:
        DataError: if not even that opens it.
    """
    from segfield.classes import ClassTable
    from segfield.data.formats import open_dataset

    try:
        return open_dataset(data, classes), ""
    except DataError as error:
        if classes is not None:
            raise
        try:
            return open_dataset(data, ClassTable(tuple(f"value {i}" for i in range(255)))), str(error)
        except DataError:
            raise error from None


def _with_progress(work: Callable[[Callable[[int, int], None] | None], CheckReport], quiet: bool) -> CheckReport:
    if quiet:
        return work(None)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("opening samples"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("check", total=None)
        return work(lambda done, total: progress.update(task, completed=done, total=total))


def page_path(out: Path) -> Path:
    """Where the page goes. Raises SettingError rather than overwrite a file that is no page of check."""
    path = out / "check.html" if out.is_dir() or not out.suffix else out
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingError(f"the page cannot be written to {path}; give a name that ends in .html, or a folder")
    if path.exists() and MADE_BY not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise SettingError(f"{path} is there and is no page of check; choose another name with --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def show(report: CheckReport, console: Console) -> None:
    """The table, the problems and the verdict on the terminal."""
    from rich.markup import escape

    console.print(escape(report.layout), soft_wrap=True, highlight=False)
    if not report.obstacle:  # else the class table is a stand-in
        _show_classes(report, console)
    _show_images(report, console)
    for problem in report.problems:
        _show_problem(problem, console)
    style = "bold red" if not report.usable else "bold green" if report.verdict == "usable" else "bold yellow"
    where = f"; page: {escape(report.page)}" if report.page else "; --out check.html makes a page with pictures"
    line = f"{len(report.facts):,} samples in {report.seconds:.1f} s{where}"
    console.print(f"[{style}]{report.verdict}[/]: {line}", soft_wrap=True, highlight=False)


def _show_classes(report: CheckReport, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    columns = report.main_splits or (None,)
    table = Table(header_style="dim", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", justify="right")
    table.add_column("class", no_wrap=True, max_width=24)
    for column in columns:
        table.add_column(column or "pixels", justify="right")
        table.add_column("images", justify="right", no_wrap=True)
    for name in report.weights:
        table.add_column(f"{name.split('_')[0]} weight", justify="right", max_width=7)
    pixels = [report.pixels(column) for column in columns]
    images = [report.images_with(column) for column in columns]
    for i, name in enumerate(report.classes.names):
        cells = []
        for count, there in zip(pixels, images):
            cells += [f"{count[i] / max(int(count.sum()), 1):.2%}", str(there[i])]
        swatch = "rgb({},{},{})".format(*report.classes.colours[i])
        weights = [f"{values[i]:.3f}" for values in report.weights.values()]
        style = None if any(there[i] for there in images) else "dim"
        table.add_row(str(i), f"[{swatch}]██[/] {_plain(name)}", *cells, *weights, style=style)
    console.print(table)


def _show_images(report: CheckReport, console: Console) -> None:
    sizes = ", ".join(f"{count} × {w}×{h}" for (h, w), count in report.sizes.most_common(4))
    more = f" and {len(report.sizes) - 4} more sizes" if len(report.sizes) > 4 else ""
    kinds = ", ".join(f"{count} with {_bands(bands)} {dtype}" for (bands, dtype), count in report.kinds.most_common(3))
    masks = ", ".join(f"{count} {kind}" for kind, count in report.encodings.most_common(4)) or "none in files"
    console.print(f"[dim]images[/]  {sizes}{more}; {kinds}", soft_wrap=True, highlight=False)
    console.print(
        f"[dim]masks[/]   {_plain(masks)}; {report.ignored_share:.2%} of their pixels ignored",
        soft_wrap=True,
        highlight=False,
    )
    if report.band_stats is not None:
        stats = report.band_stats
        rows = [f"{m:.4g} ± {s:.4g}" for m, s in zip(stats.mean[:6], stats.std[:6])]
        span = f"{stats.low.min():.6g} to {stats.high.max():.6g}"
        console.print(
            f"[dim]values[/]  {span}; mean ± standard deviation of each band: {', '.join(rows)}",
            soft_wrap=True,
            highlight=False,
        )


def _show_problem(problem: Problem, console: Console) -> None:
    console.print(
        f"[{STYLES[problem.severity]}]{problem.severity}[/] {_plain(problem.message)}", soft_wrap=True, highlight=False
    )
    limit = 4 if problem.severity == "error" else 2
    for file in problem.files[:limit]:
        console.print(f"    [dim]{_plain(file)}[/]", soft_wrap=True, highlight=False)
    if len(problem.files) > limit:
        console.print(
            f"    [dim]… {problem.count - limit if problem.count > limit else len(problem.files) - limit} more[/]"
        )
    for line in problem.paste.splitlines():
        console.print(f"    [bold]{_plain(line)}[/]", soft_wrap=True, highlight=False)


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
