"""`handful bench` as a person types it: answers, files, resuming, exit codes, words of errors."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import commands
from handful.contracts import ClassText, unit
from handful.data import FeatureSet, save_features
from handful.protocols import published
from handful.protocols.bench import Request, prepare
from handful.protocols.tables import Grid


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one `handful bench`."""
    return commands.run(capsys, "bench", *arguments)


def features(
    name: str = "EuroSAT", classes: int = 4, each: int = 8, encoder: str = "", seed: int = 0
) -> FeatureSet:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(classes, 12))
    labels = np.repeat(np.arange(classes), each)
    return FeatureSet(
        name=name,
        values=unit(centres[labels] + 0.7 * generator.normal(size=(len(labels), 12))),
        labels=labels,
        text=ClassText(centres[:, None] + 0.3, tuple(f"c{i}" for i in range(classes)), 50.0),
        encoder=encoder,
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return save_features(tmp_path / "made" / "made.safetensors", features())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """What the official Tip-Adapter code leaves behind, with caches of two shot counts."""
    folder = tmp_path / "caltech101"
    folder.mkdir()
    found = features(each=10)
    place = np.arange(len(found)) % 10
    for shots in (2, 4):
        rows = np.flatnonzero(place < shots)
        keys = torch.tensor(found.values[rows]).T.contiguous().half()
        torch.save(keys, folder / f"keys_{shots}shots.pt")
        hot = torch.nn.functional.one_hot(torch.tensor(found.labels[rows])).half()
        torch.save(hot, folder / f"values_{shots}shots.pt")
    rows = np.flatnonzero(place >= 4)
    torch.save(torch.tensor(found.values[rows]).half(), folder / "test_f.pt")
    torch.save(torch.tensor(found.labels[rows]), folder / "test_l.pt")
    torch.save(torch.tensor(found.text.weights).T.half(), folder / "clip_weights.pt")
    return folder


def test_a_report_is_written_and_a_second_run_reads_the_journal(made, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (made, "--methods", "tip", "--shots", "1,2", "--seeds", 2, "--out", out)
    code, first, told = run(capsys, *arguments)
    assert code == 0
    assert "Zero-shot" in first
    assert "±" in first
    assert "wrote" in told
    lines = (out / "journal.jsonl").read_text()
    assert len(lines.splitlines()) == 8
    assert (out / "figure.png").stat().st_size > 10_000
    report = (out / "report.md").read_text()
    assert "| Tip-Adapter |" in report
    for fact in ("seeds: 2", "no validation set", "prompts a class", "what other draws and other"):
        assert fact in report
    code, second, _ = run(capsys, *arguments)
    assert second == first
    assert (out / "journal.jsonl").read_text() == lines


def test_another_configuration_is_measured_anew(made, tmp_path, capsys):
    out = tmp_path / "out"
    for extra in ((), ("--shots", 2), ("--seeds", 2), ("--ablate", "alpha", "--value", 3)):
        run(capsys, made, "--methods", "tip", "--shots", 1, "--seeds", 1, *extra, "--out", out)
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    told = [(r["method"], r["shots"], r["seed"], r["params"]) for r in lines]
    assert told == [
        ("zero_shot", 1, 0, {}),
        ("tip", 1, 0, {}),
        ("zero_shot", 2, 0, {}),
        ("tip", 2, 0, {}),
        ("zero_shot", 1, 1, {}),
        ("tip", 1, 1, {}),
        ("tip", 1, 0, {"alpha": "3"}),
    ]
    other = save_features(made.parent / "other" / "made.safetensors", features(seed=1))
    run(capsys, other, "--methods", "tip", "--shots", 1, "--seeds", 1, "--out", out)
    assert len((out / "journal.jsonl").read_text().splitlines()) == 9


def test_killed_and_started_again(made, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(made), "--methods", "clip_adapter", "--shots", "4", "--seeds", "20"]
    command = [sys.executable, "-m", "handful", "bench", *arguments, "--out", str(out)]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    journal = out / "journal.jsonl"
    while child.poll() is None and not (journal.exists() and journal.stat().st_size > 3_000):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    kept = journal.read_text()
    whole = kept[: kept.rfind("\n") + 1]
    journal.write_text(whole + '{"key": "ab')  # what a kill within a line would leave
    code, told, _ = run(capsys, *arguments, "--out", out)
    assert code == 0
    assert journal.read_text().startswith(whole)  # nothing was measured twice
    fresh = run(capsys, *arguments)[1]
    assert told == fresh
    assert len([r for r in journal.read_text().splitlines() if r.endswith("}")]) == 40


@pytest.mark.parametrize(
    ("protocol", "column"), [("base-to-new", "harmonic mean"), ("cross", "other"), ("domain", "o")]
)
def test_the_other_protocols(protocol, column, made, tmp_path, capsys):
    other = save_features(tmp_path / "o.safetensors", features("other", seed=1))
    arguments = [made] if protocol == "base-to-new" else [made, other]
    code, out, _ = run(
        capsys, *arguments, "--protocol", protocol, "--methods", "tip", "--shots", 2,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    assert column in out
    answer = json.loads((tmp_path / "out" / "report.json").read_text())
    assert answer["protocol"] == protocol
    assert all(0 <= s["accuracy"] <= 100 for s in answer["scores"])


def test_json_is_all_that_is_said(made, capsys):
    _, out, _ = run(capsys, made, "--methods", "tip,tda", "--shots", 1, "--seeds", 1, "--json")
    answer = json.loads(out)
    assert [row["label"] for row in answer["tables"][0]["rows"]] == [
        "Zero-shot",
        "Tip-Adapter",
        "TDA",
    ]


def test_tip_adapters_cache(cache, capsys):
    code, out, _ = run(capsys, cache, "--methods", "tip", "--seeds", 1, "--json")
    answer = json.loads(out)
    assert code == 0
    assert {s["shots"] for s in answer["scores"]} == {1, 2, 4}  # what the larger cache allows
    assert {s["images"] for s in answer["scores"]} == {24}
    facts = answer["tasks"]["caltech101"]
    assert facts["notes"] == "support sets are drawn from keys_4shots.pt"
    assert answer["facts"]["equal draws"] == [
        "caltech101 at 4 shots: every seed has the same support set"
    ]


def test_tip_adapters_cache_without_text(cache, tmp_path, capsys):
    (cache / "clip_weights.pt").unlink()
    code, _, told = run(capsys, cache, "--methods", "tip")
    assert code == 2
    assert "keeps no text" in told
    assert "--classes FILE" in told
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nowl\nfox\n")
    code, _, told = run(capsys, cache, "--methods", "tip", "--classes", names)
    assert code == 2
    assert "both must come from one encoder" in told


def test_a_program_in_a_cache_is_refused(cache, tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (cache / "keys_4shots.pt").write_bytes(pickle.dumps(Bomb()))
    code, _, told = run(capsys, cache, "--methods", "tip")
    assert code == 2
    assert "keys_4shots.pt" in told
    assert not (tmp_path / "exploded").exists()


def test_features_of_another_encoder_are_refused(tmp_path, capsys):
    path = save_features(tmp_path / "f.safetensors", features(encoder="model:clip weights:abc"))
    code, _, told = run(capsys, path, "--encoder", "tiny", "--methods", "tip")
    assert code == 2
    assert "features of two encoders cannot be compared" in told
    other = save_features(tmp_path / "g.safetensors", features("other", encoder="model:x"))
    code, _, told = run(capsys, path, other, "--protocol", "cross", "--methods", "tip")
    assert code == 2
    assert "needs all data sets from one encoder" in told
    assert run(capsys, path, "--methods", "tip", "--shots", 1)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shots", "64"], "fewer than 64 images: c0 \\(8\\), c1 \\(8\\)"),
        (["--shots", "0"], "--shots"),
        (["--methods", "tpi"], "did you mean 'tip'"),
        (["--protocol", "few"], "expected one of few-shot, base-to-new"),
        (["--protocol", "ablation"], "--ablate ratio"),
        (["--ablate", "views"], "holds features"),
        (["--template", "photo"], "holds its own class names and text features; leave out --temp"),
        (["--ablate", "alpha", "--value", "no", "--methods", "tip"], "alpha"),
        (["--anchors", "SigLIP"], "there are those of RN101, RN50, ViT-B/16, ViT-B/32"),
    ],
)
def test_bad_arguments(arguments, words, made, tmp_path, capsys):
    code, out, told = run(capsys, made, *arguments, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert re.search(words, told), told
    assert not (tmp_path / "out" / "report.md").exists()


def test_classes_without_images_and_unequal_counts(tmp_path, capsys):
    found = features()
    keep = (found.labels != 3) & (np.arange(len(found)) != 0)
    text = found.text
    path = save_features(
        tmp_path / "f.safetensors",
        FeatureSet("f", found.values[keep], found.labels[keep], text),
    )
    code, _, told = run(capsys, path, "--methods", "tip")
    assert code == 2
    assert "1 class has no images (c3)" in told
    keep = np.arange(len(found)) > 5  # two images of c0 are left
    path = save_features(
        tmp_path / "f.safetensors",
        FeatureSet("f", found.values[keep], found.labels[keep], text),
    )
    code, _, told = run(capsys, path, "--methods", "tip", "--shots", 4)
    assert "1 class has fewer than 4 images: c0 (2)" in told
    code, _, told = run(capsys, path, "--methods", "tip", "--shots", 4, "--allow-fewer")
    assert code == 0
    assert "1 class has fewer images" in told
    out = run(capsys, path, "--methods", "tip")[1]
    assert "1 shot" in out  # what all classes allow: one to teach, one to ask
    assert "2 shots" not in out


def test_what_does_not_fit_into_memory_is_told_first(made, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("handful.features.memory.available", lambda: 1000)
    out = tmp_path / "out"
    code, _, told = run(
        capsys, made, "--methods", "proker", "--shots", "1,4", "--seeds", 1, "--out", out
    )
    assert code == 2
    assert "ProKeR on EuroSAT, 4 shots, seed 0" in told
    assert "of memory" in told
    (line,) = (out / "journal.jsonl").read_text().splitlines()  # the most shots come first
    assert (json.loads(line)["method"], json.loads(line)["shots"]) == ("zero_shot", 4)


# Published numbers


def grid(*columns: str, tasks: tuple[str, ...], shots: int | None = None) -> Grid:
    return Grid("", columns, (), tasks, shots)


def test_published_numbers_stand_apart_and_leaky_ones_are_marked(tmp_path, capsys):
    path = save_features(tmp_path / "e.safetensors", features(encoder="openai/RN50"))
    out = tmp_path / "out"
    _, said, _ = run(capsys, path, "--methods", "tip", "--shots", "1,4", "--out", out)
    assert "published with RN50, the same data" in said
    report = (out / "report.md").read_text()
    (leaky,) = [x for x in report.splitlines() if x.startswith("| Tip-Adapter-F †")]
    assert "gaopengcuhk/Tip-Adapter@d0e2d6f" in leaky
    assert "† Tip-Adapter-F" in report
    assert "best on the test set" in report
    (honest,) = [x for x in report.splitlines() if x.startswith("| Zero-shot CLIP |")]
    assert "†" not in honest
    ours, theirs = report.split("Published with RN50", 1)
    assert "†" not in ours
    assert "± " not in theirs.split("± is half")[0]


def test_published_numbers_of_other_data_only_when_asked_for():
    ours = grid("1 shot", "16 shots", tasks=("my photos",))
    assert published.beside("few-shot", ours, "ViT-B/32") == ()
    rows = published.beside("few-shot", ours, "ViT-B/32", elsewhere=True)
    assert {row.where for row in rows} == {published.ELSEWHERE}
    assert [r.cells[1] for r in rows if r.anchor.method == "GDA"] == ["78.1"]
    inductive, others = published.apart(rows)
    assert {r.anchor.semantics for r in inductive} == {"inductive"}
    assert "inductive" not in {r.anchor.semantics for r in others}


def test_published_base_to_new_is_the_harmonic_mean_of_the_means():
    columns = ("base", "new", "harmonic mean", "that of the means")
    eleven = (
        "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food-101",
        "fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101",
    )  # fmt: skip
    rows = published.beside("base-to-new", grid(*columns, tasks=eleven, shots=16), "ViT-B/16")
    (mine,) = [r for r in rows if r.anchor.method == "CoOp"]
    assert mine.cells == ("82.7", "63.2", "", "71.7")
    assert not published.beside("base-to-new", grid(*columns, tasks=eleven, shots=4), "ViT-B/16")
    assert not published.beside(
        "base-to-new", grid(*columns, tasks=eleven[1:], shots=16), "ViT-B/16"
    )


def test_published_variants_of_imagenet():
    columns = ("imagenet (taught)", "imagenetv2", "imagenet-adversarial")
    ours = grid(*columns, tasks=("imagenet",), shots=16)
    rows = published.beside("domain", ours, "ViT-B/32")
    assert [(r.label, r.cells) for r in rows] == [("GDA †", ("67.0", "58.5", "30.2"))]
    elsewhere = grid("cats (taught)", "dogs", tasks=("cats",), shots=16)
    assert published.beside("domain", elsewhere, "ViT-B/32") == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai/clip-vit-base-patch32", "ViT-B/32"),
        ("clip_vit_b16", "ViT-B/16"),
        ("RN50", "RN50"),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", ""),
        ("google/siglip-base-patch16-224", ""),
        ("openai/clip-vit-large-patch14", ""),
        ("tiny", ""),
        ("not stated", ""),
    ],
)
def test_which_encoder_the_field_means(name, found):
    assert published.encoder_of(name) == found


def test_real_features_give_the_known_zero_shot(shared):
    asked = Request(methods=["zero_shot"], shots=[1], seeds=2)
    done = prepare([shared / "whu_rs19"], asked).run()
    (row,) = done.grids()[0].rows
    assert row.cells[0].accuracy == pytest.approx(81.3, abs=0.3)
