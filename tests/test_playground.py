"""The made world: the same for everyone, and what it says of itself is what its pixels show."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful import encoders
from handful.data import playground
from handful.errors import InputError

SEEDS = range(300)


def test_it_needs_numpy_and_pillow_alone() -> None:
    code = (
        "import sys; from handful.data import playground; playground.render(playground.scene(1));"
        "print(sorted({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_seed_is_a_scene_its_pixels_and_its_captions() -> None:
    for seed in (0, 5, 2**62):
        a, b = playground.scene(seed), playground.scene(seed)
        assert a == b
        assert hash(a) == hash(b)
        assert np.array_equal(playground.render(a), playground.render(b))
        one, two = (playground.captions(a, np.random.default_rng(3)) for _ in range(2))
        assert one == two
    assert len({playground.scene(s) for s in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("style", playground.STYLES)
@pytest.mark.parametrize("size", [24, 64, 150])
def test_every_style_renders_at_any_size(style: str, size: int) -> None:
    pixels = playground.render(playground.scene(8, style=style), size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 0


def test_the_box_is_tight_around_the_mask() -> None:
    for seed in SEEDS[:60]:
        made = playground.scene(seed)
        covers = playground.masks(made) > 0.5
        for i, (x0, y0, x1, y1) in enumerate(playground.boxes(made)):
            others = np.delete(playground.masks(made), i, 0).sum(0) > 0
            rows, columns = np.nonzero(covers[i])
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            if not others[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].any():
                # the tip of a star may cover less than half of the outermost pixels
                assert np.abs(np.subtract(found, (x0, y0, x1, y1))).max() < 4


def test_the_object_has_the_colour_it_says() -> None:
    right = total = 0
    for seed in SEEDS:
        made = playground.scene(seed, objects=1, fixed=[{"texture": "plain"}])
        inside = playground.masks(made)[0] > 0.99
        seen = np.median(playground.render(made)[inside], axis=0)
        assert np.abs(seen - made.objects[0].rgb).max() < 60  # light and grain
        values = np.array(list(playground.COLOURS.values()))
        nearest = list(playground.COLOURS)[int(np.square(values - seen).sum(1).argmin())]
        right, total = right + (nearest == made.objects[0].colour), total + 1
    assert right / total > 0.9


def test_a_texture_shows_and_plain_shows_none() -> None:
    spread = {}
    for texture in playground.TEXTURES:
        fixed = [{"texture": texture, "colour": "red", "shape": "square", "size": "large"}]
        made = playground.scene(4, objects=1, compositions="any", fixed=fixed)
        inside = playground.masks(made)[0] > 0.99
        spread[texture] = playground.render(made)[inside].astype(float).std(0).max()
    assert all(v > 2 * spread["plain"] for k, v in spread.items() if k != "plain"), spread


def test_training_scenes_never_show_a_held_out_composition() -> None:
    kept = set(playground.HELD_OUT)
    assert len(kept) == 59
    assert not kept & set(playground.SEEN)
    for seed in range(1500):
        assert not kept & {t.composition for t in playground.scene(seed).objects}
    for seed in range(200):
        made = playground.scene(seed, compositions="held_out")
        assert {t.composition for t in made.objects} <= kept


def test_every_pair_of_attributes_stays_seen() -> None:
    for a, b in ((0, 1), (0, 2), (1, 2)):
        everything = (*playground.SEEN, *playground.HELD_OUT)
        assert {(c[a], c[b]) for c in playground.SEEN} == {(c[a], c[b]) for c in everything}


def test_captions_tell_the_truth() -> None:
    rng = np.random.default_rng(0)
    wordings = set()
    for seed in SEEDS:
        made = playground.scene(seed, objects=1)
        thing = made.objects[0]
        for text in playground.captions(made, rng, 3):
            wordings.add(text)
            said = set(text.rstrip(".").replace(",", "").split(" on a ")[0].split())
            assert said & set(playground.COLOURS) <= {thing.colour}
            assert said & set(playground.SHAPES) <= {thing.shape}
            assert said & set(playground.TEXTURES) <= {thing.texture}
    assert len(wordings) > 700


def test_relations_agree_with_the_boxes() -> None:
    seen = set()
    for seed in SEEDS:
        made = playground.scene(seed, objects=2)
        found = playground.relations(made)
        for i, how, j in found:
            a, b = made.objects[i], made.objects[j]
            truth = {
                "left of": a.x < b.x, "right of": a.x > b.x, "above": a.y < b.y,
                "below": a.y > b.y, "bigger than": a.radius > b.radius,
                "smaller than": a.radius < b.radius,
            }  # fmt: skip
            assert truth[how]
            seen.add(how)
    assert seen == set(playground.RELATIONS)


def test_clear_errors() -> None:
    with pytest.raises(InputError, match="no task named 'fine'; known: novel-objects"):
        playground.task("fine", 1, 0)
    with pytest.raises(InputError, match="unknown style 'oil'; known: photo"):
        playground.render(playground.scene(1, style="oil"))
    texture, colour, shape = playground.HELD_OUT[0]
    fixed = {"texture": texture, "colour": colour, "shape": shape}
    with pytest.raises(InputError, match="no train composition has"):
        playground.scene(1, fixed=[fixed])


def _digests(images: tuple[np.ndarray, ...]) -> list[str]:
    return [hashlib.sha256(x.tobytes()).hexdigest() for x in images]


@pytest.mark.parametrize("name", playground.tasks())
def test_tasks_are_deterministic_and_disjoint(name: str) -> None:
    a, b = (playground.task(name, 3, 1, queries_per_class=3) for _ in range(2))
    assert _digests(a.support) == _digests(b.support)
    assert _digests(a.test) == _digests(b.test)
    assert sorted(a.support_labels) == sorted(a.classes * 3)
    assert sorted(a.test_labels) == sorted(a.classes * 3)
    both = _digests(a.support) + _digests(a.test)
    assert len(set(both)) == len(both)
    other = playground.task(name, 3, 2, queries_per_class=3)
    assert not set(both) & set(_digests(other.support) + _digests(other.test))


def test_more_shots_add_to_fewer_and_keep_the_test_images() -> None:
    few, many = (playground.task("fine-points", k, 0, queries_per_class=2) for k in (2, 4))
    assert _digests(few.test) == _digests(many.test)
    assert set(_digests(few.support)) < set(_digests(many.support))


def test_there_are_three_families_of_tasks() -> None:
    assert len(playground.tasks()) >= 8
    split = [playground.tasks(f) for f in playground.FAMILIES]
    assert sorted(n for names in split for n in names) == sorted(playground.tasks())
    assert all(split)


def test_a_written_task_is_a_folder_per_class(tmp_path: Path) -> None:
    task = playground.task("style-sketch", 2, 0, queries_per_class=1)
    root = playground.write(task, tmp_path / "photos")
    for split, images, labels, each in (
        ("train", task.support, task.support_labels, 2),
        ("test", task.test, task.test_labels, 1),
    ):
        folders = sorted(p.name for p in (root / split).iterdir())
        assert folders == sorted(task.classes)
        assert all(len(list((root / split / c).glob("*.png"))) == each for c in folders)
        saved = {hashlib.sha256(np.asarray(Image.open(p)).tobytes()).hexdigest()
                 for p in (root / split / labels[0]).iterdir()}  # fmt: skip
        assert saved == {d for d, y in zip(_digests(images), labels, strict=True) if y == labels[0]}


def test_tiny_is_an_ordinary_small_clip_checkpoint() -> None:
    from handful.encoders.backends._libraries import transformers

    folder = Path(encoders.__file__).with_name("tiny")
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 8 * 2**20
    model = transformers.CLIPModel.from_pretrained(folder, dtype="float32").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    texts = ["a photo of a blicket.", "a photo of a red star.", "Ein Grüner Löwe, 42!"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    for ids in batch["input_ids"].tolist():
        assert ids[0] == model.config.text_config.bos_token_id
        assert ids.count(tokenizer.eos_token_id) >= 1
    assert model.config.text_config.eos_token_id == tokenizer.eos_token_id != 2
    assert tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True).startswith(
        "a photo of a blicket"
    )
    picture = Image.fromarray(playground.render(playground.scene(1), 100))
    theirs = model(**batch, **processor(images=[picture], return_tensors="pt"))
    ours = encoders.load("tiny", precision="float32")
    image = ours.images([ours.prepare(picture)])
    assert np.abs(theirs.image_embeds.detach().numpy() - image).max() < 1e-4
    assert np.abs(theirs.text_embeds.detach().numpy() - ours.texts(texts)).max() < 1e-4


FLOOR = 0.8  # docs/tiny.md tells how good it is; a broken checkpoint falls far below


def test_tiny_names_held_out_compositions() -> None:
    """Compositions it has never seen; chance is 1 in 59."""
    encoder = encoders.load("tiny", precision="float32")
    names = [f"a photo of a {' '.join(c)}." for c in playground.HELD_OUT]
    scenes = [playground.scene(700_000 + i, objects=1, compositions="held_out") for i in range(118)]
    pictures = [encoder.prepare(Image.fromarray(playground.render(s))) for s in scenes]
    answers = (encoder.images(pictures) @ encoder.texts(names).T).argmax(1)
    truth = [playground.HELD_OUT.index(s.objects[0].composition) for s in scenes]
    assert float(np.mean(answers == truth)) > FLOOR
