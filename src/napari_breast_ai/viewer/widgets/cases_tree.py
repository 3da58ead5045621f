"""The tree of the Cases dock: patient, study, group, phase; and what is unused, because."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QItemSelectionModel, QKeyCombination, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (  # type: ignore[attr-defined]
    QAbstractItemView,
    QAction,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

if TYPE_CHECKING:
    from ...study import Group, StudyIndex
    from ..cases import Cases

_DATA = Qt.ItemDataRole.UserRole
_NAME, _ROLE, _SIZE, _SURE = range(4)
_MOST_FILES = 200
"""Unused files listed under one reason; a folder of photographs must not stop the window."""
OVERRULED, WARNED = "✎", "⚠"
NAMES = {"dce": "DCE", "t1": "T1", "t2": "T2", "dwi": "DWI", "adc": "ADC"}


def role_name(group: Group) -> str:
    """The role for people: "T2 fat-suppressed", "subtraction"."""
    detail = group.judged.detail
    if group.role == "derived" and detail:
        return detail
    return " ".join(
        filter(None, (NAMES.get(group.role, group.role), "FS" if detail[:3] == "fat" else detail))
    )


class CasesTree(QTreeWidget):
    """Shows an index; groups and phases can be chosen with mouse and keys.

    Attributes:
        keys: what a key does while the tree has the focus, by the key's name.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(["Patient, study, group, phase", "Role", "Images", "Sure"])
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setUniformRowHeights(True)
        self.setExpandsOnDoubleClick(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column in (_ROLE, _SIZE, _SURE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setIndentation(14)
        self._filter = ""
        self.keys: dict[str, QAction] = {}

    def event(self, event: QEvent) -> bool:
        """Keep our keys from the window's shortcuts while the tree has the focus."""
        if event.type() == QEvent.Type.ShortcutOverride and self._action(event) is not None:
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Do what the key stands for, or what a tree does with it."""
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
        elif action.isEnabled():
            action.trigger()

    def _action(self, event: Any) -> QAction | None:
        code = event.key()
        if code == Qt.Key.Key_Enter:
            code = Qt.Key.Key_Return
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        return self.keys.get(QKeySequence(QKeyCombination(modifiers, Qt.Key(code))).toString())

    # ---------------------------------------------------------------- content

    def show_index(self, cases: Cases) -> None:
        """Fill anew; what was open and chosen stays so, as far as it is still there."""
        opened, chosen = self._state()
        current = self.currentItem()
        here = None if current is None else self._key(current)
        self.clear()
        if cases.index is None:
            return
        from ...study import outline

        for patient in outline(cases.index):
            top = self._add(self, (patient.title,), ("patient", patient.patient_id))
            for study in patient.studies:
                node = self._add(top, (f"Study {study.title}",), ("study", study.uid))
                for group in study.groups:
                    self._group(node, group, cases)
                node.setExpanded(("study", study.uid) in opened or not opened)
            top.setExpanded(("patient", patient.patient_id) in opened or not opened)
        if cases.index.cases:
            self._others(cases.index)
        if cases.index.unused:
            self._unused(cases.index)
        for item in self._items():
            if self._key(item) in opened:
                item.setExpanded(True)
            item.setSelected(self._key(item) in chosen)
            if self._key(item) == here:
                # Without a current row the keyboard would start at the top again.
                self.setCurrentItem(item, 0, QItemSelectionModel.SelectionFlag.NoUpdate)
        self.filter(self._filter)

    def _group(self, node: QTreeWidgetItem, group: Group, cases: Cases) -> None:
        from ...study.outline import phase_time, phase_title

        marks = (OVERRULED if group.overruled else "", WARNED if group.warnings else "")
        number = group.frames[0].source.series_number
        name = " ".join(
            filter(None, (*marks, "" if number is None else str(number), _one_line(group.description)))
        )
        size = (
            f"{group.n_phases} × {group.n_slices}" if group.geometry is not None else f"{len(group.frames)}"
        )
        sure = f"{group.judged.confidence:.0%}"
        item = self._add(node, (name, role_name(group), size, sure), ("group", group))
        if cases.is_shown(group):
            font = item.font(_NAME)
            font.setBold(True)
            item.setFont(_NAME, font)
        told = (
            group.judged.reason,
            *(f"{OVERRULED} {one}" for one in group.overruled),
            *(f"{WARNED} {one}" for one in group.warnings),
        )
        for column in range(4):
            item.setToolTip(column, "\n".join(told))
        for number, phase in enumerate(group.phases if group.n_phases > 1 else ()):
            texts = (phase_title(group, number), phase_time(phase).split(" (")[0], str(len(phase.frames)))
            below = self._add(item, texts, ("phase", group, number))
            below.setToolTip(_NAME, f"{phase_time(phase)}; {len(phase.frames)} images")

    def _others(self, index: StudyIndex) -> None:
        """Cases of other formats, which are opened by choosing their files."""
        top = self._add(self, ("Other formats", "", str(len(index.cases))), ("others",))
        for case in index.cases[:_MOST_FILES]:
            texts = (case.name, case.format, f"{case.n_phases} × {' × '.join(map(str, case.shape))}")
            node = self._add(top, texts, ("other", str(case.paths[0])))
            node.setToolTip(_NAME, "\n".join(map(str, case.paths[:_MOST_FILES])))
        if len(index.cases) > _MOST_FILES:
            self._add(top, (f"… and {len(index.cases) - _MOST_FILES} more cases",), ("more", "others"))

    def _unused(self, index: StudyIndex) -> None:
        by_reason: dict[str, list[str]] = defaultdict(list)
        for one in index.unused:
            file = one.file
            shown = (
                file.relative_to(index.root)
                if index.root is not None and file.is_relative_to(index.root) and file != index.root
                else file
            )
            by_reason[one.reason].append(str(shown))
        top = self._add(self, ("Unused, because", "", str(len(index.unused))), ("unused",))
        for reason, files in sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            node = self._add(top, (reason, "", str(len(files))), ("reason", reason))
            node.setToolTip(_NAME, reason)
            for name in files[:_MOST_FILES]:
                self._add(node, (name,), ("file", name)).setToolTip(_NAME, name)
            if len(files) > _MOST_FILES:
                self._add(node, (f"… and {len(files) - _MOST_FILES} more files",), ("more", reason))

    @staticmethod
    def _add(parent: Any, texts: tuple[str, ...], data: tuple[Any, ...]) -> QTreeWidgetItem:
        item = QTreeWidgetItem(parent, list(texts))
        item.setData(0, _DATA, data)
        item.setTextAlignment(_SIZE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setTextAlignment(_SURE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return item

    # ----------------------------------------------------------------- choice

    @property
    def groups(self) -> list[Group]:
        """The groups that are chosen themselves, in the order of the tree."""
        return [data[1] for data in self._chosen() if data[0] == "group"]

    @property
    def phases(self) -> tuple[Group, list[int]] | None:
        """The phases that are chosen, where all are of one group."""
        found = [data for data in self._chosen() if data[0] == "phase"]
        if not found or any(one[1] is not found[0][1] for one in found):
            return None
        return found[0][1], [one[2] for one in found]

    @property
    def group(self) -> Group | None:
        """The one group that is chosen, itself or by its phases."""
        if len(self.groups) == 1:
            return self.groups[0]
        return self.phases[0] if self.phases is not None and not self.groups else None

    def choose(self, group_key: str, phase: int | None = None) -> None:
        """Choose a group, or one of its phases, by key."""
        for item in self._items():
            data = item.data(0, _DATA)
            if data[0] in ("group", "phase") and data[1].key == group_key:
                wanted = data[0] == "group" if phase is None else data[0] == "phase" and data[2] == phase
                if wanted:
                    self.setCurrentItem(item)
                    self.scrollToItem(item, QAbstractItemView.ScrollHint.PositionAtCenter)
                    return

    def _chosen(self) -> list[tuple[Any, ...]]:
        return [item.data(0, _DATA) for item in self._items() if item.isSelected()]

    # ----------------------------------------------------------------- filter

    def filter(self, text: str) -> None:
        """Show only what holds all words of `text`, with what stands above and below it."""
        self._filter = text
        words = text.casefold().split()
        for item in self._tops():
            self._sift(item, words)

    def _sift(self, item: QTreeWidgetItem, words: list[str]) -> bool:
        said = " ".join(item.text(c) for c in range(4)) + item.toolTip(_NAME)
        mine = all(word in said.casefold() for word in words)
        below = [self._sift(one, [] if mine else words) for one in _children(item)]
        item.setHidden(not (mine or any(below)))
        return not item.isHidden()

    # ------------------------------------------------------------------ small

    def _items(self) -> list[QTreeWidgetItem]:
        found: list[QTreeWidgetItem] = []

        def walk(item: QTreeWidgetItem) -> None:
            found.append(item)
            for one in _children(item):
                walk(one)

        for item in self._tops():
            walk(item)
        return found

    def _tops(self) -> list[QTreeWidgetItem]:
        return [item for i in range(self.topLevelItemCount()) if (item := self.topLevelItem(i)) is not None]

    @staticmethod
    def _key(item: QTreeWidgetItem) -> tuple[Any, ...]:
        data = item.data(0, _DATA)
        if data[0] == "group":
            return "group", data[1].key
        if data[0] == "phase":
            return "phase", data[1].phases[data[2]].key
        return tuple(data)

    def _state(self) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
        items = self._items()
        return (
            {self._key(item) for item in items if item.isExpanded()},
            {self._key(item) for item in items if item.isSelected()},
        )


def _children(item: QTreeWidgetItem) -> list[QTreeWidgetItem]:
    return [one for i in range(item.childCount()) if (one := item.child(i)) is not None]


def _one_line(description: str) -> str:
    return " ".join(description.split()) or "(no description)"
