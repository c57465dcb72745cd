"""Contexts in the place of words: where they stand, what they begin as, and what they learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

import models
import open_clip_models as checkpoints
from handful import encoders
from handful.contracts import ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.encoders.towers import Tower
from handful.errors import InputError
from handful.features.store import ActivationStore
from handful.tuners import Delta, Recipe, TunedEncoder, fit
from handful.tuners._context_tokens import MARKER, ContextLocator, embedded_words
from handful.tuners.block import BlockAdapters
from handful.tuners.soft_prompt import SoftPrompt

NAMES = ("cat", "dog", "red circle")
POSITIONS = ("end", "middle", "front")


@pytest.fixture(scope="module")
def tiny():
    return encoders.load("tiny", precision="float32", device="cpu")


OURS = [build.__name__ for build in models.ALL]
OPEN_CLIP = ["vit", "siglip", "bert"]


@pytest.fixture(
    scope="module", params=[*OURS, *(f"open_clip {kind}" for kind in OPEN_CLIP)], ids=str
)
def small(request, tmp_path_factory):
    folder, kind = tmp_path_factory.mktemp("soft"), request.param
    if kind in OURS:
        made = getattr(models, kind)(folder)
    else:
        made = checkpoints.checkpoint(kind.partition(" ")[2], folder)
    return encoders.load(str(made), precision="float32", device="cpu")


def window_of(encoder):
    return encoder.window


def delta_of(tuner, encoder, names=NAMES, move=0.0):
    """A delta as training would leave it, its contexts moved by lot."""
    module = tuner.create_module(encoder, names, 0)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += move * torch.randn(parameter.shape, generator=rng)
    tensors = {n: t.detach().numpy().copy() for n, t in module.state_dict().items()}
    params = tuner.get_params(deep=False)
    classes = tuple(names) if tuner.class_specific else ()
    return Delta("soft_prompt", params, classes, tensors, encoder.fingerprint)


def written(tuner, names=NAMES):
    return [tuner._templates(())[0].replace("{}", name) for name in names]


# -- where contexts stand


@pytest.mark.parametrize("position", POSITIONS)
def test_contexts_stand_where_the_marker_does_with_every_tokenizer(small, position):
    locator = ContextLocator(small, 4, position)
    texts = [locator.template.replace("{}", name) for name in NAMES]
    placed = locator.tokenize(texts)
    columns = placed.columns.reshape(3, 4)
    assert placed.rows.tolist() == [i for i in range(3) for _ in range(4)]
    # what the tokenizer makes of the same text with ordinary words there, place by place
    counts = (4,) if position != "middle" else (2, 2)
    plain = list(texts)
    for count in counts:
        plain = [t.replace(MARKER, " ".join([locator.placeholders[1]] * count), 1) for t in plain]
    wanted = small.tokens(plain)["input_ids"]
    differ = placed.inputs["input_ids"] != wanted
    assert differ.sum(dim=1).tolist() == [4, 4, 4]
    assert all(differ[i, columns[i]].all() for i in range(3))
    table = small.text.module(small.text.token_embedding)
    contexts = torch.arange(4.0)[None, :, None].expand(1, 4, table.embedding_dim)
    made = placed.embeddings(table, contexts)
    for i in range(3):
        assert made[i, columns[i], 0].tolist() == [0, 1, 2, 3]
        rest = ~differ[i]
        assert torch.equal(made[i, rest], table(wanted[i, rest]))


def test_contexts_that_are_the_placeholder_s_own_embeddings_change_nothing(small):
    tuner = SoftPrompt(length=3)
    module = tuner.create_module(small, NAMES, 0)
    locator = ContextLocator(small, 3, "end")
    placed = locator.tokenize(written(tuner))
    table = small.text.module(small.text.token_embedding)
    own = table(placed.inputs["input_ids"])[placed.rows[:3], placed.columns[:3]]
    with torch.no_grad():
        module.contexts.copy_(own[None] - module.start)
        found = tuner._encode_texts(small, module, written(tuner))
        plain = [t.replace(MARKER, " ".join([locator.placeholders[0]] * 3)) for t in written(tuner)]
        wanted = small.text.forward(small.tokens(plain))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=3e-4)  # these weights are loud


def test_words_begin_as_the_prompt_they_stand_for(small):
    if "siglip2" in small.name:
        with pytest.raises(InputError, match="use other words, or length=4"):
            embedded_words(small, "a photo of a")  # this tokenizer has tokens for spaces alone
        return
    tuner = SoftPrompt()
    tuned = TunedEncoder(small, {"soft_prompt": delta_of(tuner, small)})
    wanted = small.texts([f"a photo of a {name}." for name in NAMES])
    np.testing.assert_allclose(tuned.texts(written(tuner)), wanted, atol=2e-6)


def test_a_batch_may_mix_prompts_and_other_texts(tiny):
    tuner = SoftPrompt(length=4, contexts="shared")
    tuned = TunedEncoder(tiny, {"soft_prompt": delta_of(tuner, tiny, move=0.3)})
    soft, plain = written(tuner), ["a photo of a cat.", "two red circles"]
    mixed = tuned.texts([soft[0], plain[0], soft[1], plain[1]])
    np.testing.assert_allclose(mixed[[0, 2]], tuned.texts(soft[:2]), atol=1e-6)
    np.testing.assert_allclose(mixed[[1, 3]], tiny.texts(plain), atol=1e-6)
    np.testing.assert_array_equal(tuned.texts(plain), tiny.texts(plain))


@pytest.mark.parametrize("position", POSITIONS)
def test_half_a_delta_is_half_way(tiny, position):
    tuner = SoftPrompt(length=4, position=position)
    moved, start = delta_of(tuner, tiny, move=0.3), delta_of(tuner, tiny)
    texts = written(tuner)
    begins = TunedEncoder(tiny, {"p": start}).texts(texts)
    np.testing.assert_array_equal(TunedEncoder(tiny, {"p": moved.scaled(0)}).texts(texts), begins)
    half = TunedEncoder(tiny, {"p": moved.scaled(0.5)}).modules[0].module
    whole = TunedEncoder(tiny, {"p": moved}).modules[0].module
    torch.testing.assert_close(half.current(), (whole.current() + whole.start) / 2)
    assert not np.allclose(TunedEncoder(tiny, {"p": moved}).texts(texts), begins, atol=1e-3)


def test_contexts_of_each_class(tiny):
    tuner = SoftPrompt(length=4)
    tuned = TunedEncoder(tiny, {"p": delta_of(tuner, tiny, move=0.3)})
    module, texts = tuned.modules[0].module, written(tuner)
    assert tuple(module.contexts.shape) == (3, 4, 128)
    alone = SoftPrompt(length=4, contexts="shared")
    for i, text in enumerate(texts):
        own = alone.create_module(tiny, NAMES, 0)
        with torch.no_grad():
            own.contexts.copy_(module.current()[i : i + 1] - own.start)
            wanted = normalize(alone._encode_texts(tiny, own, [text]), dim=-1).numpy()
        np.testing.assert_allclose(tuned.texts([text]), wanted, atol=1e-5)
    np.testing.assert_allclose(tuned.texts(texts[::-1])[::-1], tuned.texts(texts), atol=1e-6)
    with pytest.raises(InputError, match=r"no prompt .*cat, dog, red circle.* contexts=.shared"):
        tuned.texts([f"{MARKER} blue star."])


# -- contexts that depend on the image


def reference(encoder, tuner, module, features):
    """Logits of CoCoOp, one image and one class at a time."""
    table = encoder.text.module(encoder.text.token_embedding)
    word = ContextLocator(encoder, tuner.length, tuner.position).placeholders[0]
    logits = torch.zeros(len(features), len(NAMES))
    for i, x in enumerate(features):
        contexts = module.start[0] + module.contexts[0] + module.net(x)
        for c, name in enumerate(NAMES):
            inputs = encoder.tokens([f"{' '.join([word] * tuner.length)} {name}."])
            rows = table(inputs["input_ids"]).clone()
            rows[0, 1 : 1 + tuner.length] = contexts  # after the token that begins every text
            with encoder.text.with_embeddings(rows):
                t = encoder.text.forward(inputs)[0]
            logits[i, c] = encoder.scale * torch.dot(x, t) / t.norm()
    return logits


def test_conditional_contexts_give_the_logits_of_the_paper(tiny, monkeypatch):
    monkeypatch.setattr("handful.tuners.soft_prompt._MAX_PROMPTS", 6)  # two images at once
    tuner = SoftPrompt(length=4, contexts="image")
    tuned = TunedEncoder(tiny, {"p": delta_of(tuner, tiny, move=0.2)})
    rng = np.random.default_rng(0)
    pictures = [tiny.prepare(p) for p in pictures_of(rng, 5)]
    features = torch.from_numpy(tiny.images(pictures))
    with torch.no_grad():
        wanted = reference(tiny, tuner, tuned.modules[0].module, features).numpy()
    seen, said = tuned.images(pictures), tuned.texts(written(tuner))
    assert tuned.dim == seen.shape[1] == said.shape[1] == len(NAMES) + 1
    np.testing.assert_allclose(tuned.scale * seen @ said.T, wanted, rtol=1e-4, atol=1e-3)
    assert wanted.std(axis=0).min() > 0.01
    with pytest.raises(InputError, match="contexts were taught"):
        tuned.texts(["a photo of a cat."])


def test_conditional_contexts_begin_as_the_unconditional_ones(tiny):
    tuner = SoftPrompt(contexts="image")
    tuned = TunedEncoder(tiny, {"p": delta_of(tuner, tiny)})
    pictures = [tiny.prepare(p) for p in pictures_of(np.random.default_rng(1), 3)]
    logits = tuned.scale * tuned.images(pictures) @ tuned.texts(written(tuner)).T
    text = tiny.texts([f"a photo of a {name}." for name in NAMES])
    np.testing.assert_allclose(logits, tiny.scale * tiny.images(pictures) @ text.T, atol=1e-3)


def pictures_of(rng, count):
    return [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(count)]


# -- sizes that were published


def wide(dim=512, width=512):
    """The text tower of a ViT-B/16 without its numbers: only shapes matter here."""
    with torch.device("meta"):
        table = torch.nn.Embedding(49408, width)
    model = torch.nn.ModuleDict({"table": table})
    text = Tower("text", model, lambda *_: torch.empty(0), (), ("table.",), token_embedding="table")
    return SimpleNamespace(text=text, dim=dim, name="ViT-B/16")


def learned(tuner, classes=0):
    made = tuner._start(wide(), max(1, classes), 512)
    return made.numel()


def test_parameter_counts_are_those_of_the_papers(tiny):
    counted = {
        "CoOp": sum(
            p.numel()
            for p in SoftPrompt(length=16, contexts="shared")
            ._create_module(wide(), ())
            .parameters()
        ),
        "CoCoOp": sum(
            p.numel()
            for p in SoftPrompt(length=4, contexts="image")._create_module(wide(), ()).parameters()
        ),
    }
    assert counted == {"CoOp": 8192, "CoCoOp": 35360}
    assert learned(SoftPrompt(length=16), 10) == 81920
    assert delta_of(SoftPrompt(contexts="shared"), tiny).size == 4 * 128  # the start is not kept


# -- input that cannot be used


def test_contexts_fit_up_to_the_last_token_of_the_window(small):
    names = ("cat", "red dog")

    window = window_of(small)

    def fits(length):
        return refusal(SoftPrompt(length=length), small, names) == ""

    word = ContextLocator(small, 2, "end").placeholders[0]
    tokens = {n: uncut(small, f"{' '.join([word] * n)} red dog.") for n in range(2, 70)}
    near = [n for n in tokens if abs(tokens[n] - window) <= 3]
    for length in near:
        assert fits(length) == (tokens[length] <= window), length
    longest = max(n for n in near if fits(n))
    tuner = SoftPrompt(length=longest, contexts="shared")
    module = tuner.create_module(small, names, 0)
    with torch.no_grad():
        one, other = tuner._encode_texts(small, module, written(tuner, ("red dog", "red cat")))
    assert not torch.allclose(one, other)
    said = refusal(SoftPrompt(length=longest + 1), small, names)
    assert "red dog" in said
    assert f"{window} tokens; give a smaller length" in said


def uncut(encoder, text):
    """How many tokens the text has in the library's own tokenizer."""
    if hasattr(encoder, "processor"):
        return len(encoder.tokenizer(encoder._tokens.clean(text))["input_ids"])
    if hasattr(encoder.tokenizer, "encode"):
        return len(encoder.tokenizer.encode(text)) + 2
    cleaned = encoder.tokenizer.clean_fn(text)
    return len(encoder.tokenizer.tokenizer(cleaned)["input_ids"])


