"""The training loop on its own: same result however it is split, interrupted or rounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import types
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from handful.errors import InputError
from handful.tuners import MLflow, Recipe, TensorBoard, WandB
from handful.tuners.training import loop, schedule
from handful.tuners.training.memory import gradient_checkpointing
from handful.tuners.training.trainer import MixedPrecisionWarning

train = partial(loop.train, device=torch.device("cpu"))  # also where there is a GPU
COUNT = 20
RECIPE = Recipe(epochs=4, batch=6, learning_rate=0.01)


class Objective(nn.Module):
    """A small classifier of made data.

    `bad_after` steps its answers leave the finite numbers, wherever `bad_where` says so.
    """

    def __init__(self, dropout: float = 0.2, bad_after: int | None = None, everywhere=False):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(COUNT, 6, generator=draw)
        self.y = torch.randint(3, (COUNT,), generator=draw)
        self.net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        with torch.no_grad():
            for p in self.net.parameters():
                p.copy_(torch.randn(p.shape, generator=draw) / 3)
        self.drop, self.steps = nn.Dropout(dropout), 0
        self.bad_after, self.everywhere = bad_after, everywhere

    def forward(self, rows, others=None):
        self.steps += 1
        out = self.net(self.drop(self.x[rows])).float()
        rounded = torch.is_autocast_enabled("cpu") or self.everywhere
        if self.bad_after is not None and self.steps > self.bad_after and rounded:
            out = out * float("nan")
        losses = {"cross_entropy": nn.functional.cross_entropy(out, self.y[rows])}
        if others is not None:
            losses["unlabelled"] = 0.1 * self.net(self.x[others]).square().mean()
        return losses

    @property
    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.net.parameters()])


class Interrupt:
    """A callback that ends the training in the middle of an epoch."""

    def __init__(self, step):
        self.step = step

    def on_start(self, settings):
        pass

    def on_step(self, step, losses):
        if step == self.step:
            raise KeyboardInterrupt

    def on_end(self, report):
        pass


def trained(recipe=RECIPE, **settings):
    objective = Objective()
    return objective, train(objective, COUNT, recipe, **settings)


def changed(**values):
    from dataclasses import replace

    return replace(RECIPE, **values)


def test_it_learns_the_same_each_time_and_leaves_the_generator_alone():
    one = Objective()
    before = torch.random.get_rng_state()
    report = train(one, COUNT, RECIPE)
    assert torch.equal(torch.random.get_rng_state(), before)
    two, _ = trained()
    assert torch.equal(one.weights, two.weights)
    assert report.losses[-1] < report.losses[0]
    assert report.steps == RECIPE.steps(COUNT) == 16
    assert report.peak_memory > 0
    other, _ = trained(changed(seed=1))
    assert not torch.equal(one.weights, other.weights)


def test_a_batch_in_parts_is_the_same_batch():
    whole, parts = Objective(dropout=0), Objective(dropout=0)
    train(whole, COUNT, RECIPE)
    train(parts, COUNT, changed(accumulation=3))
    torch.testing.assert_close(whole.weights, parts.weights, rtol=1e-5, atol=1e-6)
    assert parts.steps > 2 * whole.steps


def test_images_without_labels_are_split_as_the_labelled_are():
    # seven rows in three parts are 3, 3 and 1; each part's mean has the weight of its rows
    whole, parts = Objective(dropout=0), Objective(dropout=0)
    train(whole, COUNT, changed(batch=7), unlabelled=7)
    train(parts, COUNT, changed(batch=7, accumulation=3), unlabelled=7)
    torch.testing.assert_close(whole.weights, parts.weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", [8, 9, 11])
def test_what_was_interrupted_goes_on_to_the_same_result(step, tmp_path):
    whole, _ = trained()
    with pytest.raises(KeyboardInterrupt):
        train(Objective(), COUNT, RECIPE, checkpoint=tmp_path, callbacks=[Interrupt(step)])
    again, report = trained(checkpoint=tmp_path)
    assert report.resumed_at == (step + (step == 11)) // 4 - (step == 11)
    assert torch.equal(again.weights, whole.weights)
    assert len(report.losses) == RECIPE.epochs
    assert [p.name for p in tmp_path.iterdir()] == ["training.safetensors"]


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, signal, sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_tuner_loop import COUNT, Objective, RECIPE, Interrupt, Path, train
            class Kill(Interrupt):
                def on_step(self, step, losses):
                    if step == self.step:
                        os.kill(os.getpid(), signal.SIGKILL)
            train(Objective(), COUNT, RECIPE, checkpoint=Path({str(tmp_path / "c")!r}),
                  callbacks=[Kill(10)])
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again, report = trained(checkpoint=tmp_path / "c")
    assert report.resumed_at == 2
    assert torch.equal(again.weights, trained()[0].weights)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    trained(checkpoint=tmp_path)
    with pytest.raises(InputError, match="belongs to another training"):
        trained(changed(epochs=5), checkpoint=tmp_path)
    with pytest.raises(InputError, match="belongs to another training"):
        trained(checkpoint=tmp_path, identity="other images")
    with pytest.raises(InputError, match="belongs to another training"):
        train(Objective(), COUNT - 1, RECIPE, checkpoint=tmp_path)
    (tmp_path / "training.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        trained(checkpoint=tmp_path)


def test_who_ran_out_of_memory_turns_the_knob_and_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Objective(0), COUNT, RECIPE, checkpoint=tmp_path, callbacks=[Interrupt(9)])
    again = Objective(0)
    more = changed(accumulation=2, checkpointing=True, chunk=5)
    assert train(again, COUNT, more, checkpoint=tmp_path).resumed_at == 2
    whole = Objective(0)
    train(whole, COUNT, RECIPE)
    torch.testing.assert_close(again.weights, whole.weights, rtol=1e-5, atol=1e-6)


def test_what_a_killed_writer_left_is_swept(tmp_path):
    (tmp_path / "training.12345.new").write_bytes(b"half")
    trained(checkpoint=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["training.safetensors"]


def test_bfloat16_trains_and_falls_back_when_it_leaves_the_finite_numbers():
    _, report = trained(changed(precision="bf16"))
    assert (report.precision, report.fell_back) == ("bf16", False)
    broken = Objective(bad_after=6)
    with pytest.warns(MixedPrecisionWarning, match="goes on in float32"):
        report = train(broken, COUNT, changed(precision="bf16"))
    assert (report.precision, report.fell_back) == ("no", True)
    assert torch.isfinite(broken.weights).all()
    assert len(report.losses) == RECIPE.epochs
    _, report = trained()  # the next training has a precision of its own again
    assert report.precision == "no"


def test_float32_that_diverges_is_told():
    with pytest.raises(InputError, match=r"step 7 of 16.*lower learning_rate=0.01"):
        train(Objective(bad_after=6, everywhere=True), COUNT, RECIPE)


def test_fp16_is_refused_where_it_would_be_float32_in_silence():
    with pytest.raises(InputError, match=r"'fp16' cannot be used.*use bf16 or no"):
        trained(changed(precision="fp16"))


class Half(Objective):
    """Gradients pass through fp16's range, as they would on a GPU."""

    def __init__(self, factor=1.0):
        super().__init__(dropout=0)
        self.factor, self.overflows = factor, 0

    def forward(self, rows, others=None):
        def narrow(gradient):
            half = (gradient * self.factor).half().float() / self.factor
            self.overflows += int(not torch.isfinite(half).all())
            return half

        losses = super().forward(rows, others)
        loss = losses["cross_entropy"] * 1.0
        loss.register_hook(narrow)
        return {"cross_entropy": loss}


