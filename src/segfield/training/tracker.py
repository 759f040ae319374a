"""TensorBoard curves beside the CSV: event files written record by record, so that a full disk shows here and in a sentence.

torch's SummaryWriter writes in a thread of its own, where such an error ends in a traceback on the terminal.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segfield.data.files import unwritable


class Tracker:
    """Writes each validation's row under RUN/tensorboard; a continued run hides what lies past its step.

    Args:
        folder: of the run.
        step: the step the run starts or goes on from.

    Raises:
        SegfieldError: if the file cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{int(time.time()):010d}.{platform.node() or 'machine'}.{os.getpid()}.{step}"
        self.file = folder / "tensorboard" / name
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._records = RecordWriter(self.file.open("ab", buffering=0))
        except OSError as error:
            raise unwritable(self.file, error) from error
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if step:
            self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, row: Mapping[str, float]) -> None:
        """One row of the curves. Raises SegfieldError if it cannot be written."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name not in ("step", "epoch")
        ]
        self._write(Event(wall_time=time.time(), step=int(row["step"]), summary=Summary(value=values)))

    def close(self) -> None:
        """Close the file; everything added is in it already."""
        self._records.close()

    def _write(self, event: Any) -> None:
        try:
            self._records.write(event.SerializeToString())
        except OSError as error:
            raise unwritable(self.file, error) from error
