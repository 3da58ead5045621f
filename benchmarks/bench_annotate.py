"""What labelling costs beside the reader's own time: 335 slices through the worklist, and plain napari beside it.

A scripted reader with real mouse and key events on the canvas of a real window: Enter brings the next image (in a
DICOM case the arrow key the next slice), a key chooses the class, one or two boxes are dragged. Measured is the
program's share: from the key until the image is painted and the next drag would draw; from the release of the button
until the box is in the journal on the disk, and until it is painted as well. After each image plain napari (an image
layer and a layer of shapes, `layer.data = ...`, `layer.save` to a CSV) gets the same gestures on the same image in
a window of its own.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/bench_annotate.py [--count 335] [--write]

The pictures come from `breastdm_png` and `busi_odd` of the folder that `NBAI_DATA` names; all is copied.
`--write` puts the table into RESULTS.md, replacing the one before.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import warnings
from collections import defaultdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import results

os.environ.setdefault("NAPARI_ASYNC", "0")

import napari
import numpy as np
from annotate_project import DENSE, LABELLED, PHASES, READER, SHAPE, WARM_UP, Project, make
from hand import Hand, Place
from plain import Plain
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.annotations.log import Turn
from napari_breast_ai.core import BOX_LABELS, DceVolume
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.session import Session, get_session
from napari_breast_ai.viewer.widgets.worklist_panel import WorklistTable

LOOK_S, PAUSE_S = 0.1, 0.008
"""The reader's own time: a look at the image, and the mouse between two places of a drag."""

CHECK_EVERY = 20
COLD = 20
GOAL_MEDIAN, GOAL_LATE, GOAL_FIRST = 0.150, 0.400, 0.300


