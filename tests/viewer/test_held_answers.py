"""An answer that waits for the reader's own is told by nothing else, and a late result comes to nobody else."""

from __future__ import annotations

import ast
import importlib
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import make_prediction, make_volume
from napari_breast_ai import viewer as package
from napari_breast_ai.annotations.protocol import Protocol
from napari_breast_ai.core import Box, BreastAIError
from napari_breast_ai.models import load_bundle
from napari_breast_ai.viewer import compare, notices, tasks
from napari_breast_ai.viewer.live import LIVE
from napari_breast_ai.viewer.recall import READY
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.similar import SIMILAR
from napari_breast_ai.viewer.workers import Workers

BEFORE = Protocol(opinion="before")


@pytest.fixture
def started(session: Session, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was started last, by its kind, with its callbacks; nothing runs."""
    found: dict[str, Any] = {}

    def start(kind: str, name: str, work: Any, **calls: Any) -> None:
        found[kind] = SimpleNamespace(work=work, **calls)

    monkeypatch.setattr(session.workers, "start", start)
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda text: None)
    return found


def test_the_class_of_an_answer_that_waits_is_not_chosen_to_be_shown(session: Session) -> None:
    volume = make_volume()
    session.set_protocol(BEFORE)
    session.show_study(volume)
    before = session.display
    session.set_prediction(make_prediction(volume, attention=False))
    assert session.prediction is None and session.opinions.held is not None
    assert session.display == before, (
        "the most probable class, and that there are heat maps, are of the answer"
    )
    session.opinions.say("unsure")
    assert session.prediction is not None
    assert session.display.label == "NME" and session.display.gradcam


def test_nothing_is_asked_of_a_map_that_must_not_be_seen_yet(
    session: Session, started: dict[str, Any]
) -> None:
    session.set_protocol(BEFORE)
    session.show_study(make_volume())
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    with pytest.raises(BreastAIError, match="say first what you think yourself"):
        session.questions.ask([3], "attention", "IGM")
    session.opinions.say("IGM")
    session.questions.ask([3], "attention", "IGM")
    started["questions"].done((object(),))
    assert session.questions.answers
    session.set_protocol(Protocol())
    assert session.questions.answers
    session.set_reader("ben")
    assert not session.questions.answers
    session.questions.ask([3], "attention", "IGM")
    started["questions"].done((object(),))
    # From now on they must say first what they think, and they have not.
    session.set_protocol(BEFORE)
    assert not session.questions.answers


def test_another_model_is_not_shown_to_a_reader_who_came_meanwhile(
    session: Session, started: dict[str, Any]
) -> None:
    volume = make_volume()
    session.set_protocol(BEFORE)
    session.show_study(volume)
    session.opinions.say("IGM")
    shown: list[Any] = []
    compare.compare_with(session, "other", shown.append)
    session.set_reader("ben")
    started[compare.COMPARE].done((make_prediction(volume), None))
    assert shown == [] and session.journal is not None and not session.journal.answer_seen


def test_what_is_known_of_a_case_is_not_recalled_for_a_reader_who_came_meanwhile(
    session: Session, started: dict[str, Any]
) -> None:
    volume, bundle = make_volume(), load_bundle("demo-attention-squeezenet")
    session.set_protocol(Protocol(no_suggestions_for=("ben",)))
    session.show_study(volume)
    session.set_bundle(bundle)
    session.set_reader("ben")
    assert not session.protocol.suggests_to("ben")
    started[READY].done(make_prediction(volume))
    assert session.prediction is None


def test_boxes_do_not_teach_one_models_maps_with_anothers_answer(
    session: Session, started: dict[str, Any]
) -> None:
    volume = make_volume()
    session.show_study(volume)
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    kept = session.live.keep()
    assert kept is not None
    # As after a look at what is kept on the disk.
    session.live.keep = lambda: SimpleNamespace(complete=True, too_large=False)  # type: ignore[method-assign]
    run: list[Any] = []
    session.live.switch(True)
    session.set_prediction(make_prediction(volume))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "run_model", lambda session, **more: run.append(more))
        assert session.journal is not None
        session.journal.add(Box(4, 3, 3, 20, 20, "IGM"))
    assert LIVE not in started and run, "the model that is chosen runs first"


def test_similar_cases_are_looked_for_again_with_the_boxes_of_the_next_reader(
    session: Session, started: dict[str, Any]
) -> None:
    volume = make_volume()
    session.show_study(volume)
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    session.similar.index = SimpleNamespace(entries=())  # type: ignore[assignment]
    session.set_prediction(make_prediction(volume))
    assert SIMILAR in started
    started.clear()
    session.set_reader("ben")
    assert SIMILAR in started and session.similar.neighbours == ()


def test_a_result_that_was_on_its_way_when_it_was_stopped_comes_to_nobody(qapp: Any) -> None:
    workers, ready = Workers(), threading.Event()
    found: list[Any] = []

    def work(progress: Any) -> str:
        ready.set()
        return "late"

    workers.start(
        "kind",
        "Work",
        work,
        done=found.append,
        failed=found.append,
        cancelled=lambda: found.append("stopped"),
    )
    job = workers.job("kind")
    assert job is not None and ready.wait(10) and job.join(10)
    workers.cancel("kind")
    while not found:
        qapp.processEvents()
    assert found == ["stopped"]


def test_work_on_the_study_before_does_not_keep_the_next_one_waiting(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str | None] = []
    session.show_study(make_volume())
    monkeypatch.setattr(session.workers, "cancel", lambda kind=None: stopped.append(kind))
    session.set_reader("ben")
    assert tasks.RUN not in stopped, "the study is the same"
    session.show_study(make_volume(uid="9"))
    assert {tasks.RUN, tasks.PIXELS, compare.COMPARE, "projection"} <= set(stopped)


def test_works_of_two_parts_do_not_put_each_other_off() -> None:
    """Of one kind there is one job at a time, so that no two parts may call theirs the same."""
    folder = Path(str(package.__file__)).parent
    owners: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            one.id
            for line in tree.body
            if isinstance(line, ast.Assign)
            for target in line.targets
            for one in ast.walk(target)
            if isinstance(one, ast.Name)
        }
        for call in ast.walk(tree):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "start"
                and "workers" in ast.unparse(call.func.value)
                and isinstance(call.args[0], ast.Name)
                and call.args[0].id in own
            ):
                module = importlib.import_module(f"{package.__name__}.{path.stem}")
                owners.setdefault(getattr(module, call.args[0].id), set()).add(path.stem)
    assert len(owners) > 15
    assert {kind: names for kind, names in owners.items() if len(names) > 1} == {}


def test_the_tour_does_not_ask_again_for_a_model_that_cannot_be_loaded(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    running = [False]

    def use(session: Session, name: str) -> None:
        asked.append(name)
        running[0] = True

    monkeypatch.setattr(tasks, "use_model", use)
    monkeypatch.setattr(session.workers, "running", lambda kind: kind == tasks.MODEL and running[0])
    session.show_study(make_volume())
    tour = session.tour
    tour.begin()
    tour.move(2)
    tour.act()
    session.workers.changed.emit()
    assert len(asked) == 1
    running[0] = False  # it has failed
    for _ in range(3):
        session.workers.changed.emit()
    assert len(asked) == 1
    tour.act()
    assert len(asked) == 2, "the person may ask again"


def test_what_the_tour_cannot_go_on_with_is_said(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    session.said.connect(said.append)
    monkeypatch.setattr(notices, "complain", lambda text: None)

    def cannot() -> None:
        raise BreastAIError("The study is still being read.")

    session.tour.begin()
    session.tour.when_ready(cannot)
    session.workers.changed.emit()
    assert said == ["The study is still being read."]