@pytest.fixture
def scaled(monkeypatch):
    """Accelerate scales losses on GPUs alone; torch has a scaler for CPUs too."""
    from handful.tuners.training import processes

    real = processes.create_accelerator

    def accelerator(precision, device):
        made = real("no", device)
        if precision == "fp16":
            made.scaler = torch.amp.GradScaler("cpu")
        return made

    monkeypatch.setattr(processes, "create_accelerator", accelerator)


def test_an_update_whose_scaled_gradients_overflow_is_taken_again(scaled):
    objective, plain = Half(), Objective(dropout=0)
    report = train(objective, COUNT, changed(precision="fp16"))
    train(plain, COUNT, RECIPE)
    assert (report.precision, report.fell_back) == ("fp16", False)
    assert objective.overflows > 0
    torch.testing.assert_close(objective.weights, plain.weights, rtol=1e-2, atol=1e-3)


def test_gradients_that_no_scale_makes_finite_fall_back(scaled):
    objective = Half(factor=1e9)
    with pytest.warns(MixedPrecisionWarning), pytest.raises(InputError, match="diverged"):
        train(objective, COUNT, changed(precision="fp16"))  # and float32 cannot either
    assert torch.equal(objective.weights, Half().weights)


def test_the_objective_and_the_users_own_accelerator_are_as_before():
    accelerate = pytest.importorskip("accelerate")
    mine = accelerate.Accelerator(mixed_precision="bf16", cpu=True)
    rounded = []

    class Watched(Objective):
        def forward(self, rows, others=None):
            rounded.append(torch.is_autocast_enabled("cpu"))
            return super().forward(rows, others)

    objective = Watched()
    report = train(objective, COUNT, changed(precision="bf16"))
    assert all(rounded)
    assert "forward" not in vars(objective)
    assert all(p.grad is None for p in objective.parameters())
    rounded.clear()
    train(objective, COUNT, RECIPE)
    assert not any(rounded)
    assert mine.state.mixed_precision == report.precision == "bf16"
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def test_nothing_to_learn_is_told():
    with pytest.raises(InputError, match="one image or more"):
        train(Objective(), 0, RECIPE)
    with pytest.raises(InputError, match="nothing to learn"):
        train(Objective().requires_grad_(False), COUNT, RECIPE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("batch", 0),
        ("seed", 2**32),
        ("learning_rate", float("nan")),
        ("warmup", 1.5),
        ("base_rate", 1e-4),
        ("precision", "fp8"),
        ("augmentation", "flip"),
        ("views", 3),
        ("checkpointing", 1),
    ],
)
def test_a_recipe_out_of_range_is_told_by_its_field(field, value):
    with pytest.raises(InputError, match=field):
        changed(**{field: value})


