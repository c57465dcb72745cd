"""Single files of the hub: from the cache where they lie there, else downloaded, else a cure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from handful.encoders import files
from handful.errors import InputError, MissingModelError


def fetch(repo: str, names: Sequence[str], asked: str) -> Path:
    """The first of these files that the repository has; no request for what is in the cache.

    Args:
        repo: `owner/name`.
        names: files that would do, the best one first.
        asked: what the user called the encoder.

    Raises:
        MissingModelError: not here and not to be had; says what to do.
        InputError: the repository has none of them.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    found = _cached(repo, names, asked)
    if found is not None:
        return found
    if constants.HF_HUB_OFFLINE:
        _offline(repo, names[0], asked)
    with files.reaching(repo):
        info = HfApi().model_info(repo, timeout=20)
        there = {s.rfilename for s in info.siblings or ()}
        wanted = next((n for n in names if n in there), None)
        if wanted is not None:
            return Path(hf_hub_download(repo, wanted))
    raise InputError(
        f"{asked}: {repo} holds none of {', '.join(names)}; expected a checkpoint that the "
        "open_clip library can load"
    )


def words(repo: str, asked: str) -> Path:
    """The folder of the cache that holds the tokenizer of a repository.

    Raises:
        MissingModelError: not here and not to be had; says what to do.
    """
    from huggingface_hub import constants, snapshot_download

    found = _cached(repo, files.VOCABULARIES, asked)
    if found is not None:
        return found.parent
    if constants.HF_HUB_OFFLINE:
        _offline(repo, "its tokenizer", asked)
    with files.reaching(repo):
        return Path(snapshot_download(repo, allow_patterns=list(files.SMALL)))


def _cached(repo: str, names: Sequence[str], asked: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = (try_to_load_from_cache(repo, name) for name in names)
        return next((Path(f) for f in found if isinstance(f, str)), None)
    except HFValidationError as error:
        raise MissingModelError(f"{asked}: {repo!r} is no hub name (owner/name)") from error


def _offline(repo: str, what: str, asked: str) -> None:
    from huggingface_hub import constants

    raise MissingModelError(
        f"{asked}: {what} of {repo} is not on this disk, and HF_HUB_OFFLINE forbids a download. "
        f"Run `hf download {repo}` where there is a network (the files go to "
        f"{os.fspath(constants.HF_HUB_CACHE)}), or name a local folder: local-dir:PATH."
    )
