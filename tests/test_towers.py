"""The towers of every family: starting in the middle gives what starting at the beginning does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import models
import open_clip_models
from handful import encoders
from handful.errors import InputError

TEXTS = ("a photo of a cat", "the red circle", "a dog")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(7)
    return [Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)) for _ in range(3)]


def inputs_of(encoder, kind):
    if kind == "text":
        return encoder.tokens(TEXTS)
    return encoder.pixels([encoder.prepare(p) for p in pictures()])


@pytest.mark.parametrize("kind", ["vision", "text"])
@pytest.mark.parametrize("build", models.ALL, ids=lambda b: b.__name__)
def test_resuming_in_the_middle_is_the_whole_forward(build, kind, tmp_path):
    encoder = encoders.load(str(build(tmp_path)), precision="float32", device="cpu")
    tower, inputs = getattr(encoder, kind), inputs_of(encoder, kind)
    with torch.no_grad():
        wanted = tower.forward(inputs)
        if not tower.blocks:
            assert (build.__name__, kind) == ("align", "vision")  # an EfficientNet
            with pytest.raises(InputError, match="no blocks"):
                tower.forward_until(inputs, 0)
            return
        for block in range(len(tower.blocks) + 1):
            entering = tower.forward_until(inputs, block)
            assert entering.shape[-1] == tower.blocks[0].width
            found = tower.forward_from(entering, inputs, block)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        # what is changed before the block has no say any more
        if len(tower.blocks) > 1:
            again = tower.forward_from(torch.zeros_like(entering), inputs, 1)
            assert not torch.allclose(again, wanted)
        assert torch.equal(tower.forward(inputs), wanted)


def test_what_hangs_on_a_block_that_is_passed_over_does_not_act_twice(tmp_path):
    # a delta of an earlier training, on the stages of a ResNet
    path = open_clip_models.checkpoint("resnet", tmp_path)
    encoder = encoders.load(f"open_clip:{path}", precision="float32", device="cpu")
    tower, inputs = encoder.vision, inputs_of(encoder, "vision")
    hooks = [
        tower.module(block.name).register_forward_hook(
            lambda _m, _a, out: out + out.mean(dim=1)[:, None]
        )
        for block in tower.blocks
    ]
    with torch.no_grad():
        wanted = tower.forward(inputs)
        for block in range(len(tower.blocks) + 1):
            found = tower.forward_from(tower.forward_until(inputs, block), inputs, block)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert torch.equal(tower.forward(inputs), wanted)
        for hook in hooks:
            hook.remove()
        assert not torch.allclose(tower.forward(inputs), wanted)


def test_a_block_that_is_not_there_is_named(tmp_path):
    encoder = encoders.load(str(models.clip(tmp_path)), precision="float32")
    with pytest.raises(InputError, match="3 blocks, 0 to 3; got 4"):
        encoder.vision.forward_until(inputs_of(encoder, "vision"), 4)


def test_token_embeddings_can_be_replaced(tmp_path):
    encoder = encoders.load(str(models.clip(tmp_path)), precision="float32")
    tower, inputs = encoder.text, encoder.tokens(TEXTS)
    table = tower.module(tower.token_embedding)
    with torch.no_grad():
        rows = table(inputs["input_ids"])
        with tower.with_embeddings(rows):
            assert torch.equal(tower.forward(inputs), tower.forward(inputs))
        with tower.with_embeddings(rows + 1):
            moved = tower.forward(inputs)
    assert not torch.allclose(moved, tower.forward(inputs))


def test_every_parameter_belongs_to_one_tower(tmp_path):
    encoder = encoders.load(str(models.clip(tmp_path)), precision="float32")
    both = {**encoder.vision.parameters(), **encoder.text.parameters()}
    rest = {n for n, _ in encoder.model.named_parameters()} - both.keys()
    assert rest == {"logit_scale"}
    assert len(both) == len(encoder.vision.parameters()) + len(encoder.text.parameters())
