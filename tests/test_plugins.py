"""The folder is the registry: a dropped file is listed, loaded, fits and conforms."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import test_conformance as conformance
from handful import plugins
from handful.contracts import unit
from handful.errors import InputError, UnknownNameError
from tasks import make

NEAREST = '''
"""Nearest class mean."""

import torch
from torch import Tensor

from handful.adapters import Adapter, Head, scalar


class MeanHead(Head):
    """`logits = scale * x Mᵀ`, M the class means, or the text where there is no image."""

    means: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x @ self.means.T


class NearestMean(Adapter):
    """Nearest class mean."""

    title = "Nearest mean"
    head = MeanHead

    def _fit(self, features, targets, text):
        means = torch.from_numpy(text.weights)
        for c in targets.unique():
            means[c] = torch.nn.functional.normalize(features[targets == c].mean(0), dim=0)
        return MeanHead(means=means, scale=scalar(text.scale))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in folder that is forgotten again, with what was loaded from it."""
    monkeypatch.setattr(plugins, "_added", [])
    (tmp_path / "adapters").mkdir()
    yield tmp_path / "adapters"
    for name in [m for m in sys.modules if m.startswith("handful_plugins.")]:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("way", ["add_folder", "environment"])
def test_a_dropped_file_is_a_method(folder, monkeypatch, way):
    write(folder, "nearest_mean", NEAREST)
    assert "nearest_mean" not in plugins.names("adapters")
    if way == "environment":
        monkeypatch.setenv("HANDFUL_PLUGINS", str(folder.parent))
    else:
        plugins.add_folder(folder.parent)
        plugins.add_folder(folder.parent)  # twice is once
    listed = plugins.names("adapters")
    assert listed == sorted(listed)
    assert listed.count("nearest_mean") == 1
    cls = plugins.get("adapters", "Nearest-Mean")  # as people write names
    task = make()
    adapter = cls().fit(task.X, task.y, task.text)
    assert adapter.predict(task.queries).shape == (len(task.queries),)
    assert plugins.get("adapters", "nearest_mean") is cls, "loaded once"


CHECKS = [
    conformance.test_is_a_documented_plug_in,
    conformance.test_fit_returns_self_and_learns,
    conformance.test_deterministic,
]
ADAPTER_CHECKS = [
    conformance.test_sample_order_does_not_matter,
    conformance.test_permuting_classes_permutes_columns,
    conformance.test_a_class_without_shots_keeps_its_column,
    conformance.test_refit_forgets,
    conformance.test_inputs_are_not_changed,
    conformance.test_module_from_its_tensors_is_bit_equal,
    conformance.test_nothing_global_changes,
    conformance.test_refuses_wrong_labels,
    conformance.test_integers_and_names_are_the_same_labels,
]


def test_a_dropped_file_conforms(folder):
    write(folder, "nearest_mean", NEAREST)
    plugins.add_folder(folder.parent)
    case = ("nearest_mean", {})
    for check in CHECKS:
        check(case)
    for check in ADAPTER_CHECKS:
        check(conformance.build(case))


def test_a_dropped_file_becomes_a_skill(folder, tmp_path):
    packs = pytest.importorskip("handful.packs")
    write(folder, "nearest_mean", NEAREST)
    plugins.add_folder(folder.parent)
    task = make()
    adapter = plugins.get("adapters", "nearest_mean")().fit(task.X, task.y, task.text)
    encoder = _Encoder(task.text.scale, task.X.shape[1])
    pack = packs.Pack.of(
        adapter, task.text, encoder, templates=("{}",), support_ids=(), training={}, evaluation=None
    )
    pack.save(tmp_path / "skill")
    again = packs.Pack.load(tmp_path / "skill")
    assert again.method == "nearest_mean"
    assert np.array_equal(again.logits(task.queries), adapter.logits(task.queries))


class _Encoder:
    """As much of an encoder as a pack asks for."""

    name, fingerprint, precision = "fake", "model:fake weights:0", "float32"

    def __init__(self, scale: float, dim: int) -> None:
        self.scale, self.dim = scale, dim

    def texts(self, batch):
        raise NotImplementedError

    def prepare(self, image):
        return np.asarray(image.resize((8, 8)), dtype=np.float32).ravel()[: self.dim]

    def images(self, batch):
        return unit(np.stack(batch) + 1)


def test_names_that_come_close(folder):
    with pytest.raises(UnknownNameError, match="did you mean 'clip_adapter'"):
        plugins.get("adapters", "clip_adaptor")
    with pytest.raises(UnknownNameError, match=r"known: .*zero_shot"):
        plugins.get("adapters", "xyzzy")
    with pytest.raises(KeyError):
        plugins.get("adapters", "xyzzy")


def test_files_with_an_underscore_are_no_methods(folder):
    write(folder, "_private", NEAREST)
    plugins.add_folder(folder.parent)
    assert not [n for n in plugins.names("adapters") if n.startswith("_")]
    with pytest.raises(UnknownNameError):
        plugins.get("adapters", "_private")


def test_a_name_cannot_leave_the_folder(folder):
    plugins.add_folder(folder.parent)
    write(folder.parent, "outside", "raise SystemExit('this was run')\n")
    for name in ("../outside", "../adapters/tip", str(folder.parent / "outside"), "", "tip.py"):
        with pytest.raises(UnknownNameError):
            plugins.get("adapters", name)


def test_a_file_that_defines_two_or_none(folder):
    two = NEAREST + "\n\nclass Another(NearestMean):\n    title = 'Another'\n"
    write(folder, "two", two)
    write(folder, "none", "x = 1\n")
    plugins.add_folder(folder.parent)
    for name, count in (("two", 2), ("none", 0)):
        with pytest.raises(InputError, match=rf"{name}\.py: expected one .* class, got {count}"):
            plugins.get("adapters", name)


def test_an_imported_class_is_not_the_file_s_own(folder):
    borrowed = "from handful.adapters.tip import Tip\n" + NEAREST
    write(folder, "borrowed", borrowed)
    plugins.add_folder(folder.parent)
    assert plugins.get("adapters", "borrowed").__name__ == "NearestMean"


def test_a_broken_file_hurts_only_itself(folder):
    write(folder, "broken", "import nothing_that_exists\n")
    plugins.add_folder(folder.parent)
    assert "broken" in plugins.names("adapters")
    assert plugins.get("adapters", "tip").__name__ == "Tip"
    for _ in range(2):  # the second time as well: no half-loaded module stays behind
        with pytest.raises(InputError, match=r"broken\.py: cannot be .*nothing_that_exists"):
            plugins.get("adapters", "broken")


def test_our_own_methods_cannot_be_replaced(folder):
    write(folder, "tip", NEAREST)
    plugins.add_folder(folder.parent)
    assert plugins.get("adapters", "tip").__name__ == "Tip"


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"adapters/\*\.py"):
        plugins.add_folder(tmp_path / "nowhere")
