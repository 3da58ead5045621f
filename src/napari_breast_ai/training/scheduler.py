"""Rounds side by side on the workers of a Dask scheduler, several machines included, with the same result.

The slices' features are sent once to each worker, which need not share a disk with this machine. A round is fitted by
the same function as here, with the run's number of threads, so that workers of the same kind of processor give the same
bits. Of a worker that dies the rounds are done again by others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch

from .errors import TrainingError
from .fitting import Fitting
from .ground import Ground
from .packing import pack, unpack
from .protocol import Round
from .rounds import Finished, Result, fit_round
from .runfolder import circumstances
from .watching import Control

PATIENCE_S = 60.0
"""How long to wait for the scheduler, and for its first worker."""

DEATHS = 3
"""Workers that one round may outlive; then it is the round that kills them."""

_SAME = ("napari-breast-ai", "torch", "numpy")
_one_at_a_time = threading.Lock()


class DaskFarm:
    """The workers of a scheduler, while the `with` block lasts."""

    def __init__(self, address: str | None, jobs: int = 0) -> None:
        """Connect, and see that there are workers of the same versions.

        Args:
            address: of the scheduler, such as tcp://10.0.0.5:8786; None begins one on this machine.
            jobs: worker processes of the latter.

        Raises:
            TrainingError: Dask is not installed, nobody answers, or a worker is of another version.
        """
        self._distributed = _distributed()
        self._cluster: Any = None
        try:
            if address is None:
                self._cluster = self._distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.ERROR,
                )
            self._client = self._distributed.Client(
                self._cluster or address, timeout=PATIENCE_S, set_as_default=False
            )
        except (OSError, ValueError, TypeError) as error:
            self._close_cluster()
            raise TrainingError(
                f"No Dask scheduler answers at {address} ({error}). Begin one with “dask scheduler”, and give its "
                "address, such as tcp://10.0.0.5:8786."
            ) from error
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> DaskFarm:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect; a scheduler that was begun here ends."""
        self._client.close()
        self._close_cluster()

    def run(
        self, ground: Ground, rounds: Sequence[tuple[int, Round]], finished: Finished, control: Control
    ) -> None:
        """See `rounds.Farm`. A pause collects nothing, but lets workers end what they have begun.

        Raises:
            TrainingError: a round cannot be fitted, or outlived too many workers.
            Cancelled: through the control.
        """
        made = {name: circumstances()[name] for name in (*_SAME, "processor", "threads")}
        deaths = dict.fromkeys([number for number, _ in rounds], 0)
        todo = dict(rounds)
        under_way: dict[int, Any] = {}
        sent: Any = None
        try:
            while todo or under_way:
                if todo:
                    # Broken off where all workers who had it died; sent again with the rounds that need it.
                    if sent is None or sent.status != "finished":
                        sent = self._send(ground)
                    for number, one in todo.items():
                        under_way[number] = self._client.submit(work, sent, one, made, pure=False)
                    todo = {}
                for number, future in list(under_way.items()):
                    if future.status == "pending":
                        continue
                    del under_way[number]
                    result = self._result(future, number, deaths)
                    if result is None:
                        todo[number] = dict(rounds)[number]
                    else:
                        finished(number, result)
                control.point()
                time.sleep(0.05)
        finally:
            for future in under_way.values():
                future.cancel()

    def _send(self, ground: Ground) -> Any:
        self._wait_for_workers()
        return self._client.scatter(ground, broadcast=True, hash=False)

    def _result(self, future: Any, number: int, deaths: dict[int, int]) -> Result | None:
        """What the round gave; None where its worker has died."""
        try:
            return Result(**unpack(future.result()))
        except TrainingError:
            raise
        except Exception as error:
            if not _died(error):
                raise TrainingError(
                    f"Round {number} failed on a worker ({type(error).__name__}: {error}). Look at the worker's log."
                ) from error
            deaths[number] += 1
            if deaths[number] >= DEATHS:
                raise TrainingError(
                    f"Round {number} was begun {DEATHS} times, and its workers died. Look at their logs; too little "
                    "memory is the usual reason. The same command goes on with the rounds that are left."
                ) from error
            return None

    def _check(self) -> None:
        self._wait_for_workers()
        try:
            found: dict[str, dict[str, Any]] = self._client.run(circumstances)
        except Exception as error:
            raise TrainingError(
                f"The workers cannot train ({type(error).__name__}: {error}). Install the same napari-breast-ai on all "
                "of them."
            ) from error
        for worker, theirs in found.items():
            _refuse_other(theirs, circumstances(), worker)

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            raise TrainingError(
                "The Dask scheduler has no worker. Begin some with “dask worker ADDRESS”."
            ) from error

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster.close()


def work(ground: Ground, one: Round, made: dict[str, Any]) -> bytes:
    """Fit a round, on a worker; one at a time in a process, since random numbers and threads are the process's.

    Args:
        ground: that was sent.
        one: the round.
        made: versions and number of threads of the run.

    Returns:
        The result, packed.

    Raises:
        TrainingError: the worker is of another version, or the round cannot be fitted.
    """
    _refuse_other(circumstances(), made, "A worker")
    with _one_at_a_time:
        before = torch.get_num_threads()
        torch.set_num_threads(made["threads"])
        try:
            result = fit_round(ground, one, Fitting())
        finally:
            torch.set_num_threads(before)
    if (processor := circumstances()["processor"]) != made["processor"]:
        result.note["processor"] = processor
    return pack(result.tree())


def _refuse_other(theirs: dict[str, Any], ours: dict[str, Any], worker: str) -> None:
    for name in _SAME:
        if theirs[name] != ours[name]:
            raise TrainingError(
                f"{worker} has {name} {theirs[name]}, and the run {ours[name]}: they may compute otherwise. Install the "
                "same on all workers."
            )


def _died(error: BaseException) -> bool:
    """Whether Dask says that a worker, or all that had the features, is gone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"KilledWorker", "CancelledError", "FutureCancelledError", "CommClosedError"})


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise TrainingError(
            "Rounds on several processes or machines need Dask, which is not installed. Install it with: "
            'pip install "napari-breast-ai[dask]"'
        ) from error
    return distributed
