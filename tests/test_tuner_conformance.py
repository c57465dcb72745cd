"""What every tuner has to keep, whatever it learns; a new file in the folder meets all of it."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import models
from handful import encoders, plugins
from handful.contracts import ImageRef
from handful.data import holdout
from handful.encoders import prompts
from handful.errors import InputError, MismatchError
from handful.tuners import Delta, Recipe, TunedEncoder, Tuner, average, fit, fit_interpolated
from handful.tuners._tuned_encoder import TunerModule, attached, encode_texts
from handful.tuners.training import text

NAMES = plugins.names("tuners")
WORDS = prompts.class_prompts(["red circle", "cat", "forest"], ["a photo of a {}."])
LABELS = ["red circle", "cat", "forest", "cat", "forest", "red circle"]
SHORT = {"soft_prompt": {"length": 4}}  # for towers that read few tokens
QUICK = Recipe(epochs=2, batch=4, seed=3)


def pictures(count: int = 6, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(count)]


@pytest.fixture(scope="module")
def tiny():
    return encoders.load("tiny", precision="float32", device="cpu")


@pytest.fixture
def store(tmp_path):
    from handful.features.store import ActivationStore

    return ActivationStore(tmp_path)


def make(name: str, **params) -> Tuner:
    return plugins.get("tuners", name)(**params)


def train(tuners, encoder, store, **changes):
    images = [ImageRef.of(p) for p in pictures()]
    quick = replace(QUICK, learning_rate=tuners[0].recipe.learning_rate, **changes)
    return fit(tuners, encoder, images, LABELS, WORDS, recipe=quick, store=store)


def moved(delta: Delta, by: float = 0.05) -> Delta:
    """A delta that does something, without training."""
    rng = np.random.default_rng(1)
    tensors = {
        n: (t + by * rng.standard_normal(t.shape)).astype(np.float32)
        for n, t in delta.tensors.items()
    }
    return replace(delta, tensors=tensors)


def untrained(name: str, encoder, **params) -> Delta:
    tuner = make(name, **params)
    state = tuner.create_module(encoder, WORDS.names, 0).state_dict()
    tensors = {n: t.detach().numpy().copy() for n, t in state.items()}
    classes = WORDS.names if tuner.class_specific else ()
    return Delta(name, tuner.get_params(), classes, tensors, encoder.fingerprint)


def seen_of(encoder, images) -> np.ndarray:
    return encoder.images([encoder.prepare(p) for p in images])


def seen(encoder) -> np.ndarray:
    return seen_of(encoder, pictures(3, seed=9))


def said(encoder, templates=WORDS.templates) -> np.ndarray:
    return prompts.encode_prompts(encoder, replace(WORDS, templates=templates)).weights


@pytest.mark.parametrize("name", NAMES)
def test_it_starts_as_the_frozen_encoder(name, tiny):
    tuner = make(name)
    module = tuner.create_module(tiny, WORDS.names, 0).eval()
    inputs = tiny.pixels([tiny.prepare(p) for p in pictures(3)])
    part = TunerModule(tuner, module)
    with torch.no_grad():
        before, said = tiny.vision.forward(inputs), tiny.text.forward(tiny.tokens(WORDS.texts))
        with attached(tiny, [part]):
            after = tiny.vision.forward(inputs)
            own = encode_texts(
                tiny, [part], replace(WORDS, templates=tuner._templates(("{}",))).texts
            )
            same = encode_texts(tiny, [part], WORDS.texts)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    if tuner._templates(("{}",)) == ("{}",):
        torch.testing.assert_close(same, said, rtol=1e-5, atol=1e-5)
    else:
        assert torch.isfinite(own).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_attached_changes_features_and_detaching_restores_every_bit(name, tiny):
    before, words = seen(tiny), said(tiny)
    state = {n: v.clone() for n, v in tiny.model.state_dict().items()}
    tuned = TunedEncoder(tiny, {"x": moved(untrained(name, tiny))})
    templates = make(name)._templates(WORDS.templates)
    changed_images = not np.array_equal(seen(tuned), before)
    changed_words = not np.array_equal(said(tuned, templates), words)
    assert changed_images or changed_words
    assert np.array_equal(seen(tiny), before)
    assert np.array_equal(said(tiny), words)
    assert tiny.model.state_dict().keys() == state.keys()
    assert all(torch.equal(v, state[n]) for n, v in tiny.model.state_dict().items())
    assert tuned.detach("x") is tiny


@pytest.mark.parametrize("name", NAMES)
def test_only_the_delta_learns_and_training_is_deterministic(name, tiny, store):
    state = {n: v.clone() for n, v in tiny.model.state_dict().items()}
    first = train([make(name)], tiny, store)
    again = train([make(name)], tiny, store)
    one, two = (next(iter(t.encoder.deltas.values())) for t in (first, again))
    assert one.digest == two.digest
    start = untrained(name, tiny)
    assert any(not np.array_equal(one.tensors[n], start.tensors[n]) for n in one.tensors)
    assert all(torch.equal(v, state[n]) for n, v in tiny.model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in tiny.model.parameters())
    other = train([make(name)], tiny, store, seed=4)
    assert next(iter(other.encoder.deltas.values())).digest != one.digest


@pytest.mark.parametrize("name", NAMES)
def test_a_delta_rebuilt_from_its_values_answers_the_same(name, tiny):
    delta = moved(untrained(name, tiny))
    copy = Delta(
        delta.tuner,
        dict(delta.params),
        tuple(delta.classes),
        {n: np.array(t) for n, t in delta.tensors.items()},
        delta.base,
    )
    first, second = TunedEncoder(tiny, {"a": delta}), TunedEncoder(tiny, {"b": copy})
    templates = make(name)._templates(WORDS.templates)
    assert first.fingerprint == second.fingerprint != tiny.fingerprint
    assert np.array_equal(seen(first), seen(second))
    assert np.array_equal(said(first, templates), said(second, templates))


@pytest.mark.parametrize("name", NAMES)
def test_no_strength_is_the_start_and_full_strength_the_whole(name, tiny):
    delta, start = moved(untrained(name, tiny)), untrained(name, tiny)
    templates = make(name)._templates(WORDS.templates)

    def answers(d):
        tuned = TunedEncoder(tiny, {"x": d})
        return seen(tuned), said(tuned, templates)

    for got, wanted in zip(answers(delta.scaled(0)), answers(start), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-5)
    for got, wanted in zip(answers(delta.scaled(1)), answers(delta), strict=True):
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_true(name, tiny):
    """What comes before the entry does not change, or cached activations would be wrong."""
    tuner, delta = make(name), moved(untrained(name, tiny))
    part = TunerModule(tuner, tuner.restore_module(tiny, delta))
    entry = tuner._first_changed(tiny)
    pixels = tiny.pixels([tiny.prepare(p) for p in pictures(2)])
    tokens = tiny.tokens(WORDS.texts)
    for tower, inputs, first in (
        (tiny.vision, pixels, entry.vision),
        (tiny.text, tokens, entry.text),
    ):
        if first == -1:
            continue  # nothing is kept of such a tower
        with torch.no_grad():
            last = len(tower.blocks) if first is None else first
            before = tower.forward_until(inputs, last)
            with attached(tiny, [part]):
                assert torch.equal(tower.forward_until(inputs, last), before)
                if (
                    first is not None
                    and part.tuner._encode_texts(tiny, part.module, ["cat"]) is None
                ):
                    whole = tower.forward(inputs)
                    resumed = tower.forward_from(before, inputs, first)
                    torch.testing.assert_close(resumed, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_a_delta_with_itself_is_itself(name, tiny):
    delta = moved(untrained(name, tiny))
    mean = average([delta, delta])
    for n, t in delta.tensors.items():
        np.testing.assert_allclose(mean.tensors[n], t, rtol=1e-6, atol=1e-7)
    with pytest.raises(InputError, match="one tuner with the same arguments"):
        average([delta, replace(delta, base="model:other")])


@pytest.mark.parametrize("name", NAMES)
def test_a_delta_of_another_encoder_is_refused(name, tiny, tmp_path):
    other = encoders.load(str(models.clip(tmp_path)), precision="float32")
    delta = untrained(name, tiny)
    with pytest.raises(MismatchError, match="made for another encoder"):
        TunedEncoder(other, {"x": delta})
    with pytest.raises(MismatchError, match="another architecture"):
        make(name).restore_module(other, delta)


@pytest.mark.parametrize("build", [models.clip, models.siglip, models.chinese_clip])
@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_tuned(name, build, tmp_path, store):
    encoder = encoders.load(str(build(tmp_path)), precision="float32", device="cpu")
    before = seen(encoder)
    if (name, build) == ("projection", models.siglip):  # its image tower ends in attention
        with pytest.raises(InputError, match="use the tuner block"):
            train([make(name)], encoder, store, epochs=1)
        return
    trained = train([make(name, **SHORT.get(name, {}))], encoder, store, epochs=1)
    assert np.isfinite(seen(trained.encoder)).all()
    assert np.isfinite(said(trained.encoder, trained.templates)).all()
    assert np.array_equal(seen(encoder), before)


def test_deltas_are_stacked_and_swapped(tiny):
    names = [n for n in NAMES if n in ("block", "lora", "norm")]
    deltas = {n: moved(untrained(n, tiny)) for n in names}
    tuned = TunedEncoder(tiny, {names[0]: deltas[names[0]]})
    both = tuned.attach(names[1], deltas[names[1]])
    assert not np.array_equal(seen(both), seen(tuned))
    assert np.array_equal(seen(both.detach(names[1])), seen(tuned))
    swapped = both.swap(names[0], deltas[names[0]].scaled(0))
    np.testing.assert_allclose(
        seen(swapped), seen(TunedEncoder(tiny, {names[1]: deltas[names[1]]})), atol=1e-5
    )
    with pytest.raises(InputError, match="attached already"):
        both.attach(names[0], deltas[names[0]])
    with pytest.raises(InputError, match="no delta called"):
        both.detach("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_answers_as_the_tuned_encoder(name, tiny):
    tuned = TunedEncoder(tiny, {name: moved(untrained(name, tiny))})
    again = copy.deepcopy(tuned)
    assert again.fingerprint == tuned.fingerprint
    assert again.model is not tuned.model
    assert seen(again).tobytes() == seen(tuned).tobytes()
    asked = ["[V] cat." if name == "soft_prompt" else "a photo of a cat."]
    assert again.texts(asked).tobytes() == tuned.texts(asked).tobytes()


def test_a_second_lora_stands_on_the_first(tiny):
    first, second = moved(untrained("lora", tiny)), moved(untrained("lora", tiny), by=0.1)
    both = TunedEncoder(tiny, {"a": first, "b": second})
    alone = TunedEncoder(tiny, {"b": second})
    assert not np.array_equal(seen(both), seen(alone))
    with_nothing = TunedEncoder(tiny, {"a": first, "b": second.scaled(0)})
    np.testing.assert_allclose(
        seen(with_nothing), seen(TunedEncoder(tiny, {"a": first})), atol=1e-5
    )


def test_tuning_goes_on_from_a_tuned_encoder(tiny, store):
    first = train([make("norm")], tiny, store).encoder
    second = train([make("block", towers="vision")], first, store).encoder
    assert list(second.deltas) == ["norm", "block"]
    assert second.deltas["norm"].digest == first.deltas["norm"].digest
    assert not np.array_equal(seen(second), seen(first))


@pytest.mark.parametrize("contexts", ["shared", "class", "image"])
def test_what_stands_on_a_soft_prompt_is_trained_with_the_words_it_will_be_read_with(
    contexts, tiny, store, monkeypatch
):
    prompt = train([make("soft_prompt", contexts=contexts)], tiny, store, epochs=5)
    words = replace(WORDS, templates=prompt.templates)
    used = []
    monkeypatch.setattr(text.TrainingText, "weights", _noted(text.TrainingText.weights, used))
    images = [ImageRef.of(p) for p in pictures()]
    still = replace(QUICK, learning_rate=0.0, kl=1.0, weight_decay=0.0)
    above = fit([make("block", towers="vision")], prompt.encoder, images, LABELS, words,
                recipe=still, store=store)  # fmt: skip
    np.testing.assert_allclose(used[0], said(above.encoder, prompt.templates), atol=1e-5)
    logits = above.encoder.scale * seen_of(above.encoder, pictures()) @ used[0].T
    column = {name: i for i, name in enumerate(WORDS.classes)}
    targets = torch.tensor([column[label] for label in LABELS])
    wanted = torch.nn.functional.cross_entropy(torch.from_numpy(logits), targets)
    # no step moves anything, so the answers are the untouched ones' and their divergence is 0
    assert above.report.losses == pytest.approx([wanted.item()] * 2, rel=1e-3)


def _noted(function, into):
    def noted(*args):
        found = function(*args)
        into.append(found.detach().numpy())
        return found

    return noted


@pytest.mark.parametrize("name", NAMES)
def test_drawing_a_delta_leaves_every_generator_alone(name, tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("reseeds GPUs"))
    before = torch.random.get_rng_state()
    make(name).create_module(tiny, WORDS.names, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_two_soft_prompts_have_no_place_in_one_prompt(tiny, store):
    first = train([make("soft_prompt")], tiny, store, epochs=1)
    delta = first.encoder.deltas["soft_prompt"]
    with pytest.raises(InputError, match="place for those of one"):
        first.encoder.attach("other", delta)
    with pytest.raises(InputError, match="place for those of one"):
        train([make("soft_prompt")], first.encoder, store, epochs=1)
    assert list(first.encoder.swap("soft_prompt", delta).deltas) == ["soft_prompt"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"blocks": "4-9"}, "has 6 blocks, 0 to 5"),
        ({"blocks": "top"}, "expected blocks such as"),
        ({"towers": "audio"}, "expected towers"),
    ],
)
def test_a_range_that_is_not_there_is_told(params, message, tiny, store):
    with pytest.raises(InputError, match=message):
        train([make("block", **params)], tiny, store)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("block", {"bottleneck": "x"}, "bottleneck as a whole number from 1"),
        ("block", {"bottleneck": 10**9}, "bottleneck of at most"),
        ("block", {"dropout": "x"}, "dropout as a number from 0 to below 1"),
        ("block", {"scale": 0}, "scale above 0"),
        ("block", {"scale": float("nan")}, "scale as a number"),
        ("lora", {"rank": 0}, "rank as a whole number from 1"),
        ("lora", {"rank": "two"}, "rank as a whole number from 1"),
        ("lora", {"rank": 10**9}, "rank of at most"),
        ("lora", {"dropout": 2}, "dropout as a number from 0 to below 1"),
        ("lora", {"alpha": 0}, "alpha above 0"),
        ("projection", {"pull": "x"}, "pull as a number from 0"),
    ],
)
def test_a_tuner_names_the_argument_that_is_wrong(name, params, message, tiny):
    with pytest.raises(InputError, match=message):
        make(name, **params).create_module(tiny, ("cat", "dog"), 0)


def test_a_delta_with_an_argument_of_another_version(tiny):
    delta = untrained("lora", tiny)
    with pytest.raises(MismatchError, match="'later'"):
        TunedEncoder(tiny, {"a": replace(delta, params={**delta.params, "later": 1})})


@pytest.mark.parametrize("views", [1, 3])
def test_cached_and_uncached_training_agree(views, tiny, store):
    tuner = make("block", blocks="3-", towers="vision", dropout=0.0)
    asked = {"views": views, "augmentation": "crop" if views > 1 else "none", "kl": 1.0}
    kept = train([tuner], tiny, store, **asked)
    anew = train([tuner], tiny, store, cache=False, **asked)
    np.testing.assert_allclose(seen(kept.encoder), seen(anew.encoder), atol=1e-4)


def test_class_chunks_and_checkpointing_change_nothing(tiny, store):
    plain = train([make("block", dropout=0.0)], tiny, store)
    thrifty = train([make("block", dropout=0.0)], tiny, store, chunk=1, checkpointing=True)
    np.testing.assert_allclose(seen(plain.encoder), seen(thrifty.encoder), atol=1e-4)


def test_a_bad_image_is_left_out_and_told(tiny, store, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    images = [*(ImageRef.of(p) for p in pictures()), ImageRef.of(bad)]
    labels = [*LABELS, "cat"]
    trained = fit([make("block")], tiny, images, labels, WORDS, recipe=QUICK, store=store)
    assert [f.index for f in trained.failures] == [6]
    trained = fit(
        [make("block")], tiny, images, labels, WORDS,
        recipe=replace(QUICK, cache=False), store=store,
    )  # fmt: skip
    assert [f.index for f in trained.failures] == [6]


def test_images_without_labels_teach_by_consistency(tiny, store):
    images = [ImageRef.of(p) for p in pictures()]
    others = [ImageRef.of(p) for p in pictures(4, seed=5)]
    recipe = replace(QUICK, consistency=1.0)
    with_them = fit(
        [make("block")], tiny, images, LABELS, WORDS, unlabelled=others, recipe=recipe, store=store
    )
    without = fit([make("block")], tiny, images, LABELS, WORDS, recipe=recipe, store=store)
    assert not np.array_equal(seen(with_them.encoder), seen(without.encoder))
    with pytest.raises(InputError, match="consistency loss alone"):
        fit(
            [make("block")], tiny, images, LABELS, WORDS,
            unlabelled=others, recipe=QUICK, store=store,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"no image without a label could be read.*x\.png"):
        fit(
            [make("block")], tiny, images, LABELS, WORDS,
            unlabelled=[ImageRef.of(b"no picture", "x.png")], recipe=recipe, store=store,
        )  # fmt: skip


def test_the_training_that_chooses_the_weight_goes_on_too(tiny, store, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "handful.tuners.training.interpolation.WEIGHTS", (1.0,)
    )  # with 0 there is no second one
    images, steps = [ImageRef.of(p) for p in pictures()], []

    def go(last):
        def progress(done, *_others):
            steps.append(done)
            if len(steps) == last:
                raise KeyboardInterrupt

        return fit_interpolated(
            [make("norm")], tiny, images, LABELS, WORDS, recipe=replace(QUICK, epochs=2),
            store=store, training_progress=progress, checkpoint=tmp_path,
        )  # fmt: skip

    whole = go(None)
    assert steps.count(1) == 2  # the trial and the training
    shutil.rmtree(tmp_path / "trial")
    (tmp_path / "training.safetensors").unlink()
    steps.clear()
    with pytest.raises(KeyboardInterrupt):
        go(2)  # the trial's second epoch has begun
    steps.clear()
    again = go(None)
    assert steps[0] == 2
    assert seen(again.encoder).tobytes() == seen(whole.encoder).tobytes()


def test_what_belongs_together_is_not_set_apart_from_each_other(tiny, store):
    images = [ImageRef.of(p) for p in pictures()]
    for groups, apart in ((LABELS, None), (["" for _ in LABELS], len(set(LABELS)))):
        done = fit_interpolated(
            [make("projection")], tiny, images, LABELS, WORDS,
            recipe=QUICK, store=store, features_in=None, groups=groups,
        )  # fmt: skip
        facts = done.encoder.deltas["projection"].facts
        assert facts.get("held_out") == apart
        assert ("weight_why" in facts) == (apart is None)


def test_copies_of_a_picture_are_not_set_apart_from_each_other(tiny, store):
    one_each = dict(zip(LABELS, pictures(), strict=True))  # all images of a class are one picture
    images = [ImageRef.of(one_each[label]) for label in LABELS]
    done = fit_interpolated(
        [make("projection")], tiny, images, LABELS, WORDS, recipe=QUICK, store=store
    )  # fmt: skip
    assert "weight_why" in done.encoder.deltas["projection"].facts


def test_images_set_apart_that_cannot_be_read_do_not_count(tiny, store, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    recipe = replace(QUICK, epochs=1)
    apart = holdout(LABELS, None, 0.25, recipe.seed)[1]

    def facts(broken):
        images = [
            ImageRef.of(tmp_path / "bad.jpg" if i in broken else p)
            for i, p in enumerate(pictures())
        ]
        made = fit_interpolated(
            [make("norm")], tiny, images, LABELS, WORDS, recipe=recipe, store=store
        )
        return made.encoder.deltas["norm"].facts

    assert facts(apart[:1])["held_out"] == len(apart) - 1
    none = facts(apart)
    assert none["weight"] == 1.0
    assert none["weight_why"] == "no image that was set apart can be read"


@pytest.mark.parametrize("change", ["order", "templates", "unlabelled"])
def test_a_checkpoint_of_other_classes_or_images_is_refused(change, tiny, store, tmp_path):
    images = [ImageRef.of(p) for p in pictures()]
    recipe = replace(QUICK, consistency=1.0)

    def go(words=WORDS, seed=5):
        others = [ImageRef.of(p) for p in pictures(4, seed=seed)]
        return fit(
            [make("norm")], tiny, images, LABELS, words, unlabelled=others, recipe=recipe,
            store=store, checkpoint=tmp_path,
        )  # fmt: skip

    go()
    assert go().report.resumed_at == QUICK.epochs
    classes = list(WORDS.classes)
    other = {
        "order": {"words": prompts.class_prompts(classes[::-1], WORDS.templates)},
        "templates": {"words": prompts.class_prompts(classes, ["the {}."])},
        "unlabelled": {"seed": 6},
    }[change]
    with pytest.raises(InputError, match="another training"):
        go(**other)
