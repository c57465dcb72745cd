"""An encoder with deltas attached: another encoder, on the same loaded weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from handful import plugins
from handful.contracts import Array, unit
from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError, MismatchError
from handful.tuners._base import Tuner
from handful.tuners._delta import Delta

_TEXT_BATCH = 128


@dataclass(frozen=True, eq=False)
class Part:
    """A tuner and its tensors, in training or trained."""

    tuner: Tuner
    module: nn.Module


class Tuned:
    """An encoder and named deltas, which are put in for the length of each call and taken out.

    Many of these can share one loaded encoder, each with deltas of its own, and the encoder itself
    stays what it was, bit for bit. A call changes the shared model while it lasts, so all of them
    together belong to one thread at a time.

    Args:
        base: the untouched encoder.
        deltas: by name; with several, each is attached on top of those before it.

    Raises:
        MismatchError: a delta of another encoder.
        InputError: no delta, or two that read texts their own way.
    """

    def __init__(self, base: Tunable, deltas: Mapping[str, Delta]) -> None:
        if not deltas:
            raise InputError("no deltas given; without any, use the encoder itself")
        self.base, self.deltas = base, dict(deltas)
        self.parts = tuple(part_of(base, delta) for delta in deltas.values())
        one_reader([part.tuner for part in self.parts])
        digests = "+".join(delta.digest for delta in deltas.values())
        self.fingerprint = f"{base.fingerprint} tuner:{digests}"
        self.name, self.precision = base.name, base.precision
        self.dim = int(self.images_of(np.eye(1, base.dim, dtype=np.float32)).shape[1])
        self.scale = scale_of(base, self.parts)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.base.device

    @property
    def model(self) -> nn.Module:
        """The library's model, shared with the untouched encoder."""
        return self.base.model

    @property
    def vision(self) -> Tower:
        """The untouched tower that sees; the deltas count only inside `attached`."""
        return self.base.vision

    @property
    def text(self) -> Tower:
        """The untouched tower that reads; the deltas count only inside `attached`."""
        return self.base.text

    def pixels(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """As the untouched encoder does."""
        return self.base.pixels(batch)

    def tokens(self, batch: Sequence[str]) -> dict[str, Tensor]:
        """As the untouched encoder does."""
        return self.base.tokens(batch)

    def prepare(self, image: Any) -> Any:
        """As the untouched encoder does."""
        return self.base.prepare(image)

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared pictures to `[N, D]` float32 unit rows."""
        with self.attached():
            return self.images_of(self.base.images(batch))

    def images_of(self, features: Array) -> Array:
        """`[N, D]` unit rows of the tuned tower to those that are handed on."""
        with torch.inference_mode():
            rows = torch.from_numpy(features).to(self.device)
            for part in self.parts:
                rows = part.tuner._see(self.base, part.module, rows)
            return unit(rows.cpu().numpy(), f"image features of {self.name}")

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows."""
        rows = [np.zeros((0, self.dim), dtype=np.float32)]
        with self.attached(), torch.inference_mode():
            for start in range(0, len(batch), _TEXT_BATCH):
                found = read(self.base, self.parts, batch[start : start + _TEXT_BATCH])
                rows.append(unit(found.float().cpu().numpy(), f"texts of {self.name}"))
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    @contextmanager
    def attached(self) -> Iterator[None]:
        """The shared model with the deltas in it."""
        with attached(self.base, self.parts):
            yield

    def attach(self, name: str, delta: Delta) -> Tuned:
        """This with one more delta, on top of the others."""
        if name in self.deltas:
            raise InputError(f"a delta called {name!r} is attached already; use swap")
        return Tuned(self.base, {**self.deltas, name: delta})

    def detach(self, name: str) -> Tuned | Tunable:
        """This without a delta; without the last one it is the untouched encoder."""
        self._demand(name)
        left = {n: d for n, d in self.deltas.items() if n != name}
        return Tuned(self.base, left) if left else self.base

    def swap(self, name: str, delta: Delta) -> Tuned:
        """This with another delta in the place of one."""
        self._demand(name)
        return Tuned(self.base, {n: delta if n == name else d for n, d in self.deltas.items()})

    def _demand(self, name: str) -> None:
        if name not in self.deltas:
            raise InputError(f"no delta called {name!r}; attached: {', '.join(self.deltas)}")


def part_of(base: Tunable, delta: Delta) -> Part:
    """A delta made ready to be attached."""
    if delta.base != base.fingerprint:
        raise MismatchError(
            f"the delta of {delta.tuner!r} was made for another encoder than {base.name!r} "
            f"(delta {delta.base}, encoder {base.fingerprint}); load the one it was made for"
        )
    kind = plugins.get("tuners", delta.tuner)
    strange = sorted(set(delta.params) - set(kind().get_params()))
    if strange:
        raise MismatchError(
            f"the delta of {delta.tuner!r} was made with the argument {strange[0]!r}, which the "
            "tuner of this version does not have; use the version of Handful it was made with"
        )
    tuner: Tuner = kind(**delta.params)
    return Part(tuner, tuner.restored(base, delta))


@contextmanager
def attached(base: Tunable, parts: Sequence[Part]) -> Iterator[None]:
    """The model with several changes in it, each on top of those before it."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part.tuner._attached(base, part.module))
        yield


def read(base: Tunable, parts: Sequence[Part], texts: Sequence[str]) -> Tensor:
    """`[N, D]` of texts, not scaled; the tuner that reads its own way does it, if there is one."""
    for part in parts:
        rows = part.tuner._read(base, part.module, texts)
        if rows is not None:
            return rows
    return base.text.forward(base.tokens(texts))


def one_reader(tuners: Sequence[Tuner]) -> None:
    """Refuse two that read texts their own way: one would be learned and never be asked.

    Raises:
        InputError: two of them.
    """
    own = [type(tuner).__name__ for tuner in tuners if type(tuner)._read is not Tuner._read]
    if len(own) > 1:
        raise InputError(
            f"{' and '.join(own)} both put contexts into the prompts, and a prompt has place for "
            "those of one; detach the one before, or swap it for the new one"
        )


def scale_of(base: Tunable, parts: Sequence[Part]) -> float:
    """The scale of the last tuner that has one of its own."""
    own = [part.tuner._scale(base) for part in parts]
    return next((scale for scale in reversed(own) if scale != base.scale), base.scale)
