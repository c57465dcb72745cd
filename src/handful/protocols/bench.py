"""One call for every protocol: sources in, scores with everything a reader must know out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from handful import plugins, trials
from handful.contracts import Encoder
from handful.errors import InputError
from handful.extract import Failure, Progress
from handful.inputs import load_encoder
from handful.protocols import ablation, plans, sources, table
from handful.protocols.encode import Eye, Loaded, Need
from handful.protocols.journal import Journal
from handful.protocols.published import Published, beside, checked, encoder_of
from handful.protocols.runner import Arm, Score, arms_of, run
from handful.protocols.task import Lesson, Task
from handful.store import FeatureStore
from handful.trials import SHOTS

PLANS: Mapping[str, Callable[..., Any]] = {
    "few-shot": plans.few_shot,
    "base-to-new": plans.base_to_new,
    "cross": plans.cross,
    "domain": plans.domain,
    "ablation": plans.few_shot,
}
ABOUT = {
    "few-shot": "all classes are taught and asked",
    "base-to-new": "the first half of the classes (by column, the middle one included) is taught; "
    "each half is asked among its own classes. For the base half a method is given the names and "
    "images of the base classes; for the new half the names of all classes and the images of the "
    "base ones",
    "cross": "the first data set is taught, the others are asked among their own classes; a "
    "method is given the names of both and images of the first",
    "domain": "the first data set is taught, the others show the same classes in other ways; one "
    "with some of the classes only is asked among those",
    "ablation": "few-shot, all classes are taught and asked; one thing is varied",
}
JOURNAL = "journal.jsonl"


@dataclass(frozen=True, eq=False)
class Bench:
    """What a protocol has measured, and what a reader must know to believe it.

    Args:
        protocol: its name.
        scores: every number.
        facts: how they came about.
        tasks: name to the facts of each data set.
        failures: images that could not be read; they count in no number.
        anchors: the field's name of the encoder whose published numbers stand beside ours.
        elsewhere: show them also where they are on other data.
        ignored: files passed over while looking for images.
    """

    protocol: str
    scores: tuple[Score, ...]
    facts: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    failures: tuple[Failure, ...] = ()
    anchors: str = ""
    elsewhere: bool = False
    ignored: Mapping[str, int] = field(default_factory=dict)

    def grids(self) -> list[table.Grid]:
        """The tables, the one over all data sets first."""
        return table.grids(self.protocol, self.scores)

    def published(self, grid: table.Grid) -> tuple[Published, ...]:
        """The published rows that belong to one of the tables."""
        return beside(self.protocol, grid, self.anchors, elsewhere=self.elsewhere)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: facts, tables and every score."""
        return {
            "protocol": self.protocol,
            "facts": dict(self.facts),
            "tasks": {name: dict(facts) for name, facts in self.tasks.items()},
            "tables": [
                {**asdict(grid), "published": [_plain(row) for row in self.published(grid)]}
                for grid in self.grids()
            ],
            "scores": [asdict(s) for s in self.scores],
            "failed": len(self.failures),
        }


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Args:
        protocol: one of `PLANS`.
        methods: adapters' names; all inductive ones when not given.
        shots: shot counts; those of 1, 2, 4, 8, 16 that all data sets allow when not given.
        seeds: how many draws.
        encoder: name, folder or a loaded encoder, for images and for class names without text;
            `tiny` when not given. Feature files that state another one are refused.
        templates: prompts or names of sets; what suits each data set when not given.
        words: label to words in a prompt.
        vary: for the ablation, what is varied: an argument of the method, `views`, `templates`.
        values: its values; a list of our own when not given.
        allow_fewer: take all images of a class that has fewer than the shots.
        anchors: encoder whose published numbers to show, also where they are on other data; when
            not given, those of the encoder used, on the same data.
    """

    protocol: str = "few-shot"
    methods: Sequence[str] | None = None
    shots: Sequence[int] | None = None
    seeds: int = 3
    encoder: str | Path | Encoder | None = None
    templates: Sequence[str] | None = None
    words: Mapping[str, str] | None = None
    vary: str | None = None
    values: Sequence[Any] | None = None
    allow_fewer: bool = False
    anchors: str | None = None


@dataclass(frozen=True, eq=False)
class Ready:
    """Everything encoded and drawn; `run` fits and asks.

    Args:
        request: what was asked for.
        arms: the lines of the table.
        loaded: the data sets.
        journal: what is known already.
    """

    request: Request
    arms: Sequence[Arm]
    loaded: Sequence[Loaded]
    journal: Journal

    def run(self, progress: Progress | None = None) -> Bench:
        """Every trial that the journal does not know.

        Args:
            progress: called with (trials done, trials in all).
        """
        tasks = [one.task for one in self.loaded]
        return Bench(
            self.request.protocol,
            tuple(run(self.arms, self.journal, progress)),
            _facts(self.request, self.arms, tasks) | _draws(self.arms),
            {task.name: task.facts for task in tasks},
            tuple(f for one in self.loaded for f in one.failures),
            _anchors(self.request, tasks),
            self.request.anchors is not None,
            _sum([one.ignored for one in self.loaded]),
        )


def prepare(
    paths: Sequence[str | Path],
    request: Request | None = None,
    *,
    out: Path | None = None,
    store: FeatureStore | None = None,
    encoding: Progress | None = None,
) -> Ready:
    """Read, check, encode and draw.

    Args:
        paths: folders of images, tables, CoOp split files, ImageNet's layout; feature files; cache
            folders of Tip-Adapter's code.
        request: what is asked for.
        out: folder of the journal, by which the next run goes on; nothing is kept without it.
        store: where features of images are kept.
        encoding: called with (images done, images in all), anew for every data set.

    Raises:
        InputError: anything about the sources or the request that has to be put right first.
        MismatchError: data sets of different encoders where one is needed.
    """
    asked = request or Request()
    _check(paths, asked)
    eye = Eye(_once(asked.encoder or "tiny"), asked.templates, store, _named(asked.encoder))
    opened = [sources.open_source(Path(p), asked.words, eye) for p in paths]
    _distinct([source.name for source in opened])
    varied = None
    if asked.vary is not None:
        varied = ablation.Ablation.of(asked.vary, asked.values, asked.methods)
        varied.check(opened)
    taught = opened[:1] if asked.protocol in ("cross", "domain") else opened
    shots = _shots(asked, taught)
    draws = [(k, seed) for k in shots for seed in range(asked.seeds)]
    needs = [Need(draws if s in taught else (), 1, asked.allow_fewer) for s in opened]
    journal = Journal(None if out is None else out / JOURNAL)
    loaded = [sources.load(s, eye, n, encoding) for s, n in zip(opened, needs, strict=True)]
    tasks = [one.task for one in loaded]

    def lessons(of: Sequence[Task]) -> list[Lesson]:
        plan = PLANS[asked.protocol]
        return list(plan(of, shots, range(asked.seeds), allow_fewer=asked.allow_fewer))

    if varied is not None:
        arms = ablation.arms(varied, opened, tasks, needs, eye, lessons, encoding)
    else:
        arms = arms_of(asked.methods or trials.inductive(), lessons(tasks))
    return Ready(asked, arms, loaded, journal)


def _check(paths: Sequence[str | Path], asked: Request) -> None:
    if not paths:
        raise InputError("no sources given; name a folder, a split file or a feature file")
    if asked.protocol not in PLANS:
        raise InputError(f"no protocol {asked.protocol!r}; expected one of {', '.join(PLANS)}")
    if asked.seeds < 1:
        raise InputError(f"expected at least 1 seed, got {asked.seeds}")
    if (asked.vary is not None) != (asked.protocol == "ablation"):
        raise InputError(
            "the protocol ablation and --ablate belong together; say what is varied, for example "
            "--protocol ablation --ablate ratio"
        )
    if asked.anchors is not None:
        checked(asked.anchors)
    for method in asked.methods or ():
        plugins.get("adapters", method)


def _distinct(names: Sequence[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(
            f"two sources are called {twice[0]!r}, and a table could not tell them apart; "
            "rename a folder or file"
        )


def _shots(asked: Request, taught: Sequence[Any]) -> tuple[int, ...]:
    """The shot counts, possible for every data set that is taught."""
    if asked.shots:
        shots = tuple(sorted(set(asked.shots)))
    else:
        fewest = min(sources.most_shots(s) for s in taught)
        shots = SHOTS if asked.allow_fewer else tuple(k for k in SHOTS if k <= fewest)
    for source in taught:
        sources.check_shots(source, shots or SHOTS[:1], allow_fewer=asked.allow_fewer)
    return shots


def _once(encoder: str | Path | Encoder) -> Callable[[], Encoder]:
    """The encoder, loaded when somebody first needs it."""
    found: list[Encoder] = []

    def get() -> Encoder:
        if not found:
            found.append(load_encoder(encoder))
        return found[0]

    return get


def _named(encoder: str | Path | Encoder | None) -> str:
    if encoder is None:
        return ""
    return str(encoder) if isinstance(encoder, str | Path) else encoder.name


def _anchors(asked: Request, tasks: Sequence[Task]) -> str:
    """The field's name of the encoder, where all data sets have the same."""
    if asked.anchors is not None:
        return checked(asked.anchors)
    names = {encoder_of(task.encoder) for task in tasks}
    return names.pop() if len(names) == 1 else ""