class Reader:
    """Labels in both windows; `ours` and `peer` hold seconds by what was done."""

    def __init__(self, session: Session, hand: Hand, plain: Plain, plain_hand: Hand) -> None:
        self.session, self.hand, self.plain, self.plain_hand = session, hand, plain, plain_hand
        self.ours: dict[str, list[float]] = defaultdict(list)
        self.peer: dict[str, list[float]] = defaultdict(list)
        self.dice = np.random.default_rng(1)
        self.drawn = self.images = self.looked_twice = 0
        self.counted = False
        self.drawn_by = ""

    def note(self, times: dict[str, list[float]], what: str, seconds: float) -> None:
        if self.counted:
            times[what].append(seconds)

    @property
    def volume(self) -> DceVolume:
        assert self.session.volume is not None
        return self.session.volume

    def label_case(self, slices: int) -> None:
        """Label the case on the screen, image by image, in both windows."""
        session, hand = self.session, self.hand
        assert session.journal is not None
        many = len(session.journal.boxes) >= DENSE
        for number in range(slices):
            if number:
                z = session.slice_index + 1
                step = f"step, {DENSE} boxes" if many else "step"
                act, key = (lambda: hand.key(Qt.Key.Key_Down)), Qt.Key.Key_Down
                _, taken = hand.timed(act, lambda z=z: session.slice_index == z, "the next slice")
                self.note(self.ours, step, taken)
                _, taken = self.plain_hand.timed(
                    lambda key=key: self.plain_hand.key(key), _true, "the next slice"
                )
                self.note(self.peer, step, taken)
            self.images += self.counted
            check = self.images % CHECK_EVERY == 0
            if check:
                self.complete(hand)
            hand.wait(LOOK_S)
            saved = f"saved, {DENSE} boxes" if many else "saved"
            for _ in range(1 + int(self.dice.integers(2))):
                which = int(self.dice.integers(len(BOX_LABELS)))
                self.box(which, *self.aim(), saved, check)

    def aim(self) -> tuple[Place, Place]:
        _, rows, columns = self.volume.geometry.shape
        y, x, h, w = self.dice.uniform((0.2, 0.2, 0.1, 0.1), (0.6, 0.6, 0.25, 0.25))
        return (y * rows, x * columns), ((y + h) * rows, (x + w) * columns)

    def box(self, which: int, start: Place, end: Place, saved: str, check: bool) -> None:
        """One box in both windows, from the class's key on."""
        session, hand = self.session, self.hand
        journal, spacing = session.journal, self.volume.geometry.spacing[1:]
        assert journal is not None
        self.note(self.ours, "class", hand.served(lambda: hand.key(Qt.Key(Qt.Key.Key_1 + which))))
        before = len(journal.boxes)
        release = hand.pull(start, end, spacing, PAUSE_S)
        unsaved = journal.path.stat().st_size if journal.path.exists() else 0
        on_disk, painted = hand.timed(release, lambda: len(journal.boxes) == before + 1, "a box")
        made, written = journal.boxes[-1], journal.path.read_bytes()[unsaved:]
        assert made.id.encode() in written, "The box was not on the disk when the release was over."
        assert made.label == BOX_LABELS[which] and made.z == session.slice_index, made
        off = np.abs(np.subtract((made.y0, made.x0, made.y1, made.x1), (*start, *end)))
        assert off.max() < 2.0 + 2.0 / (hand.viewer.scene.camera.zoom * spacing[0]), (made, start, end)
        self.drawn += 1
        self.note(self.ours, f"{saved}, disk", on_disk)
        self.note(self.ours, saved, painted)
        if check:
            self.complete(hand)
        plain, other = self.plain, self.plain_hand
        self.note(self.peer, "class", other.served(lambda: other.key(Qt.Key(Qt.Key.Key_1 + which))))
        before = len(plain.shapes.data)
        on_disk, painted = other.timed(
            other.pull(start, end, plain.spacing, PAUSE_S),
            lambda: len(plain.shapes.data) == before + 1,
            "a box",
        )
        assert plain.csv.stat().st_size > 0
        self.note(self.peer, f"{saved}, disk", on_disk)
        self.note(self.peer, saved, painted)

    def complete(self, hand: Hand) -> None:
        """What was called painted must be the last picture: nothing may change when the reader waits."""
        now = hand.picture()
        hand.wait(0.3)
        assert (hand.picture() == now).all(), "The picture still changed after it had been called painted."
        self.looked_twice += 1

    def next_case(self, dicom: bool) -> None:
        """Enter, once the case after this one has been read ahead; then the same image in the other window."""
        session, hand = self.session, self.hand
        reading, old = session.reading, session.volume
        waited = hand.wait_for(lambda: session.workers.busy is None, "reading ahead")
        self.note(self.ours, "ahead, DICOM" if dicom else "ahead", waited)
        turn = self.upcoming()
        assert reading.is_ready(turn), f"{turn} was not read ahead."
        _, taken = hand.timed(
            lambda: hand.key(Qt.Key.Key_Return),
            lambda: session.volume is not old and reading.turn == turn and session.boxes.drawing,
            "the next case",
        )
        assert old is not None
        what = "picture" if not dicom else "case" if old.n_phases > 1 else "case after a picture"
        self.note(self.ours, what, taken)
        self.show_plain(what)

    def show_plain(self, what: str) -> None:
        session, other = self.session, self.plain_hand
        assert session.journal is not None
        volume = self.volume
        self.plain.upcoming = (
            volume.data[session.phase_index],
            volume.geometry.spacing,
            session.slice_index,
            [look.rectangle(box) for box in session.journal.boxes],
        )
        _, taken = other.timed(lambda: other.key(Qt.Key.Key_Return), _true, "the next image")
        self.note(self.peer, what, taken)

    def upcoming(self) -> Turn:
        log = self.session.reading.log
        assert log is not None
        return next(
            turn for turn in log.turns[log.place + 1 :] if log.standing(turn).status in ("to do", "open")
        )

    def open_cold(self, table: WorklistTable, names: list[str], dicom: set[str]) -> None:
        """Cases that nobody read ahead, chosen in the list."""
        session, hand, reading = self.session, self.hand, self.session.reading
        assert reading.log is not None
        for name in names:
            hand.wait_for(lambda: session.workers.busy is None, "reading")
            turn, old = Turn(name), session.volume
            if reading.is_ready(turn) or turn == reading.turn:
                continue
            table.setCurrentIndex(table.model().index(reading.log.turns.index(turn), 0))
            _, taken = hand.timed(
                lambda: QTest.keyClick(table, Qt.Key.Key_Return),
                lambda old=old: session.volume is not None and session.volume is not old,
                "a case that was not read ahead",
            )
            self.note(self.ours, "cold, DICOM" if name in dicom else "cold", taken)


def _true() -> bool:
    return True


def run(folder: Path, data: Path, count: int) -> tuple[Reader, Project]:
    """The whole reading; both windows are open side by side."""
    project = make(folder, data, count)
    (folder / "csv").mkdir()
    plain = Plain(folder / "csv", BOX_LABELS)
    viewer = napari.Viewer(title="bench annotate")
    viewer.window.resize(1600, 1000)
    session = get_session(viewer, READER)
    docks = {
        name: viewer.window.add_plugin_dock_widget("napari-breast-ai", name)[1]
        for name in ("Annotate", "Cases")
    }
    docks["Cases"].tabs.setCurrentIndex(1)
    docks["Annotate"].parent().raise_()
    hand, other = Hand(viewer), Hand(plain.viewer)
    reader = Reader(session, hand, plain, other)
    hand.wait(1.0)
    session.reading.open(project.table)
    hand.wait_for(lambda: session.volume is not None and session.workers.busy is None, "the first case")
    hand.key(Qt.Key.Key_B)
    reader.show_plain("picture")
    for number, (name, slices) in enumerate(project.todo.items()):
        if number:
            reader.next_case(name in project.dicom)
        reader.counted = number >= WARM_UP
        assert session.reading.turn == Turn(name), (session.reading.turn, name)
        reader.label_case(slices)
    hand.key(Qt.Key.Key_Return)
    names = list(project.todo)
    cold = [
        *sorted(project.dicom - {names[-1]}),
        *[one for one in names[:-1] if one not in project.dicom][1 : 1 + 2 * COLD : 2],
    ]
    reader.dice.shuffle(cold)
    docks["Cases"].parent().raise_()
    reader.open_cold(docks["Cases"].findChild(WorklistTable), cold, project.dicom)
    hand.wait_for(lambda: session.workers.busy is None, "reading")
    log = session.reading.log
    assert log is not None and log.counts()["to do"] == log.counts()["open"] == 0, log and log.counts()
    reader.drawn_by = hand.drawn_by()
    session.shut_down()
    viewer.close()
    plain.viewer.close()
    kept = sum(len(read_case(one).boxes) for one in find_journals([folder]))
    assert kept == project.before + reader.drawn, (kept, project.before, reader.drawn)
    return reader, project


