"""Skills on the Hugging Face Hub, by its own client: its tokens, its cache, its offline mode.

Only the files of a skill are fetched, each once its size is known, and none of them is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from handful.errors import HandfulError, MissingModelError, PackError, StorageError
from handful.packs import disk
from handful.packs.format import MANIFEST, NAMES
from handful.packs.skill_file import MAX_BYTES, NAME

_TIMEOUT = 20  # seconds
_HARMLESS = {".gitattributes", "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"}


@dataclass(frozen=True)
class Repository:
    """A repository as one commit has it; a file is fetched when it is read.

    Args:
        name: `owner/name`.
        revision: the requested branch, tag or commit; None for the main branch.
        commit: which one that is; None offline, where the cache alone is read.
        sizes: bytes of each file as the hub states them; None likewise.
        token: as the client takes it.
    """

    name: str
    revision: str | None
    commit: str | None
    sizes: Mapping[str, int | None] | None
    token: str | bool | None = field(default=None, repr=False)

    @classmethod
    def open(cls, name: str, revision: str | None, token: str | bool | None) -> Repository:
        """A repository of the hub, or what the cache has of it where `HF_HUB_OFFLINE` is set.

        Args:
            name: `owner/name`.
            revision: a branch, tag or commit; the main branch where not given.
            token: as the client takes it; by default the user's own.

        Raises:
            MissingModelError: no such repository or revision, no right to it, no network.
        """
        from huggingface_hub import HfApi, constants

        if constants.HF_HUB_OFFLINE:
            return cls(name, revision, None, None, token)
        with _client_errors(name, revision, MissingModelError):
            info = HfApi(token=token).model_info(
                name, revision=revision, files_metadata=True, timeout=_TIMEOUT
            )
        sizes = {s.rfilename: s.size for s in info.siblings or ()}
        return cls(name, revision, info.sha, sizes, token)

    @property
    def where(self) -> Path:
        """What errors call it."""
        return Path(self.name)

    def names(self) -> None:
        """Other files are not fetched."""
        return

    def read(self, name: str, most: int) -> bytes:
        """One file of a skill, of at most `most` bytes.

        Raises:
            PackError: no such file, no file of a skill, too large.
            MissingModelError: the hub cannot be reached, or may not be.
        """
        from huggingface_hub import hf_hub_download

        where = self.where / name
        if not NAME.fullmatch(name):
            raise PackError(
                f"{where}: is no file that a skill on the hub can have (values and pictures "
                "alone); it was not fetched. Do not use this skill"
            )
        if self.sizes is not None and name not in self.sizes:
            raise PackError(f"{where}: is missing there; this is no skill, or not all of one")
        size, limit = (self.sizes or {}).get(name) or 0, min(most, MAX_BYTES)
        if size > limit:  # by what the hub states, before a byte is fetched
            raise PackError(f"{where}: has {size} bytes, expected at most {limit}")
        # the manifest by its revision, or the cache could not resolve offline which commit that
        # was; the rest by that commit, so that all files are of one moment
        by_name = name == MANIFEST or self.commit is None
        with _client_errors(self.name, self.revision, MissingModelError):
            fetched = hf_hub_download(
                self.name,
                name,
                revision=self.revision if by_name else self.commit,
                token=self.token,
                local_files_only=self.sizes is None,
            )
        path = Path(fetched)  # .../snapshots/<commit>/<name>, a link
        if self.commit is not None and path.parent.name != self.commit:
            raise MissingModelError(f"{self.name}: changed while it was being fetched; try again")
        return disk.read_file(path.resolve(), most)


def upload(
    name: str,
    files: Mapping[str, bytes],
    *,
    private: bool,
    revision: str | None,
    message: str,
    token: str | bool | None,
) -> str:
    """Put the files of a skill into a repository, in one commit; gives its address.

    Args:
        name: `owner/name`; made where it is not there.
        files: name to content.
        private: of a repository that is made now; one that is there stays as it is.
        revision: a branch that is there; the main branch where not given.
        message: of the commit.
        token: as the client takes it; by default the user's own.

    Raises:
        StorageError: no right, no network, offline mode; a repository that holds something else.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise StorageError(
            f"{name}: HF_HUB_OFFLINE forbids to send anything; unset it, or push to a folder or a "
            ".skill file"
        )
    api = HfApi(token=token)
    with _client_errors(name, revision, StorageError):
        api.create_repo(name, private=private, exist_ok=True)
        info = api.model_info(name, revision=revision, timeout=_TIMEOUT)
        there = {s.rfilename for s in info.siblings or ()}
        foreign = sorted(there - _HARMLESS)
        if foreign and MANIFEST not in there:
            raise StorageError(
                f"{name}: holds something else than a skill ({', '.join(foreign[:3])}); nothing "
                "was sent. Choose another name"
            )
        stale = sorted((there & {*NAMES}) - files.keys())  # such as the figure of former numbers
        commit = api.create_commit(
            name,
            [
                *(CommitOperationAdd(file, content) for file, content in files.items()),
                *(CommitOperationDelete(file) for file in stale),
            ],
            commit_message=message,
            revision=revision,
        )
    return str(commit.commit_url)


@contextmanager
def _client_errors(name: str, revision: str | None, kind: type[HandfulError]) -> Iterator[None]:
    """Raise the client's errors as `kind`, with what to do."""
    from huggingface_hub import constants, errors

    # which HTTP library the client builds on changes between versions; its own error is one of it
    failures: tuple[type[Exception], ...] = (errors.XetDownloadError, OSError, ValueError)
    failures += tuple(c for c in errors.HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")
    try:
        yield
    except HandfulError:
        raise
    except failures as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = (" ".join(lines) or type(error).__name__)[:200]
        status = getattr(getattr(error, "response", None), "status_code", None)
        # the first that fits: the client's classes derive from one another, and from OSError
        if isinstance(error, errors.GatedRepoError):
            cause = (
                f"its owner asks for consent. Accept the terms on {constants.ENDPOINT}/{name}, "
                "then run `hf auth login` with your token"
            )
        elif isinstance(error, errors.RepositoryNotFoundError):
            cause = (
                "the hub knows no such repository, or it is private. Check the spelling, or run "
                "`hf auth login` with a token that may use it"
            )
        elif isinstance(error, errors.RevisionNotFoundError):
            cause = f"has no branch, tag or commit called {revision!r}"
        elif isinstance(error, errors.HFValidationError):
            cause = f"is no hub name ({said}); expected owner/name"
        elif isinstance(error, errors.LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE:
            cause = (
                "is not whole on this disk, and HF_HUB_OFFLINE forbids a download. Run "
                f"`handful pull {name}` where there is a network, or take a .skill file"
            )
        elif status in (401, 403):
            cause = f"the hub refused ({said}). Run `hf auth login` with a token that may do this"
        elif isinstance(error, ValueError) and not isinstance(error, OSError):
            cause = f"the hub refused the skill ({said})"  # it does not take the card
        else:
            cause = (
                f"the hub cannot be reached ({said}). Check the network and try again; "
                "HF_HUB_OFFLINE=1 takes what was fetched before"
            )
        raise kind(f"{name}: {cause}") from error
