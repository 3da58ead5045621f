"""The lesions of the case with their slices and sizes, and “no lesion”."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from ...annotations.lesions import Lesion, lesions
from ...core import DceVolume
from .. import layers as look
from ..palette import label_color
from ..shortcuts import tooltip
from .classes_panel import swatch
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

_KEY = Qt.ItemDataRole.UserRole
LINE, MOST_LINES = 18, 8


class LesionsPanel(Section):
    """A line for each lesion: class, slices, extent in mm. A click goes there."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Lesions", parent)
        self._session = session
        self._lesions: dict[str, Lesion] = {}
        self.table = QTreeWidget()
        self.table.setHeaderLabels(["Lesion", "Slices", "Size"])
        self.table.setRootIsDecorated(False)
        self.table.setUniformRowHeights(True)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setToolTip(
            "Extent across the columns × down the rows × through the slices, of all its boxes"
        )
        header = self.table.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.table.itemClicked.connect(self._go)
        self.table.itemActivated.connect(self._go)
        self.body.addWidget(self.table)
        self.text = sentence()
        self.body.addWidget(self.text)
        editing = session.editing
        self.slice_button = button(
            "No lesion on this slice", tooltip("empty slice"), lambda: self._say(editing.say_empty_slice)
        )
        self.case_button = button(
            "No lesion in this case", tooltip("empty case"), lambda: self._say(editing.say_empty_case)
        )
        for one in (self.slice_button, self.case_button):
            one.setCheckable(True)
        self.body.addLayout(row(self.slice_button, self.case_button))
        links.connect(session.boxes_changed, self.refresh)
        links.connect(session.protocol_changed, self.refresh)
        links.connect(session.keeper.trouble_changed, self._mark)
        links.connect(session.position_changed, self._mark)
        self.refresh()

    def refresh(self) -> None:
        """List the lesions anew."""
        session = self._session
        journal, volume = session.journal, session.volume
        found = lesions(journal.boxes) if journal is not None and volume is not None else ()
        shown = {lesion.key: lesion for lesion in found}
        if shown != self._lesions or not found:
            self._lesions = shown
            self.table.clear()
            for lesion in found:
                assert volume is not None
                first, last = lesion.boxes[0].z, lesion.boxes[-1].z
                slices = f"{first}" if first == last else f"{first}–{last}"
                item = QTreeWidgetItem([lesion.label, slices, _size(lesion, volume)])
                item.setIcon(0, swatch(label_color(lesion.label, session.protocol)))
                item.setData(0, _KEY, lesion.key)
                self.table.addTopLevelItem(item)
        lines = min(max(len(self._lesions), 2), MOST_LINES)
        line = self.table.sizeHintForRow(0)
        frame = 2 * self.table.frameWidth()
        self.table.setFixedHeight(
            self.table.header().sizeHint().height() + lines * (line if line > 0 else LINE) + frame
        )
        ready = journal is not None and not journal.read_only
        self.slice_button.setEnabled(ready)
        self.case_button.setEnabled(ready)
        self._mark()

    def _say(self, action: Callable[[], None]) -> None:
        action()
        # A click presses the button also where there are boxes and nothing can be said.
        self._mark()

    def _mark(self) -> None:
        """What holds for the slice in view."""
        session = self._session
        journal = session.journal
        if journal is None:
            self.text.setText("")
            return
        self.slice_button.setChecked(session.slice_index in journal.empty_slices)
        self.case_button.setChecked(journal.empty_case)
        boxes, empty = len(journal.boxes), len(journal.empty_slices)
        slices = len({box.z for box in journal.boxes})
        parts = [f"{_many(boxes, 'box', 'boxes')} on {_many(slices, 'slice', 'slices')}"]
        if empty:
            parts.append(f"{_many(empty, 'slice', 'slices')} said to have no lesion")
        if journal.empty_case:
            parts.append("the case is said to have no lesion")
        saved = "" if journal.unsaved else (" Saved." if journal.touched else "")
        self.text.setText(f"{'; '.join(parts)}.{saved}")
        self.text.setToolTip(f"Boxes of {journal.reader}: {journal.path}")

    def _go(self, item: QTreeWidgetItem) -> None:
        lesion = self._lesions.get(item.data(0, _KEY))
        if lesion is None:
            return
        boxes = lesion.boxes
        on_slice = [box for box in boxes if box.z == self._session.slice_index]
        box = on_slice[0] if on_slice else boxes[len(boxes) // 2]
        self._session.go_to(box.z)
        self._session.boxes.select(box.id)


def _size(lesion: Lesion, volume: DceVolume) -> str:
    """Across × down × through, in millimetres, or in pixels where the picture has no size."""
    depth, height, width = lesion.size_mm(volume.geometry)
    if not look.has_size(volume):
        return f"{width:.0f} × {height:.0f} px"
    return f"{width:.0f} × {height:.0f} × {depth:.0f} mm"


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