def refusal(tuner, encoder, names):
    try:
        tuner.create_module(encoder, names, 0)
    except InputError as error:
        return str(error)
    return ""


def test_a_name_of_no_token_is_refused(tmp_path):
    encoder = encoders.load(str(models.siglip(tmp_path)), precision="float32", device="cpu")
    with pytest.raises(InputError, match=r"class name '!!!' has no token"):
        SoftPrompt().create_module(encoder, ("cat", "!!!"), 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"position": "start"}, "expected position end, middle, front"),
        ({"length": -1}, "length as a whole number from 0"),
        ({"length": 1, "position": "middle"}, "2 or more, got 1"),
        ({"contexts": "own"}, "expected contexts class, shared, image"),
        ({"words": " "}, "plain words .* or a length"),
        ({"pull": -1.0}, "pull as a number from 0"),
        ({"words": "a [V] of"}, "plain words"),
        ({"words": 5}, "plain words"),
        ({"length": 10**12}, "length of at most 1024"),
        ({"seed": "x"}, "seed as a whole number"),
        ({"pull": "x"}, "pull as a number"),
        ({"contexts": "image", "pull": 1.0}, "no one text to pull"),
        ({"words": "a " * 40}, "does not cut it"),
    ],
)
def test_arguments_that_make_no_sense(tiny, arguments, message):
    with pytest.raises(InputError, match=message):
        SoftPrompt(**arguments).create_module(tiny, NAMES, 0)


