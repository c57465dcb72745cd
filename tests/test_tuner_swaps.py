"""Tuners that change the encoder's own parameters: LayerNorms, projections, everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy, normalize

import models
import open_clip_models
from handful import encoders, plugins
from handful.encoders.backends._libraries import transformers
from handful.encoders.towers import Tunable
from handful.errors import InputError, MismatchError
from handful.tuners import Delta, TunedEncoder, Tuner
from handful.tuners._reparametrization import BEFORE_FIRST_BLOCK, Reparametrization
from handful.tuners._tuned_encoder import TunerModule, attached

NAMES = ("norm", "projection", "full")
TEXTS = ("a photo of a cat", "a red circle", "a dog")


@pytest.fixture(scope="module")
def tiny() -> Tunable:
    return encoders.load("tiny", precision="float32", device="cpu")


def loaded(kind: str, folder) -> Tunable:
    """A small model of the open_clip library."""
    path = open_clip_models.checkpoint(kind, folder)
    return encoders.load(f"open_clip:{path}", precision="float32", device="cpu")


def make(name: str, **params) -> Tuner:
    return plugins.get("tuners", name)(**params)


def everywhere(name: str) -> Tuner:
    """With both towers in it."""
    return make(name, towers="both")


def inputs_of(encoder):
    rng = np.random.default_rng(5)
    seen = [Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)) for _ in range(3)]
    return encoder.pixels([encoder.prepare(p) for p in seen]), encoder.tokens(TEXTS)


def answers(encoder) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, tokens = inputs_of(encoder)
    return encoder.vision.forward(pixels), encoder.text.forward(tokens)


def moved(change: nn.Module, by: float = 0.02) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in change.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return change


def delta_of(name: str, tuner: Tuner, change: nn.Module, encoder) -> Delta:
    tensors = {n: v.detach().numpy().copy() for n, v in change.state_dict().items()}
    return Delta(name, tuner.get_params(), (), tensors, encoder.fingerprint)


@pytest.mark.parametrize("name", NAMES)
def test_without_learning_every_bit_is_the_encoder_s(name, tiny):
    tuner = everywhere(name)
    change = tuner.create_module(tiny, TEXTS, 0)
    before = answers(tiny)
    with attached(tiny, [TunerModule(tuner, change)]):
        after = answers(tiny)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("build", models.ALL, ids=lambda b: b.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_the_delta_has_an_effect_and_a_gradient(name, build, tmp_path):
    encoder = encoders.load(str(build(tmp_path)), precision="float32", device="cpu")
    tuner = _fitting(name, encoder)
    change = tuner.create_module(encoder, TEXTS, 0)
    with attached(encoder, [TunerModule(tuner, change)]):
        sum(a.square().sum() for a in answers(encoder)).backward()
    assert all(p.grad is None and not p.requires_grad for p in encoder.model.parameters())
    silent = {n for n, p in change.named_parameters() if p.grad is None}
    if name != "full":
        assert silent == set()
    else:  # what the library itself does not use on the way to a feature
        for kind in ("vision", "text"):
            used = _used(encoder, kind)
            mine = set(getattr(encoder, kind).parameters())
            assert mine - silent == used


def _fitting(name: str, encoder) -> Tuner:
    """The tuner on those towers that have what it changes."""
    for towers in ("both", "text", "vision"):
        tuner = make(name, towers=towers)
        try:
            tuner.create_module(encoder, TEXTS, 0)
        except InputError:
            continue
        return tuner
    pytest.skip(f"nothing for {name} to change")


def _used(encoder, kind: str) -> set[str]:
    """Names of the parameters that a feature of the untouched encoder depends on."""
    tower, inputs = getattr(encoder, kind), inputs_of(encoder)[kind == "text"]
    parameters = tower.parameters()
    try:
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        tower.forward(inputs).square().sum().backward()
        return {n for n, p in parameters.items() if p.grad is not None}
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None


@pytest.mark.parametrize("kind", open_clip_models.ALL)
@pytest.mark.parametrize("name", NAMES)
def test_the_attached_model_is_the_model_with_changed_weights(name, kind, tmp_path):
    """Whatever way a library takes to its weights, the change is met exactly once."""
    encoder = loaded(kind, tmp_path)
    tuner = _fitting(name, encoder)
    change = moved(tuner.create_module(encoder, TEXTS, 0))
    state = {n: v.clone() for n, v in encoder.model.state_dict().items()}
    untouched = answers(encoder)
    with attached(encoder, [TunerModule(tuner, change)]):
        learning = answers(encoder)
        with torch.no_grad():
            evaluated = answers(encoder)
    frozen = change.requires_grad_(False)
    with attached(encoder, [TunerModule(tuner, frozen)]), torch.inference_mode():
        inferred = answers(encoder)
    after = encoder.model.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[n], state[n]) for n in state)
    assert all(torch.equal(a, b) for a, b in zip(answers(encoder), untouched, strict=True))
    with torch.no_grad():
        named = dict(encoder.model.named_parameters())
        for n, by in frozen.named_parameters():
            named[n].add_(by)
    wanted = answers(encoder)
    assert not all(torch.allclose(a, b) for a, b in zip(wanted, untouched, strict=True))
    for found in (learning, evaluated, inferred):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_detaching_restores_the_very_tables_and_parameters(name, tiny):
    tuner = everywhere(name)
    change = moved(tuner.create_module(tiny, TEXTS, 0))
    tables = {n: vars(m)["_parameters"] for n, m in tiny.model.named_modules()}
    order = [(n, id(p)) for n, p in tiny.model.named_parameters()]
    bits = {n: p.clone() for n, p in tiny.model.named_parameters()}
    try:
        with attached(tiny, [TunerModule(tuner, change)]):
            assert [(n, id(p)) for n, p in tiny.model.named_parameters()] == order
            raise KeyboardInterrupt  # as a person may, in the middle
    except KeyboardInterrupt:
        pass
    assert all(vars(m)["_parameters"] is tables[n] for n, m in tiny.model.named_modules())
    assert all(type(t) is dict for t in tables.values())
    assert [(n, id(p)) for n, p in tiny.model.named_parameters()] == order
    assert all(torch.equal(p, bits[n]) for n, p in tiny.model.named_parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuilt_delta_gives_the_same_bits_and_half_of_it_half_the_change(name, tiny):
    tuner = everywhere(name)
    change = moved(tuner.create_module(tiny, TEXTS, 0))
    delta = delta_of(name, tuner, change, tiny)
    first = tuner.restore_module(tiny, delta)
    for n, p in first.named_parameters():
        assert torch.equal(p, change.get_parameter(n))
    one, two = (
        TunedEncoder(tiny, {"x": delta}),
        TunedEncoder(tiny, {"y": delta_of(name, tuner, first, tiny)}),
    )
    picture = [tiny.prepare(Image.new("RGB", (40, 40), (200, 30, 90)))]
    assert one.fingerprint == two.fingerprint
    assert np.array_equal(one.images(picture), two.images(picture))
    assert np.array_equal(one.texts(TEXTS), two.texts(TEXTS))
    assert not np.array_equal(one.images(picture), tiny.images(picture))
    half = tuner.restore_module(tiny, delta.scaled(0.5))
    for n, p in half.named_parameters():
        assert torch.equal(p, change.get_parameter(n) / 2)


def test_two_deltas_on_one_weight_add_up(tiny):
    tuner = everywhere("projection")
    one, two = (moved(tuner.create_module(tiny, TEXTS, 0), by) for by in (0.02, 0.3))
    total = tuner.create_module(tiny, TEXTS, 0)
    with torch.no_grad():
        for n, p in total.named_parameters():
            p.copy_(one.get_parameter(n) + two.get_parameter(n))
    with torch.no_grad(), attached(tiny, [TunerModule(tuner, total)]):
        wanted = answers(tiny)
    for flag in (True, False):
        parts = [TunerModule(tuner, c.requires_grad_(flag)) for c in (one, two)]
        with torch.no_grad(), attached(tiny, parts):
            for a, b in zip(answers(tiny), wanted, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_frozen_delta_below_lets_another_learn_above(tiny):
    """Sums that were kept while answering must not stop a later gradient."""
    lower, upper = everywhere("norm"), everywhere("norm")
    below = moved(lower.create_module(tiny, TEXTS, 0)).requires_grad_(False)
    above = upper.create_module(tiny, TEXTS, 0)
    with attached(tiny, [TunerModule(lower, below)]):
        with torch.inference_mode():
            answers(tiny)
        with attached(tiny, [TunerModule(upper, above)]):
            sum(a.square().sum() for a in answers(tiny)).backward()
    assert all(p.grad is not None for p in above.parameters())
    assert all(p.grad is None for p in below.parameters())


def test_values_changed_in_place_are_seen(tiny):
    tuner = everywhere("norm")
    change = moved(tuner.create_module(tiny, TEXTS, 0)).requires_grad_(False)
    with torch.no_grad(), attached(tiny, [TunerModule(tuner, change)]):
        before = answers(tiny)
        for parameter in change.parameters():
            parameter.zero_()
        after = answers(tiny)
    with torch.no_grad():
        plain = answers(tiny)
    assert not torch.equal(before[0], after[0])
    assert all(torch.equal(a, b) for a, b in zip(after, plain, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_learning_reduces_the_loss(name, tiny):
    from handful.data import playground

    task = playground.task("novel-materials", shots=1, seed=0, queries_per_class=1)
    names = sorted(set(task.support_labels))
    targets = torch.tensor([names.index(label) for label in task.support_labels])
    pixels = tiny.pixels([tiny.prepare(Image.fromarray(p)) for p in task.support])
    tokens = tiny.tokens([f"a photo of a {n}." for n in names])
    tuner = everywhere(name)
    change = tuner.create_module(tiny, names, 0)
    rate = tuner.recipe.learning_rate
    optimizer = torch.optim.AdamW(change.parameters(), lr=rate, weight_decay=0.01)
    losses = []
    with attached(tiny, [TunerModule(tuner, change)]):
        for _ in range(8):
            x = normalize(tiny.vision.forward(pixels), dim=-1)
            t = normalize(tiny.text.forward(tokens), dim=-1)
            loss = cross_entropy(tiny.scale * x @ t.T, targets)
            pull = tuner._penalty(change, t, t, len(targets))
            losses.append(loss.item())
            optimizer.zero_grad()
            (loss if pull is None else loss + pull).backward()
            optimizer.step()
    assert losses[-1] < losses[0] - 0.05
    assert all(p.grad is None for p in tiny.model.parameters())


def count(tuner: Tuner, encoder) -> int:
    return sum(p.numel() for p in tuner._create_module(encoder, ()).parameters())


def vit_b(encoder, patch: int):
    """The encoder with a ViT-B in it, without memory for its weights."""
    config = transformers.CLIPConfig(
        text_config={"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
        vision_config={"hidden_size": 768, "intermediate_size": 3072, "patch_size": patch},
        projection_dim=512,
    )
    with torch.device("meta"):
        model = transformers.CLIPModel(config)

    class Sized:
        name, precision = f"ViT-B/{patch}", "float32"
        vision = replace(encoder.vision, model=model, blocks=_blocks(model, "vision_model"))
        text = replace(encoder.text, model=model, blocks=_blocks(model, "text_model"))

    return Sized()


def _blocks(model, root: str):
    from handful.encoders.backends._transformers.towers import blocks as of

    return of(model, root)


def test_published_counts_on_a_vit_b_32(tiny):
    sized = vit_b(tiny, 32)
    assert count(make("norm"), sized) == 65_536
    assert count(make("norm", towers="vision"), sized) == (12 * 2 + 2) * 2 * 768
    assert count(make("norm", towers="vision", blocks="6-"), sized) == (6 * 2 + 1) * 2 * 768
    assert count(make("norm", towers="text", blocks="3"), sized) == 2 * 2 * 512
    assert count(make("projection"), sized) == 393_216
    assert count(make("projection", towers="both"), sized) == 393_216 + 512 * 512
    assert count(make("full"), sized) == 151_277_312  # all but the logit scale
    assert count(make("full", towers="vision"), sized) == sized.vision.size


def test_where_each_begins_to_matter(tiny):
    last = len(tiny.vision.blocks)
    assert vars(make("norm")._first_changed(tiny)) == {"vision": BEFORE_FIRST_BLOCK, "text": 0}
    assert vars(make("norm", blocks="2-")._first_changed(tiny)) == {"vision": 2, "text": 2}
    assert vars(make("norm", towers="text", blocks="1")._first_changed(tiny)) == {
        "vision": None,
        "text": 1,
    }
    assert vars(make("projection")._first_changed(tiny)) == {"vision": last, "text": None}
    assert vars(make("full", towers="vision")._first_changed(tiny)) == {
        "vision": BEFORE_FIRST_BLOCK,
        "text": None,
    }


@pytest.mark.parametrize("kind", open_clip_models.ALL)
def test_norms_lie_where_their_entry_says(kind, tmp_path):
    """What enters the first changed block is what it was, or cached activations would be wrong."""
    encoder = loaded(kind, tmp_path)
    pixels, tokens = inputs_of(encoder)
    for tower, inputs in ((encoder.vision, pixels), (encoder.text, tokens)):
        if not tower.blocks:
            continue
        for blocks in ("all", "1-", "1"):
            tuner = make("norm", towers=tower.kind, blocks=blocks)
            try:
                change = moved(tuner.create_module(encoder, TEXTS, 0), 0.5)
            except InputError:
                continue  # a ResNet has no LayerNorm
            entry = getattr(tuner._first_changed(encoder), tower.kind)
            if entry == BEFORE_FIRST_BLOCK:
                assert blocks == "all"
                continue
            with torch.no_grad():
                before, plain = tower.forward_until(inputs, entry), tower.forward(inputs)
                with attached(encoder, [TunerModule(tuner, change)]):
                    torch.testing.assert_close(tower.forward_until(inputs, entry), before)
                    whole = tower.forward(inputs)
                    resumed = tower.forward_from(before, inputs, entry)
            torch.testing.assert_close(resumed, whole, rtol=1e-4, atol=1e-4)
            assert not torch.allclose(whole, plain, rtol=1e-3)


def test_the_pull_of_prolip_by_hand(tiny):
    tuner = make("projection")
    change = tuner.create_module(tiny, TEXTS, 0)
    (weight,) = change.parameters()
    with torch.no_grad():
        weight[0, :3] = torch.tensor([1.0, -2.0, 3.0])
    text = torch.zeros(4, tiny.dim)  # 4 classes and 64 images: 16 shots
    assert tuner._penalty(change, text, text, 64).item() == pytest.approx(14 / 16)
    own = make("projection", pull=0.5)
    assert own._penalty(change, text, text, 64).item() == pytest.approx(7)
    assert make("projection", pull=0.0)._penalty(change, text, text, 64) is None
    for name in ("norm", "full"):
        assert make(name)._penalty(change, text, text, 64) is None


@pytest.mark.parametrize("pull", [-1.0, float("nan"), float("inf")])
def test_a_pull_that_is_none(pull, tiny):
    with pytest.raises(InputError, match="expected pull as a number from 0"):
        make("projection", pull=pull).create_module(tiny, TEXTS, 0)


def test_towers_and_blocks_that_are_not_there(tiny, tmp_path):
    with pytest.raises(InputError, match="expected towers vision, text, both"):
        make("full", towers="ears").create_module(tiny, TEXTS, 0)
    with pytest.raises(InputError, match="has 6 blocks, 0 to 5; got '9'"):
        make("norm", blocks="9").create_module(tiny, TEXTS, 0)
    resnet = loaded("resnet", tmp_path)
    with pytest.raises(InputError, match="no LayerNorm in blocks all; use towers=text or the"):
        make("norm").create_module(resnet, TEXTS, 0)
    siglip = encoders.load(str(models.siglip(tmp_path)), precision="float32")
    with pytest.raises(InputError, match="vision tower ends without a linear map"):
        make("projection").create_module(siglip, TEXTS, 0)


def test_rounded_encoders(tmp_path):
    """LayerNorms and the projection stay in float32 there; the whole does not."""
    half = encoders.load("tiny", precision="bfloat16", device="cpu")
    with pytest.raises(InputError, match="load it with precision='float32' for the tuner full"):
        make("full").create_module(half, TEXTS, 0)
    for name in ("norm", "projection"):
        tuner = everywhere(name)
        change = moved(tuner.create_module(half, TEXTS, 0)).requires_grad_(False)
        before = answers(half)
        with torch.no_grad(), attached(half, [TunerModule(tuner, change)]):
            after = answers(half)
        assert not torch.equal(after[0], before[0])
        assert torch.equal(answers(half)[0], before[0])
    layer = nn.Linear(2, 2).bfloat16()
    with pytest.raises(InputError, match="weight is held in bfloat16; load the encoder with"):
        Reparametrization(dict(layer.named_parameters()))


def test_a_delta_of_another_architecture_names_what_differs(tiny, tmp_path):
    other = encoders.load(str(models.clip(tmp_path)), precision="float32")
    for name in NAMES:
        tuner = everywhere(name)
        delta = delta_of(name, tuner, tuner.create_module(tiny, TEXTS, 0), tiny)
        with pytest.raises(MismatchError, match="another architecture"):
            tuner.restore_module(other, delta)


def test_attaching_takes_no_copy(tiny):
    tuner = everywhere("full")
    change = tuner.create_module(tiny, TEXTS, 0).requires_grad_(False)
    with attached(tiny, [TunerModule(tuner, change)]):
        pass
    assert change._sums == {}
