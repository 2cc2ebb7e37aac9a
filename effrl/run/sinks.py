"""Copies of the metrics for the tools that people watch runs with: TensorBoard, Weights & Biases, MLflow.

Each keeps to its tool's own environment variables (``WANDB_PROJECT``, ``WANDB_MODE``, ``MLFLOW_TRACKING_URI``,
``MLFLOW_EXPERIMENT_NAME``, …): what a team has set up once needs no field here. Nothing is imported, created or sent
before the first row, so that a failure cannot stop a run (:class:`effrl.run.metrics.Metrics` turns the sink off).
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from typing import Any

from effrl.config.schema import SinkName
from effrl.run.metrics import MetricsRow, Sink, plain


def sinks(names: Sequence[SinkName], run: Path, config: Path) -> list[Sink]:
    """The sinks of a run.

    Args:
        names: in the order of writing.
        run: the run directory; its name is the run's name everywhere.
        config: the resolved config, which the tools keep with the run.
    """
    made: dict[SinkName, Callable[[], Sink]] = {
        "tensorboard": lambda: TensorBoardSink(run / "tensorboard"),
        "wandb": lambda: WandbSink(run, config),
        "mlflow": lambda: MlflowSink(run, config),
    }
    return [made[name]() for name in names]


def numbers(row: MetricsRow) -> dict[str, float]:
    """What can be drawn: numbers and truth values, without the step, None and text."""
    return {name: value for name, value in plain(row).items() if isinstance(value, int | float) and name != "step"}


class TensorBoardSink:
    """Writes the numbers of each row as TensorBoard scalars.

    It uses TensorBoard's own event writer, which needs neither torch nor TensorFlow.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing is imported or created before the first row, so that a failure here cannot stop a run."""
        self._directory = directory
        self._writer: Any = None

    def write(self, row: MetricsRow) -> None:
        """Write one event with a scalar per number; None and text are left out."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is None:
            self._writer = self._open(row["step"])
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in numbers(row).items()]
        self._writer.add_event(Event(wall_time=time.time(), step=row["step"], summary=Summary(value=scalars)))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = EventFileWriter(str(self._directory))
        # A session that starts at this step tells TensorBoard to forget what an attempt before a resume wrote after it.
        start = SessionLog(status=SessionLog.START)
        writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))
        return writer


class RemoteSink(ABC):
    """A sink that talks to a server: in a thread of its own, since a slow network must not hold up a step."""

    close_s = 30.0
    """Deadline for what is left to be sent when the run ends."""

    def __init__(self, run: Path, config: Path) -> None:
        self._directory, self._config = run, config
        self._rows: SimpleQueue[MetricsRow | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=type(self).__name__, daemon=True)
        self._failure: Exception | None = None

    def write(self, row: MetricsRow) -> None:
        """Hand over one row; raises what an earlier one died of."""
        if self._failure is not None:
            raise self._failure
        if self._thread.ident is None:
            self._thread.start()
        self._rows.put(row)

    def close(self) -> None:
        """Send what is left.

        Raises:
            TimeoutError: it took longer than ``close_s``; the rest is not sent.
        """
        if self._thread.ident is None:
            return
        self._rows.put(None)
        self._thread.join(self.close_s)
        if self._failure is not None:
            raise self._failure
        if self._thread.is_alive():
            raise TimeoutError(f"the last rows were not taken within {self.close_s:.0f} s")

    def _work(self) -> None:
        try:
            self._open()
            while (row := self._rows.get()) is not None:
                self._send(row)
            self._finish()
        except Exception as error:  # whatever it was, the next call from the run's own thread tells it
            self._failure = error

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _send(self, row: MetricsRow) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...


class WandbSink(RemoteSink):
    """Weights & Biases; needs ``pip install wandb``."""

    _run: Any

    def _open(self) -> None:
        import wandb
        import yaml

        identity = _identity(self._directory / "wandb-id", lambda: token_hex(4))
        self._run = wandb.init(
            id=identity,  # a resumed run goes on in the same curve
            resume="allow",
            name=self._directory.name,
            dir=self._directory,
            config=yaml.safe_load(self._config.read_text()),
            settings=wandb.Settings(console="off", silent=True),  # the terminal belongs to the progress line
        )
        # Steps are ours: after a resume that takes steps back, W&B's own counter would refuse the rows that come again.
        self._run.define_metric("*", step_metric="step")

    def _send(self, row: MetricsRow) -> None:
        self._run.log({**numbers(row), "step": row["step"]})

    def _finish(self) -> None:
        self._run.finish()


class MlflowSink(RemoteSink):
    """MLflow; needs ``pip install mlflow`` or ``mlflow-skinny``."""

    _client: Any
    _run_id: str

    def _open(self) -> None:
        import mlflow

        self._client = mlflow.MlflowClient()
        self._run_id = _identity(self._directory / "mlflow-id", self._create)
        self._client.log_artifact(self._run_id, str(self._config))

    def _send(self, row: MetricsRow) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(_mlflow_name(name), value, now, row["step"]) for name, value in numbers(row).items()]
        self._client.log_batch(self._run_id, metrics=values)

    def _finish(self) -> None:
        self._client.set_terminated(self._run_id)

    def _create(self) -> str:
        import mlflow

        # As mlflow.start_run would: the experiment that MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID names.
        experiment = mlflow.tracking.fluent._get_experiment_id()
        run_id: str = self._client.create_run(experiment, run_name=self._directory.name).info.run_id
        return run_id


def _mlflow_name(name: str) -> str:
    """MLflow takes no ``@``: ``eval/pass@4`` becomes ``eval/pass_at_4``."""
    return name.replace("@", "_at_")


def _identity(path: Path, create: Callable[[], str]) -> str:
    """The run's id in a tool, kept in the run directory so that a resume goes on with it."""
    if not path.exists():
        path.write_text(create())
    return path.read_text()
