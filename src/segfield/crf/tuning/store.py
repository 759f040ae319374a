"""Trials that outlive an interruption: a small JSON file an image, with the settings that all of them share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.tuning.grid import Point
from segfield.data.files import write_text


class TrialFolder:
    """A `Store` in a folder.

    Args:
        folder: made when something is written.
        shared: what the tallies depend on beside the setting (the base CRF, the probabilities' origin); JSON-able.
            Files written with other values are not read.
    """

    def __init__(self, folder: Path, shared: Mapping[str, Any]) -> None:
        self.folder = folder
        self.shared = json.loads(json.dumps(shared))

    def read(self, name: str) -> dict[Point, Array]:
        """Point → (3, K) tallies of the image; empty where there are none, or none that can be used."""
        try:
            document = json.loads(self._file(name).read_text(encoding="utf-8"))
            if document["shared"] != self.shared:
                return {}
            return {Point(*entry["point"]): np.array(entry["tally"], np.int64) for entry in document["trials"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # whatever is wrong with it, the trials can be made again

    def write(self, name: str, tallies: dict[Point, Array]) -> None:
        """Replace what is kept of the image, atomically."""
        trials = [{"point": list(point), "tally": tally.tolist()} for point, tally in sorted(tallies.items())]
        write_text(self._file(name), json.dumps({"image": name, "shared": self.shared, "trials": trials}) + "\n")

    def _file(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.json"
