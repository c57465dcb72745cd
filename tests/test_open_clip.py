"""The open_clip backend against that library's own outputs, and all that can be wrong with it."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import hub
import open_clip_models as checkpoints  # before open_clip: makes torchvision importable
from handful import encoders
from handful.contracts import Encoder
from handful.encoders import checkpoint, kernels, precision
from handful.encoders.backends import _libraries as library
from handful.encoders.backends import _preprocessing
from handful.encoders.backends._open_clip import source
from handful.encoders.backends.transformers import TextCutWarning
from handful.encoders.towers import Tunable
from handful.errors import (
    BrokenLibraryError,
    InputError,
    MissingExtraError,
    MissingModelError,
)
from test_encoders import run_hub

open_clip = checkpoints.open_clip
TEXTS = ["a photo of a cat", "the red circle", "a dog", "Forest & annual-crop"]
SIZES = ((60, 40), (31, 97), (200, 200), (48, 48), (12, 500))
LONG = "a photo of the red dog and the cat in the forest " * 3


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(7)
    small = [rng.integers(0, 256, (max(2, h // 8), max(2, w // 8), 3), np.uint8) for w, h in SIZES]
    return [
        Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)
        for p, size in zip(small, SIZES, strict=True)
    ]


def load(folder: Path, **settings: Any) -> Any:
    return encoders.load(str(folder), **{"precision": "float32", "device": "cpu", **settings})


def parts(encoder: Encoder) -> dict[str, str]:
    return dict(part.split(":", 1) for part in encoder.fingerprint.split())


def changed(before: Encoder, after: Encoder) -> set[str]:
    a, b = parts(before), parts(after)
    return {key for key in a if a[key] != b[key]}


def change(folder: Path, part: str = "", **values: Any) -> Path:
    """Set values in the configuration of the model, or of a part of it."""
    path = folder / "open_clip_config.json"
    stated = json.loads(path.read_text())
    (stated["model_cfg"][part] if part else stated["model_cfg"]).update(values)
    path.write_text(json.dumps(stated))
    return folder


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.checkpoint("vit", tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def vit(vit_folder: Path) -> Any:
    return load(vit_folder)


@pytest.fixture
def folder(vit_folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(vit_folder, tmp_path / "copy"))


@pytest.mark.parametrize("damaged", [{"mean": "x"}, {"mean": [1, 2, 3, 4]}, {"std": [0, 0, 0]}])
def test_preprocessing_that_can_prepare_nothing(damaged: dict[str, Any], folder: Path) -> None:
    path = folder / "open_clip_config.json"
    stated = json.loads(path.read_text())
    stated["preprocess_cfg"] = damaged
    path.write_text(json.dumps(stated))
    with pytest.raises(InputError, match="copy: pictures cannot be prepared as it says"):
        load(folder)


def test_a_number_that_divides_by_zero_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        load(change(folder, "vision_cfg", patch_size=0))


# ---- the same numbers as the library


def library_features(folder: Path, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """What the library answers by its own documented way of asking."""
    name, settings = f"local-dir:{folder}", {}
    if kind == "bert":  # it would look for the text tower's configuration on the hub
        text = {**checkpoints.CONFIGS[kind]["text_cfg"], "hf_model_name": str(folder)}
        settings = {"text_cfg": {**text, "hf_model_pretrained": False}}
    model, _, transform = open_clip.create_model_and_transforms(name, **settings)
    words = open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        seen = torch.stack([transform(p) for p in pictures()])
        model.eval()
        images = model.encode_image(seen, normalize=True).numpy()
        return images, model.encode_text(words, normalize=True).numpy()


@pytest.mark.parametrize("kind", checkpoints.ALL)
def test_features_are_the_librarys(kind: str, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(kind, tmp_path)
    encoder = load(folder)
    wanted = library_features(folder, kind)
    got = encoder.images([encoder.prepare(p) for p in pictures()]), encoder.texts(TEXTS)
    for mine, reference in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-6, rtol=0)
        assert (mine @ mine.T).min() < 0.999  # else the test could not tell inputs apart
        assert mine.dtype == np.float32
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, Tunable)
    assert encoder.dim == got[0].shape[1]
    assert encoder.scale == pytest.approx(1 / 0.07)
    assert encoder.bias == (-10.0 if kind == "siglip" else 0.0)


@pytest.mark.parametrize("kind", checkpoints.ALL)
def test_towers_can_be_entered_and_resumed_anywhere(kind: str, tmp_path: Path) -> None:
    encoder = load(checkpoints.checkpoint(kind, tmp_path))
    seen = encoder.pixels([encoder.prepare(p) for p in pictures()[:2]])
    read = encoder.tokens(TEXTS[:2])
    for tower, inputs in ((encoder.vision, seen), (encoder.text, read)):
        count = len(tower.blocks)
        assert count >= 3
        with torch.no_grad():
            whole = tower.forward(inputs)
            for place in {0, 1, count // 2, count - 1, count}:
                activations = tower.forward_until(inputs, place)
                if place:
                    assert activations.shape[1 if activations.ndim == 4 else 2] == (
                        tower.blocks[place - 1].width
                    )
                resumed = tower.forward_from(activations, inputs, place)
                torch.testing.assert_close(resumed, whole, atol=1e-6, rtol=1e-5)
            other = torch.rand_like(tower.forward_until(inputs, 1))
            assert (
                tower.forward_from(other, inputs, 1) - whole
            ).abs().max() > whole.abs().mean() / 100
            torch.testing.assert_close(tower.forward(inputs), whole)


def test_towers_name_parts_that_exist(tmp_path: Path) -> None:
    for kind in checkpoints.ALL:
        encoder = load(checkpoints.checkpoint(kind, tmp_path))
        names = set()
        for tower in (encoder.vision, encoder.text):
            own = tower.parameters()
            assert not names & own.keys()
            names |= own.keys()
            for block in tower.blocks:
                for part in (block.name, block.attention, block.mlp, block.mlp_input):
                    tower.module(part)
                for part in block.projections:
                    assert isinstance(
                        tower.module(part), torch.nn.Linear | torch.nn.MultiheadAttention
                    )
            if tower.projection and tower.projection not in own:
                assert isinstance(tower.module(tower.projection), torch.nn.Linear)
        everything = {n for n, _ in encoder.model.named_parameters()}
        assert everything - names <= {"logit_scale", "logit_bias"}
        assert isinstance(encoder.text.module(encoder.text.token_embedding), torch.nn.Embedding)


def test_token_embeddings_can_be_replaced(vit: Any) -> None:
    tokens = vit.tokens(TEXTS)
    table = vit.text.module(vit.text.token_embedding)
    with torch.no_grad():
        wanted = vit.text.forward(tokens)
        embeddings = table(tokens["input_ids"])
        with vit.text.with_embeddings(embeddings):
            torch.testing.assert_close(vit.text.forward(tokens), wanted)
        with vit.text.with_embeddings(embeddings.flip(0)):
            assert not torch.allclose(vit.text.forward(tokens), wanted, atol=1e-3)
        torch.testing.assert_close(vit.text.forward(tokens), wanted)


def test_gradients_pass_where_a_tuner_wants_them(tmp_path: Path) -> None:
    for kind in ("vit", "eva", "resnet"):
        encoder = load(checkpoints.checkpoint(kind, tmp_path))
        inputs = encoder.pixels([encoder.prepare(pictures()[0])])
        assert not encoder.vision.forward(inputs).requires_grad
        weight = encoder.vision.module(encoder.vision.blocks[1].name)
        parameter = next(p for p in weight.parameters() if p.ndim > 1)
        parameter.requires_grad_(True)
        encoder.vision.forward(inputs).sum().backward()
        assert parameter.grad.abs().sum() > 0


# ---- pictures and texts


def test_pictures_become_the_librarys_pixels(tmp_path: Path) -> None:
    for kind in ("vit", "siglip", "mobile", "bert"):  # shortest, squash, bilinear, longest
        encoder = load(checkpoints.checkpoint(kind, tmp_path))
        assert encoder._preprocessing.quick
        got = encoder.pixels([encoder.prepare(p) for p in pictures()])["pixel_values"]
        wanted = torch.stack([encoder.transform(p) for p in pictures()])
        torch.testing.assert_close(got, wanted, atol=0, rtol=0)


def test_a_transform_of_another_kind_is_left_to_the_library(vit: Any) -> None:
    other = _preprocessing.of_transform(lambda image: vit.transform(image) + 1)
    assert not other.quick
    got = other.batch([other.prepare(p) for p in pictures()], torch.device("cpu"))["pixel_values"]
    torch.testing.assert_close(got, torch.stack([vit.transform(p) for p in pictures()]) + 1)


def test_prepare_is_thread_safe_and_reads_other_modes(vit: Any) -> None:
    many = pictures() * 8
    with ThreadPoolExecutor(8) as pool:
        threaded = vit.images(list(pool.map(vit.prepare, many)))
    np.testing.assert_array_equal(threaded, vit.images([vit.prepare(p) for p in many]))
    grey = pictures()[0].convert("L")
    np.testing.assert_array_equal(
        vit.images([vit.prepare(grey)]), vit.images([vit.prepare(grey.convert("RGB"))])
    )
    assert vit.images([]).shape == vit.texts([]).shape == (0, 32)


@pytest.mark.parametrize("kind", ["vit", "siglip", "bert"])
def test_long_texts_are_cut_as_the_library_cuts_them_and_said_once(
    kind: str, tmp_path: Path
) -> None:
    encoder = load(checkpoints.checkpoint(kind, tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.texts(TEXTS)
    with pytest.warns(TextCutWarning, match=r"24 tokens.*a photo of the red"):
        row = encoder.texts(["a dog", LONG])[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(encoder.texts([LONG])[0], row, atol=1e-6)
    with torch.no_grad():
        wanted = encoder.model.encode_text(encoder.tokenizer([LONG]), normalize=True)[0].numpy()
    np.testing.assert_allclose(row, wanted, atol=1e-6)


def test_a_text_that_just_fits_is_not_cut(vit: Any, folder: Path) -> None:
    encoder = load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert int(encoder.tokens(["dog " * 22])["input_ids"][0, -1]) > 0
    with pytest.warns(TextCutWarning):
        encoder.tokens(["dog " * 23])


def test_words_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint("siglip", tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    small = {**config, "text_cfg": {**config["text_cfg"], "vocab_size": 4}}
    with pytest.raises(InputError, match="do not belong together"):
        load(checkpoints.save(small, folder))


# ---- quick GELU


def fake_hub(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> list[tuple[str, str]]:
    """Answers of the hub from this disk, and what was asked for."""
    asked: list[tuple[str, str]] = []

    def fetch(repo: str, names: list[str], name: str) -> Path:
        asked.append((repo, names[0]))
        return files[names[0]]

    monkeypatch.setattr(source.hub, "fetch_file", fetch)
    return asked


def test_a_tag_brings_its_activation_and_its_preprocessing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = tmp_path / "open_clip_model.safetensors"
    asked = fake_hub(monkeypatch, {weights.name: weights})
    plain = source.find("ViT-B-32/laion2b_s34b_b79k")
    quick = source.find("ViT-B-32/openai")
    assert not plain.model.get("quick_gelu")
    assert quick.model["quick_gelu"] is True
    assert source.find("ViT-B/32/openai").model == quick.model
    assert source.find("ViT-B-32-quickgelu/openai").model == quick.model
    assert source.find("RN50/openai").model["quick_gelu"] is True
    assert quick.preprocess["resize_mode"] == "shortest"
    assert source.find("MobileCLIP2-S0/dfndr2b").preprocess["interpolation"] == "bilinear"
    assert asked[1] == ("timm/vit_base_patch32_clip_224.openai", weights.name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-B-32-quickgelu/laion2b_s34b_b79k", "Use open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("roberta-ViT-B-32/laion2b_s12b_b32k", "says GELU. Load hf-hub:laion/CLIP-ViT-B-32-rob"),
    ],
)
def test_an_activation_that_does_not_fit_the_weights_is_an_error(name: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"quick GELU.*{words}"):
        encoders.load(f"open_clip:{name}")


def test_a_hub_configuration_that_forgets_the_activation_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: folder / name for name in ("open_clip_config.json", source._WEIGHTS[0])}
    fake_hub(monkeypatch, files)
    repo = "timm/vit_base_patch32_clip_224.openai"
    assert encoders.load(f"hf-hub:{repo}", precision="float32").dim == 32
    change(folder, quick_gelu=False)
    with pytest.raises(InputError, match=r"trained with quick GELU\. Load open_clip:ViT-B-32"):
        encoders.load(f"hf-hub:{repo}")


def test_the_activation_counts(vit: Any, folder: Path) -> None:
    gelu = load(change(folder, quick_gelu=False))
    batch = [vit.prepare(pictures()[0])]
    assert np.abs(vit.images(batch) - gelu.images(batch)).max() > 1e-4
    assert changed(vit, gelu) == {"architecture"}


# ---- who an encoder is


def test_equal_content_has_one_fingerprint(vit: Any, folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    save_file(dict(sorted(tensors.items(), reverse=True)), weights, metadata={"note": "again"})
    (folder / "README.md").write_text("not part of it")
    assert load(folder).fingerprint == vit.fingerprint
    assert load(folder, precision="bfloat16").fingerprint == vit.fingerprint
    weights.unlink()
    torch.save({"epoch": 3, "state_dict": tensors}, folder / "epoch_3.pt")  # of a training run
    trained = load(folder)
    assert trained.fingerprint == vit.fingerprint
    np.testing.assert_array_equal(trained.texts(TEXTS), vit.texts(TEXTS))


def test_versions_of_the_library_do_not_change_who_an_encoder_is(vit: Any) -> None:
    # If this fails, every skill and every stored feature out there is orphaned: do not adjust it.
    found = parts(vit)
    del found["weights"]
    assert found == EXPECTED


EXPECTED = {
    "model": "open_clip",
    "architecture": "5c0b9f1dc42f9270",
    "preprocessing": "8c8591b76e292fe5",
    "tokenizer": "7dff216d56e062e8",
}


def test_a_change_shows_in_its_own_part(vit: Any, folder: Path) -> None:
    path = folder / "open_clip_config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps({**stated, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}))
    assert changed(vit, load(folder)) == {"preprocessing"}
    path.write_text(json.dumps(stated))
    assert load(folder).fingerprint == vit.fingerprint
    assert changed(vit, load(change(folder, "text_cfg", heads=8))) == {"architecture"}
    path.write_text(json.dumps(stated))
    tokenizer = {"clean": "canonicalize"}
    changes = changed(vit, load(change(folder, "text_cfg", tokenizer_kwargs=tokenizer)))
    assert changes == {"tokenizer"}
    path.write_text(json.dumps(stated))
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    tensors["visual.proj"][0, 0] += 1e-3
    save_file(tensors, weights)
    assert changed(vit, load(folder)) == {"weights"}


# ---- precision


def test_bfloat16_rounds_the_blocks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.checkpoint("wide", tmp_path)
    plain, half = load(folder), load(folder, precision="bfloat16")
    assert (plain.precision, half.precision) == ("float32", "bfloat16")
    batch = [plain.prepare(p) for p in pictures()]
    assert (plain.images(batch) * half.images(batch)).sum(axis=1).min() >= 0.999
    assert not np.array_equal(plain.images(batch), half.images(batch))
    np.testing.assert_array_equal(plain.texts(TEXTS), half.texts(TEXTS))
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "AGREEMENT", 1.1)
    kept = load(folder, precision="auto")
    assert kept.precision == "float32"
    np.testing.assert_array_equal(kept.images(batch), plain.images(batch))


def test_fused_attention_is_rounded_too_and_the_plain_one_computes_the_same(tmp_path: Path) -> None:
    plain = torch.nn.MultiheadAttention(64, 4, batch_first=True).eval().requires_grad_(False)
    own = kernels.OneDnnAttention(plain)
    assert own.state_dict().keys() == plain.state_dict().keys()
    assert own.in_proj_weight is plain.in_proj_weight
    x, mask = torch.randn(3, 7, 64), torch.triu(torch.full((7, 7), -torch.inf), 1)
    with torch.no_grad():
        for given in (None, mask):
            wanted = plain(x, x, x, need_weights=False, attn_mask=given)[0]
            got = own(x, x, x, need_weights=False, attn_mask=given)[0]
            torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
            half = precision.HalfAttention(plain)(x, x, x, attn_mask=given)[0]
            torch.testing.assert_close(half.float(), wanted, atol=2e-2, rtol=2e-2)
        other = torch.randn(3, 5, 64)  # not self-attention: the plain path
        wanted, weights = plain(x, other, other)
        got, kept = own(x, other, other)
        torch.testing.assert_close(got, wanted)
        torch.testing.assert_close(kept, weights)
    x.requires_grad_(True)
    own(x, x, x, need_weights=False)[0].sum().backward()
    assert x.grad.abs().sum() > 0
    encoder = load(checkpoints.checkpoint("wide", tmp_path), precision="bfloat16")
    kinds = {name: type(m).__name__ for name, m in encoder.model.named_modules()}
    assert kinds["visual.transformer.resblocks.0.attn"] == "HalfAttention"
    assert kinds["visual.transformer.resblocks.0.mlp.c_fc"] == "HalfLinear"
    assert "Half" not in kinds["transformer.resblocks.0.attn"]


def test_bfloat16_where_timm_bypasses_its_layers_and_where_there_are_none(tmp_path: Path) -> None:
    eva = checkpoints.checkpoint("eva", tmp_path)
    plain, half = load(eva), load(eva, precision="bfloat16")
    batch = [plain.prepare(p) for p in pictures()]
    assert (plain.images(batch) * half.images(batch)).sum(axis=1).min() >= 0.99
    with pytest.raises(InputError, match="no layers that bfloat16 applies to"):
        load(checkpoints.checkpoint("resnet", tmp_path), precision="bfloat16")


# ---- nothing in a folder is ever run, nothing is made up


class _Boom:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_code_in_weights_is_not_run(
    vit: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    weights.unlink()
    torch.save({"logit_scale": _Boom()}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match="something other than tensors"):
        load(folder)
    assert not Path("ran").exists()
    torch.save(tensors, folder / "open_clip_pytorch_model.bin")
    assert load(folder).fingerprint == vit.fingerprint
    (folder / "open_clip_pytorch_model.bin").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(folder / "ViT-B-32.pt")
    with pytest.raises(InputError, match="TorchScript archive, which holds code"):
        load(folder)


def test_code_beside_a_text_tower_is_not_run(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint("bert", tmp_path)
    before = load(folder).fingerprint
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass A: pass\n")
    for file, entries in (
        ("config.json", {"AutoConfig": "evil.A", "AutoModel": "evil.A"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.A", "evil.A"]}),
    ):
        stated = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**stated, "auto_map": entries}))
    assert load(folder).fingerprint == before
    assert not (tmp_path / "ran").exists()
    (folder / "config.json").write_text(json.dumps({"model_type": "evil"}))
    with pytest.raises(InputError, match="'evil' model; open_clip reads with one of"):
        load(folder)


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    del tensors["text_projection"]
    save_file(tensors, weights)
    with pytest.raises(InputError, match=r"cannot be loaded .*text_projection"):
        load(folder)
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"open_clip_model\.safetensors: is .*download it again"):
        load(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "open_clip_model.safetensors").unlink(), "has no weights; expected one"),
        (lambda f: (f / "open_clip_config.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "open_clip_config.json").write_text("{}"), "expected 'model_cfg' with"),
        (lambda f: change(f, "vision_cfg", heads=3), "cannot be loaded .*heads"),
        (lambda f: change(f, "vision_cfg", timm_model_name="nope"), "cannot be loaded .*nope"),
        (lambda f: change(f, "text_cfg", hf_tokenizer_name="x/y"), "has no tokenizer"),
    ],
)
def test_a_folder_that_lacks_something(spoil: Any, words: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words):
        load(folder)


def test_nan_is_found_at_once(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    tensors["text_projection"][:] = float("nan")
    save_file(tensors, weights)
    with pytest.raises(InputError, match="NaN"):
        load(folder)


def test_random_numbers_and_logging_are_left_alone(folder: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    handlers = list(logging.getLogger().handlers)
    load(folder)
    assert torch.equal(torch.rand(2), wanted)
    assert logging.getLogger().handlers == handlers


# ---- names


def test_a_folder_is_routed_to_its_library(vit: Any, vit_folder: Path) -> None:
    for name in (f"local-dir:{vit_folder}", f"open_clip:local-dir:{vit_folder}", str(vit_folder)):
        found = encoders.load(name, precision="float32")
        assert found.fingerprint == vit.fingerprint
        assert encoders.load(found.name, precision="float32").fingerprint == vit.fingerprint
    with pytest.raises(InputError, match="load it as 'local-dir:"):
        encoders.load(f"transformers:{vit_folder}")
    listed = ["open_clip_config.json", "open_clip_model.bin"]
    with pytest.raises(InputError, match="load it as 'hf-hub:imageomics/bioclip'"):
        checkpoint.weight_patterns("imageomics/bioclip", listed)


def test_weights_of_ones_own_by_architecture_and_file(tmp_path: Path) -> None:
    settings = {**checkpoints.CONFIGS["vit"], "quick_gelu": False}
    (tmp_path / "My-ViT.json").write_text(json.dumps(settings))
    open_clip.add_model_config(tmp_path / "My-ViT.json")
    save_file(checkpoints.state(settings, tmp_path), tmp_path / "mine.safetensors")
    mine = encoders.load(f"open_clip:My-ViT/{tmp_path / 'mine.safetensors'}", precision="float32")
    assert mine.dim == 32
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(InputError, match=r"note\.txt: expected a file with weights"):
        encoders.load(f"open_clip:My-ViT/{tmp_path / 'note.txt'}")


def test_weights_alone_in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "RemoteCLIP-ViT-B-32.pt"
    torch.save({}, file)
    asked = fake_hub(monkeypatch, {f"ckpt/{file.name}": file})
    found = source.find(f"ViT-B-32/hf-hub:someone/RemoteCLIP/ckpt/{file.name}")
    assert asked == [("someone/RemoteCLIP", f"ckpt/{file.name}")]
    assert found.weights == file


def test_the_list_names_architectures_and_weights_that_there_are() -> None:
    listed = [k for k in encoders.list_encoders() if k.family == "open_clip"]
    named = [k for k in listed if k.name.startswith("open_clip:")]
    assert len(named) >= 5
    for known in named:
        architecture, tag = known.name.removeprefix("open_clip:").split("/", 1)
        config = open_clip.get_model_config(architecture)
        assert (config["embed_dim"], config["vision_cfg"]["image_size"]) == (known.dim, known.image)
        if not tag.startswith("hf-hub:"):
            stated = open_clip.get_pretrained_cfg(architecture, tag)
            assert stated["hf_hub"].rpartition("/")[0] == known.hub


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_clip:ViT-B-32/hf-hub:someone/x", "expected hf-hub:owner/name/FILE after"),
        ("open_clip:ViT-B-31/openai", "no architecture 'ViT-B-31'. Did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32/openia", "Did you mean 'open_clip:ViT-B-32/openai'.*laion2b"),
        ("open_clip:ViT-B-32", "no tag to say which weights.*Known of ViT-B-32: openai"),
        ("open_clip:ViT-M-16/x", "no weights called 'x'. Known of ViT-M-16: none; name a file"),
        ("open_clip:imageomics/bioclip", "is named 'hf-hub:imageomics/bioclip'"),
        (
            "open_clip:ViT-B-32/openai",
            "of timm/vit_base_patch32_clip_224.openai is not on this disk.*HF_HUB_OFFLINE",
        ),
        ("hf-hub:imageomics/bioclip", "hf download imageomics/bioclip.*local-dir:PATH"),
        ("hf-hub:some--one/x", "is no hub name"),
        ("local-dir:/nowhere", "there is no such folder"),
    ],
)
def test_names_that_lead_nowhere_say_what_to_do(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match=words):
        encoders.load(name)


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no open_clip_config\.json"):
        encoders.load(f"local-dir:{tmp_path}")


def test_the_hub_cache_is_enough(
    vit_folder: Path, vit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "models--someone--skill"
    shutil.copytree(vit_folder, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    found = encoders.load("hf-hub:someone/skill", precision="float32")
    assert (found.name, found.fingerprint) == ("hf-hub:someone/skill", vit.fingerprint)


DOWNLOAD = """
import sys
sys.path.insert(0, {tests!r})
import open_clip_models
from handful import encoders, errors

