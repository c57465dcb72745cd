"""`handful fit --tuner`: from the command line to a fresh process, and everything said wrongly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from commands import run_fresh
from handful import Predictor, encoders, fit, plugins
from handful.cli._app import app
from handful.errors import InputError
from handful.packs import Pack
from handful.tuners import TunedEncoder
from handful.tuners.training.tune import Tuning, plan

pytestmark = pytest.mark.slow

QUICK = ["--tune", "epochs=1", "--tune", "views=1", "--tune", "augmentation=none", "--shots", "2"]


def handful(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def refused(result):
    error = result.exception
    assert error is not None
    assert result.exit_code != 0
    return str(error)


@pytest.fixture(scope="module")
def fresh(photos, tmp_path_factory):
    """A skill of each tuner, three images, and what one fresh process answers with each skill."""
    folder = tmp_path_factory.mktemp("tuned")
    for name in plugins.names("tuners"):
        made = handful("fit", photos, "--out", folder / name, "--tuner", name, *QUICK, "--json")
        assert made.exit_code == 0, made.output
        (folder / f"{name}.json").write_text(made.stdout)
    images = sorted((photos / "test").rglob("*.png"))[:3]
    names = plugins.names("tuners")
    done = run_fresh(*(("predict", folder / n, *images, "--format", "json") for n in names))
    assert [answer.returncode for answer in done] == [0] * len(names)
    return folder, images, dict(zip(names, (json.loads(a.stdout) for a in done), strict=True))


@pytest.mark.parametrize("name", plugins.names("tuners"))
def test_each_tuner_makes_a_skill_that_works_in_a_fresh_process(name, fresh):
    folder, images, answers = fresh
    here = Predictor(folder / name)
    # where the frozen encoder did best on the images set apart, nothing of the change is kept
    kept = json.loads((folder / f"{name}.json").read_text())["training"]["weight"] > 0
    assert isinstance(here.encoder, TunedEncoder) == kept
    mine = here.predict(images)
    for there, this in zip(answers[name], mine, strict=True):
        assert there["predictions"][0]["label"] == this.scores[0]["label"]
        assert there["predictions"][0]["score"] == pytest.approx(this.scores[0]["score"], abs=1e-4)


def test_a_prompt_and_an_adapter_are_trained_together(photos, tmp_path):
    out = tmp_path / "skill"
    made = handful(
        "fit", photos, "--out", out, "--tuner", "block", "--with", "prompt", *QUICK
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    pack = Pack.load(out)
    assert [entry["tuner"] for entry in pack.manifest["tuner"]] == ["block", "soft_prompt"]
    assert pack.manifest["templates"] == ["[V] {}."]
    assert Predictor(out).predict(sorted((photos / "test").rglob("*.png"))[:1])[0].scores
    told = handful("inspect", out).output
    assert "parameters" in told
    assert "% of the encoder" in told
    assert "soft_prompt" in told
    assert "changed inside the encoder" in (out / "README.md").read_text()


def test_the_untouched_encoder_is_taken_for_another_one(photos, tmp_path):
    out = tmp_path / "skill"
    handful("fit", photos, "--out", out, "--tuner", "norm", *QUICK)
    tiny = encoders.load("tiny", precision="float32")
    joined = Predictor(out, encoder=tiny)  # attaches what the skill holds
    assert joined.encoder.fingerprint != tiny.fingerprint
    image = next((photos / "test").rglob("*.png"))
    before = tiny.images([tiny.prepare(_open(image))])
    joined.predict([image])
    assert np.array_equal(tiny.images([tiny.prepare(_open(image))]), before)


def test_a_tuned_skill_says_what_it_cannot_do(photos, tmp_path):
    out = tmp_path / "skill"
    handful("fit", photos, "--out", out, "--tuner", "block", *QUICK)
    image = next((photos / "test").rglob("*.png"))
    assert "tuned on the support images" in refused(handful("predict", out, image, "--error", 0.2))
    assert "tuned on the support images" in refused(
        handful("predict", out, image, "--unknown", 0.2)
    )
    card = (out / "README.md").read_text()
    assert card.count("tuned on the support images") == 2  # how sure it is, when it does not know
    assert "too good" in card
    assert "lower than what a fit of all images" not in card
    assert "too good" in handful("inspect", out).stdout.replace("\n", " ")
    known = Pack.load(out).support.names[0]
    assert "cannot be taken out" in refused(handful("remove", out, known, "--overwrite"))
    assert "tuned on these labels" in refused(handful("doctor", out))


def test_images_join_a_tuned_skill_through_its_own_encoder(photos, tmp_path):
    out = tmp_path / "skill"
    handful("fit", photos, "--out", out, "--tuner", "block", *QUICK)
    grown = handful("add", out, photos / "test", "--out", tmp_path / "more")
    assert grown.exit_code == 0, refused(grown)
    assert len(Pack.load(tmp_path / "more").support.ids) > len(Pack.load(out).support.ids)
    assert Pack.load(tmp_path / "more").manifest["tuner"] == Pack.load(out).manifest["tuner"]


def test_the_weight_of_the_change_is_chosen_from_the_support_set(photos, tmp_path):
    out = tmp_path / "skill"
    asked = ["--tune", "weight=auto", *QUICK[:-2], "--shots", "4"]
    made = handful("fit", photos, "--out", out, "--tuner", "block", *asked)
    assert made.exit_code == 0, made.output
    entry = Pack.load(out).manifest["tuner"][0]
    losses = entry["held_out_loss"]
    assert entry["weight"] == float(min(losses, key=losses.get))
    kept = Pack.load(out).fingerprint.partition(" tuner:")[2]
    assert f"tiny tuner:{kept}" in handful("store", "look").stdout


def test_prompts_beside_learned_ones_are_told_to_be_idle(photos, tmp_path):
    asked = ["--tuner", "projection", "--with", "prompt", "--tune", "weight=1", *QUICK]
    made = handful("fit", photos, "--out", tmp_path / "a", *asked, "--template", "art of a {}.")
    assert made.exit_code == 0, made.output
    assert "--template counts only where nothing" in made.stderr
    silent = handful("fit", photos, "--out", tmp_path / "b", *asked)
    assert "--template" not in silent.stderr


def test_where_nothing_is_kept_the_skill_is_the_frozen_encoder_s(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("handful.tuners.training.interpolation.WEIGHTS", (0.0,))
    made = handful("fit", photos, "--out", tmp_path / "a", "--tuner", "lora", *QUICK)
    assert "kept none of it" in made.stdout
    assert "too good" not in made.stdout
    assert handful("fit", photos, "--out", tmp_path / "b", "--shots", "2").exit_code == 0
    one, other = Pack.load(tmp_path / "a"), Pack.load(tmp_path / "b")
    assert "tuner" not in one.manifest
    np.testing.assert_array_equal(
        one.logits(one.support.features), other.logits(other.support.features)
    )


@pytest.mark.parametrize("asked", [{"params": {"seed": 7}}, {"seed": 7}])
def test_a_seed_is_the_training_s_and_the_contexts(asked):
    made = plan(["soft_prompt"], **asked)
    assert (made.recipe.seed, made.tuners[0].seed) == (7, 7)


def test_a_tuning_in_the_words_of_python(photos, tmp_path):
    with pytest.raises(InputError, match=r"Tuning\(names, params\), got 'block'"):
        fit(photos, tuning="block")
    params = {"epochs": 1, "weight": 1}
    asked = Tuning("projection", params, checkpoint=str(tmp_path / "c"))
    assert list(fit(photos, method="tip", tuning=asked).trained.encoder.deltas) == ["projection"]
    assert (tmp_path / "c" / "training.safetensors").is_file()


def test_what_json_and_people_are_told_of_a_training(photos, tmp_path):
    asked = ["--tuner", "norm", *QUICK, "--checkpoint", tmp_path / "c"]
    first = handful("fit", photos, "--out", tmp_path / "a", *asked, "--json")
    told = json.loads(first.stdout)["training"]
    assert told["weight"] == float(min(told["held_out_loss"], key=told["held_out_loss"].get))
    again = handful("fit", photos, "--out", tmp_path / "b", *asked)
    share = f"{told['weight']:.0%}" if told["weight"] else "none"
    assert f"kept {share} of it" in again.stdout
    assert "1 epochs were in the checkpoint" in again.stdout
    one = handful("fit", photos, "--out", tmp_path / "d", *asked[:-4], "--shots", "1")
    assert "kept all of it, for no class has images that could be set apart" in one.stdout


def test_training_goes_on_from_its_checkpoint(photos, tmp_path):
    asked = ["--tuner", "block", *QUICK, "--checkpoint", tmp_path / "c"]
    first = handful("fit", photos, "--out", tmp_path / "a", *asked)
    assert first.exit_code == 0, first.output
    again = handful("fit", photos, "--out", tmp_path / "b", *asked)
    assert again.exit_code == 0, again.output
    one, two = (Pack.load(tmp_path / n).fingerprint for n in "ab")
    assert one == two
    other = [*asked, "--tune", "bottleneck=8"]
    assert "another training" in refused(handful("fit", photos, "--out", tmp_path / "c2", *other))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--tuner", "blocks"], "did you mean 'block'"),
        (["--tune", "epochs=3"], "none is named"),
        (["--tuner", "block", "--tune", "bottlenek=3"], "no tuner argument 'bottlenek'"),
        (["--tuner", "block", "--tune", "blocks=9-12"], "has 6 blocks"),
        (["--tuner", "block", "--with", "block"], "different tuners"),
        (["--tuner", "block", "--tune", "epochs=many"], "expected epochs"),
        (["--tuner", "block", "--tune", "base_rate=0.1"], "at most 1e-05"),
        (["--tuner", "block", "--tune", "weight=2"], "expected weight"),
        (["--tuner", "block", "--tune", "epochs=0"], "trains nothing"),
        (["--tuner", "block", "--log", "/dev/null"], "/dev/null: cannot be made"),
        (["--tuner", "soft_prompt", "--tune", "length=60"], "longer than the text window"),
        (["--tuner", "lora", "--multi-label"], "do not go together"),
    ],
)
def test_what_is_said_wrongly_is_told_before_anything_is_trained(asked, message, photos, tmp_path):
    result = handful("fit", photos, "--out", tmp_path / "x", *asked)
    assert message in refused(result)
    assert not (tmp_path / "x").exists()


def test_one_seed_is_everybody_s():
    def seeds(params, seed):
        made = plan(["soft_prompt"], params, seed)
        return made.tuners[0].seed, made.recipe.seed

    assert seeds({}, 3) == (3, 3)
    assert seeds({"seed": 5}, 3) == (5, 5)
    assert seeds({"soft_prompt.seed": 7}, 3) == (7, 3)


def _open(path):
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")
