"""The training loop on its own: same result however it is split, interrupted or rounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from handful.errors import InputError
from handful.tuners import MLflow, Recipe, TensorBoard, WandB
from handful.tuners._loop import MixedPrecisionWarning, checkpointed, train

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
        trained(checkpoint=tmp_path, about="other images")
    (tmp_path / "training.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        trained(checkpoint=tmp_path)


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


def test_fp16_trains():
    objective = Objective()
    report = train(objective, COUNT, changed(precision="fp16"))
    assert torch.isfinite(objective.weights).all()
    assert report.losses[-1] < report.losses[0]


def test_matrices_decay_biases_and_what_has_its_own_rate_do_not():
    from handful.tuners._loop import Run

    objective = Objective()
    own = objective.net[2].weight
    run = Run(objective, COUNT, RECIPE, 0, {own: 1e-5}, None)
    groups = {id(p): g for g in run.optimiser.param_groups for p in g["params"]}
    decays = [groups[id(p)]["weight_decay"] for p in objective.net.parameters()]
    assert decays == [RECIPE.weight_decay, 0, 0, 0]
    assert groups[id(own)]["top"] == 1e-5


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


def test_too_little_memory_says_which_knob_to_turn():
    class Hungry(Objective):
        def forward(self, rows, others=None):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")

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
    with checkpointed(list(module)):
        again = gradients()
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert "forward" not in vars(module[0])


def test_two_processes_learn_what_one_does(tmp_path):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo, which CPU processes talk by")
    script = tmp_path / "both.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, torch
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_tuner_loop import COUNT, Objective, RECIPE, train
            objective = Objective(dropout=0)
            train(objective, COUNT, RECIPE, device=torch.device("cpu"))
            torch.save(objective.weights, {str(tmp_path)!r} + f"/{{torch.distributed.get_rank()}}")
            """
        )
    )
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29555"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(script)],
        check=False,
        capture_output=True,
        env=environment,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    first, second = (torch.load(tmp_path / str(rank), weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    alone = Objective(dropout=0)
    train(alone, COUNT, RECIPE)
    torch.testing.assert_close(first, alone.weights, rtol=1e-4, atol=1e-6)
