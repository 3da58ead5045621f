"""Rounds on real Dask workers, each a process of its own, give what a plain run gives."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from napari_breast_ai.cli import main
from napari_breast_ai.core import Cancelled
from napari_breast_ai.training import scheduler
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.scheduler import DaskFarm
from napari_breast_ai.training.watching import Control, RoundDone

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from kill_train import COMPARED, make_table

pytest.importorskip("distributed", reason="Dask is not installed")


def begin(folder, program, *more):
    words = [sys.executable, "-m", f"distributed.cli.dask_{program}", *more, "--no-dashboard"]
    with (folder / f"{program}{time.monotonic_ns()}.log").open("w") as log:
        return subprocess.Popen(words, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scheduler; and how to begin a worker, which has no nanny to begin it again."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    processes = [
        begin(folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    ]
    for _ in range(600):
        if file.exists() and file.stat().st_size:
            break
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]

    def worker():
        own = ("--nthreads", "2", "--no-nanny", "--memory-limit", "0", "--local-directory", str(folder))
        processes.append(begin(folder, "worker", address, *own))
        return processes[-1]

    yield address, worker
    for process in reversed(processes):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def workers(place):
    return [place[1](), place[1]()]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    from test_run import Bench

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Bench(make_table(tmp_path_factory.mktemp("cohort"), 24))
    torch.set_num_threads(before)


def same(one, other):
    assert [n for n in COMPARED if (one / n).read_bytes() != (other / n).read_bytes()] == []


def both(farm):
    """Until both workers are there."""
    farm._client.wait_for_workers(2, timeout=300)


@pytest.fixture(scope="module")
def whole(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    bench.run(folder)
    return folder


def test_two_workers_give_what_a_plain_run_gives(bench, place, workers, whole, tmp_path):
    events = []
    with DaskFarm(place[0]) as farm:
        both(farm)
        bench.run(tmp_path, farm=farm, watch=events.append)
        ran = farm._client.run(lambda dask_worker: len(dask_worker.data))
    assert len(ran) == 2
    same(tmp_path, whole)
    assert sorted(e.round for e in events if isinstance(e, RoundDone)) == [1, 2, 3, 4]


def test_the_command_takes_a_schedulers_address(bench, place, workers, whole, tmp_path, capsys):
    from test_run import command

    table = bench.cohort.source
    assert main(command(table, tmp_path / "out", "--scheduler", place[0])) == 0
    capsys.readouterr()
    for name in ("evaluation.json", "predictions.csv", "bundle/model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes(), name
    with pytest.raises(SystemExit):
        main(command(table, tmp_path / "out", "--scheduler", place[0], "--jobs", "2"))


def test_a_cancelled_run_goes_on_here_or_there(bench, place, workers, whole, tmp_path):
    control = Control()
    with DaskFarm(place[0]) as farm, pytest.raises(Cancelled):
        bench.run(
            tmp_path,
            farm=farm,
            control=control,
            watch=lambda e: isinstance(e, RoundDone) and control.cancel(),
        )
    rounds = list((tmp_path / "run").glob("round-*"))
    assert 1 <= len(rounds) < 4
    bench.run(tmp_path)
    same(tmp_path, whole)


def test_a_worker_that_dies_in_the_middle_changes_nothing(
    bench, place, workers, whole, tmp_path, monkeypatch
):
    killed = []

    def kill(event):
        if isinstance(event, RoundDone) and not killed:
            killed.append(True)
            workers[0].kill()

    with DaskFarm(place[0]) as farm:
        both(farm)
        bench.run(tmp_path, farm=farm, watch=kill)
    assert killed and workers[0].wait(10) != 0
    same(tmp_path, whole)

    # And where all that have the features die, they are sent again to the one that comes.
    first = True
    send = DaskFarm._send

    def send_and_lose(self, ground):
        nonlocal first
        sent = send(self, ground)
        if first:
            first = False
            workers[1].kill()
            workers[1].wait()
            workers.append(place[1]())
        return sent

    monkeypatch.setattr(DaskFarm, "_send", send_and_lose)
    out = tmp_path / "again"
    with DaskFarm(place[0]) as farm:
        bench.run(out, farm=farm)
    assert not first
    same(out, whole)


def test_what_goes_wrong_is_said(bench, place, workers, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "PATIENCE_S", 2.0)
    with pytest.raises(TrainingError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskFarm("tcp://127.0.0.1:9")
    with pytest.raises(TrainingError, match="No Dask scheduler answers at nonsense:"):
        DaskFarm("nonsense://x")
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "0.1")
    with pytest.raises(TrainingError, match=r"has torch .*and the run 0\.1"), DaskFarm(place[0]):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(TrainingError, match=r"napari-breast-ai\[dask\]"):
        DaskFarm(place[0])
