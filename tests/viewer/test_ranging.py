"""Which model a doubt is about, from when on an answer is certain, and what a stopped run leaves; without a window."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from conftest import make_prediction, make_volume
from napari_breast_ai.annotations.protocol import Protocol
from napari_breast_ai.core import Box, BreastAIError, Cancelled, ModelRef, Prediction
from napari_breast_ai.inference import in_range
from napari_breast_ai.inference.in_range import Finding, RangeReport
from napari_breast_ai.models import Bundle, load_bundle
from napari_breast_ai.viewer import notices, takeaway, tasks
from napari_breast_ai.viewer.ranging import COMPARING, NOT_COMPARED, RANGE, UNLIKE
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.widgets import range_panel
from napari_breast_ai.viewer.widgets.range_panel import RangePanel
from napari_breast_ai.viewer.widgets.section import Links

OUTSIDE = Finding("spacing", "outside", "The slices are too far apart.")


class Jobs:
    """What is at work; nothing runs until it is told to."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self._session = session
        self.at: dict[str, Any] = {}
        self.started: list[str] = []
        monkeypatch.setattr(session.workers, "start", self._start)
        monkeypatch.setattr(session.workers, "cancel", lambda kind: self.at.pop(kind, None))
        monkeypatch.setattr(session.workers, "running", lambda kind: kind in self.at)

    def _start(self, kind: str, name: str, work: Any, **calls: Any) -> None:
        self.at[kind] = SimpleNamespace(work=work, **calls)
        self.started.append(kind)
        self._session.workers.changed.emit()

    def end(self, kind: str, of: str = "done", *said: Any) -> None:
        """End a job as `Workers` does: first it is no longer at work, then one of its callbacks comes."""
        job = self.at.pop(kind)
        getattr(job, of)(*said)
        self._session.workers.changed.emit()

    def do(self, kind: str = RANGE) -> None:
        """Do a job."""
        self.end(kind, "done", self.at[kind].work(lambda *_: None))


@pytest.fixture
def jobs(session: Session, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda text: None)
    return Jobs(session, monkeypatch)


@pytest.fixture
def plain() -> Bundle:
    return load_bundle("demo-attention-squeezenet")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Finding, ...]]:
    """What a check finds, by whether the model tells its ranges; slices look as in the training."""
    said: dict[str, tuple[Finding, ...]] = {"ranges": (OUTSIDE,), "none": ()}

    def check(volume: Any, preparation: Any, ranges: Any, progress: Any) -> RangeReport:
        return RangeReport(said["none" if ranges is None else "ranges"], ranges is not None)

    monkeypatch.setattr(in_range, "check_range", check)
    monkeypatch.setattr(in_range, "feature_findings", lambda *_: [])
    return said


def other(bundle: Bundle) -> Bundle:
    """Another model, which does not tell its ranges."""
    return replace(bundle, ref=ModelRef("other", "1" * 64), ranges=None)


def answer(session: Session, bundle: Bundle, slices: tuple[int, ...] | None = None) -> Prediction:
    return replace(make_prediction(session.volume, slices), model=bundle.ref)


def partial(session: Session, bundle: Bundle, z: int = 4) -> Prediction:
    return replace(make_prediction(session.volume, (z,)), model=bundle.ref, pending=7)


def keep_maps(session: Session) -> None:
    kept = session.live.keep()
    kept.put(range(8), torch.zeros(8, len(session.bundle.ranges.features.mean), 2, 2))


