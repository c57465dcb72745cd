"""The facts on a card that the maker of a skill states: title, intended use, data, licence.

It stands in the manifest under `about` and `license`; where it is missing the card states that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from handful.errors import InputError
from handful.packs import chosen
from handful.packs.card_limits import task_of

_LONGEST = 2000  # letters of a statement; a card is read, not studied
_TITLE = 100
UNKNOWN = "unknown"

# Identifiers that the hub takes, huggingface.co/docs/hub/repositories-licenses. One that is newer
# than this list is written as `other` with its name, which the hub takes as well.
_NAMES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1
    lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa
    unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 gemma unknown other
"""
_LICENCES = frozenset(_NAMES.split())


def described(
    manifest: Mapping[str, Any],
    *,
    title: str | None = None,
    people: str | None = None,
    data: str | None = None,
    licence: str | None = None,
) -> dict[str, Any]:
    """A manifest with the facts given by the maker of the skill; what is not given stays as it was.

    Args:
        manifest: of a skill.
        title: what it is called, one line.
        people: for whom and for what it is meant.
        data: where the images come from that it was taught with.
        licence: under which others may use it, best as the Hugging Face hub names it.

    Raises:
        InputError: empty or too long.
    """
    given = {"title": title, "for": people, "data": data}
    about = _stated(manifest) | {
        key: _line(text, key, _TITLE if key == "title" else _LONGEST)
        for key, text in given.items()
        if text is not None
    }
    result = dict(manifest)
    if about:
        result["about"] = about
    if licence is not None:
        result["license"] = _known(_line(licence, "licence", _TITLE))
    return result


def front_matter(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The licence as the metadata of a model card has it.

    >>> front_matter({"license": "MIT"})
    {'license': 'mit'}
    >>> front_matter({"license": "Ask Ada"})
    {'license': 'other', 'license_name': 'ask-ada'}
    """
    name = _known(manifest["license"])
    if name in _LICENCES:
        return {"license": name}
    plain = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name.lower())
    return {"license": "other", "license_name": plain.strip("-.") or "not-named"}


def title(manifest: Mapping[str, Any]) -> str:
    """What the skill is called."""
    return str(_stated(manifest).get("title") or f"A skill of {len(manifest['classes'])} classes")


def one_line(manifest: Mapping[str, Any]) -> str:
    """What a skill prints of itself: classes, method, encoder, how good it is expected to be."""
    classes, task = manifest["classes"], task_of(manifest)
    found = task.expected(manifest) if task else None
    good = ""
    if found and "accuracy" in found:
        good = f", {100 * found['accuracy']:.0f} % of left-out images right"
    shown = ", ".join(classes[:3]) + ", ..." * (len(classes) > 3)
    return f"<Pack of {len(classes)} classes ({shown}): {chosen.method_line(manifest)}{good}>"


def intended_use(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card on intended use and users."""
    stated = _stated(manifest).get("for")
    text = cell(stated) if stated else "Its makers did not say."
    return (
        f"## Who it is for\n\n{text}\n\nIt suits photos of its classes that look like those it was "
        "taught with. Try it on photos of your own before anything depends on it: "
        "`handful evaluate SKILL FOLDER`.\n"
    )


def training_data(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card about the images that a skill was taught with."""
    stated = _stated(manifest).get("data")
    support = manifest["support"]
    text = cell(stated) if stated else "Its makers did not say where the photos come from."
    kept = "their features and the names of their files" if "names" in support else "no feature"
    reserved = support.get("reserved")
    pool = manifest["training"].get("pool")
    count = pool.get("images") if isinstance(pool, Mapping) else None
    helped = f" {count} photos without labels helped; of them it holds the digests alone."
    others = len(reserved.get("images", ())) if isinstance(reserved, Mapping) else 0
    more = f", and {others} that show none of its classes" if others else ""
    return (
        f"## On what data\n\n{text}\n\nIt was taught with {len(support['images'])} labelled photos"
        f"{more}. None of them is in the skill; of them it holds {kept}, and SHA-256 digests "
        "(`support` in `pack.json`), so that a test set can be cleared of them."
        f"{helped if type(count) is int else ''}\n"
    )


def licence_section(manifest: Mapping[str, Any], code: Callable[[Any], str]) -> str:
    """The section of a card about the licence."""
    name = manifest["license"]
    text = f"{code(name)}, as stated by its makers."
    if name == UNKNOWN:
        text = "No licence was stated; ask whoever gave it to you before you pass it on."
    return f"## Licence\n\n{text} The encoder has a licence of its own.\n"


def _stated(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The entry `about` of a manifest; what is not text is left out."""
    about = manifest.get("about")
    items = about.items() if isinstance(about, Mapping) else ()
    return {key: text for key, text in items if isinstance(text, str) and text.strip()}


def _known(name: str) -> str:
    return name.lower() if name.lower() in _LICENCES else name


def _line(text: str, what: str, most: int) -> str:
    line = " ".join(text.split())
    if not line or len(line) > most:
        raise InputError(
            f"{what}: expected 1 to {most} letters for the card, got {len(line)}; put the rest "
            "where the card can point to"
        )
    return line
