"""A training in a process of its own: told and telling in lines, stopped by the end of its input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.training.order import Order, begun
from napari_breast_ai.training.watching import EpochDone, RoundDone, RunStarted
from napari_breast_ai.training.wire import Checked, Failed, Found, Paused, Stopped, Told, Written, from_line


@pytest.fixture
def order(tmp_path: Path) -> Order:
    rng = np.random.default_rng(2)
    lines = ["case_id,patient_id,path,kind,box_y0,box_x0,box_y1,box_x1"]
    for i in range(12):
        image = rng.integers(20, 80, (64, 64)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        image[y : y + 20, x : x + (20 if i % 2 else 4)] = 230
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        lines.append(f"c{i},p{i},{i}.png,{('a', 'b')[i % 2]},{y},{x},{y + 19},{x + 3}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    changes = (
        "preparation.source.kind=picture",
        "preparation.size=[64,64]",
        "protocol.kind=kfold",
        "protocol.folds=2",
        "fit.epochs=300",
    )
    return Order(
        str(tmp_path / "t.csv"),
        ("kind",),
        "attention-squeezenet",
        changes,
        "random",
        out=str(tmp_path / "out"),
        threads=1,
    )


class Child:
    """The process, by its pipes."""

    def __init__(self, do: str, order: Order, **more: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_breast_ai.training.apart"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.say({"do": do, "order": order.to_json(), **more})

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, *kinds: type) -> tuple[list[Told], Told]:
        """All events up to the first of these kinds."""
        assert self.process.stdout is not None
        heard: list[Told] = []
        for line in self.process.stdout:
            event = from_line(line)
            assert event is not None, f"what is no event stood between the lines: {line!r}"
            heard.append(event)
            if isinstance(event, kinds):
                return heard, event
        assert self.process.stderr is not None
        raise AssertionError(self.process.stderr.read().decode())

    def leave(self) -> int:
        """Close its input, as a window that is gone does."""
        self.process.communicate(timeout=120)
        return self.process.returncode


def test_paused_stopped_by_the_end_of_its_input_and_gone_on_with(order: Order) -> None:
    child = Child("train", order)
    child.until(EpochDone)
    child.say({"say": "pause"})
    child.until(Paused)
    child.say({"say": "nonsense"})
    child.say({"say": "resume"})
    _, again = child.until(Paused)
    assert isinstance(again, Paused) and not again.paused
    assert child.leave() == 0
    left = begun(order.out)
    assert left is not None and left[0].labels == order.labels and left[0].changes == order.changes

    other = Child("train", left[0])
    heard, last = other.until(Written, Failed)
    assert isinstance(last, Written), last
    assert other.leave() == 0
    assert any(isinstance(one, RunStarted) for one in heard)
    assert [one.part for one in heard if isinstance(one, RoundDone)][-1] == "final"
    for path in (last.evaluation, last.report, last.bundle):
        assert Path(path).exists()
    command = json.loads((Path(order.out) / "run.json").read_text())["command"]
    assert command.startswith("napari-breast-ai train t.csv --label kind") and str(order.out) not in command
    assert begun(order.out) is None


def test_looking_at_all_cases_tells_each_that_is_wrong(order: Order) -> None:
    folder = Path(order.table).parent
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "4.png").write_bytes((folder / "6.png").read_bytes())
    child = Child("check", order)
    heard, last = child.until(Checked, Failed)
    assert isinstance(last, Checked) and last.slices == 10, "twelve without the two that cannot be used"
    found = [one.problem for one in heard if isinstance(one, Found)]
    assert [(one.line, one.fatal, one.of_case) for one in found] == [(5, True, True), (8, True, False)]
    assert child.leave() == 0

    child = Child("train", order)
    _, failed = child.until(Failed, Written)
    assert isinstance(failed, Failed) and not failed.defect
    assert {one.line for one in failed.problems if one.fatal} == {5, 8}
    child.leave()


def test_a_table_that_is_gone_is_said(order: Order) -> None:
    Path(order.table).unlink()
    child = Child("check", order)
    _, failed = child.until(Failed, Stopped, Checked)
    assert isinstance(failed, Failed) and "t.csv" in failed.text
    assert child.leave() == 0