def test_the_rate_rises_and_falls_to_zero():
    class Rates(Interrupt):
        def on_start(self, settings):
            self.norms = []

        def on_step(self, step, losses):
            self.norms.append(objective.weights.clone())

    rates, objective = Rates(step=None), Objective(dropout=0)
    train(objective, COUNT, changed(warmup=0.25, weight_decay=0.0), callbacks=[rates])
    moved = [float((b - a).abs().max()) for a, b in zip(rates.norms, rates.norms[1:], strict=False)]
    assert moved[0] < max(moved)  # AdamW's steps are about as long as the rate
    assert max(moved) < 2 * RECIPE.learning_rate
    assert moved[-1] < 0.1 * max(moved)
    assert [
        schedule.learning_rate_factor(step, 16, 0.25) for step in (0, 3, 4, 10, 16)
    ] == pytest.approx([0.25, 1, 1, 0.5, 0])


def test_images_without_labels_take_part():
    plain, _ = trained()
    more, _ = trained(unlabelled=7)
    assert not torch.equal(plain.weights, more.weights)


def test_progress_tells_loss_and_time_left():
    told = []
    trained(progress=lambda *args: told.append(args))
    assert [t[0] for t in told] == list(range(1, 17))
    assert {t[1] for t in told} == {16}
    assert told[-1][3] == 0
    assert all(t[2] > 0 and t[3] >= 0 for t in told)


def test_tensorboard_can_read_what_its_callback_wrote(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trained(callbacks=[TensorBoard(tmp_path)])
    read = events.EventAccumulator(str(tmp_path)).Reload()
    assert len(read.Scalars("loss")) == 16
    assert len(read.Scalars("cross_entropy")) == 16


def test_other_trackers_are_spoken_to_in_their_own_words(monkeypatch):
    said = []

    def note(name):
        return lambda *a, **k: said.append((name, k.get("step")))

    mlflow = types.ModuleType("mlflow")
    for name in ("start_run", "log_params", "log_metrics", "end_run"):
        setattr(mlflow, name, note(name))
    run = types.SimpleNamespace(log=note("log"), finish=note("finish"))
    wandb = types.ModuleType("wandb")
    wandb.init = lambda **k: run
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    trained(changed(epochs=1), callbacks=[MLflow("x"), WandB()])
    names = [name for name, _ in said]
    assert names.count("log_metrics") == names.count("log") == 4
    assert names[:2] == ["start_run", "log_params"]
    assert {"end_run", "finish"} < set(names)


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match="pip install mlflow"):
        trained(callbacks=[MLflow()])


def test_callbacks_hear_of_an_early_end():
    class Listener(Interrupt):
        heard = None

        def on_end(self, report):
            self.heard = report

    listener = Listener(step=None)
    with pytest.raises(InputError, match="diverged"):
        train(Objective(bad_after=6, everywhere=True), COUNT, RECIPE, callbacks=[listener])
    assert listener.heard["steps"] == 6


