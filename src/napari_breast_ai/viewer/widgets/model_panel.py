"""Choose a model and run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QProgressBar, QWidget

from ...core import BreastAIError
from .. import tasks
from .choose import choose_bundle
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class ModelPanel(Section):
    """The list of bundles, the run buttons, and the progress of whatever runs, with Cancel."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self._session = session
        self.bundle_box = QComboBox()
        self.bundle_box.setToolTip("The model to run")
        self.bundle_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.bundle_box.setMinimumContentsLength(14)
        self.bundle_box.activated.connect(self._chosen)
        self.folder_button = button("Folder…", "Open a model bundle from a folder", self._open_folder)
        self.body.addLayout(row(self.bundle_box, self.folder_button, stretch=0))
        self.slice_button = button(
            "Run on this slice", "Score and explain the slice on the screen", self._slice
        )
        self.volume_button = button("Run on whole volume", "Score and explain every slice", self._volume)
        self.body.addLayout(row(self.slice_button, self.volume_button, stretch=1))
        self.progress = QProgressBar()
        self.progress.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.cancel_button = button(
            "Cancel", "Stop at the next step; nothing is changed", session.workers.cancel
        )
        self._running = QWidget()
        line = row(self.progress, self.cancel_button, stretch=0)
        line.setContentsMargins(0, 0, 0, 0)
        self._running.setLayout(line)
        self.body.addWidget(self._running)
        self.text = sentence()
        self.body.addWidget(self.text)
        links.connect(session.workers.changed, self.refresh)
        links.connect(session.study_changed, self.refresh)
        links.connect(session.bundle_changed, self._show_bundle)
        self._show_bundle()
        tasks.list_models(session, self._fill)

    def refresh(self) -> None:
        """Enable what can be done, show what runs, or say what is missing."""
        session, job = self._session, self._session.workers.busy
        # Looking for models happens by itself at the start: no bar for it.
        shown = job is not None and not session.workers.running(tasks.LIST)
        self._running.setVisible(shown)
        if job is not None and shown:
            self.progress.setRange(0, job.total)
            self.progress.setValue(job.done)
            self.progress.setFormat("Stopping…" if job.cancelling else f"{job.what} %p%")
            self.cancel_button.setEnabled(not job.cancelling)
        ready = session.volume is not None and session.bundle is not None
        free = not session.workers.running(tasks.RUN)
        self.slice_button.setEnabled(ready and free)
        self.volume_button.setEnabled(ready and free)
        if session.workers.running(tasks.LIST) and self.bundle_box.count() == 0:
            self.text.setText("Looking for models…")
        elif session.bundle is None:
            self.text.setText("Choose a model, or open one from a folder.")
        elif session.volume is None:
            self.text.setText("The model is ready. Open a study to run it on.")
        else:
            self.text.setText("")
        self.text.setVisible(bool(self.text.text()))

    def _fill(self, bundles: Any) -> None:
        chosen = self._session.bundle
        for info in bundles:
            self._add(info.name, info.name, info.summary)
        if chosen is not None:
            self._show_bundle()
        elif bundles:
            self.bundle_box.setCurrentIndex(0)
            tasks.use_model(self._session, bundles[0].name)
        else:
            self.refresh()

    def _add(self, text: str, value: str, tip: str) -> int:
        self.bundle_box.addItem(text, value)
        index = self.bundle_box.count() - 1
        self.bundle_box.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        return index

    def _show_bundle(self) -> None:
        bundle = self._session.bundle
        if bundle is not None:
            index = self.bundle_box.findText(bundle.ref.name)
            if index < 0:
                index = self._add(bundle.ref.name, str(bundle.folder), str(bundle.folder))
            self.bundle_box.setCurrentIndex(index)
            self.bundle_box.setToolTip(f"{bundle.ref.name}, weights {bundle.ref.sha256[:12]}")
        self.refresh()

    def _chosen(self, index: int) -> None:
        tasks.use_model(self._session, str(self.bundle_box.itemData(index)))

    def _open_folder(self) -> None:
        if folder := choose_bundle(self):
            tasks.use_model(self._session, folder)

    def _slice(self) -> None:
        self._run([self._session.slice_index])

    def _volume(self) -> None:
        self._run(None)

    def _run(self, slices: list[int] | None) -> None:
        try:
            tasks.run_model(self._session, slices)
        except BreastAIError as error:
            self._session.fail(error)