def late(values: list[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(values, 95))


def report(reader: Reader, project: Project, beside: str) -> str:
    ours, peer = reader.ours, reader.peer
    size = " × ".join(map(str, (PHASES, *SHAPE)))
    rows = {
        "picture": "Enter to the next picture, ready to draw on",
        "case": "Enter to the first slice of the next DICOM case, after another one",
        "case after a picture": "the same after a picture, where layers come",
        "step": "arrow to the next slice",
        f"step, {DENSE} boxes": f"the same with {DENSE} boxes on the case",
        "class": "key to the class",
        "saved, disk": "release of the button to the box on the disk",
        "saved": "release to the box on the disk and painted",
        f"saved, {DENSE} boxes, disk": f"to the disk, {DENSE} boxes on the case",
        f"saved, {DENSE} boxes": f"to the disk and painted, {DENSE} boxes on the case",
        "cold": "chosen in the list, not read ahead: picture",
        "cold, DICOM": "chosen in the list, not read ahead: first slice of a DICOM case",
    }
    lines = [
        "## Labelling",
        "",
        f"{reader.images} slices ({len(project.dicom)} DICOM cases with {LABELLED} each, {size} voxels; the rest "
        "pictures) through the "
        f"worklist, {reader.drawn} boxes drawn, {project.before} boxes in its journals beforehand, {DENSE} of them on "
        "every second DICOM case; cases that are done lie between. Milliseconds of the program's own share, median / "
        "95th percentile; interleaved image by image, the first "
        f"{WARM_UP} not counted. Plain napari has all pixels in memory and does not wait for the disk (no fsync).",
        "",
        "| | times | napari-breast-ai | plain napari | ratio of the medians |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, text in rows.items():
        mine, theirs = ours.get(name, []), peer.get(name, [])
        if mine:
            ratio = f"{statistics.median(mine) / statistics.median(theirs):.2f}" if theirs else "–"
            lines.append(f"| {text} | {len(mine)} | {_cell(mine)} | {_cell(theirs)} | {ratio} |")
    firsts = [*ours["case"], *ours["case after a picture"]]
    images = [*ours["picture"], *firsts, *ours["step"], *ours[f"step, {DENSE} boxes"]]
    saved = [*ours["saved"], *ours[f"saved, {DENSE} boxes"]]
    goals = {
        f"key to ready, all images ({_cell(images)} ms)": images,
        f"drag to saved and painted, all boxes ({_cell(saved)} ms)": saved,
    }
    verdicts = [
        f"{what}: {'met' if statistics.median(v) < GOAL_MEDIAN and late(v) < GOAL_LATE else 'NOT met'}"
        for what, v in goals.items()
    ]
    quick = sum(taken < GOAL_FIRST for taken in firsts)
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    lines += [
        "",
        f"Reading ahead was done {_cell(ours['ahead'])} ms (a picture; a DICOM case {_cell(ours['ahead, DICOM'])}) "
        "after the reader's last box, who needs some 0.4 s an image here. Every box was "
        f"found in the journal's file, class and place compared; {reader.looked_twice} pictures were looked at again "
        "0.3 s later and had not changed.",
        "",
        f"Goals, median below {1000 * GOAL_MEDIAN:.0f} ms and 95th percentile below {1000 * GOAL_LATE:.0f} ms: "
        + "; ".join(verdicts)
        + f". First slice of a case that is read ahead in less than {GOAL_FIRST} s: {quick} of {len(firsts)}.",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, drawn by {reader.drawn_by}, "
        f"Python {platform.python_version()}, napari {version('napari')}, PySide6 {version('PySide6')}; load average at "
        f"the end {load}; {date.today().isoformat()}." + (f" {beside}" if beside else ""),
    ]  # fmt: skip
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    return f"{1000 * statistics.median(values):.0f} / {1000 * late(values):.0f}" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=335, help="slices to label (default 335)")
    parser.add_argument("--beside", default="", help="a sentence about what else ran on the machine")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    data = Path(os.environ.get("NBAI_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        os.environ["NAPARI_BREAST_AI_CACHE"] = "off"
        os.environ["NAPARI_BREAST_AI_DATA"] = str(Path(place) / "data")
        folder = Path(place) / "project"
        folder.mkdir()
        section = report(*run(folder, data, given.count), given.beside)
    print(section)
    if given.write:
        results.write("bench_annotate", section)


if __name__ == "__main__":
    main()