encoder = encoders.load("hf-hub:someone/skill", precision="float32", device="cpu")
print(encoder.name, "|", encoder.fingerprint)
for name in ("hf-hub:someone/else", "hf-hub:someone/skill/x", "someone/skill"):
    try:
        encoders.load(name)
    except errors.HandfulError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_download_from_a_hub_then_works_without_one(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint("siglip", tmp_path)
    change(folder, "text_cfg", hf_tokenizer_name="someone/skill")
    wanted = load(folder).fingerprint
    torch.save({"not": torch.zeros(1)}, folder / "open_clip_pytorch_model.bin")
    code = DOWNLOAD.format(tests=str(Path(__file__).parent))
    with hub.serve("someone/skill", folder) as (address, asked):
        said = run_hub(code, tmp_path / "cache", offline=False, address=address)
    assert f"hf-hub:someone/skill | {wanted}" in said, said
    assert "someone/else: the hub knows no such model, or it is private" in said
    assert "hf-hub:someone/skill/x" in said
    assert "someone/skill: is a checkpoint of the open_clip library; load it as 'hf-hub:" in said
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched >= {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"}
    assert "open_clip_pytorch_model.bin" not in fetched
    said = run_hub(code, tmp_path / "cache", offline=True)
    assert f"hf-hub:someone/skill | {wanted}" in said, said
    assert "of someone/else is not on this disk, and HF_HUB_OFFLINE forbids a download" in said


# ---- the library itself


def test_a_library_that_is_missing_or_broken_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def broken(name: str) -> Any:
        raise ModuleNotFoundError("import of torchvision halted", name="torchvision")

    monkeypatch.setattr(library, "import_module", gone)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[open_clip\]'"):
        encoders.load("open_clip:ViT-B-32/openai")
    monkeypatch.setattr(library, "import_module", broken)
    with pytest.raises(BrokenLibraryError, match=r"does not load .*halted.*Install it again"):
        library.open_clip()
    with pytest.raises(BrokenLibraryError, match="does not load"):
        load(folder)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(library, "TORCHVISION_PROBLEM", "operator torchvision::nms does not exist")
    with pytest.raises(BrokenLibraryError, match=r"does not fit this torch \(operator.*pip inst"):
        library.open_clip()
