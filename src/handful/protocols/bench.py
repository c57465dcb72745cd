"""One call for every protocol: sources in, scores with everything a reader must know out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import plugins
from handful.errors import InputError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.protocols import ablation, plans, sources, trials
from handful.protocols.encode import Eye, Loaded, Need
from handful.protocols.journal import Journal
from handful.protocols.published import checked, encoder_of
from handful.protocols.request import Request, distinct, named, once
from handful.protocols.result import Bench, facts
from handful.protocols.runner import Arm, arms_of, run
from handful.protocols.task import Lesson, Task
from handful.protocols.trials import SHOTS

PLANS: Mapping[str, Callable[..., Any]] = {
    "few-shot": plans.few_shot,
    "base-to-new": plans.base_to_new,
    "cross": plans.cross,
    "domain": plans.domain,
    "ablation": plans.few_shot,
}
JOURNAL = "journal.jsonl"


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
            facts(self.request.protocol, self.request.seeds, self.arms, tasks),
            {task.name: task.facts for task in tasks},
            tuple(f for one in self.loaded for f in one.failures),
            _anchors(self.request, tasks),
            self.request.anchors is not None,
            sum((Counter(one.ignored) for one in self.loaded), Counter()),
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
    eye = Eye(once(asked.encoder or "tiny"), asked.templates, store, named(asked.encoder))
    opened = [sources.open_source(Path(p), asked.words, eye) for p in paths]
    distinct([source.name for source in opened])
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


def _anchors(asked: Request, tasks: Sequence[Task]) -> str:
    """The field's name of the encoder, where all data sets have the same."""
    if asked.anchors is not None:
        return checked(asked.anchors)
    names = {encoder_of(task.encoder) for task in tasks}
    return names.pop() if len(names) == 1 else ""
