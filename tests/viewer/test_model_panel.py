"""The list of models in the Review dock."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from napari_breast_ai.viewer import tasks
from napari_breast_ai.viewer.session import get_session
from napari_breast_ai.viewer.widgets.model_panel import ModelPanel
from napari_breast_ai.viewer.widgets.section import Links

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

LISTED = (SimpleNamespace(name="demo", summary="a demonstration"),)


def test_a_model_that_is_on_its_way_is_not_put_aside_by_the_first_of_the_list(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fill: list[Any] = []
    monkeypatch.setattr(tasks, "list_models", lambda session, done: fill.append(done))
    monkeypatch.setattr(tasks, "use_model", lambda session, name: asked.append(name))
    session = get_session(make_napari_viewer(show=False), "anna")
    panel = ModelPanel(session, Links())
    qtbot.addWidget(panel)

    # As “Use in Review” does: the model is loading while the dock opens and looks for others.
    read, came = Event(), []
    session.workers.start(
        tasks.MODEL, "Load the model", lambda progress: read.wait(60), done=came.append, failed=session.fail
    )
    fill[0](LISTED)
    assert not asked and panel.bundle_box.findData("demo") >= 0, "offered, not taken"
    read.set()
    qtbot.waitUntil(lambda: bool(came), timeout=60_000)

    # Where nothing was chosen and nothing is on its way, the first one is.
    fill[0](LISTED)
    assert asked == ["demo"]
    session.shut_down()
