"""The Cases dock: what is in a folder, what the person makes of it, and the group to open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QKeySequence, QShowEvent
from qtpy.QtWidgets import (  # type: ignore[attr-defined]
    QAction,
    QGridLayout,
    QMenu,
    QSizePolicy,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...core import BreastAIError
from ..cases import BESIDE, SCAN
from ..following import FOLLOW
from ..moved import FIND
from ..tasks import PIXELS, STUDY
from .cases_tree import NAMES, OVERRULED, WARNED, CasesTree, role_name
from .choose import choose_files, choose_study
from .dock import Dock
from .job_bar import JobBar
from .section import Entry, button, row, sentence
from .worklist_panel import WorklistPanel

WIDTH = 380
_BUTTON = """
QToolButton { background-color: rgba(128, 128, 128, 60); border-radius: 2px; padding: 3px 4px; }
QToolButton:hover { background-color: rgba(128, 128, 128, 110); }
QToolButton:disabled { background-color: rgba(128, 128, 128, 22); }
"""
"""napari leaves tool buttons flat: they would look like words."""
ROLES = ("dce", "t1", "t2", "dwi", "adc", "derived", "other")
_JOBS = (SCAN, STUDY, PIXELS, FIND, BESIDE, FOLLOW)


class CasesDock(Dock):
    """Buttons to open, a filter, the tree, what is chosen in words, and what can be decided about it."""

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.folder_button = button("Folder…", "Look at every file in a folder", self._folder)
        self.file_button = button("Files or zip…", "Look at files, or into a zip archive", self._files)
        self.filter = Entry()
        self.filter.setPlaceholderText("Filter: words of a name, a role, a reason")
        self.filter.setClearButtonEnabled(True)
        self.filter.setToolTip("Show the groups whose name, role or reason has these words")
        self.tree = CasesTree()
        self.tree.setMinimumHeight(220)
        self.details = sentence()
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.progress = JobBar(
            self.session, self.links, lambda workers: workers.last(_JOBS), "Stop at the next file"
        )
        self.message = sentence(tone="warning")
        self._make_actions()
        files = QWidget()
        inner = QVBoxLayout(files)
        inner.setContentsMargins(0, 4, 0, 0)
        inner.setSpacing(6)
        inner.addLayout(row(self.folder_button, self.file_button))
        inner.addWidget(self.filter)
        inner.addWidget(self.tree, 1)
        inner.addWidget(self.details)
        inner.addLayout(self._buttons())
        self.worklist = WorklistPanel(self.session, self.links)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(files, "Files")
        self.tabs.addTab(self.worklist, "Worklist")
        self.tabs.setTabToolTip(0, "What is in a folder, and where every file belongs")
        self.tabs.setTabToolTip(1, "Cases that are read one after the other")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(8, 4, 8, 4)
        outer.setSpacing(6)
        outer.addWidget(self.tabs, 1)
        outer.addWidget(self.progress)
        outer.addWidget(self.message)
        self.setMinimumWidth(WIDTH)
        self._shown: Any = None
        self.filter.textChanged.connect(self.tree.filter)
        self.tree.itemSelectionChanged.connect(self._choice)
        self.tree.itemDoubleClicked.connect(lambda item, column: self._open())
        for signal in (self.session.index_changed, self.session.study_changed):
            self.links.connect(signal, self.refresh)
        self.links.connect(self.session.workers.changed, self._jobs)
        self.links.connect(self.session.said, self._say)
        self.tabs.currentChanged.connect(self._look_at_shown)
        self.refresh()
        self._jobs()

    def sizeHint(self) -> QSize:
        """Wide enough to read what series are called, where the screen gives it."""
        return QSize(480, super().sizeHint().height())

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the folder of the study that is on the screen already."""
        super().showEvent(event)
        self._look_at_shown()

    def _look_at_shown(self) -> None:
        """Look at the files of the study on the screen, where the tree is seen and shows nothing or another case."""
        session = self.session
        source, cases = session.source, session.cases
        if not source or self.tabs.currentIndex() != 0 or session.workers.running(SCAN):
            return
        other = session.reading.log is not None and cases.source != source
        if (cases.index is None or other) and Path(source).exists():
            cases.scan(source)

    # ---------------------------------------------------------------- actions

    def _make_actions(self) -> None:
        self.actions_by_name: dict[str, QAction] = {}

        def add(name: str, text: str, tip: str, do: Callable[[], Any], key: str = "") -> None:
            action = QAction(text, self.tree)
            action.setToolTip(f"{tip} ({key})" if key else tip)
            if key:
                self.tree.keys[QKeySequence(key).toString()] = action
            action.triggered.connect(lambda checked=False: do())
            self.tree.addAction(action)
            self.actions_by_name[name] = action

        add("open", "Open", "Show the group as the study", self._open, "Return")
        add("beside", "Beside", "See the group beside the study, at the same place", self._beside, "B")
        add("pre", "Pre-contrast", "Take the phase as the pre-contrast one", self._pre, "P")
        add("up", "Up", "Move the phase one place up", lambda: self._move(-1), "Alt+Up")
        add("down", "Down", "Move the phase one place down", lambda: self._move(1), "Alt+Down")
        add("split", "Split off", "Make a group of the chosen phases", self._split, "S")
        add("merge", "Merge", "Make one group of the chosen groups", self._merge, "M")
        add("ignore", "Set aside", "Keep the group out of what is opened", self._ignore, "Del")
        add("undo group", "Undo group", "Take back all decisions about the group", self._undo_group)
        add("undo", "Undo", "Take the last decision back", self._undo, "Ctrl+Z")
        menu = QMenu(self.tree)
        for role in ROLES:
            action = menu.addAction(NAMES.get(role, role))
            action.triggered.connect(lambda checked=False, role=role: self._role(role))
        self.role_menu = menu
        roles = QAction("Role", self.tree)
        roles.setMenu(menu)
        roles.setToolTip("Say what the images are")
        self.tree.addAction(roles)
        self.actions_by_name["role"] = roles

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        self.buttons: dict[str, QToolButton] = {}
        names = (
            "open",
            "beside",
            "role",
            "pre",
            "up",
            "down",
            "split",
            "merge",
            "ignore",
            "undo group",
            "undo",
        )
        for place, name in enumerate(names):
            made = QToolButton()
            made.setDefaultAction(self.actions_by_name[name])
            made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            made.setStyleSheet(_BUTTON)
            if name == "role":
                made.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            grid.addWidget(made, place // 4, place % 4)
            self.buttons[name] = made
        return grid

    def _decide(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._say("")
        try:
            decision = make(*arguments, by=self.session.reader)
        except BreastAIError as error:
            self.session.fail(error)
            return
        self.session.cases.decide(decision)

    def _role(self, role: str) -> None:
        from ...study.deciding import set_role

        if (group := self.tree.group) is not None:
            self._decide(set_role, group, role)

    def _pre(self) -> None:
        from ...study.deciding import set_pre_contrast

        if (chosen := self.tree.phases) is not None and len(chosen[1]) == 1:
            self._decide(set_pre_contrast, chosen[0], chosen[1][0])

    def _move(self, step: int) -> None:
        from ...study.deciding import move_phase

        if (chosen := self.tree.phases) is not None and len(chosen[1]) == 1:
            self._decide(move_phase, chosen[0], chosen[1][0], step)

    def _split(self) -> None:
        from ...study.deciding import split_off

        if (chosen := self.tree.phases) is not None:
            self._decide(split_off, *chosen)

    def _merge(self) -> None:
        from ...study.deciding import merge

        self._decide(merge, self.tree.groups)

    def _ignore(self) -> None:
        from ...study.deciding import ignore

        if (group := self.tree.group) is not None:
            self._decide(ignore, group)

    def _undo_group(self) -> None:
        if (group := self.tree.group) is not None:
            self._say("")
            self.session.cases.undo_group(group)

    def _undo(self) -> None:
        self._say("")
        self.session.cases.undo()

    def _open(self) -> None:
        if (group := self.tree.group) is not None:
            self._say("")
            self.session.cases.open(group)

    def _beside(self) -> None:
        from ..beside import Beside, problem

        if (group := self.tree.group) is None:
            return
        session = self.session
        self._say("")
        if why := problem(session.volume, group.frames[0].source.frame_of_reference_uid):
            self._say(why)
            return

        def show(volume: Any) -> None:
            from .beside_dock import add_beside

            try:
                add_beside(session.viewer, Beside(session, volume)).goes_with_study(session)
            except BreastAIError as error:  # the study was changed meanwhile
                session.fail(error)

        session.cases.load_beside(group, show)

    # ------------------------------------------------------------------ state

    def refresh(self) -> None:
        """Show the index; of a new one, choose the group that the study would be."""
        cases = self.session.cases
        self.tree.show_index(cases)
        if cases.found is not self._shown:
            self._shown = cases.found
            if (likely := cases.likely()) is not None:
                self.tree.choose(likely.key)
        self._choice()

    def _choice(self) -> None:
        cases, tree = self.session.cases, self.tree
        group, phases, groups = tree.group, tree.phases, tree.groups
        one_phase = phases is not None and len(phases[1]) == 1
        place = phases[1][0] if phases is not None else 0
        last = phases[0].n_phases - 1 if phases is not None else 0
        can = {
            "open": group is not None and group.geometry is not None,
            "beside": group is not None and group.geometry is not None and self.session.volume is not None,
            "role": group is not None,
            "pre": one_phase,
            "up": one_phase and place > 0,
            "down": one_phase and place < last,
            "split": phases is not None and len(phases[1]) < phases[0].n_phases,
            "merge": len(groups) > 1,
            "ignore": group is not None,
            "undo group": group is not None and bool(group.overruled),
            "undo": bool(cases.decisions),
        }
        for name, action in self.actions_by_name.items():
            action.setEnabled(can[name])
        self.details.setText(self._described(group))

    def _described(self, group: Any) -> str:
        index = self.session.cases.index
        if index is None:
            return (
                "Open a folder, files or a zip archive: every file is listed, and each group can be opened."
            )
        if group is None:
            others = sum(len(case.paths) for case in index.cases)
            used = index.files - others - len(index.unused)
            also = f"{others} of other formats, " if others else ""
            return f"{index.files} files: {used} in {len(index.groups)} groups, {also}{len(index.unused)} unused."
        lines = [f"{group.title}: {role_name(group)}, because {group.judged.reason}."]
        lines.extend(f"{OVERRULED} {one}" for one in group.overruled)
        lines.extend(f"{WARNED} {one}" for one in group.warnings[:4])
        if len(group.warnings) > 4:
            lines.append(
                f"… and {len(group.warnings) - 4} more remarks; rest the mouse on the row to read them."
            )
        return "\n".join(lines)

    def _jobs(self) -> None:
        workers = self.session.workers
        for one in (self.folder_button, self.file_button):
            one.setEnabled(not workers.running(SCAN))

    def _folder(self) -> None:
        if folder := choose_study(self):
            self._scan(folder)

    def _files(self) -> None:
        if files := choose_files(self):
            self._scan(files[0] if len(files) == 1 else files)

    def _scan(self, path: Any) -> None:
        self._say("")
        self.session.cases.scan(path)

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