def _plain(row: Published) -> dict[str, Any]:
    told = {field.name: getattr(row.anchor, field.name) for field in fields(row.anchor)}
    return {**told, "accuracy": dict(row.anchor.accuracy), "where": row.where}


def _facts(asked: Request, arms: Sequence[Arm], tasks: Sequence[Task]) -> dict[str, Any]:
    return {
        "protocol": ABOUT[asked.protocol],
        "seeds": asked.seeds,
        "hyper-parameters": "each method's defaults, or its own choice from the support set; no "
        "validation set, and no test image takes part in any choice",
        "interval": "over the seeds' draws; it says nothing of the test set's size",
        "arguments": {
            arm.label: ", ".join(f"{k}={v}" for k, v in arm.params.items())
            for arm in arms
            if arm.params
        },
        "encoders": sorted({task.encoder for task in tasks}),
    }


def _draws(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """What the data sets could not give: different draws, or as many images as asked for."""
    equal, fewer = {}, {}
    for lesson in arms[0].lessons:
        task, k = lesson.task, lesson.shots
        counts = np.bincount(task.labels[task.pool], minlength=len(task.text.classes))
        taught = counts[np.unique(lesson.labels)]
        if task.stated and taught.max() <= k:
            equal[task.name, k] = f"{task.name} at {k} shots: every seed has the same support set"
        if (taught < k).any():
            few = int((taught < k).sum())
            told = f"{few} classes have" if few > 1 else "1 class has"
            fewer[task.name, k] = f"{task.name} at {k} shots: {told} fewer images"
    return {"equal draws": list(equal.values()), "fewer": list(fewer.values())}


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    result: dict[str, int] = {}
    for found in counts:
        for what, count in found.items():
            result[what] = result.get(what, 0) + count
    return result
