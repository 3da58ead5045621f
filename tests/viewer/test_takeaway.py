"""What a person takes away from the Review dock: in a real window."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand import Window
from PIL import Image
from qtpy.QtTest import QTest

from conftest import make_volume
from napari_breast_ai.models import load_bundle
from napari_breast_ai.viewer import tasks
from napari_breast_ai.viewer.widgets import takeaway_panel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window()


def test_picture_report_and_scores_are_written(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, panel = window.session, window.dock.takeaway
    places: list[Path] = []
    monkeypatch.setattr(takeaway_panel, "choose_output", lambda *_: str(places.pop(0)) if places else "")
    assert not panel.report.isEnabled() and not panel.picture.isEnabled() and not panel.table.isEnabled()
    session.show_study(replace(make_volume(12, 96, 112), description="DOE JANE"))
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    window.settle(100)
    assert panel.report.isEnabled() and not panel.table.isEnabled()
    tasks.run_model(session)
    window.wait(lambda: session.prediction is not None and not session.prediction.pending)
    window.wait(lambda: not session.range.at_work)

    window.click(panel.picture)
    assert not panel.note.isVisible(), "the person thought better of it"

    places.append(tmp_path / "view")
    window.click(panel.picture)
    picture = np.asarray(Image.open(tmp_path / "view.png"))
    assert picture.ndim == 3 and picture.std() > 5
    assert "view.png" in panel.note.text()

    places.append(tmp_path / "scores.csv")
    window.click(panel.table)
    rows = list(csv.reader((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert (
        rows[0][:5] == ["slice", "lesion", "IGM", "NME", "model"]
        and rows[-1][0] == "case"
        and len(rows) == 14
    )

    QTest.keyClicks(panel.subject, "Case 7")
    for name in ("report.html", "report.pdf"):
        places.append(tmp_path / name)
        window.click(panel.report)
        window.wait(lambda name=name: name in panel.note.text())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Case report: Case 7" in text and "DOE" not in text
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")

    (tmp_path / "file").write_text("")
    said: list[str] = []
    session.said.connect(said.append)
    places.append(tmp_path / "file" / "report.html")
    window.click(panel.report)
    window.wait(lambda: any("Choose another place." in one for one in said))

    session.show_study(make_volume(5, 96, 112))
    assert panel.subject.text() == "" and not panel.note.isVisible()
