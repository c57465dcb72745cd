"""A request for any protocol, prepared and run: sources in, scores with their conditions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import plugins
from handful.contracts import Encoder, at_home
from handful.errors import InputError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.protocols import ablation, episodes, sources
from handful.protocols.encoding import Encoding, SupportDraws
from handful.protocols.episodes import Episode
from handful.protocols.journal import Journal
from handful.protocols.methods import inductive_methods
from handful.protocols.published import checked, encoder_of
from handful.protocols.results import BenchResult, facts
from handful.protocols.runner import Configuration, configurations_of, run
from handful.protocols.task import SHOTS, Task

PROTOCOLS: Mapping[str, Callable[..., Any]] = {
    "few-shot": episodes.few_shot,
    "base-to-new": episodes.base_to_new,
    "cross": episodes.cross,
    "domain": episodes.domain,
    "ablation": episodes.few_shot,
}
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Request:
    """The arguments of a protocol run.

    Args:
        protocol: one of `PROTOCOLS`.
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
        precision: of an encoder that is loaded by name; see `handful.encoders.load`.
        device: likewise.
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
    precision: str = "auto"
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class PreparedBench:
    """Everything encoded and drawn; `run` fits and tests.

    Args:
        request: what was asked for.
        configurations: the rows of the table.
        tasks: the data sets.
        journal: what is known already.
    """

    request: Request
    configurations: Sequence[Configuration]
    tasks: Sequence[Task]
    journal: Journal

    def run(self, progress: Progress | None = None) -> BenchResult:
        """Run every trial that is not in the journal yet.

        Args:
            progress: called with (trials done, trials in all).
        """
        return BenchResult(
            self.request.protocol,
            tuple(run(self.configurations, self.journal, progress)),
            facts(self.request.protocol, self.request.seeds, self.configurations, self.tasks),
            {task.name: task.facts for task in self.tasks},
            tuple(f for task in self.tasks for f in task.failures),
            _anchors(self.request, self.tasks),
            self.request.anchors is not None,
            sum((Counter(task.ignored) for task in self.tasks), Counter()),
        )


def prepare(
    paths: Sequence[str | Path],
    request: Request | None = None,
    *,
    out: Path | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> PreparedBench:
    """Read, check, encode and draw.

    Args:
        paths: folders of images, tables, CoOp split files, ImageNet's layout; feature files; cache
            folders of Tip-Adapter's code.
        request: what is asked for.
        out: folder of the journal, by which the next run goes on; nothing is kept without it.
        store: where features of images are kept.
        progress: called with (images done, images in all), anew for every data set.

    Raises:
        InputError: anything about the sources or the request that has to be put right first.
        MismatchError: data sets of different encoders where one is needed.
    """
    request = request or Request()
    _check(paths, request)
    where = {"precision": request.precision, "device": request.device}
    encoding = Encoding(request.encoder, request.templates, store, progress, **where)
    opened = [sources.open_source(at_home(p), request.words, encoding) for p in paths]
    sources.check_names([source.name for source in opened])
    varied = None
    if request.vary is not None:
        varied = ablation.Ablation.of(request.vary, request.values, request.methods)
        varied.check(opened)
    # there the first data set alone is taught, so only its draws are encoded
    trained = opened[:1] if request.protocol in ("cross", "domain") else opened
    shots = _shots(request, trained)
    draws = [(k, seed) for k in shots for seed in range(request.seeds)]
    needed = [SupportDraws(draws if s in trained else (), 1, request.allow_fewer) for s in opened]
    # before the encoding: an unreadable journal fails at once
    journal = Journal(None if out is None else out / JOURNAL)
    tasks = [sources.load(s, encoding, n) for s, n in zip(opened, needed, strict=True)]

    def drawn(of: Sequence[Task]) -> list[Episode]:
        protocol = PROTOCOLS[request.protocol]
        return list(protocol(of, shots, range(request.seeds), allow_fewer=request.allow_fewer))

    if varied is not None:
        rows = ablation.configurations(varied, opened, tasks, needed, encoding, drawn)
    else:
        rows = configurations_of(request.methods or inductive_methods(), drawn(tasks))
    return PreparedBench(request, rows, tasks, journal)


def _check(paths: Sequence[str | Path], request: Request) -> None:
    if not paths:
        raise InputError("no sources given; name a folder, a split file or a feature file")
    if request.protocol not in PROTOCOLS:
        raise InputError(
            f"no protocol {request.protocol!r}; expected one of {', '.join(PROTOCOLS)}"
        )
    if request.seeds < 1:
        raise InputError(f"expected at least 1 seed, got {request.seeds}")
    if (request.vary is not None) != (request.protocol == "ablation"):
        raise InputError(
            "the protocol ablation and --ablate belong together; say what is varied, for example "
            "--protocol ablation --ablate ratio"
        )
    if request.anchors is not None:
        checked(request.anchors)
    for method in request.methods or ():
        plugins.get("adapters", method)


def _shots(request: Request, trained: Sequence[Any]) -> tuple[int, ...]:
    """The shot counts, possible for every data set that support sets are drawn from."""
    if request.shots:
        shots = tuple(sorted(set(request.shots)))
    else:
        fewest = min(sources.most_shots(s) for s in trained)
        shots = SHOTS if request.allow_fewer else tuple(k for k in SHOTS if k <= fewest)
    for source in trained:
        sources.check_shots(source, shots or SHOTS[:1], allow_fewer=request.allow_fewer)
    return shots


def _anchors(request: Request, tasks: Sequence[Task]) -> str:
    """The field's name of the encoder, where all data sets have the same."""
    if request.anchors is not None:
        return checked(request.anchors)
    names = {encoder_of(task.encoder) for task in tasks}
    return names.pop() if len(names) == 1 else ""