def test_the_marker_belongs_to_the_contexts(tiny):
    tuner = SoftPrompt(length=4, contexts="shared")
    with pytest.raises(InputError, match="holds"):
        tuner.create_module(tiny, ("cat", "a [V] dog"), 0)
    tuned = TunedEncoder(tiny, {"p": delta_of(tuner, tiny)})
    with pytest.raises(InputError, match=r"got it 2 time"):
        tuned.texts(["[V] a [V] dog."])


# -- training


@pytest.fixture(scope="module")
def task():
    return playground.task("style-sketch", shots=4, seed=5000, queries_per_class=4)


def trained(tuners, tiny, task, folder, **recipe):
    settings = {"epochs": 4, "learning_rate": 2e-3, "batch": 16, **recipe}
    text = prompts.class_prompts(task.classes, task.templates)
    images = [ImageRef.of(p) for p in task.support]
    with ActivationStore(folder) as store:
        return fit(
            tuners,
            tiny,
            images,
            task.support_labels,
            text,
            recipe=Recipe(**settings),
            store=store,
        )


def logits_of(encoder, done, task):
    """Of the support images, from the encoder alone, as a predictor would."""
    seen = encoder.images([encoder.prepare(Image.fromarray(p)) for p in task.support])
    text = prompts.embed(encoder, task.classes, done.templates)
    return encoder.scale * seen @ text.weights.T


