"""A run is watched, paused, stopped, killed, and taken up again."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breast_ai.annotations.locks import hold
from napari_breast_ai.cli import main
from napari_breast_ai.core import Cancelled
from napari_breast_ai.inference import FeatureCache
from napari_breast_ai.training import runfolder
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.packing import pack, read_packed, unpack, write_packed
from napari_breast_ai.training.ready import asked
from napari_breast_ai.training.recipe import read_recipe
from napari_breast_ai.training.runfolder import RunFolder, differences
from napari_breast_ai.training.table import ask, read_cohort
from napari_breast_ai.training.train import train, write_training
from napari_breast_ai.training.watching import (
    Control,
    EpochDone,
    RoundDone,
    RoundStarted,
    RunDone,
    RunStarted,
)

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from kill_train import make_table  # noqa: E402

CHANGES = [
    "preparation.source.kind=picture",
    "preparation.size=[64, 64]",
    "protocol.kind=kfold",
    "protocol.folds=3",
    "fit.epochs=6",
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("cohort"), 24)


class Bench:
    """A training that can be run in parts."""

    def __init__(self, table, recipe="attention-squeezenet"):
        self.cohort = read_cohort(table)
        self.questions = ask(self.cohort, ["kind=square,line"])
        self.recipe = read_recipe(recipe, CHANGES)
        self.cache = FeatureCache(table.parent / "cache")

    def run(self, out=None, **more):
        if out is None:
            return train(self.cohort, self.questions, self.recipe, "random", cache=self.cache, **more)
        folder = RunFolder(out)
        wanted = asked(self.cohort, self.questions, self.recipe, "random", None, False)
        with folder.open(wanted, {}):
            trained = train(
                self.cohort, self.questions, self.recipe, "random", cache=self.cache, folder=folder, **more
            )
            write_training(out, trained, "command")
            folder.finish()
        return trained


@pytest.fixture(scope="module")
def bench(table):
    return Bench(table)


def same(one, other):
    assert json.dumps(one.evaluation) == json.dumps(other.evaluation)
    theirs = other.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.model.state_dict().items())


def test_everything_that_happens_is_told(bench):
    events = []
    trained = bench.run(watch=events.append)
    assert isinstance(events[0], RunStarted) and isinstance(events[-1], RunDone)
    assert (events[0].rounds, events[0].epochs, events[0].done) == (4, 6, 0)
    assert "24 slices of 24 cases of 12 patients" in events[0].what
    kinds = "".join({RoundStarted: "<", EpochDone: ".", RoundDone: ">"}.get(type(e), "") for e in events)
    assert kinds == "<......>" * 4
    for begin in (e for e in events if isinstance(e, RoundStarted)):
        if begin.part == "final":
            assert begin.shown is None and begin.patients == 12
            continue
        assert begin.patients == 8
        judged = {p["case_id"] for p in trained.evaluation["predictions"] if p["fold"] == begin.fold}
        assert begin.shown.case_id in judged, "the slice that is shown is learnt from"
        assert begin.shown.picture.shape == (64, 64) and begin.shown.boxes
    epochs = [e for e in events if isinstance(e, EpochDone)]
    for one in epochs:
        if one.round < 4:
            assert one.attention.shape == (3, 3) and 0 <= one.attention.min() <= one.attention.max() <= 1
            # The weights change, and what is shown with them.
        assert one.auc is None or 0 <= one.auc <= 1
    first, last = epochs[0], epochs[5]
    assert not np.array_equal(first.attention, last.attention) and last.loss < first.loss
    assert all(e.seconds_left is not None and e.seconds_left >= 0 for e in epochs)

    told = [e for e in events if isinstance(e, RoundDone)]
    key = "square against line/per patient/AUC"
    assert told[2].so_far[key] == trained.evaluation["figures"]["validation"][key]["value"]
    assert [e.aucs[key] for e in told[:3]] == [run["figures"][key] for run in trained.evaluation["runs"]]
    assert told[3].part == "final" and not told[3].aucs and told[3].seconds_left == 0
    course = trained.evaluation["course"]
    assert [(c["repeat"], c["fold"], c["part"]) for c in course] == [(1, k, "validation") for k in (1, 2, 3)]
    assert [c["loss"] for c in course[0]["epochs"]] == [e.loss for e in epochs[:6]]
    assert course[0]["kept epoch"] == max(e.epoch for e in epochs[:6] if e.kept)


def test_a_fit_without_attention_shows_what_speaks_for_the_first_label(table):
    events = []
    Bench(table, "gap-squeezenet").run(watch=events.append)
    maps = [e.attention for e in events if isinstance(e, EpochDone) and e.round < 4]
    assert all(m.shape == (3, 3) and m.min() >= 0 and m.max() <= 1 for m in maps)
    assert any(m.max() == 1 for m in maps)


def test_a_pause_waits_and_changes_nothing(bench):
    control, waiting, events = Control(), threading.Event(), []

    def watch(event):
        events.append(event)
        if isinstance(event, EpochDone) and (event.round, event.epoch) == (2, 3):
            control.pause()
            waiting.set()

    found = []
    thread = threading.Thread(target=lambda: found.append(bench.run(watch=watch, control=control)))
    thread.start()
    assert waiting.wait(120)
    thread.join(0.3)
    assert thread.is_alive() and control.paused
    assert (events[-1].round, events[-1].epoch) == (2, 3)
    control.resume()
    thread.join(120)
    assert not thread.is_alive() and control.waited > 0.2
    same(found[0], bench.run())


@pytest.mark.parametrize("after", [(1, 1), (2, 4), (3, 6), (4, 2)])
def test_a_cancelled_run_goes_on_to_the_same_bits(bench, tmp_path, after):
    control = Control()

    def stop(event):
        if isinstance(event, EpochDone) and (event.round, event.epoch) == after:
            control.cancel()

    with pytest.raises(Cancelled):
        bench.run(tmp_path, watch=stop, control=control)
    assert RunFolder(tmp_path).state == "unfinished" and not (tmp_path / "evaluation.json").exists()
    events = []
    whole = bench.run(tmp_path, watch=events.append)
    assert events[0].done == after[0] - 1
    assert [e.again for e in events if isinstance(e, RoundDone)] == [n < after[0] for n in (1, 2, 3, 4)]
    begun = next(i for i, e in enumerate(events) if isinstance(e, RoundStarted))
    epochs = [e for e in events[begun:] if isinstance(e, EpochDone) and e.round == after[0]]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5, 6], "what was done before is told again"
    if after[1] < 6:
        assert [e.attention is None for e in epochs if e.round < 4] == (
            [n < after[1] for n in range(6)] if after[0] < 4 else []
        )
    same(whole, bench.run())
    assert RunFolder(tmp_path).state == "finished"


def test_a_state_after_every_epoch_leads_to_the_same_bits_and_a_changed_one_does_not(
    bench, tmp_path, monkeypatch
):
    monkeypatch.setattr(runfolder, "EVERY_S", 0.0)
    left = []
    leave = RunFolder.leave
    monkeypatch.setattr(
        RunFolder, "leave", lambda self, n, state: (leave(self, n, state), left.append(pack([n, state])))
    )
    whole = bench.run(tmp_path / "whole")
    assert len(left) == 4 * 5, "the last epoch needs no state"
    for i, content in enumerate(left[::4]):
        out = tmp_path / str(i)
        number, state = unpack(content)
        monkeypatch.setattr(
            RunFolder, "left", lambda self, n, number=number, state=state: state if n == number else None
        )
        same(bench.run(out), whole)
    state["fit"]["rng"] = np.random.default_rng(5).bit_generator.state
    other = bench.run(tmp_path / "other")
    weights = whole.model.state_dict()
    assert any(not torch.equal(value, weights[name]) for name, value in other.model.state_dict().items())


def test_a_damaged_round_is_done_again(bench, tmp_path):
    whole = bench.run(tmp_path)
    (tmp_path / "run" / "finished.json").unlink()
    file = tmp_path / "run" / "round-002.safetensors"
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    (tmp_path / "run" / "round-003.safetensors").write_bytes(b"")
    events = []
    same(bench.run(tmp_path, watch=events.append), whole)
    assert events[0].done == 2


def test_what_was_packed_comes_out(tmp_path):
    tree = {
        "a": torch.arange(6.0).reshape(2, 3).t(),
        3: [np.float32(1.5), None, True, {"deep": np.arange(4, dtype=np.int8)}],
        "rng": np.random.default_rng(1).bit_generator.state,
        "tenth": 0.1,
        "empty": torch.zeros(0, 2),
        "none": float("nan"),
    }
    write_packed(tmp_path / "x", tree)
    back = read_packed(tmp_path / "x")
    assert torch.equal(back["a"], tree["a"]) and list(back) == list(tree)
    assert back[3][:3] == [1.5, None, True] and np.array_equal(back[3][3]["deep"], np.arange(4))
    assert back["rng"] == tree["rng"] and back["tenth"] == 0.1 and back["empty"].shape == (0, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["x"], "a part of a file is left over"
    assert read_packed(tmp_path / "none") is None
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    assert read_packed(tmp_path / "x") is None
    with pytest.raises(ValueError, match="not packed"):
        unpack(b"\x04\x00\x00\x00\x00\x00\x00\x00null")


def test_a_run_of_something_else_is_not_gone_on_with(bench, table, tmp_path):
    bench.run(tmp_path)
    other = Bench(table)
    other.recipe = replace(other.recipe, fit=replace(other.recipe.fit, lr=0.5), seed=3)
    with pytest.raises(
        TrainingError,
        match=r"fit\.lr was 0\.02 and is now 0\.5\. The recipe\.seed was 0 and",
    ):
        other.run(tmp_path)
    assert differences({"table sha256": "a"}, {"table sha256": "b"}) == [
        "The table has changed since the run began."
    ]
    assert differences({"reader": None}, {"reader": "ann"}) == ["The reader was not given and is now ann."]
    handle = os.open(tmp_path / "run" / "lock", os.O_RDWR)
    assert hold(handle)
    try:
        with pytest.raises(TrainingError, match="Another training is under way"):
            bench.run(tmp_path)
    finally:
        os.close(handle)
    started = json.loads((tmp_path / "run" / "started.json").read_text())
    started["version"] = 99
    (tmp_path / "run" / "started.json").write_text(json.dumps(started))
    with pytest.raises(TrainingError, match="newer version"):
        bench.run(tmp_path)


def test_other_images_and_other_threads_are_said(bench, table, tmp_path):
    bench.run(tmp_path)
    started = json.loads((tmp_path / "run" / "started.json").read_text())
    found = dict(started["found"])
    started["circumstances"]["threads"] = 7
    started["found"]["features"] = "other"
    (tmp_path / "run" / "started.json").write_text(json.dumps(started))
    warnings = bench.run(tmp_path).evaluation["warnings"]
    assert any("threads 7 and went on with 1" in one for one in warnings)
    assert any("features are not, to the last digit" in one for one in warnings)
    started["found"] = found | {"examples": "other"}
    (tmp_path / "run" / "started.json").write_text(json.dumps(started))
    with pytest.raises(TrainingError, match="images, boxes or labels"):
        bench.run(tmp_path)


def command(table, out, *more):
    words = ["train", str(table), "--label", "kind=square,line", "--recipe", "attention-squeezenet"]
    words += ["--weights", "random", *(word for one in CHANGES for word in ("--set", one)), "--threads", "1"]
    return [*words, "--cache", str(table.parent / "cache"), "--out", str(out), *more]


def test_the_same_command_goes_on_and_resume_needs_the_folder_alone(table, tmp_path, capsys, monkeypatch):
    assert main(command(table, tmp_path / "whole")) == 0
    said = capsys.readouterr().out
    assert "Round 1 of 4: repeat 1, fold 1, validation; AUC per patient: square against line" in said
    assert "Round 4 of 4: the final model" in said

    keep = RunFolder.keep

    def interrupted(self, number, result):
        keep(self, number, result)
        if number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "keep", interrupted)
    assert main(command(table, tmp_path / "out")) == 130
    assert "--resume" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "out"]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 rounds were finished before" in said and "(finished before)" in said
    for name in ("evaluation.json", "predictions.csv", "bundle/model.safetensors", "bundle/README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name

    assert main(command(table, tmp_path / "out")) == 0
    assert "finished already" in capsys.readouterr().out
    assert main(command(table, tmp_path / "out", "--set", "fit.lr=0.5")) == 1
    assert "fit.lr was 0.02 and is now 0.5" in capsys.readouterr().err
    monkeypatch.setattr(RunFolder, "keep", interrupted)
    assert main(command(table, tmp_path / "out", "--set", "fit.lr=0.5", "--anew", "--quiet")) == 130
    assert not (tmp_path / "out" / "evaluation.json").exists(), (
        "the result of before would pass for this one's"
    )
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(command(table, tmp_path / "out", "--set", "fit.lr=0.5", "--quiet")) == 0
    assert "Round" not in capsys.readouterr().out
    assert main(["train", "--resume", str(tmp_path)]) == 1
    assert "There is no run in" in capsys.readouterr().err
    for words in (["train", str(table)], ["train", "--resume", "out", "--recipe", "x"]):
        with pytest.raises(SystemExit) as usage:
            main(words)
        assert usage.value.code == 2
    capsys.readouterr()
    changed = table.read_text()
    try:
        table.write_text(changed + "\n")
        assert main(["train", "--resume", "out"]) == 1
        assert "The table has changed since the run began." in capsys.readouterr().err
    finally:
        table.write_text(changed)


def test_a_training_that_is_killed_ends_the_same():
    """Killed as it leaves a state: which one depends on no clock, so a busy machine changes nothing."""
    words = ["--kills", "2", "--seed", "3", "--epochs", "8", "--at-states"]
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / "kill_train.py"), *words],
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 processes killed in 1 trainings of 3 rounds of 8 epochs" in run.stdout, run.stdout
    assert "2 kills hit a fit that had left its state; 0 problems" in run.stdout, run.stdout