def test_an_answer_keeps_the_doubts_of_its_model(
    session: Session, jobs: Jobs, found: Any, plain: Bundle, tmp_path: Path
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    jobs.do()
    session.set_prediction(answer(session, plain))
    jobs.do()
    assert session.range.doubt == UNLIKE and session.range.doubts == (OUTSIDE.text,)
    checks = jobs.started.count(RANGE)
    session.set_bundle(other(plain))
    assert jobs.started.count(RANGE) == checks
    assert session.range.doubt == UNLIKE and session.range.about == plain.ref
    assert any(UNLIKE in line for line in session.readout.text.split("\n"))
    takeaway.save_report(session, tmp_path / "case.html")
    jobs.do(takeaway.KIND)
    text = (tmp_path / "case.html").read_text(encoding="utf-8")
    assert OUTSIDE.text in text

    session.set_prediction(answer(session, other(plain)))
    assert session.range.doubt == COMPARING and session.range.about == other(plain).ref
    jobs.do()
    assert session.range.doubt == "" and not session.range.doubts
    # As after a run that was stopped: what was found is known.
    session.set_prediction(answer(session, plain))
    assert session.range.doubt == UNLIKE


def test_scores_that_boxes_have_taught_have_the_doubts_of_their_model(
    session: Session, jobs: Jobs, found: Any, plain: Bundle
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    own = answer(session, plain)
    session.set_prediction(own)
    jobs.do()
    session.live._show(replace(own, model=replace(plain.ref, name="with another name")))
    assert session.prediction is not own and session.range.doubt == UNLIKE


def test_nothing_is_certain_before_it_was_compared(
    session: Session, jobs: Jobs, found: Any, plain: Bundle, tmp_path: Path
) -> None:
    found["ranges"] = ()
    session.show_study(make_volume())
    session.set_bundle(plain)
    keep_maps(session)
    session.set_prediction(answer(session, plain))
    assert session.range.doubt == COMPARING and COMPARING in session.readout.text.replace("\n", " ")
    for save in (takeaway.save_report, takeaway.save_table):
        with pytest.raises(BreastAIError, match="being compared with what the model was trained on"):
            save(session, tmp_path / "case")
    jobs.do()
    assert session.range.report.features and session.range.doubt == ""
    assert "Not certain" not in session.readout.text
    takeaway.save_report(session, tmp_path / "case.html")
    assert takeaway.KIND in jobs.at


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_what_could_not_be_compared_is_not_certain(
    session: Session, jobs: Jobs, found: Any, plain: Bundle, end: str, tmp_path: Path
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    session.set_prediction(answer(session, plain))
    jobs.end(RANGE, end, *([OSError("no")] if end == "failed" else []))
    assert RANGE not in jobs.at and session.range.doubt == NOT_COMPARED
    takeaway.save_table(session, tmp_path / "scores.csv")
    assert "not compared" in (tmp_path / "scores.csv").read_text(encoding="utf-8")


def test_the_study_is_compared_once_and_its_slices_when_all_have_come(
    session: Session, jobs: Jobs, found: Any, plain: Bundle
) -> None:
    found["ranges"] = ()
    session.show_study(make_volume())
    session.set_bundle(plain)
    jobs.do()
    for z in (4, 5, 6):
        session.set_prediction(partial(session, plain, z))
        assert RANGE not in jobs.at and session.range.doubt == COMPARING
    assert jobs.started.count(RANGE) == 1
    keep_maps(session)
    looked: list[Any] = []
    in_range.check_range = lambda *_, **__: looked.append(1)  # type: ignore[assignment]
    session.set_prediction(answer(session, plain))
    jobs.do()
    assert looked == [] and session.range.report.features and jobs.started.count(RANGE) == 2


def test_a_check_can_be_stopped_between_its_parts(plain: Bundle) -> None:
    steps: list[int] = []

    def stop(done: int, total: int, what: str) -> None:
        steps.append(done)
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        in_range.check_range(make_volume(), plain.spec.preparation, plain.ranges, progress=stop)
    assert steps == [0, 1, 2]


def test_the_panel_says_what_is_true_of_the_slices(
    session: Session, jobs: Jobs, found: Any, plain: Bundle, qtbot: Any
) -> None:
    found["ranges"] = ()
    panel = RangePanel(session, Links())
    qtbot.addWidget(panel)
    session.show_study(make_volume())
    assert panel.isHidden()
    session.set_bundle(plain)
    assert panel.fine.text() == range_panel.COMPARING
    jobs.do()
    assert panel.fine.text().endswith(range_panel.NOT_YET)
    session.set_prediction(answer(session, plain))
    assert panel.fine.text().endswith(range_panel.NOW)
    jobs.do()
    assert panel.fine.text().endswith(range_panel.NO_MAPS), "they were too large to be kept"
    session.set_bundle(other(plain))
    assert panel.fine.text().startswith(range_panel.ANOTHERS.format(plain.ref.name))
    session.set_prediction(None)
    session.set_bundle(replace(plain, ranges=replace(plain.ranges, features=None)))
    jobs.do()
    assert panel.fine.text().endswith(range_panel.NO_LOOKS)


def test_people_who_look_on_are_told_on_every_slice_that_a_case_is_not_certain(
    session: Session, jobs: Jobs, found: Any, plain: Bundle
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    jobs.do()
    session.presenter.on = True
    session.set_prediction(answer(session, plain, (5,)))
    jobs.do()
    for z in (5, 1):
        session.go_to(z)
        session.readout.refresh()
        text = session.readout.text.replace("\n", " ")
        assert text.count("Not certain") == 1 and "Case:" in text


def test_a_table_of_scores_says_whose_they_are(
    session: Session, jobs: Jobs, found: Any, plain: Bundle, tmp_path: Path
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    session.set_prediction(answer(session, plain))
    jobs.do()

    def rows() -> list[dict[str, str]]:
        takeaway.save_table(session, tmp_path / "scores.csv")
        return list(csv.DictReader((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()))

    for row in rows():
        assert list(row)[:4] == ["slice", "lesion", "IGM", "NME"]
        assert (row["model"], row["remark"]) == (plain.ref.name, "")
        assert (row["like the training"], row["doubts"]) == ("no", OUTSIDE.text)
    session.live.scores = SimpleNamespace(groups=("kind",))  # type: ignore[assignment]
    assert {row["remark"] for row in rows()} == {"scores taught live, not calibrated"}


@pytest.fixture
def teaching(
    session: Session, jobs: Jobs, plain: Bundle, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], int]:
    """Boxes teach the map of a study that the model has not seen yet; how many runs were begun."""
    session.show_study(make_volume())
    session.set_bundle(plain)
    session.live.switch(True)
    session.journal.add(Box(4, 3, 3, 20, 20, "IGM"))
    return lambda: jobs.started.count(tasks.RUN)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_run_that_was_stopped_stays_stopped(
    session: Session, jobs: Jobs, plain: Bundle, teaching: Callable[[], int], end: str
) -> None:
    said = [OSError("no")] if end == "failed" else []
    assert teaching() == 1
    jobs.at[tasks.RUN].told(partial(session, plain))
    jobs.end(tasks.RUN, end, *said)
    assert session.prediction is None and teaching() == 1 and tasks.RUN not in jobs.at
    session.live.others.changed.emit()
    assert teaching() == 1
    session.journal.add(Box(5, 3, 3, 20, 20, "IGM"))
    assert teaching() == 2, "another box asks once more"
    jobs.end(tasks.RUN, end, *said)
    assert teaching() == 2
    session.live.switch(False)
    session.live.switch(True)
    assert teaching() == 3, "so does the switch"


def test_an_answer_that_was_cut_short_does_not_wait_to_be_shown(
    session: Session, jobs: Jobs, plain: Bundle
) -> None:
    session.set_protocol(Protocol(opinion="before"))
    session.show_study(make_volume())
    session.set_bundle(plain)
    tasks.run_model(session)
    jobs.at[tasks.RUN].told(partial(session, plain))
    assert session.opinions.held is not None
    jobs.end(tasks.RUN, "cancelled")
    assert session.opinions.held is None
    whole = answer(session, plain)
    session.set_prediction(whole)
    tasks.run_model(session, [2])
    jobs.end(tasks.RUN, "cancelled")
    assert session.opinions.held is whole, "what had waited before the run waits on"
    session.opinions.say("unsure")
    assert session.prediction is whole


def test_a_whole_answer_stays_until_the_next_one_is_whole(
    session: Session, jobs: Jobs, plain: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.show_study(make_volume())
    session.set_bundle(plain)
    whole = answer(session, plain)
    session.set_prediction(whole)
    asked: list[Any] = []
    monkeypatch.setattr(
        "napari_breast_ai.inference.predict", lambda *_, **more: asked.append(more["partial"])
    )
    session.live.switch(True)
    session.journal.add(Box(4, 3, 3, 20, 20, "IGM"))
    jobs.at[tasks.RUN].work(lambda *_: None, lambda _: None)
    session.set_prediction(replace(whole, model=ModelRef("other", "1" * 64)))
    tasks.run_model(session)
    jobs.at[tasks.RUN].work(lambda *_: None, lambda _: None)
    assert asked[0] is None and asked[1] is not None, "of another model's answer nothing stays"
