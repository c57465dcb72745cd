"""Encoders against the library's own outputs, and all that can be wrong with a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import hub
import models
from handful import encoders
from handful.contracts import Encoder
from handful.encoders import catalogue, checkpoint, precision
from handful.encoders import hub as hub_files
from handful.encoders.backends._libraries import transformers
from handful.encoders.backends.transformers import TextCutWarning
from handful.errors import InputError, MissingExtraError, MissingModelError, UnknownNameError

TEXTS = ("a photo of a cat", "the red circle", "a dog", "Forest & annual-crop")
SIZES = ((60, 40), (31, 97), (200, 200), (48, 48), (12, 500))


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


def library(folder: Path, texts: tuple[str, ...]) -> Any:
    """What the library itself answers, by its own documented way of asking."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pixels = json.loads((folder / "preprocessor_config.json").read_text())["image_processor_type"]
    processor = getattr(transformers, f"{pixels}Pil").from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": 64} if "siglip" in kind else {"padding": True}
    words = tokenizer(list(texts), return_tensors="pt", truncation=True, **padding)
    seen = processor(images=pictures(), return_tensors="pt")
    with torch.no_grad():
        return model(**words, **seen)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.clip(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Any:
    return load(clip_folder)


# ---- the same numbers as the library


@pytest.mark.parametrize("build", models.ALL, ids=lambda b: b.__name__)
def test_features_and_logits_are_the_librarys(build: Any, tmp_path: Path) -> None:
    folder = build(tmp_path)
    encoder = load(folder)
    # The checkpoints of SigLIP 2 name a tokenizer that does not lower the case; training did.
    texts = tuple(t.lower() for t in TEXTS) if "siglip2" in build.__name__ else TEXTS
    wanted = library(folder, texts)
    images = encoder.images([encoder.prepare(p) for p in pictures()])
    read = encoder.texts(TEXTS)
    for got, reference in ((images, wanted.image_embeds), (read, wanted.text_embeds)):
        unit = torch.nn.functional.normalize(reference, dim=-1).numpy()
        assert got.shape == unit.shape
        assert (got * unit).sum(axis=1).min() >= 1 - 1e-6
        assert (unit @ unit.T).min() < 0.99  # else the test could not tell inputs apart
    logits = encoder.scale * images @ read.T + encoder.bias
    np.testing.assert_allclose(logits, wanted.logits_per_image.numpy(), atol=2e-5 * encoder.scale)
    assert isinstance(encoder, Encoder)
    assert encoder.dim == images.shape[1]


def test_temperature_of_each_kind(tmp_path: Path) -> None:
    assert load(models.align(tmp_path)).scale == pytest.approx(20.0)
    siglip = load(models.siglip(tmp_path))
    assert siglip.scale == pytest.approx(np.exp(2.0))
    assert siglip.bias == -8.0


def test_the_activation_of_the_configuration_counts(
    clip: Any, clip_folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(clip_folder, tmp_path / "gelu")
    config = json.loads((other / "config.json").read_text())
    assert config["vision_config"]["hidden_act"] == "quick_gelu"
    config["vision_config"]["hidden_act"] = "gelu"
    (other / "config.json").write_text(json.dumps(config))
    gelu = load(other)
    batch = [clip.prepare(pictures()[0])]
    assert np.abs(clip.images(batch) - gelu.images(batch)).max() > 1e-4
    assert changed(clip, gelu) == {"architecture"}


# ---- text


def test_siglip_text_is_cleaned_and_padded_by_its_family(tmp_path: Path) -> None:
    siglip = load(models.siglip(tmp_path))
    a, b = siglip.texts(["A Photo, of the CAT!", "a photo of the cat"])
    np.testing.assert_array_equal(a, b)
    assert siglip._tokens.encode(["a cat"])[0]["input_ids"].shape == (1, 64)
    siglip2 = load(models.siglip2_fixed(tmp_path))
    upper, lower, dotted = siglip2.texts(["A CAT", "a cat", "a cat."])
    np.testing.assert_array_equal(upper, lower)
    assert (lower * dotted).sum() < 1 - 1e-4


def test_a_text_in_company_is_the_text_alone(clip: Any) -> None:
    together = clip.texts(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(clip.texts([text])[0], row, atol=1e-5)


def test_long_text_is_cut_as_the_library_cuts_it_and_said_once(clip_folder: Path) -> None:
    encoder = load(clip_folder)
    long = "a photo of the red dog and the cat in the forest"
    with pytest.warns(TextCutWarning, match="24 tokens.*a photo of the red"):
        row = encoder.texts(["a dog", long])[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.texts([long])
    reference = library(clip_folder, (long,)).text_embeds[0].numpy()
    assert float(row @ reference) >= 1 - 1e-6


# ---- pictures


def test_quick_pixels_are_the_librarys_pixels(tmp_path: Path) -> None:
    for build in (models.clip, models.siglip, models.align, models.chinese_clip):
        encoder = load(build(tmp_path))
        assert encoder._preprocessing.quick
        batch = encoder.pixels([encoder.prepare(p) for p in pictures()])
        wanted = encoder.processor(images=pictures(), return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(batch["pixel_values"], wanted, atol=1e-5, rtol=0)


def test_a_processor_that_does_more_is_left_to_the_library(
    clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "unresized")
    models.change_json(folder / "preprocessor_config.json", do_resize=False)
    encoder = load(folder)
    assert not encoder._preprocessing.quick
    batch = [encoder.prepare(p) for p in pictures()]
    wanted = encoder.processor(images=pictures(), return_tensors="pt")["pixel_values"]
    got = encoder._preprocessing.batch(batch, torch.device("cpu"))["pixel_values"]
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    "stated",
    [
        {"image_processor_type": None, "feature_extractor_type": "CLIPFeatureExtractor"},
        {"image_processor_type": "CLIPImageProcessorFast"},
        {"image_processor_type": None},
    ],
)
def test_older_and_newer_names_of_a_processor(
    stated: dict[str, Any], clip: Any, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "named")
    models.change_json(folder / "preprocessor_config.json", **stated)
    encoder = load(folder)
    assert type(encoder.processor).__name__ == "CLIPImageProcessorPil"
    assert encoder.fingerprint == clip.fingerprint


def test_the_processor_may_lie_in_the_processors_file(
    clip: Any, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "nested")
    inner = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    outer = {"processor_class": "CLIPProcessor", "image_processor": inner}
    (folder / "processor_config.json").write_text(json.dumps(outer))
    assert load(folder).fingerprint == clip.fingerprint


def test_an_unknown_processor_is_named(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "unknown")
    models.change_json(folder / "preprocessor_config.json", image_processor_type="MyProcessor")
    with pytest.raises(InputError, match="names the image processor 'MyProcessor'"):
        load(folder)


@pytest.mark.parametrize(
    "damaged",
    [{"image_mean": "x"}, {"size": {"shortest_edge": -1}}, {"resample": 99}, {"crop_size": 0}],
    ids=str,
)
def test_a_processor_that_can_prepare_nothing(
    damaged: dict[str, Any], clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "damaged")
    models.change_json(folder / "preprocessor_config.json", **damaged)
    with pytest.raises(InputError, match="damaged: pictures cannot be prepared as it says"):
        load(folder)


@pytest.mark.parametrize("build", [models.clip, models.siglip2], ids=lambda b: b.__name__)
def test_prepare_is_thread_safe(build: Any, tmp_path: Path) -> None:
    encoder = load(build(tmp_path))
    many = pictures() * 8
    with ThreadPoolExecutor(8) as pool:
        threaded = encoder.images(list(pool.map(encoder.prepare, many)))
    serial = encoder.images([encoder.prepare(p) for p in many])
    np.testing.assert_array_equal(threaded, serial)


def test_other_modes_are_read_as_rgb_and_nothing_is_fine(clip: Any) -> None:
    grey = pictures()[0].convert("L")
    a = clip.images([clip.prepare(grey)])
    np.testing.assert_array_equal(a, clip.images([clip.prepare(grey.convert("RGB"))]))
    assert clip.images([]).shape == clip.texts([]).shape == (0, 32)


# ---- who an encoder is


def test_equal_content_has_one_fingerprint(clip: Any, clip_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(clip_folder, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    other_order = dict(sorted(tensors.items(), reverse=True))
    save_file(other_order, copy / "model.safetensors", metadata={"format": "pt", "note": "again"})
    (copy / "README.md").write_text("not part of it")
    models.change_json(copy / "config.json", transformers_version="9.9.9")
    assert load(copy).fingerprint == clip.fingerprint
    assert load(copy, precision="bfloat16").fingerprint == clip.fingerprint


def test_versions_of_the_library_do_not_change_who_an_encoder_is(clip: Any) -> None:
    # If this fails, every skill and every stored feature out there is orphaned: do not adjust it.
    found = parts(clip)
    assert (found["architecture"], found["preprocessing"]) == (
        "9f492f9b4eaa83c3",
        "f133916b3aa0158b",
    )


def test_shards_are_one_model(clip: Any, clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "shards")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in halves.items():
        save_file({k: tensors[k] for k in keys}, folder / file, metadata={"format": "pt"})
    where = {key: file for file, keys in halves.items() for key in keys}
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load(folder).fingerprint == clip.fingerprint
    (folder / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"b\.safetensors is missing"):
        load(folder)


def test_a_change_shows_in_its_own_part(clip: Any, clip_folder: Path, tmp_path: Path) -> None:
    weight = shutil.copytree(clip_folder, tmp_path / "weight")
    tensors = load_file(weight / "model.safetensors")
    tensors["visual_projection.weight"][0, 0] += 1e-3
    save_file(tensors, weight / "model.safetensors", metadata={"format": "pt"})
    assert changed(clip, load(weight)) == {"weights"}

    mean = shutil.copytree(clip_folder, tmp_path / "mean")
    models.change_json(mean / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    assert changed(clip, load(mean)) == {"preprocessing"}

    words = shutil.copytree(clip_folder, tmp_path / "words")
    tokenizer = json.loads((words / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].pop()
    (words / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert changed(clip, load(words)) == {"tokenizer"}


def test_settings_that_are_switched_off_do_not_count(
    clip: Any, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "off")
    models.change_json(folder / "preprocessor_config.json", do_pad=False, pad_size=None)
    assert load(folder).fingerprint == clip.fingerprint


def old_words(folder: Path) -> None:
    """The tokenizer as older checkpoints have it: bare vocabulary files, no settings."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    if "merges" in model:
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    else:
        (folder / "vocab.txt").write_text("\n".join(sorted(model["vocab"], key=model["vocab"].get)))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


@pytest.mark.parametrize("build", [models.clip, models.chinese_clip], ids=lambda b: b.__name__)
def test_older_tokenizer_files_read_the_same(build: Any, tmp_path: Path) -> None:
    folder = build(tmp_path)
    before = load(folder)
    old_words(folder)
    after = load(folder)
    np.testing.assert_array_equal(before.texts(TEXTS), after.texts(TEXTS))
    assert changed(before, after) == {"tokenizer"}
    for file in ("vocab.json", "vocab.txt"):
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(InputError, match="has no tokenizer"):
        load(folder)


def test_siglip_needs_sentencepiece_only_without_its_tokenizer_json(tmp_path: Path) -> None:
    folder = models.siglip(tmp_path)
    before = load(folder).texts(TEXTS)
    models.change_json(folder / "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    np.testing.assert_array_equal(load(folder).texts(TEXTS), before)
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises((MissingExtraError, InputError), match="siglip"):
        load(folder)


def test_words_of_another_model_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "swapped")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"word{i}</w>": len(vocabulary) + i for i in range(500)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="do not belong together"):
        load(folder)


# ---- precision


def test_bfloat16_rounds_the_blocks_alone(tmp_path: Path) -> None:
    folder = models.clip_wide(tmp_path)
    plain, half = load(folder), load(folder, precision="bfloat16")
    assert (plain.precision, half.precision) == ("float32", "bfloat16")
    batch = [plain.prepare(p) for p in pictures()]
    assert (plain.images(batch) * half.images(batch)).sum(axis=1).min() >= 0.9999
    np.testing.assert_array_equal(plain.texts(TEXTS), half.texts(TEXTS))
    assert half.agreement >= 0.9999
    kinds = {name: type(m).__name__ for name, m in half.model.named_modules()}
    assert kinds["vision_model.encoder.layers.0.mlp.fc1"] == "HalfLinear"
    assert kinds["visual_projection"] != "HalfLinear"


def test_auto_asks_the_hardware_and_then_the_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.clip_wide(tmp_path)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert load(folder, precision="auto").precision == "float32"
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    auto = load(folder, precision="auto")
    assert auto.precision == "bfloat16"
    monkeypatch.setattr(precision, "AGREEMENT", 1.1)
    kept = load(folder, precision="auto")
    assert kept.precision == "float32"
    batch = [kept.prepare(p) for p in pictures()]
    np.testing.assert_array_equal(kept.images(batch), load(folder).images(batch))


def test_narrow_models_stay_in_float32(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    assert load(clip_folder, precision="auto").precision == "float32"


def test_gradients_pass_where_a_tuner_wants_them(clip_folder: Path) -> None:
    encoder = load(clip_folder)
    weight = encoder.model.vision_model.encoder.layers[0].mlp.fc1.weight
    weight.requires_grad_(True)
    batch = encoder._preprocessing.batch([encoder.prepare(pictures()[0])], torch.device("cpu"))
    encoder.model.get_image_features(**batch).pooler_output.sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_unknown_precision_and_device_are_named() -> None:
    with pytest.raises(InputError, match="float32, bfloat16, got 'float8'"):
        encoders.load("tiny", precision="float8")
    with pytest.raises(InputError, match="'toaster' cannot be used"):
        encoders.load("tiny", device="toaster")


# ---- nothing in a folder is ever run, nothing is made up


class _Boom:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_pickled_weights_load_and_code_does_not(
    clip: Any, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = models.pickled(shutil.copytree(clip_folder, tmp_path / "bin"))
    batch = [clip.prepare(p) for p in pictures()]
    same = load(folder)
    np.testing.assert_array_equal(same.images(batch), clip.images(batch))
    assert same.fingerprint == clip.fingerprint
    evil = shutil.copytree(clip_folder, tmp_path / "evil")
    models.pickled(evil, {"logit_scale": _Boom()})
    with pytest.raises(InputError, match="something other than tensors"):
        load(evil)
    assert not Path("ran").exists()


def test_code_in_a_checkpoint_is_not_run(clip: Any, clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "remote")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass A: pass\n")
    entries = {"AutoConfig": "evil.A", "AutoModel": "evil.A", "AutoImageProcessor": "evil.A"}
    for file in ("config.json", "preprocessor_config.json"):
        models.change_json(folder / file, auto_map=entries)
    models.change_json(
        folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.A", "evil.A"]}
    )
    assert load(folder).fingerprint == clip.fingerprint
    assert not (tmp_path / "ran").exists()


def test_missing_weights_are_an_error(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "holes")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    tensors["visual_projection.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"2 tensors.*text_projection.weight, visual_projection"):
        load(folder)


def headed(table: Any) -> bytes:
    """A safetensors file with this table of contents and no tensors."""
    head = json.dumps(table).encode()
    return len(head).to_bytes(8, "little") + head


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "file not fully covered"),
        (lambda raw: raw[:5], "header too small"),
        (lambda raw: b"", "header too small"),
        (lambda raw: raw[:8] + b"x" + raw[9:], "invalid JSON in header"),
        (lambda raw: headed([1, 2]), "invalid JSON in header: invalid type: sequence"),
        (lambda raw: headed({"a": 1}), "invalid JSON in header: invalid type: integer"),
        (lambda raw: headed({"a": {"dtype": "F32", "shape": [0]}}), "missing field `data_offsets`"),
        (
            lambda raw: headed({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, "0"]}}),
            "invalid JSON in header: invalid type: string",
        ),
    ],
)
def test_damaged_weights_are_named(
    damage: Any, words: str, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    file = r"model\.safetensors: is no safetensors file, is cut short or is damaged"
    with pytest.raises(InputError, match=rf"{file} \(.*{words}.*\); download it again"):
        load(folder)


def test_not_numbers_are_found_at_once(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "nan")
    tensors = load_file(folder / "model.safetensors")
    tensors["text_projection.weight"][:] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="NaN"):
        load(folder)


# ---- names


def test_folders_that_are_no_checkpoint(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a checkpoint"):
        load(tmp_path)
    with pytest.raises(InputError, match="'bert' model; an encoder needs an image tower"):
        load(models.bert(tmp_path))
    with pytest.raises(InputError, match="is a file"):
        load(clip_folder / "model.safetensors")
    bare = shutil.copytree(clip_folder, tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"no preprocessor_config\.json"):
        load(bare)
    broken = shutil.copytree(clip_folder, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: cannot be read as JSON"):
        load(broken)
    (tmp_path / "oc").mkdir()
    (tmp_path / "oc" / "open_clip_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"checkpoint of the open_clip library; load it as 'local"):
        encoders.load(f"transformers:{tmp_path / 'oc'}")


def test_a_name_that_is_nothing_says_what_it_could_be() -> None:
    with pytest.raises(MissingModelError, match="no such folder"):
        encoders.load("/nowhere/at/all")
    with pytest.raises(MissingModelError, match="Did you mean 'openai/clip-vit-base-patch32'"):
        encoders.load("clip-vit-base-patch32")


def test_a_prefix_names_a_backend(clip_folder: Path) -> None:
    assert encoders.load(f"transformers:{clip_folder}", precision="float32").dim == 32
    with pytest.raises(
        UnknownNameError, match=r"no encoder named 'nothing'; known: .*transformers"
    ):
        encoders.load("nothing:ViT-B-32")
    with pytest.raises(MissingModelError, match="no such folder"):
        encoders.load("C:\\models\\clip")


def test_a_folder_needs_no_network(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert load(clip_folder).dim == 32


def cache(folder: Path, name: str, root: Path) -> None:
    """Lay a checkpoint into a hub cache, as a download would."""
    repo = root / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")


def run_hub(code: str, root: Path, *, offline: bool, address: str = "") -> str:
    """Run in a fresh process: the hub library reads its settings when it is imported."""
    environment = {
        **({"HF_ENDPOINT": address} if address else {}),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_CACHE": str(root),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "OMP_NUM_THREADS": "1",
        "PATH": "",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


LOAD_BOTH = """
from handful import encoders, errors

encoder = encoders.load("someone/clip", precision="float32")
print(encoder.name, "|", encoder.fingerprint)
try:
    encoders.load("someone/else")
except errors.MissingModelError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_download_from_a_hub_then_works_without_one(
    clip: Any, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "there")
    for unwanted in ("pytorch_model.bin", "tf_model.h5", "README.md", "evil.py"):
        (folder / unwanted).write_bytes(b"not wanted")
    with hub.serve("someone/clip", folder) as (address, asked):
        said = run_hub(LOAD_BOTH, tmp_path / "cache", offline=False, address=address)
    assert f"someone/clip | {clip.fingerprint}" in said, said
    assert "someone/else: the hub knows no such model, or it is private" in said
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {p.name for p in clip_folder.iterdir()}
    said = run_hub(LOAD_BOTH, tmp_path / "cache", offline=True)
    assert f"someone/clip | {clip.fingerprint}" in said, said
    assert "someone/else: is not on this disk, and HF_HUB_OFFLINE forbids a download" in said
    assert "hf download someone/else" in said


def hub_error(kind: str) -> Exception:
    from huggingface_hub import errors
    from huggingface_hub.errors import HfHubHTTPError

    if kind == "network":
        transport = next(c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")
        return transport("Name or service not known")
    cls = getattr(errors, kind)
    return cls.__new__(cls)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("GatedRepoError", "asks for consent.*hf auth login"),
        ("RepositoryNotFoundError", "knows no such model, or it is private.*Did you mean 'openai/"),
        ("network", "hub cannot be reached.*hf download openai/clip-vit-base-patch33"),
    ],
)
def test_a_download_that_fails_says_what_to_do(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def fail(*args: Any, **kwargs: Any) -> None:
        raise hub_error(kind)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(MissingModelError, match=words):
        hub_files.find_checkpoint("openai/clip-vit-base-patch33")


def test_a_cache_that_lacks_something_is_not_taken(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    cache(clip_folder, "someone/part", tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--someone--part" / "snapshots" / "abc"
    assert hub_files.find_checkpoint("someone/part") == folder
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MissingModelError, match="is not complete on this disk"):
        hub_files.find_checkpoint("someone/part")
    with pytest.raises(MissingModelError, match="is no hub name"):
        hub_files.find_checkpoint("some--one/part")


def test_a_download_fetches_one_kind_of_weights() -> None:
    listed = ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5"]
    assert checkpoint.weight_patterns("x/y", listed)[0] == "model*.safetensors"
    assert checkpoint.weight_patterns("x/y", listed[2:])[0] == "pytorch_model*.bin"
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        checkpoint.weight_patterns("x/y", ["flax_model.msgpack"])


# ---- the list


def test_known_says_what_is_here(tmp_path: Path) -> None:
    cache_name = "facebook/metaclip-b32-400m"
    repo = tmp_path / f"models--{cache_name.replace('/', '--')}"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / "pytorch_model.bin").write_bytes(b"x")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    code = (
        "import sys\nfrom handful import encoders\n"
        "print([k.name for k in encoders.list_encoders() if k.here and '/' in k.name])\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    said = run_hub(code, tmp_path, offline=True)
    assert f"['{cache_name}']" in said
    assert "False False" in said
    listed = encoders.list_encoders()
    assert len({k.name for k in listed}) == len(listed)
    assert all(k.good_for and k.licence and k.source for k in listed)
    assert {k.family for k in listed} <= {
        "clip",
        "siglip",
        "chinese_clip",
        "align",
        "open_clip",
        "photo",
    }
    assert catalogue.hub_names()[:2] == ["photo", "tiny"]


# ---- the embedded default


@pytest.fixture(scope="module")
def tiny() -> Any:
    try:
        hub_files.find_checkpoint("tiny")
    except MissingModelError:
        pytest.skip("the embedded encoder has not been trained yet")
    return encoders.load("tiny", device="cpu")


def test_tiny_is_a_checkpoint_like_any_other(tiny: Any) -> None:
    assert tiny.name == "tiny"
    (entry,) = (e for e in encoders.list_encoders() if e.name == "tiny")
    assert entry.here
    assert entry.dim == tiny.dim
    images = tiny.images([tiny.prepare(p) for p in pictures()])
    assert images.shape == (len(SIZES), tiny.dim)
    read = tiny.texts(["a red circle", "a blue square"])
    assert float(read[0] @ read[1]) < 0.95


def test_loading_in_threads_is_safe(clip: Any, clip_folder: Path) -> None:
    found: list[str] = []
    work = [
        threading.Thread(target=lambda: found.append(load(clip_folder).fingerprint)) for _ in "ab"
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert found == [clip.fingerprint] * 2


def test_the_librarys_loudness_is_left_as_it_was(clip_folder: Path) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    try:
        load(clip_folder)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(before[0])
