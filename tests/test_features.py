"""Features from files: our own layout and the caches of Tip-Adapter's code."""

from __future__ import annotations

import gc
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch

from handful import data
from handful.contracts import ClassText, unit
from handful.errors import HandfulError, InputError, MismatchError

CLASSES = ("cat", "dog", "eel")


def arrays(n=7, width=5, classes=3, prompts=2):
    rng = np.random.default_rng(0)
    return {
        "images": unit(rng.standard_normal((n, width))),
        "labels": np.arange(n) % classes,
        "prompts": unit(rng.standard_normal((classes, prompts, width))),
    }


def written(folder, changes=None, meta=None):
    folder.mkdir(exist_ok=True)
    held = {k: v for k, v in {**arrays(), **(changes or {})}.items() if v is not None}
    safetensors.numpy.save_file(held, folder / "f.safetensors")
    words = {"classes": CLASSES, "logit_scale": 100.0, **(meta or {})}
    (folder / "meta.json").write_text(json.dumps({k: v for k, v in words.items() if v is not None}))
    return folder


def test_an_npz_that_claims_more_than_memory_is_refused(tmp_path, recwarn):
    claim = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 512), }"
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + claim.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", head)
    with pytest.raises(InputError, match=r"a\.npz: claims arrays that do not fit into memory"):
        data.load_features(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"b\.npz: is not an \.npz"):
        data.load_features(tmp_path / "b.npz")
    gc.collect()
    assert not recwarn.list  # of a file left open


def test_folder_and_file_are_the_same(tmp_path):
    folder = written(tmp_path / "pets")
    one, other = data.feature_file(folder), data.load_features(folder / "f.safetensors")
    assert one.name == other.name == "pets"
    np.testing.assert_array_equal(one.values, other.values)
    assert one.values.dtype == np.float32
    assert one.text.classes == CLASSES
    assert one.text.embeddings.shape == (3, 2, 5)
    assert one.splits == ("",) * 7


def test_text_may_be_one_row_a_class(tmp_path):
    for name in ("text", "texts"):
        flat = arrays()["prompts"][:, 0].copy()
        found = data.feature_file(written(tmp_path / name, {"prompts": None, name: flat}))
        np.testing.assert_allclose(found.text.embeddings[:, 0], flat, atol=1e-6)


def test_npz_with_its_words_inside(tmp_path):
    path = tmp_path / "a.npz"
    names = np.array(["train", "valid", "test", "test", "train", "", "test"])
    np.savez(path, **arrays(), classes=np.array(CLASSES), logit_scale=50.0, splits=names)
    found = data.feature_file(path)
    assert found.text.classes == CLASSES
    assert found.text.scale == 50
    assert found.splits == ("train", "val", "test", "test", "train", "", "test")


