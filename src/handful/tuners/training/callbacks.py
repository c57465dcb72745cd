"""Callbacks of a training: TensorBoard, MLflow, Weights & Biases, or your own.

Not Accelerate's trackers: they ask its global state which process may write, and there is none yet
when arguments are checked; the one for TensorBoard also writes files besides the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from handful.contracts import at_home
from handful.errors import InputError, StorageError


class Callback(Protocol):
    """Called at the start, every step and the end; an error that it raises ends the training."""

    def on_start(self, settings: Mapping[str, Any]) -> None:
        """With the recipe."""
        ...

    def on_step(self, step: int, losses: Mapping[str, float]) -> None:
        """After each update, with every loss by name and their sum as `loss`."""
        ...

    def on_end(self, report: Mapping[str, Any]) -> None:
        """With `Report.to_dict()`."""
        ...


class TensorBoard:
    """Losses as scalars, the recipe as text.

    Args:
        folder: where the event files go; created at once, long before the first is written.

    Raises:
        InputError: tensorboard is not installed.
        StorageError: the folder cannot be created.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = at_home(folder)
        self._library = _import("torch.utils.tensorboard", "tensorboard")
        self._writer: Any = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be made ({error.strerror})") from error

    def on_start(self, settings: Mapping[str, Any]) -> None:
        """Open the event file."""
        self._writer = self._library.SummaryWriter(str(self.folder))
        lines = "\n".join(f"    {key}: {value}" for key, value in settings.items())
        self._writer.add_text("recipe", lines)

    def on_step(self, step: int, losses: Mapping[str, float]) -> None:
        """One point of each curve."""
        for name, value in losses.items():
            self._writer.add_scalar(name, value, step)

    def on_end(self, report: Mapping[str, Any]) -> None:
        """Close the event file."""
        self._writer.close()


class MLflow:
    """A run of the experiment that MLflow is set to; the recipe as parameters, losses as metrics.

    Args:
        name: of the run.

    Raises:
        InputError: mlflow is not installed.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self._library = _import("mlflow", "mlflow")

    def on_start(self, settings: Mapping[str, Any]) -> None:
        """Start the run."""
        self._library.start_run(run_name=self.name)
        self._library.log_params(dict(settings))

    def on_step(self, step: int, losses: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._library.log_metrics(dict(losses), step=step)

    def on_end(self, report: Mapping[str, Any]) -> None:
        """End the run."""
        self._library.end_run()


class WandB:
    """A run of a Weights & Biases project.

    Args:
        project: its name.
        name: of the run.

    Raises:
        InputError: wandb is not installed.
    """

    def __init__(self, project: str = "handful", name: str | None = None) -> None:
        self.project, self.name = project, name
        self._library = _import("wandb", "wandb")
        self._run: Any = None

    def on_start(self, settings: Mapping[str, Any]) -> None:
        """Start the run."""
        self._run = self._library.init(project=self.project, name=self.name, config=dict(settings))

    def on_step(self, step: int, losses: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._run.log(dict(losses), step=step)

    def on_end(self, report: Mapping[str, Any]) -> None:
        """End the run."""
        self._run.finish()


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{package} is not installed; install it with: pip install {package}"
        ) from error