def loss_of(encoder, done, task):
    columns = torch.tensor([task.classes.index(label) for label in task.support_labels])
    logits = torch.from_numpy(logits_of(encoder, done, task))
    return float(torch.nn.functional.cross_entropy(logits, columns))


@pytest.mark.parametrize(
    "arguments",
    [
        {"length": 4, "contexts": "shared"},
        {"length": 4, "contexts": "shared", "position": "middle", "pull": 1.0},
        {},
        {"length": 2, "contexts": "image"},
    ],
    ids=["coop", "middle-pull", "class-specific", "cocoop"],
)
def test_contexts_learn_and_nothing_else_does(tiny, task, tmp_path, arguments):
    tuner = SoftPrompt(**arguments)
    before = {n: p.clone() for n, p in tiny.model.named_parameters()}
    done = trained([tuner], tiny, task, tmp_path)
    delta = done.encoder.deltas["soft_prompt"]
    start = TunedEncoder(tiny, {"p": delta.scaled(0)})
    assert loss_of(done.encoder, done, task) < 0.98 * loss_of(start, done, task)
    assert all(torch.equal(before[n], p) for n, p in tiny.model.named_parameters())
    again = trained([SoftPrompt(**arguments)], tiny, task, tmp_path)
    assert again.encoder.fingerprint == done.encoder.fingerprint
    chunked = trained([SoftPrompt(**arguments)], tiny, task, tmp_path, chunk=3)
    np.testing.assert_allclose(
        logits_of(chunked.encoder, done, task), logits_of(done.encoder, done, task), atol=0.05
    )


def test_the_pull_holds_the_classes_near_the_prompts_of_a_person(tiny, task, tmp_path):
    text = prompts.embed(tiny, task.classes, task.templates).weights

    def way(pull):
        tuner = SoftPrompt(contexts="shared", pull=pull)
        done = trained([tuner], tiny, task, tmp_path, epochs=6)
        found = prompts.embed(done.encoder, task.classes, done.templates).weights
        return float(np.square(found - text).sum(axis=1).mean())

    assert way(50.0) < 0.5 * way(0.0)


def test_a_prompt_and_adapters_learn_together(tiny, task, tmp_path):
    tuners = [BlockAdapters(bottleneck=8, blocks="upper"), SoftPrompt()]
    done = trained(tuners, tiny, task, tmp_path)
    deltas = done.encoder.deltas
    assert list(deltas) == ["block", "soft_prompt"]
    start = TunedEncoder(tiny, {n: d.scaled(0) for n, d in deltas.items()})
    for name in deltas:  # each of the two has learned something
        without = {n: d.scaled(0) if n == name else d for n, d in deltas.items()}
        assert loss_of(done.encoder, done, task) < loss_of(TunedEncoder(tiny, without), done, task)
    assert loss_of(done.encoder, done, task) < loss_of(start, done, task)
    loaded = TunedEncoder(tiny, deltas)
    assert loaded.fingerprint == done.encoder.fingerprint
    np.testing.assert_array_equal(
        logits_of(loaded, done, task), logits_of(done.encoder, done, task)
    )
