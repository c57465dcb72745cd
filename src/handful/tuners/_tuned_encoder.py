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
from handful.encoders.towers import Tunable
from handful.errors import InputError, MismatchError
from handful.tuners._base import BaseTuner
from handful.tuners._delta import Delta

TEXT_BATCH = 128


@dataclass(frozen=True, eq=False)
class TunerModule:
    """A tuner and its tensors, in training or trained."""

    tuner: BaseTuner
    module: nn.Module

    def to_delta(self, base: Tunable, classes: tuple[str, ...], facts: Mapping[str, Any]) -> Delta:
        """The tensors as values, learned on `base` for classes that prompts call `classes`."""
        state = self.module.state_dict()
        return Delta(
            self.tuner.name,
            self.tuner.get_params(deep=False),
            classes if self.tuner.class_specific else (),
            {name: tensor.detach().cpu().float().numpy() for name, tensor in state.items()},
            base.fingerprint,
            facts,
        )


class TunedEncoder:
    """An encoder and named deltas, which are attached for the length of each call.

    Many of these can share one loaded encoder, each with deltas of its own, and the encoder itself
    stays what it was, bit for bit. A call changes the shared model while it lasts, so all of them
    together belong to one thread at a time.

    Args:
        base: the frozen encoder.
        deltas: by name; with several, each is attached on top of those before it.

    Raises:
        MismatchError: a delta of another encoder.
        InputError: no delta, or two that encode texts their own way.
    """

    def __init__(self, base: Tunable, deltas: Mapping[str, Delta]) -> None:
        if not deltas:
            raise InputError("no deltas given; without any, use the encoder itself")
        self.base, self.deltas = base, dict(deltas)
        self.modules = tuple(load_delta(base, delta) for delta in deltas.values())
        check_single_prompt([m.tuner for m in self.modules])
        # another fingerprint, so the store never gives features of the frozen encoder for these
        digests = "+".join(delta.digest for delta in deltas.values())
        self.fingerprint = f"{base.fingerprint} tuner:{digests}"
        self.name, self.precision, self.device = base.name, base.precision, base.device
        # Shared with the frozen encoder; in the towers the deltas count only inside `attached`.
        self.model, self.vision, self.text = base.model, base.vision, base.text
        self.pixels, self.tokens, self.prepare = base.pixels, base.tokens, base.prepare
        # a soft prompt that depends on the image gives features of another width
        self.dim = int(self.transform(np.eye(1, base.dim, dtype=np.float32)).shape[1])
        self.scale = logit_scale(base, self.modules)

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared images to `[N, D]` float32 unit rows."""
        with self.attached():
            return self.transform(self.base.images(batch))

    def transform(self, features: Array) -> Array:
        """`[N, D]` unit rows of the tuned image tower to `[N, D']` unit rows."""
        with torch.inference_mode():
            rows = torch.from_numpy(features).to(self.device)
            for m in self.modules:
                rows = m.tuner._transform_features(self.base, m.module, rows)
            return unit(rows.cpu().numpy(), f"image features of {self.name}")

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows."""
        rows = [np.zeros((0, self.dim), dtype=np.float32)]
        with self.attached(), torch.inference_mode():
            for start in range(0, len(batch), TEXT_BATCH):
                found = encode_texts(self.base, self.modules, batch[start : start + TEXT_BATCH])
                rows.append(unit(found.float().cpu().numpy(), f"texts of {self.name}"))
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    @contextmanager
    def attached(self) -> Iterator[None]:
        """The shared model with the deltas in it."""
        with attached(self.base, self.modules):
            yield

    def attach(self, name: str, delta: Delta) -> TunedEncoder:
        """This with one more delta, on top of the others."""
        if name in self.deltas:
            raise InputError(f"a delta called {name!r} is attached already; use swap")
        return TunedEncoder(self.base, {**self.deltas, name: delta})

    def detach(self, name: str) -> TunedEncoder | Tunable:
        """This without a delta; without the last one it is the frozen encoder."""
        self._require(name)
        left = {n: d for n, d in self.deltas.items() if n != name}
        return TunedEncoder(self.base, left) if left else self.base

    def swap(self, name: str, delta: Delta) -> TunedEncoder:
        """This with another delta in the place of one."""
        self._require(name)
        return TunedEncoder(self.base, self.deltas | {name: delta})

    def _require(self, name: str) -> None:
        if name not in self.deltas:
            raise InputError(f"no delta called {name!r}; attached: {', '.join(self.deltas)}")


def load_delta(base: Tunable, delta: Delta) -> TunerModule:
    """A delta made ready to be attached.

    Raises:
        MismatchError: a delta of another encoder, or of another version of the tuner.
    """
    if delta.base != base.fingerprint:
        raise MismatchError(
            f"the delta of {delta.tuner!r} was made for another encoder than {base.name!r} "
            f"(delta {delta.base}, encoder {base.fingerprint}); load the one it was made for"
        )
    kind = plugins.get("tuners", delta.tuner)
    unknown = sorted(set(delta.params) - set(kind().get_params()))
    if unknown:
        raise MismatchError(
            f"the delta of {delta.tuner!r} was made with the argument {unknown[0]!r}, which the "
            "tuner of this version does not have; use the version of Handful it was made with"
        )
    tuner: BaseTuner = kind(**delta.params)
    return TunerModule(tuner, tuner.restore_module(base, delta))


@contextmanager
def attached(base: Tunable, modules: Sequence[TunerModule]) -> Iterator[None]:
    """The model with several changes in it, each on top of those before it."""
    with ExitStack() as stack:
        for m in modules:
            stack.enter_context(m.tuner._attach(base, m.module))
        yield


def encode_texts(base: Tunable, modules: Sequence[TunerModule], texts: Sequence[str]) -> Tensor:
    """`[N, D]` of texts, not scaled to length one; call it inside `attached`."""
    for m in modules:
        rows = m.tuner._encode_texts(base, m.module, texts)
        if rows is not None:
            return rows
    return base.text.forward(base.tokens(texts))


def check_single_prompt(tuners: Sequence[BaseTuner]) -> None:
    """Refuse two tuners that encode texts their own way: one would be trained and never used.

    Raises:
        InputError: two of them.
    """
    own = [
        type(tuner).__name__
        for tuner in tuners
        if type(tuner)._encode_texts is not BaseTuner._encode_texts
    ]
    if len(own) > 1:
        raise InputError(
            f"{' and '.join(own)} both put contexts into the prompts, and a prompt has place for "
            "those of one; detach the one before, or swap it for the new one"
        )


def logit_scale(base: Tunable, modules: Sequence[TunerModule]) -> float:
    """The scale of the last tuner that has one of its own, else the encoder's."""
    own = [m.tuner._logit_scale(base) for m in modules]
    return next((scale for scale in reversed(own) if scale != base.scale), base.scale)
