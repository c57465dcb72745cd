"""What a run has measured so far, on disk trial by trial, so that the next run goes on.

One JSON object a line. A line is written whole after its trial; a last line that a kill has cut
off is passed over and measured again.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handful import plugins
from handful._version import __version__
from handful.adapters import create_adapter
from handful.errors import StorageError
from handful.protocols.task import digest

_HELPERS = re.compile(r"handful\.adapters\.(_blend\w+)")
_OTHER_METHODS = re.compile(r"handful\.adapters\.(\w+)|\"(\w+)\"")


class Journal:
    """Finished trials by their key; `path=None` keeps them for one run only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, Mapping[str, Any]] = {}
        self._cut_off = False  # the last line has no end: the next one starts on a new line
        if path is not None:
            self._read(path)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """What was measured under this key, if it was."""
        return self._known.get(key)

    def add(self, key: str, measured: Mapping[str, Any]) -> None:
        """Write one trial, then add it to those that are finished.

        Raises:
            StorageError: the disk refused; what was written before stays.
        """
        if self.path is not None:
            line = json.dumps({"key": key, **measured}, allow_nan=False) + "\n"
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("\n" * self._cut_off + line)
            except OSError as error:
                raise StorageError(
                    f"{self.path}: cannot be written ({error.strerror or error}); free some space "
                    "or choose another folder, and the same command goes on where it was"
                ) from error
            self._cut_off = False
        self._known[key] = measured

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror or error})") from error
        self._cut_off = bool(content) and not content.endswith("\n")
        for line in content.split("\n"):
            measured = _trial(line)
            if measured is not None:
                self._known[measured.pop("key")] = measured


def _trial(line: str) -> dict[str, Any] | None:
    """One trial; None for a line that was cut off, and for what another program has written."""
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    accuracy = found.get("accuracy") if isinstance(found, dict) else None
    if not isinstance(accuracy, dict) or not isinstance(found.get("key"), str):
        return None
    numbers = [*accuracy.values(), found.get("seconds")]
    return found if all(isinstance(n, int | float) for n in numbers) else None


def trial_key(episode: str, method: str, seed: int, params: Mapping[str, Any]) -> str:
    """A digest of all that decides a trial: data, draw, method, arguments, seed and code.

    Args:
        episode: its digest.
        method: the adapter's name.
        seed: of the draw and of methods that have one.
        params: arguments other than the defaults.
    """
    every = create_adapter(method, seed, params).get_params()
    return digest([__version__, episode, method, sorted(every.items()), code_digest(method)])


@functools.cache
def code_digest(method: str) -> str:
    """Of a method's source and of all that it is made of: an edited method is new."""
    package = Path(inspect.getfile(plugins)).parent
    files = [*(package / "adapters").glob("_*.py"), *(package / "selection").glob("*.py")]
    files += [Path(inspect.getfile(plugins.get("adapters", name))) for name in made_of(method)]
    return digest([hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)])


def made_of(method: str) -> list[str]:
    """The method and all others that its source imports or names, as a blend names its members."""
    found = [method]
    for name in found:  # grows on the way
        file = Path(inspect.getfile(plugins.get("adapters", name)))
        source = file.read_text(encoding="utf-8")
        # also what helpers of the folder name for it, as those of a blend do
        helpers = (file.with_name(f"{helper}.py") for helper in _HELPERS.findall(source))
        source += "".join(h.read_text(encoding="utf-8") for h in helpers if h.is_file())
        named = set().union(*_OTHER_METHODS.findall(source))
        found += [n for n in plugins.names("adapters") if n in named and n not in found]
    return found
