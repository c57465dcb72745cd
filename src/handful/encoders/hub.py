"""From a name to files on this disk: shipped, local, in the hub's cache, or downloaded.

Nothing that lies in the cache is looked up again, so a cached encoder needs no network.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from handful.contracts import is_address
from handful.encoders import checkpoint
from handful.encoders.catalogue import hub_names
from handful.encoders.checkpoint import first_line
from handful.errors import InputError, MissingModelError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_checkpoint(name: str) -> Path:
    """The folder of a checkpoint of transformers: `tiny`, a local folder, or a hub name.

    Raises:
        MissingModelError: not there and not to be had; says what to do.
        InputError: a file where a folder is expected.
    """
    if name == "tiny":
        return _tiny()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise InputError(f"{name}: is a file; name the folder that holds it and its config.json")
    if is_address(name):
        raise MissingModelError(
            f"{name}: is an address, and nothing is fetched from it; download the model and name "
            "its folder, or give its hub name (owner/name)"
        )
    if not _HUB_NAME.fullmatch(name):
        raise MissingModelError(
            f"{name}: there is no such folder, and it is no hub name (owner/name)."
            f"{_suggestion(name, 0.4)} `handful encoders` lists encoders."
        )
    return _snapshot(name)


def fetch_file(repo: str, names: Sequence[str], encoder: str) -> Path:
    """The first of these files that a repository has.

    Args:
        repo: `owner/name`.
        names: files that would do, the best one first.
        encoder: what the user called the encoder.

    Raises:
        MissingModelError: not here and not to be had; says what to do.
        InputError: the repository has none of them.
    """
    from huggingface_hub import hf_hub_download

    found = _cached(repo, names, encoder)
    if found is not None:
        return found
    _require_online(repo, names[0], encoder)
    with _hub_errors(repo):
        there = _listing(repo)
        wanted = next((n for n in names if n in there), None)
        if wanted is not None:
            return Path(hf_hub_download(repo, wanted))
    raise InputError(
        f"{encoder}: {repo} holds none of {', '.join(names)}; expected a checkpoint that the "
        "open_clip library can load"
    )


def fetch_tokenizer(repo: str, encoder: str) -> Path:
    """The folder of the cache that holds the tokenizer of a repository.

    Raises:
        MissingModelError: not here and not to be had; says what to do.
    """
    from huggingface_hub import snapshot_download

    found = _cached(repo, checkpoint.VOCABULARIES, encoder)
    if found is not None:
        return found.parent
    _require_online(repo, "its tokenizer", encoder)
    with _hub_errors(repo):
        return Path(snapshot_download(repo, allow_patterns=list(checkpoint.SMALL)))


def _tiny() -> Path:
    folder = Path(str(resources.files("handful.encoders"))) / "tiny"
    if not (folder / "config.json").is_file():
        raise MissingModelError(
            f"{folder}: the embedded encoder is missing from this installation; "
            "install handful again, or name another encoder"
        )
    return folder


def _snapshot(name: str) -> Path:
    """The cached snapshot of a repository if it is complete, else a download."""
    from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        # Not snapshot_download: it refuses a snapshot that lacks files of other frameworks.
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise MissingModelError(f"{name}: is no hub name ({first_line(error)})") from error
    folder = Path(config).parent if isinstance(config, str) else None
    if folder is not None and checkpoint.is_complete(folder):
        return folder
    if constants.HF_HUB_OFFLINE:
        state = "is not complete on this disk" if folder else "is not on this disk"
        raise MissingModelError(f"{name}: {_offline(name, state)}.")
    with _hub_errors(name):
        patterns = [*checkpoint.SMALL, *checkpoint.weight_patterns(name, _listing(name))]
        return Path(snapshot_download(name, allow_patterns=patterns))


def _cached(repo: str, names: Sequence[str], encoder: str) -> Path | None:
    """The first of these files in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = (try_to_load_from_cache(repo, name) for name in names)
        return next((Path(f) for f in found if isinstance(f, str)), None)
    except HFValidationError as error:
        raise MissingModelError(f"{encoder}: {repo!r} is no hub name (owner/name)") from error


def _listing(repo: str) -> set[str]:
    """Names of the files of a repository."""
    from huggingface_hub import HfApi

    return {s.rfilename for s in HfApi().model_info(repo, timeout=20).siblings or ()}


def _require_online(repo: str, what: str, encoder: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        state = f"{what} of {repo} is not on this disk"
        raise MissingModelError(f"{encoder}: {_offline(repo, state)}: local-dir:PATH.")


def _offline(repo: str, state: str) -> str:
    from huggingface_hub import constants

    return (
        f"{state}, and HF_HUB_OFFLINE forbids a download. Run `hf download {repo}` where there is "
        f"a network (the files go to {os.fspath(constants.HF_HUB_CACHE)}), or name a local folder"
    )


@contextlib.contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Every refusal of the hub and every fault on the way as an error with its cure.

    Raises:
        MissingModelError: always with the name.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    # The HTTP library below huggingface_hub changes between versions; its own error stays.
    failures: tuple[type[Exception], ...] = (HfHubHTTPError, OSError)
    failures += tuple(c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")
    try:
        yield
    except GatedRepoError as error:
        raise MissingModelError(
            f"{name}: its owner asks for consent. Accept the terms on "
            f"https://huggingface.co/{name}, then run `hf auth login` with your token."
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingModelError(
            f"{name}: the hub knows no such model, or it is private. Check the spelling, or run "
            f"`hf auth login` with a token that may read it.{_suggestion(name, 0.6)}"
        ) from error
    except failures as error:
        raise MissingModelError(
            f"{name}: is not on this disk, and the hub cannot be reached "
            f"({first_line(error)}). Check the network and try again, run `hf download {name}` "
            "elsewhere and copy the folder, or name a local folder."
        ) from error


def _suggestion(name: str, cutoff: float) -> str:
    """` Did you mean ...?` with the closest name of the catalogue, or nothing."""
    close = get_close_matches(name, hub_names(), n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""