@pytest.mark.parametrize("name", ["out.safetensors", "folder"])
def test_round_trip(tmp_path, name):
    a = arrays()
    text = ClassText(a["prompts"], CLASSES, 42.0)
    splits = ("train", "test", "", "val", "test", "odd one", "train")
    groups = ("a", "b", "", "", "b", "", "a")
    before = data.FeatureSet(
        "mine", a["images"], a["labels"], text, splits, tuple("abcdefg"), "enc-1", groups, ("x",)
    )
    path = data.save_features(tmp_path / name, before)
    after = data.load_features(tmp_path / name)
    assert [f.name for f in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(after.values, unit(before.values))
    np.testing.assert_array_equal(after.labels, before.labels)
    for field in ("name", "splits", "ids", "encoder", "groups", "notes"):
        assert getattr(after, field) == getattr(before, field)
    assert after.text.scale == 42
    after.check_encoder("enc-1")
    with pytest.raises(MismatchError, match=r"'enc-1'.*'enc-2'"):
        after.check_encoder("enc-2")


def test_copies_share_an_id(tmp_path):
    images = arrays()["images"]
    images[4] = images[1]
    found = data.feature_file(written(tmp_path / "a", {"images": images}))
    assert found.ids[4] == found.ids[1]
    assert len(set(found.ids)) == 6


NAN = arrays()["images"]
NAN[2, 1] = np.nan
BAD = {
    "nan": ({"images": NAN}, None, "NaN"),
    "width": ({"images": np.ones((7, 4), np.float32)}, None, "text's width 5, got 4"),
    "label": ({"labels": np.array([0, 1, 2, 3, 0, 0, 0])}, None, "from 0 to 2, got 0 to 3"),
    "negative": ({"labels": np.array([0, 1, 2, -1, 0, 0, 0])}, None, "got -1 to 2"),
    "fractions": ({"labels": np.ones(7, np.float32)}, None, "whole numbers"),
    "count": ({"labels": np.zeros(6, np.int64)}, None, "expected 7 whole numbers"),
    "no text": ({"prompts": None}, None, "no text features"),
    "no images": ({"images": None}, None, "no images"),
    "no scale": ({}, {"logit_scale": None}, "no logit scale"),
    "odd scale": ({}, {"logit_scale": "warm"}, "one logit scale"),
    "no names": ({}, {"classes": None}, "no class names"),
    "few names": ({}, {"classes": ["cat"]}, "3 rows for 1 classes"),
    "splits": ({}, {"splits": ["train"]}, "expected 7 splits, got 1"),
    "split numbers": ({"splits": np.full(7, 9)}, None, "splits from -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_content(tmp_path, case):
    changes, meta, words = BAD[case]
    with pytest.raises(InputError, match=words) as caught:
        data.feature_file(written(tmp_path / "a", changes, meta))
    assert "f.safetensors" in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="found none"):
        data.load_features(tmp_path)
    with pytest.raises(InputError, match="is no file"):
        data.load_features(tmp_path / "nothing.npz")
    broken = tmp_path / "a.safetensors"
    broken.write_bytes(b"\x80\x04 not at all")
    with pytest.raises(InputError, match=r"a\.safetensors: is not a safetensors"):
        data.load_features(broken)
    for content in (b"", b"PK\x03\x04junk", pickle.dumps({"images": 1})):
        path = tmp_path / "a.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz: is not an \.npz"):
            data.load_features(path)
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        data.load_features(tmp_path / "a.npz")
    with pytest.raises(InputError, match="shots can only be given"):
        data.load_features(written(tmp_path / "b"), shots=4)


def test_whu(shared):
    found = data.load_features(shared / "whu_rs19")
    assert (found.name, found.values.shape) == ("whu_rs19", (1005, 512))
    assert found.text.embeddings.shape == (19, 106, 512)
    hit = (found.values @ found.text.weights.T).argmax(1) == found.labels
    assert round(100 * hit.mean(), 2) == 81.29


def cache(folder, *, shots=(2,), width=5, classes=3, weights=True, rows=False):
    folder.mkdir(exist_ok=True)
    a = arrays(9, width, classes)
    for k in shots:
        keys = torch.from_numpy(
            unit(np.random.default_rng(k).standard_normal((classes * k, width)))
        )
        hot = torch.eye(classes).repeat_interleave(k, dim=0)
        torch.save(keys.half() if rows else keys.T.half(), folder / f"keys_{k}shots.pt")
        torch.save(hot.half(), folder / f"values_{k}shots.pt")
    for split in ("val", "test"):
        torch.save(torch.from_numpy(a["images"]).half(), folder / f"{split}_f.pt")
        torch.save(torch.from_numpy(a["labels"]), folder / f"{split}_l.pt")
    if weights:
        torch.save(torch.from_numpy(a["prompts"][:, 0]).T.half(), folder / "clip_weights.pt")
    return folder


def test_a_tip_cache(tmp_path):
    found = data.load_features(cache(tmp_path / "dtd"))
    keys = torch.load(tmp_path / "dtd" / "keys_2shots.pt", weights_only=True).float().numpy()
    assert found.splits == ("train",) * 6 + ("val",) * 9 + ("test",) * 9
    assert found.labels[:6].tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(found.values[:6], unit(keys.T), atol=1e-6)
    assert found.text.classes == ("class 0", "class 1", "class 2")
    assert found.text.scale == 100
    assert found.notes == ()


def test_either_orientation_is_the_same(tmp_path):
    published, turned = cache(tmp_path / "a"), cache(tmp_path / "b", rows=True)
    np.testing.assert_array_equal(data.tip_cache(published).values, data.tip_cache(turned).values)


@pytest.mark.parametrize("rows", [False, True])
def test_square_keys_are_told_apart_by_their_length(tmp_path, rows):
    folder = cache(tmp_path / "a", width=6, rows=rows)
    truth = unit(np.random.default_rng(2).standard_normal((6, 6)))
    found = data.tip_cache(folder)
    np.testing.assert_allclose(found.values[:6], truth, atol=2e-3)
    assert not found.notes


def test_square_keys_without_a_hint_are_said_to_be_assumed(tmp_path):
    folder = cache(tmp_path / "a", width=6)
    keys = torch.arange(36.0).reshape(6, 6) + torch.eye(6)
    torch.save(keys, folder / "keys_2shots.pt")
    found = data.tip_cache(folder)
    np.testing.assert_allclose(found.values[0], unit(keys[:, :1].T.numpy())[0], atol=1e-6)
    assert found.notes == ("keys_2shots.pt is square; the published layout [D, N] is assumed",)


def test_several_shots(tmp_path):
    folder = cache(tmp_path / "a", shots=(1, 4, 16))
    with pytest.raises(InputError, match=r"several shot counts \(1, 4, 16\)"):
        data.tip_cache(folder)
    with pytest.raises(InputError, match=r"keys_8shots\.pt; shot counts found: 1, 4, 16"):
        data.tip_cache(folder, shots=8)
    assert data.load_features(folder, shots=4).splits.count("train") == 12


def test_text_given_or_asked_for(tmp_path):
    folder = cache(tmp_path / "a", weights=False)
    with pytest.raises(InputError, match="give a ClassText as text"):
        data.tip_cache(folder)
    text = ClassText(arrays()["prompts"], CLASSES, 7.0)
    assert data.tip_cache(folder, text=text).text is text
    four = ClassText(np.eye(5)[:4, None], tuple("abcd"), 7.0)
    with pytest.raises(InputError, match="has 3 classes, but the text has 4"):
        data.tip_cache(folder, text=four)


def test_class_names(tmp_path):
    folder = cache(tmp_path / "a")
    (folder / "classes.txt").write_text("cat\ndog\neel\n")
    assert data.tip_cache(folder).text.classes == CLASSES
    assert data.tip_cache(folder, classes=["x", "y", "z"]).text.classes == ("x", "y", "z")


class Evil:
    """What a malicious file holds: a call that unpickling would make."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("name", ["keys_2shots.pt", "values_2shots.pt", "test_f.pt", "val_l.pt"])
def test_a_malicious_file_is_refused_and_not_run(tmp_path, name, plain, recwarn):
    folder, mark = cache(tmp_path / "a"), tmp_path / "ran"
    if plain:
        (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    else:
        torch.save({"tensor": torch.ones(2), "more": Evil(mark)}, folder / name)
    with pytest.raises(HandfulError, match=rf"{name}: refused") as refused:
        data.load_features(folder)
    assert not mark.exists()
    assert "weights_only" not in str(refused.value)  # torch advises to run it after all
    assert not recwarn.list


BROKEN = {
    "list": ("keys_2shots.pt", [torch.ones(2)], "expected one plain tensor, got list"),
    "shape": ("keys_2shots.pt", torch.ones(5, 7), r"expected \[D, 6\], got \[5, 7\]"),
    "flat": ("keys_2shots.pt", torch.ones(6), r"got \[6\]"),
    "nan": ("keys_2shots.pt", torch.full((5, 6), torch.nan), "NaN"),
    "soft": ("values_2shots.pt", torch.full((6, 3), 0.3), "one-hot"),
    "two hot": ("values_2shots.pt", torch.ones(6, 3), "one-hot"),
    "width": ("test_f.pt", torch.ones(9, 4), "keys' width 5, got 4"),
    "labels": ("test_l.pt", torch.full((9,), 0.5), "whole numbers"),
    "outside": ("test_l.pt", torch.full((9,), 3), "from 0 to 2, got 0 to 3"),
    "weights": ("clip_weights.pt", torch.ones(5, 4), r"expected \[5, 3\], got \[5, 4\]"),
    "bomb": ("test_f.pt", torch.ones(1, 1).expand(9, 5), "more than it holds"),
    "sparse": ("test_f.pt", torch.eye(9).to_sparse(), "plain tensor"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_tensors(tmp_path, case):
    name, tensor, words = BROKEN[case]
    folder = cache(tmp_path / "a")
    torch.save(tensor, folder / name)
    with pytest.raises(InputError, match=words) as caught:
        data.tip_cache(folder)
    assert "outside" in case or name in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"PK\x03\x04 cut", b"hello" * 20])
def test_damaged_files(tmp_path, content):
    folder = cache(tmp_path / "a")
    (folder / "keys_2shots.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"keys_2shots\.pt"):
        data.tip_cache(folder)


def test_missing_half(tmp_path):
    folder = cache(tmp_path / "a")
    (folder / "test_l.pt").unlink()
    with pytest.raises(InputError, match=r"test_l\.pt: does not exist"):
        data.tip_cache(folder)
