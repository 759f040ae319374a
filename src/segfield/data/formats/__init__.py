"""open_dataset: any data set from one string, 'FORMAT:PATH' or a path whose layout is recognised."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.class_files import read_class_table
from segfield.data.dataset import Dataset
from segfield.data.formats.camvid import find_camvid, open_camvid
from segfield.data.formats.cityscapes import find_cityscapes, open_cityscapes
from segfield.data.formats.davis import find_davis, open_davis
from segfield.data.formats.folder import open_folder, recognise_folder
from segfield.data.formats.nuclei import find_nuclei, open_nuclei
from segfield.data.formats.pascal_context import VARIANTS, find_context, open_context
from segfield.data.formats.stanford_background import find_stanford, open_stanford
from segfield.data.formats.voc import find_voc, open_voc
from segfield.errors import DataError, SettingError, did_you_mean


def _open_scenes(options: str = "", classes: ClassTable | None = None) -> Dataset:
    from segfield.data.scenes import open_scenes

    if classes is not None:
        raise SettingError("the drawn scenes have their own classes; leave classes out")
    return open_scenes(options)


FORMATS: dict[str, Callable[..., Dataset]] = {
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "davis": open_davis,
    "folder": open_folder,
    "nuclei": open_nuclei,
    "pascal_context": open_context,
    "scenes": _open_scenes,
    "stanford_background": open_stanford,
    "voc": open_voc,
}

# Asked in this order; every folder is a 'folder', so that comes last.
_RECOGNISERS: dict[str, Callable[[Path], object]] = {
    "pascal_context": find_context,
    "voc": find_voc,
    "cityscapes": find_cityscapes,
    "stanford_background": find_stanford,
    "camvid": find_camvid,
    "davis": find_davis,
    "nuclei": find_nuclei,
    "folder": recognise_folder,
}


def open_dataset(where: str | Path, classes: ClassTable | str | Path | None = None) -> Dataset:
    """Open a data set.

    Args:
        where: `FORMAT:PATH`, or a path whose format is recognised from what lies there. Options of a format follow a
            question mark: `pascal_context:PATH?classes=59`, `folder:PATH?seed=1&classes=FILE`. Drawn scenes need no
            files: `scenes:count=64,size=128x192,seed=0`.
        classes: a table, or a file that holds one (YAML, JSON, or text with a name a line), in place of the format's.

    Raises:
        DataError: if there is nothing, or nothing of the format, at the path.
        SettingError: if the format or an option is unknown.
    """
    name, rest = _format_and_path(str(where))
    if name == "scenes":
        return FORMATS[name](rest, None if classes is None else _class_table(classes))
    path, options = _path_and_options(rest)
    if not path.exists():
        raise DataError(f"there is nothing at {path}; check the path" + _nearest(path))
    if name is None:
        name = recognise(path)
    opener = FORMATS[name]
    chosen = options.pop("classes", None) if classes is None else classes
    known = [option for option in inspect.signature(opener).parameters if option not in ("path", "classes")]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise SettingError(
            f"the format {name} has no option '{unknown[0]}'; {did_you_mean(unknown[0], [*known, 'classes'])}"
        )
    if name == "pascal_context" and (chosen in VARIANTS or (isinstance(chosen, str) and not Path(chosen).exists())):
        return opener(path, chosen, **options)
    return opener(path, None if chosen is None else _class_table(chosen), **options)


def recognise(path: Path) -> str:
    """The name of the format that lies at `path`. Raises DataError if it is none."""
    for name, recogniser in _RECOGNISERS.items():
        if recogniser(path):
            return name
    mend = (
        "unpack it first"
        if ".tar" in path.name or path.suffix.lower() in (".zip", ".tgz")
        else "name a folder or a list of pairs"
    )
    raise DataError(f"{path} is a file of another kind than a list of pairs (.txt, .csv, .tsv); {mend}")


def _format_and_path(where: str) -> tuple[str | None, str]:
    name, colon, rest = where.partition(":")
    if colon and name in FORMATS:
        if not rest and name != "scenes":
            raise SettingError(f"'{where}' names no path; write {name}:PATH")
        return name, rest
    if where == "scenes" and not Path(where).exists():
        return "scenes", ""
    if where in FORMATS and not Path(where).exists():
        raise SettingError(f"'{where}' is a format, but where are the files? Write {where}:PATH")
    # One letter before the colon is a Windows drive.
    if colon and len(name) > 1 and not Path(where).exists() and "/" not in name and "\\" not in name:
        raise SettingError(f"there is no format '{name}'; {did_you_mean(name, FORMATS)}")
    return None, where


def _path_and_options(written: str) -> tuple[Path, dict[str, str]]:
    path, mark, query = written.rpartition("?")
    if not mark or Path(written).expanduser().exists():
        return Path(written).expanduser(), {}
    options = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        if not equals:
            raise SettingError(f"the option '{part}' in '{written}' has no value; write {key or 'NAME'}=VALUE")
        options[key] = value
    return Path(path).expanduser(), options


def _class_table(classes: ClassTable | str | Path) -> ClassTable:
    return classes if isinstance(classes, ClassTable) else read_class_table(classes)


def _nearest(path: Path) -> str:
    """What is there under a like name, for the error about a path that is not."""
    if not path.parent.is_dir():
        return ""
    hint = did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
    return f" ({hint.split('?')[0]}?)" if hint.startswith("did you mean") else ""
