"""Loads the encoder that a pack names, and checks it; every use of a skill gets it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful import encoders
from handful.contracts import Encoder
from handful.errors import DeviceError, InputError, MismatchError, MissingModelError, PackError
from handful.packs import Pack, deltas

_EMBEDDED = ("photo", "tiny")  # these come with Handful and lie nowhere else


def load_encoder(
    pack: Pack,
    encoder: Encoder | str | Path | None = None,
    *,
    precision: str = "auto",
    device: str = "auto",
) -> Encoder:
    """The encoder that a skill was taught on, with what the skill changes of it.

    Args:
        pack: the skill; it may hold deltas of a tuned encoder.
        encoder: a loaded one or its name; by default the one that the skill names, in a precision
            that is exact enough for it.
        precision: of an encoder that is loaded here: `auto` for the one that was asked for in
            teaching, or one that is exact enough for the skill; else exactly this one.
        device: of an encoder that is loaded here; see `handful.encoders.load`.

    Raises:
        MismatchError: another encoder than the skill's, or too coarse a precision for it.
        MissingModelError: not to be had; says what to do.
        DeviceError: no such device here.
    """
    encoders.check_precision(precision)
    if encoder is not None and not isinstance(encoder, str | Path):
        found = _tuned(pack, encoder)
        pack.check_encoder(found)
        return found
    name = str(pack.manifest["encoder"]["name"] if encoder is None else encoder)
    then = pack.manifest["encoder"]["precision"]
    # what was stated in teaching holds, so that the saved skill answers as the fitted one did
    stated = deltas.KEY in pack.manifest or "precision" in pack.manifest["training"]
    try:
        wanted = then if stated and precision == "auto" else precision
        loaded = encoders.load(name, precision=wanted, device=device)
    except (MissingModelError, InputError) as error:
        # only an encoder that lies somewhere can lie elsewhere now
        if encoder is not None or name in _EMBEDDED or isinstance(error, DeviceError):
            raise
        raise MissingModelError(
            f"{error} (so the skill names its encoder; if it lies elsewhere now, name that place: "
            "--encoder on the command line, encoder= in Python)"
        ) from error
    found = _tuned(pack, loaded)
    try:
        pack.check_encoder(found)
    except MismatchError:
        if precision != "auto" or loaded.precision == then or found.fingerprint != pack.fingerprint:
            raise
        found = _tuned(pack, encoders.load(name, precision=then, device=device))
        pack.check_encoder(found)
    return found


def _tuned(pack: Pack, encoder: Encoder) -> Encoder:
    """The encoder with the skill's deltas, unless it has them already or is another one."""
    held = deltas.read(pack.manifest, pack.tensors, pack.where)
    if not held or encoder.fingerprint == pack.fingerprint:
        return encoder
    if any(facts["base"] != encoder.fingerprint for facts in held.values()):
        return encoder  # the check that follows names what differs
    from handful.tuners import (  # torch's training half; most skills do not need it
        Delta,
        TunedEncoder,
    )

    base: Any = encoder  # of a backend whose insides are known, or it could not have been tuned
    try:
        return TunedEncoder(base, {name: Delta(**facts) for name, facts in held.items()})
    except (InputError, MismatchError) as error:  # arguments or tensors that make no delta here
        raise PackError(f"{pack.where}: {error}") from error
