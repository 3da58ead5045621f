"""Where a reader stands: orders, places, standings, and a list that is another one the next time."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_breast_ai.annotations.log import ReadingLog, Standing, Turn
from napari_breast_ai.annotations.worklist import Case, Worklist, read_worklist


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "user-data"))


def listed(tmp_path: Path, count: int = 20) -> Worklist:
    folder = tmp_path / "cases"
    folder.mkdir(exist_ok=True)
    return Worklist(folder, tuple(Case(f"P{n}", folder / f"p{n}") for n in range(count)))


def test_as_given_and_where_one_stopped(tmp_path: Path) -> None:
    worklist = listed(tmp_path)
    log = ReadingLog(worklist, "anna")
    assert [turn.case_id for turn in log.turns] == [f"P{n}" for n in range(20)] and log.place == 0
    log.go(7)
    done = Standing("done", boxes=3, study_uid="1.2", journal=tmp_path / "boxes.jsonl")
    log.record(log.turns[7], done)
    log.record(log.turns[2], Standing("skipped", "no contrast", path=tmp_path / "moved"))
    again = ReadingLog(worklist, "anna")
    assert (again.place, again.order, again.blind) == (7, "given", False)
    assert again.standing(Turn("P7")) == done
    assert again.standing(Turn("P2")) == Standing("skipped", "no contrast", path=tmp_path / "moved")
    assert again.counts() == {"to do": 18, "open": 0, "done": 1, "skipped": 1}
    other = ReadingLog(worklist, "berta")
    assert other.place == 0 and other.counts()["to do"] == 20


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    log = ReadingLog(listed(tmp_path), "anna")
    log.record(log.turns[0], Standing("done"))
    (file,) = (tmp_path / "cases" / "napari-breast-ai").iterdir()
    size = file.stat().st_size
    log.record(log.turns[0], Standing("done"))
    assert file.stat().st_size == size


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20, 101])
@pytest.mark.parametrize("seed", range(5))
def test_repeats_come_far_behind(tmp_path: Path, count: int, seed: int) -> None:
    worklist = listed(tmp_path, count)
    log = ReadingLog(worklist, "anna")
    log.arrange("repeated", seed)
    names = {case.case_id for case in worklist.cases}
    first = [turn for turn in log.turns if turn.reading == 1]
    again = [turn for turn in log.turns if turn.reading == 2]
    assert {turn.case_id for turn in first} == names and len(first) == count
    assert len(again) == max(1, round(0.2 * count)) == len(set(again))
    for turn in again:
        distance = log.turns.index(turn) - log.turns.index(Turn(turn.case_id))
        assert distance > count // 2, "half the list lies between"
    assert log.blind
    assert ReadingLog(worklist, "anna").turns == log.turns


def test_random_is_an_order_of_all_and_kept(tmp_path: Path) -> None:
    worklist = listed(tmp_path)
    log = ReadingLog(worklist, "anna")
    given = log.turns
    log.record(Turn("P3"), Standing("done"))
    log.arrange("random", 1)
    assert set(log.turns) == set(given) and log.turns != given
    assert log.standing(log.turns[log.place]).status == "to do", "it goes on with what is to do"
    again = ReadingLog(worklist, "anna")
    assert (again.turns, again.place, again.order) == (log.turns, log.place, "random")
    again.arrange("given")
    assert again.turns == given and again.counts()["done"] == 1
    with pytest.raises(ValueError, match="not an order"):
        again.arrange("backwards")


def test_a_list_that_has_changed(tmp_path: Path) -> None:
    worklist = listed(tmp_path, 6)
    log = ReadingLog(worklist, "anna")
    log.record(Turn("P1"), Standing("done", boxes=1))
    log.go(4)
    # Two cases less before the place, one more, and the others in another order.
    kept = [case for case in worklist.cases if case.case_id not in ("P0", "P2")]
    fewer = replace(worklist, cases=(Case("new", tmp_path), *reversed(kept)))
    again = ReadingLog(fewer, "anna")
    assert [turn.case_id for turn in again.turns] == ["new", "P5", "P4", "P3", "P1"]
    assert again.turns[again.place].case_id == "P4", "the case, not its number"
    assert again.standing(Turn("P1")).boxes == 1
    again.arrange("random", 3)
    before = [turn.case_id for turn in again.turns]
    more = replace(fewer, cases=(*fewer.cases[1:], Case("late", tmp_path)))
    third = ReadingLog(more, "anna")
    assert [turn.case_id for turn in third.turns] == [name for name in before if name != "new"] + ["late"]
    gone = replace(worklist, cases=(Case("other", tmp_path),))
    assert ReadingLog(gone, "anna").place == 0


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    worklist = listed(tmp_path, 6)
    log = ReadingLog(worklist, "anna")
    log.go(3)
    log.record(Turn("P1"), Standing("done"))
    (file,) = (tmp_path / "cases" / "napari-breast-ai").iterdir()
    lines = file.read_text().splitlines()
    strange = [
        "{",
        "[]",
        '{"do": "order"}',
        '{"do": "case", "case_id": "P2"}',
        '{"do": "at", "place": "x"}',
        "7",
    ]
    # As version 1 wrote a place, and a line that was cut off.
    old = json.dumps({"do": "at", "place": 5})
    file.write_text("\n".join([*strange, *lines, *strange, old, '{"do": "at", "pla']))
    again = ReadingLog(worklist, "anna")
    assert again.place == 5 and again.standing(Turn("P1")).status == "done"
    again.go(2)
    assert ReadingLog(worklist, "anna").place == 2, "what is cut off takes nothing with it"


def test_a_log_that_cannot_be_written_is_rescued(tmp_path: Path) -> None:
    worklist = listed(tmp_path, 6)
    log = ReadingLog(worklist, "anna")
    log.go(1)
    folder = tmp_path / "cases" / "napari-breast-ai"
    folder.rename(folder.with_name("away"))
    log.go(4)
    folder.with_name("away").rename(folder)
    assert ReadingLog(worklist, "anna").place == 4


def test_two_lists_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("case_id,path\nP0,.\nP1,.\n")
    ReadingLog(read_worklist(tmp_path / "a.csv"), "anna").go(1)
    assert ReadingLog(read_worklist(tmp_path / "a.csv"), "anna").place == 1
    assert ReadingLog(read_worklist(tmp_path / "b.csv"), "anna").place == 0
