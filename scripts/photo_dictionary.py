"""The dictionary that the text tower of `photo` is taught: ImageNet-22k's names and definitions.

timm carries them as metadata. The synsets of persons are left out, as ImageNet's own authors have
done since 2020 (Yang et al., Towards fairer datasets), but for three that ILSVRC2012 has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from handful.encoders.prompts import DEFAULT, TEMPLATES

_PERSONS = "n096", "n109"  # WordNet's offsets are sorted by subject; these are the persons' ends
_MORE = (
    "a photo of the {}.", "a picture of a {}.", "an image of a {}.", "a close-up of a {}.",
    "a photo of many {}.", "a photo of a {}, a type of animal.", "an aerial view of {}.",
    "a photo of a {}, a kind of clothing.",
)  # fmt: skip
_STOP = {
    "a", "about", "also", "an", "and", "any", "are", "as", "at", "be", "been", "being",
    "between", "but", "by", "can", "especially", "for", "from", "has", "have", "having", "if",
    "in", "into", "is", "it", "its", "large", "like", "made", "many", "may", "more", "most",
    "not", "of", "often", "on", "one", "only", "or", "other", "several", "small", "some",
    "such", "than", "that", "the", "their", "they", "this", "to", "used", "usually", "various",
    "very", "was", "were", "when", "where", "which", "who", "with",
}  # fmt: skip
PROMPTS = (*_MORE, *(t for group in TEMPLATES.values() for t in group))
"""Templates that names are taught in beside the default; all that Handful has are among them."""


@dataclass(frozen=True)
class Entry:
    """One synset.

    Args:
        synset: its WordNet 3.0 offset, such as n02110958.
        names: its lemmas, the commonest first.
        definition: its gloss.
    """

    synset: str
    names: tuple[str, ...]
    definition: str

    @property
    def whole(self) -> str:
        """All that is known of it in one text."""
        return f"{', '.join(self.names)}: {self.definition}"

    @property
    def prompt(self) -> str:
        """What a user of Handful would write for it."""
        return f"a photo of a {self.names[0]}."


def _lines(name: str) -> list[str]:
    path = Path(str(distribution("timm").locate_file(f"timm/data/_info/{name}")))
    return path.read_text(encoding="utf-8").splitlines()


def classes() -> list[str]:
    """The 1000 synsets of ILSVRC2012, in the order of every classifier of it."""
    return _lines("imagenet_synsets.txt")


def entries() -> list[Entry]:
    """The synsets of ImageNet-22k without persons, by offset."""
    names = dict(line.split("\t") for line in _lines("imagenet_synset_to_lemma.txt"))
    glosses = dict(line.split("\t") for line in _lines("imagenet_synset_to_definition.txt"))
    first, last = _PERSONS
    kept = set(classes()) | {s for s in names if not first <= s < last}
    return [Entry(s, tuple(names[s].split(", ")), glosses[s]) for s in sorted(kept)]


def plural(name: str) -> str:
    """A regular English plural.

    >>> plural("dress"), plural("berry"), plural("dog")
    ('dresses', 'berries', 'dogs')
    """
    if re.search(r"(s|x|ch|sh)$", name):
        return name + "es"
    return re.sub(r"([^aeiou])y$", r"\1ie", name) + "s"


def phrases(known: list[Entry]) -> list[str]:
    """One to three words in a row that two definitions have, with none that only joins others."""
    counts: Counter[str] = Counter()
    for entry in known:
        run: list[str] = []
        for word in [*re.findall(r"[a-z][a-z-]+|[^a-z\s]", entry.definition.lower()), "."]:
            if word[0].isalpha() and word not in _STOP:
                run.append(word)
                continue
            for i in range(len(run)):
                counts.update(" ".join(run[i:j]) for j in range(i + 1, min(len(run), i + 3) + 1))
            run = []
    names = {name.lower() for entry in known for name in entry.names}
    return [phrase for phrase, count in counts.items() if count > 1 and phrase not in names]


class Texts:
    """Draws pairs of a text and what it means: the place of an entry, or of a phrase after them.

    A name that several entries share is drawn for each of them alike. Half of the names are drawn
    from all, half from those that are whole words of the vocabulary, which are the commoner ones.

    Args:
        entries: the dictionary.
        phrases: texts that mean themselves.
        vocabulary: word pieces.
        seed: of the draws.
    """

    def __init__(
        self, entries: list[Entry], phrases: list[str], vocabulary: Container[str], seed: int
    ) -> None:
        self.entries, self.phrases = entries, phrases
        self.rng = np.random.default_rng(seed)
        self.of_name: dict[str, list[int]] = {}
        for i, entry in enumerate(entries):
            for name in dict.fromkeys(n.lower() for n in entry.names):
                self.of_name.setdefault(name, []).append(i)
        self.names = list(self.of_name)
        self.common = [n for n in self.names if all(w in vocabulary for w in n.split())]

    def draw(self, count: int, kind: str) -> tuple[list[str], list[int]]:
        """`count` texts of one kind, and the index of the entry of each.

        Args:
            count: how many.
            kind: `name`, `prompt` (a name in a template), `definition` (half with the names) or
                `phrase`.
        """
        one = {"definition": self._definition, "phrase": self._phrase}.get(kind, self._name)
        texts, places = zip(*(one(kind) for _ in range(count)), strict=True)
        return list(texts), list(places)

    def _definition(self, _kind: str) -> tuple[str, int]:
        place = int(self.rng.integers(len(self.entries)))
        entry = self.entries[place]
        return (entry.whole if self.rng.random() < 0.5 else entry.definition), place

    def _phrase(self, _kind: str) -> tuple[str, int]:
        place = int(self.rng.integers(len(self.phrases)))
        return self.phrases[place], len(self.entries) + place

    def _name(self, kind: str) -> tuple[str, int]:
        names = self.names if self.rng.random() < 0.5 else self.common
        name = names[self.rng.integers(len(names))]
        place = int(self.rng.choice(self.of_name[name]))
        if self.rng.random() < 0.1:
            name = plural(name)
        if kind == "name":
            return name, place
        usual = self.rng.random() < 0.6
        template = DEFAULT[0] if usual else PROMPTS[self.rng.integers(len(PROMPTS))]
        return template.replace("{}", name), place
