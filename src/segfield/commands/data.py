"""`segfield data`: the data sets known by name, where each is got, and the getting of it, verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from segfield.data.catalogue import CATALOGUE, Archive, Entry, find_entry
from segfield.errors import DataError, SettingError

if TYPE_CHECKING:
    from rich.console import Console

    from segfield.data.dataset import Dataset
    from segfield.data.download import Download

Result = TypeVar("Result")


def data(
    name: str | None = None, *, get: bool = False, out: str = ".", url: str | None = None, sha256: str | None = None
) -> str | None:
    """List the known data sets; tell how one is got; or get it: resumed, verified, unpacked with care, and opened.

    Example: segfield data stanford_background --get --out data

    Args:
        name: the data set; all are listed where none is given.
        get: fetch it, which starts again where an earlier try stopped.
        out: folder to fetch and unpack into.
        url: another address of its archive.
        sha256: what the archive's SHA-256 must be.

    Returns:
        What other verbs call the data set (FORMAT:PATH) once it is fetched, else None.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if name is None:
        if get or url or sha256:
            raise SettingError("--get, --url and --sha256 need the name of a data set; segfield data lists them")
        show_all(console)
        return None
    entry = find_entry(name)
    if not get:
        if url or sha256:
            raise SettingError(
                f"--url and --sha256 say how to fetch; add --get: segfield data {name} --get --out FOLDER"
            )
        show_one(entry, console)
        return None
    if entry.name == "scenes":
        from segfield.data.scenes import write_scenes

        where = f"{entry.layout}:{write_scenes(out)}"
    else:
        where = fetch(entry, Path(out), url, sha256, console)
    console.print(f"next: segfield check {where} --out check.html", soft_wrap=True, markup=False)
    return where


def fetch(entry: Entry, folder: Path, url: str | None, sha256: str | None, console: Console) -> str:
    """Fetch, unpack and open one data set; returns what other verbs call it.

    Raises:
        SettingError: where a login is needed, or it is unclear which archive `url` stands for.
        DataError: as `download`, `unpack` and `open_dataset`.
    """
    from segfield.data.unpack import unpack

    for archive in chosen_archives(entry, url, sha256):
        got = _download(archive, folder)
        console.print(said_of(got), soft_wrap=True, markup=False)
        files = _with_bar(
            f"unpacking {got.path.name}",
            lambda step, got=got, archive=archive: unpack(  # type: ignore[misc]
                got.path, folder / archive.into, progress=lambda done: step(done, None)
            ),
        )
        console.print(f"{len(files):,} files unpacked into {folder / archive.into}", soft_wrap=True, markup=False)
    where, dataset = open_fetched(entry, folder)
    console.print(f"it opens: {dataset.describe()}" if dataset else entry.notes, soft_wrap=True, markup=False)
    return where


def chosen_archives(entry: Entry, url: str | None, sha256: str | None) -> tuple[Archive, ...]:
    """The archives to fetch, with the user's address and checksum in place.

    The catalogue's checksum stays where the address names a file of the same name: a mirror must hold the same bytes.
    """
    if entry.login and url is None:
        raise SettingError(
            f"{entry.name} needs a login at {entry.page}: {entry.notes}, or give the address of a copy you may use "
            "with --url"
        )
    if url is None:
        if sha256 is not None and len(entry.archives) != 1:
            raise SettingError(f"{entry.name} has {len(entry.archives)} archives; --sha256 needs --url of one of them")
        return tuple(Archive(a.url, sha256 or a.checksum, a.into, a.save_as) for a in entry.archives)
    given = Archive(url)
    same = [known for known in entry.archives if known.file_name == given.file_name]
    known = same[0] if same else entry.archives[0] if len(entry.archives) == 1 else None
    if known is None and not entry.login:
        names = " or ".join(archive.file_name for archive in entry.archives)
        raise SettingError(f"'{url}' may stand for either archive of {entry.name}; end it in {names}")
    return (Archive(url, sha256 or (same[0].checksum if same else None), known.into if known else ""),)


def open_fetched(entry: Entry, folder: Path) -> tuple[str, Dataset | None]:
    """Open what was unpacked: where the catalogue says, or wherever its layout is found below the folder.

    SBD alone is no data set, for it is read through VOC: None until VOC lies beside it.
    """
    from segfield.data.formats import open_dataset

    if entry.name == "sbd" and not (folder / "VOCdevkit").is_dir():
        if not (folder / "benchmark_RELEASE" / "dataset" / "cls").is_dir():
            raise DataError(f"{folder}: expected {entry.tree}; the archive is another than SBD's")
        return entry.where(str(folder)), None
    places = [entry.where(str(folder)), f"{entry.layout}:{folder}"]
    for place in dict.fromkeys(places):
        try:
            return place, open_dataset(place)
        except DataError as error:
            last = error
    raise DataError(f"it was unpacked but does not open: {last}; expected {entry.tree}. {entry.notes}") from last


def said_of(got: Download) -> str:
    """What a finished download says of itself."""
    if got.verified:
        checked = "checksum agrees"
    else:
        checked = f"no checksum was published; its SHA-256 is recorded in {got.path.name}.sha256 for later runs"
    start = "is here already" if got.already_there else "is fetched"
    return f"{got.path} {start}: {got.size:,} bytes, SHA-256 {got.sha256}; {checked}"


def _download(archive: Archive, folder: Path) -> Download:
    from segfield.data.download import download

    return _with_bar(
        archive.file_name,
        lambda step: download(archive.url, folder, checksum=archive.checksum, name=archive.file_name, progress=step),
    )


def _with_bar(title: str, work: Callable[[Callable[[int, int | None], None]], Result]) -> Result:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn(title, markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        return work(lambda done, whole: progress.update(task, completed=done, total=whole))


def show_all(console: Console) -> None:
    """The table of all known data sets."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(header_style="dim", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "what", "classes", "images", "terms", "got"):
        table.add_column(column, no_wrap=column in ("name", "got"))
    for entry in CATALOGUE.values():
        got = "login" if entry.login else "--get"
        table.add_row(entry.name, entry.title, entry.classes, entry.images, entry.terms, got)
    console.print(table)
    console.print("segfield data NAME says where it is got and how it must lie; own data: segfield check FOLDER")


def show_one(entry: Entry, console: Console) -> None:
    """Where one data set is got, on what terms, how it must lie, and what to do next."""
    rows = [
        ("what", entry.title),
        ("classes", entry.classes),
        ("images", entry.images),
        ("terms", entry.terms),
        ("page", entry.page),
        *(("archive", f"{a.url}{f' ({a.checksum})' if a.checksum else ''}") for a in entry.archives),
        ("layout", entry.tree.replace("  ", "\n" + " " * 10)),
        *([("note", entry.notes)] if entry.notes else []),
    ]
    console.print(f"[bold]{entry.name}[/]")
    for label, text in rows:
        console.print(f"  {label:<8}{text}", soft_wrap=True, markup=False)
    if entry.login:
        console.print(f"  then    segfield check {entry.where('FOLDER')}", soft_wrap=True, markup=False)
    else:
        console.print(f"  get it  segfield data {entry.name} --get --out FOLDER", soft_wrap=True, markup=False)
