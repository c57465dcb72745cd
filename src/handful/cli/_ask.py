"""A skill or a library that is asked about photos: `handful predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console, _library
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.answer_table import Schema
    from handful.skills.prediction import Prediction

BATCH = 256  # photos answered, and written, together
Update = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """What is asked about the photos; see the options of the command."""

    top_k: int | None = None
    unknown: float | None = None
    error: float | None = None
    task: str | None = None


@dataclass(frozen=True)
class Answering:
    """Who answers.

    Args:
        batches: photos and progress to their answers, a batch at a time.
        schema: columns of the answers.
        meaning: what `unknown` means among them.
        encoded: how many different photos went through the encoder so far.
        alone: an answer depends on its own photo alone, so that a run can be gone on with.
    """

    batches: Callable[[Sequence[Any], Update | None], Iterator[Sequence[Prediction]]]
    schema: Schema
    meaning: str
    encoded: Callable[[], int]
    alone: bool = True


def open_skill(stack: ExitStack, skill: Path, asked: Asked, **where: Any) -> Answering:
    """A skill or a library, ready to answer.

    Args:
        stack: what is left when the answers are done.
        skill: where it lies.
        asked: the request.
        where: encoder, precision and device.

    Raises:
        InputError: options that do not fit what is asked.
    """
    from handful.library import is_library

    if is_library(skill):
        return _open_library(stack, skill, asked, **where)
    if asked.task is not None:
        raise InputError(f"--skill {asked.task}: {skill} is a single skill; leave --skill out")
    from handful.skills.predict import Predictor

    predictor = Predictor(skill, unknown=asked.unknown, error=asked.error, **where)
    pack = predictor.pack
    top_k = asked.top_k or pack.task.default_top_k
    alone = pack.semantics == "inductive"

    def batches(images: Sequence[Any], update: Update | None) -> Iterator[Sequence[Prediction]]:
        if alone:
            return predictor.predict_batches(images, top_k, batch=BATCH, progress=update)
        return iter([predictor.predict(images, top_k, update)])

    if asked.unknown is not None:
        from handful.packs.novelty import cost_in_words

        cost = cost_in_words(pack.manifest, asked.unknown)
        if cost:
            _console.echo_err(cost)
    meaning = (
        f"yes: none of the {len(pack.classes)} classes; familiar: the share of such photos that "
        "look as familiar, or more so"
    )
    return Answering(batches, predictor.schema(top_k), meaning, lambda: predictor.encoded, alone)


def with_columns(answering: Answering, exif: Sequence[str], carried: Sequence[str]) -> Answering:
    """The same with further columns.

    Raises:
        InputError: a carried column of a name that the answers have.
    """
    if not exif and not carried:
        return answering
    taken = {*answering.schema.columns, *exif}
    twice = [name for name in carried if name in taken]
    if twice:
        raise InputError(
            f"--keep {twice[0]}: the answers have a column of this name; rename it in the table"
        )
    schema = replace(answering.schema, exif=tuple(exif), carried=tuple(carried))
    return replace(answering, schema=schema)


def _open_library(stack: ExitStack, folder: Path, asked: Asked, **where: Any) -> Answering:
    if asked.error is not None:
        raise InputError("--error: a library gives no sets of classes; ask one of its skills")
    library = stack.enter_context(_library.opened(folder, **where))
    rest: dict[str, Any] = {
        "task": asked.task,
        "unknown": asked.unknown,
        "top_k": asked.top_k or 1,
    }

    def batches(images: Sequence[Any], update: Update | None) -> Iterator[Sequence[Prediction]]:
        return library.predict_batches(images, **rest, batch=BATCH, progress=update)

    meaning = "yes: none of the tasks of the library; the label is what its text alone suggests"
    return Answering(batches, library.schema(**rest), meaning, lambda: library.encoded)