def test_too_little_memory_says_which_knob_to_turn():
    class Hungry(Objective):
        def forward(self, rows, others=None):
            torch.empty(10**14)  # more than any machine has
            return super().forward(rows, others)

    with pytest.raises(InputError, match=r"accumulation=2.*checkpointing=true.*chunk=10"):
        train(Hungry(), COUNT, RECIPE)


def test_activations_computed_again_give_the_same_gradients():
    module = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
    module[0].register_forward_hook(lambda _m, _a, out: 2 * out)
    x = torch.randn(3, 4)

    def gradients():
        module.zero_grad()
        module(x).square().sum().backward()
        return [p.grad.clone() for p in module.parameters()]

    plain = gradients()
    with gradient_checkpointing(list(module)):
        again = gradients()
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert "forward" not in vars(module[0])


BOTH = """
    import atexit, sys, torch, warnings
    sys.path.insert(0, HERE)
    from test_tuner_loop import *

    class Bad(Objective):  # one of the processes leaves the finite numbers, and no gradient says so
        def forward(self, rows, others=None):
            losses = super().forward(rows, others)
            bad = rank == 1 and self.steps > 6 and torch.is_autocast_enabled("cpu")
            losses["extra"] = losses["cross_entropy"].detach() * (float("nan") if bad else 0)
            return losses

    def done(name, objective, recipe, **settings):
        told = []
        report = train(objective, COUNT, recipe, progress=lambda *args: told.append(args),
                       **settings)
        came[name] = {"weights": objective.weights, "losses": report.losses, "told": len(told),
                      "fell_back": report.fell_back}

    warnings.simplefilter("ignore")
    came, rank = {}, int(os.environ["RANK"])
    group = torch.distributed.is_initialized  # asked after what was registered later has run
    atexit.register(lambda: Path(FOLDER, f"group{rank}").write_text(str(group())))
    # 20 images in batches of 7: the last six are split into three and three, in two parts each
    done("plain", Objective(dropout=0), changed(batch=7, accumulation=2), unlabelled=7)
    done("bad", Bad(dropout=0), changed(precision="bf16"))
    torch.save(came, f"{FOLDER}/{rank}")
"""


@pytest.fixture(scope="module")
def both_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("both")


@pytest.fixture(scope="module")
def both(both_folder):
    """What two processes came to; by torch's launcher, which `accelerate launch` wraps.

    On CPUs `accelerate launch` itself starts several processes by MPI alone.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo, which CPU processes talk by")
    folder = both_folder
    facts = f"HERE, FOLDER = {str(Path(__file__).parent)!r}, {str(folder)!r}\n"
    (folder / "both.py").write_text(facts + textwrap.dedent(BOTH))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, *command, str(folder / "both.py")],
        check=False,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [torch.load(folder / str(rank), weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
def test_the_group_of_processes_ends_before_they_do(both, both_folder):
    # one that is still there can abort a process that ends, and its launcher then ends the others
    assert [(both_folder / f"group{rank}").read_text() for rank in (0, 1)] == ["False", "False"]


def test_two_processes_learn_what_one_does(both):
    first, second = (came["plain"] for came in both)
    assert torch.equal(first["weights"], second["weights"])
    alone = Objective(dropout=0)
    report = train(alone, COUNT, changed(batch=7), unlabelled=7)
    torch.testing.assert_close(first["weights"], alone.weights, rtol=1e-4, atol=1e-6)
    assert first["losses"] == second["losses"] == pytest.approx(report.losses, rel=1e-4)
    assert (first["told"], second["told"]) == (report.steps, 0)  # one of them speaks


def test_all_processes_fall_back_when_one_leaves_the_finite_numbers(both):
    first, second = (came["bad"] for came in both)
    assert (first["fell_back"], second["fell_back"]) == (True, True)
    assert torch.equal(first["weights"], second["weights"])
    assert torch.isfinite(first["weights"]).all()


def test_a_process_without_rows_computes_one_that_counts_nothing():
    shares = [
        schedule.split_batch(torch.arange(2), torch.arange(2), r, 3, parts=2) for r in range(3)
    ]
    assert [weight for parts in shares for _, _, weight in parts] == [1.5, 1.5, 0.0]
    assert all(more is not None for parts in shares for _, more, _ in parts)
