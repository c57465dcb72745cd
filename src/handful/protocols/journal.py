"""What a run has measured so far, on disk trial by trial, so that the next run goes on.

One JSON object a line. A line is written whole after its trial; a last line that a kill has torn is
passed over and measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handful.errors import StorageError


class Journal:
    """Finished trials by their key; `path=None` remembers for one run only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, Mapping[str, Any]] = {}
        self._torn = False
        if path is not None:
            self._read(path)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """What was measured under this key, if it was."""
        return self._known.get(key)

    def add(self, key: str, measured: Mapping[str, Any]) -> None:
        """Write one trial, and only then know it.

        Raises:
            StorageError: the disk refused; what was written before stays.
        """
        if self.path is not None:
            line = json.dumps({"key": key, **measured}, allow_nan=False) + "\n"
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("\n" * self._torn + line)
            except OSError as error:
                raise StorageError(
                    f"{self.path}: cannot be written ({error.strerror or error}); free some space "
                    "or choose another folder, and the same command goes on where it was"
                ) from error
            self._torn = False
        self._known[key] = measured

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror or error})") from error
        self._torn = bool(content) and not content.endswith("\n")
        for line in content.split("\n"):
            measured = _object(line)
            if measured is not None:
                self._known[measured.pop("key")] = measured


def _object(line: str) -> dict[str, Any] | None:
    """One trial; None for a torn line, and for what another program has written."""
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    exams = found.get("accuracy") if isinstance(found, dict) else None
    if not isinstance(exams, dict) or not isinstance(found.get("key"), str):
        return None
    numbers = [*exams.values(), found.get("seconds")]
    return found if all(isinstance(n, int | float) for n in numbers) else None
