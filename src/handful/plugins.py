"""The registry: a plug-in is one file of a folder, named by its file.

`names("adapters")` lists, `get("adapters", "tip")` imports that one file and returns its class.
Three places are looked at: the package's own folder, folders added with `add_folder` (or named in
the environment variable `HANDFUL_PLUGINS`), and installed entry points of `handful.adapters`.
Files whose name starts with an underscore are helpers, not methods.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from handful.errors import InputError, UnknownNameError

_PACKAGE = Path(__file__).parent
# where a kind of plug-in has a folder inside a room
_INSIDE = {
    "encoders": "encoders/backends",
    "formats": "data/formats",
    "outputs": "skills/outputs",
}
_added: list[Path] = []


def add_folder(folder: str | Path) -> None:
    """Look for plug-ins in `folder/adapters/*.py` (and other kinds beside it) too.

    The files are code and will be run when used: add only folders you trust.
    """
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise InputError(f"{folder}: is not a folder; expected one that holds adapters/*.py")
    if path not in _added:
        _added.append(path)


def names(kind: str) -> list[str]:
    """Names of every plug-in of a kind (`adapters`, `encoders`, ...), sorted; imports none."""
    own = {f.stem for folder in _folders(kind) for f in folder.glob("*.py") if f.stem[0] != "_"}
    return sorted(own | {e.name for e in entry_points(group=f"handful.{kind}")})


def get(kind: str, name: str) -> Any:
    """The class that the file `kind/name.py` defines.

    Raises:
        UnknownNameError: no such file; names those that come close.
        InputError: the file defines no class, or several, that could be meant; no text.
    """
    if not isinstance(name, str):  # an untyped program may have given anything
        raise InputError(
            f"expected a name of {kind}, such as {', '.join(names(kind)[:3])}, got {name!r}"
        )
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    # a name may come from a pack, so it must not be able to walk out of the folders
    file = f"{wanted}.py" if wanted.isidentifier() and wanted[0] != "_" else ""
    for folder in _folders(kind):
        if file and (folder / file).is_file():
            return _the_class(_module(kind, folder, wanted))
    for entry in entry_points(group=f"handful.{kind}"):
        if entry.name == wanted:
            return entry.load()
    known = names(kind)
    close = get_close_matches(wanted, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    one = "method" if kind == "adapters" else kind.removesuffix("s")
    raise UnknownNameError(f"no {one} named {name!r}; {hint}known: {', '.join(known)}")


def name_of(kind: str, plugin: type) -> str | None:
    """The name by which `get` finds a class: its file's, as a rule; None for no plug-in."""
    own = plugin.__module__.rpartition(".")[2]
    ordered = sorted(names(kind), key=lambda name: name != own)  # its file first: others import
    return next((name for name in ordered if get(kind, name) is plugin), None)


def _folders(kind: str) -> list[Path]:
    environment = os.environ.get("HANDFUL_PLUGINS", "")
    extra = [Path(p).expanduser() for p in environment.split(os.pathsep) if p]
    return [_own(kind), *(f / kind for f in [*_added, *extra] if (f / kind).is_dir())]


def _own(kind: str) -> Path:
    return _PACKAGE / _INSIDE.get(kind, kind)


def _module(kind: str, folder: Path, name: str) -> ModuleType:
    if folder == _own(kind):
        inside = ".".join(folder.relative_to(_PACKAGE).parts)
        return importlib.import_module(f"handful.{inside}.{name}")
    qualified = f"handful_plugins.{kind}.{name}"
    path = folder / f"{name}.py"
    loaded = sys.modules.get(qualified)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module  # before running it: pickling and dataclasses look it up here
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[qualified]  # nothing half-loaded stays for the next call
        if isinstance(error, Exception):
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{path}: cannot be loaded as a plug-in ({reason})") from error
        raise
    return module


def _the_class(module: ModuleType) -> Any:
    """The one public class of a module with `plugin = True`."""
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and key[0] != "_"
        and getattr(value, "plugin", False)
    ]
    if len(found) != 1:
        raise InputError(f"{module.__file__}: expected one public plug-in class, got {len(found)}")
    return found[0]
