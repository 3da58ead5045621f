"""Choose a model and run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QWidget

from ...core import BreastAIError
from .. import tasks
from ..live import LIVE
from ..ranging import RANGE
from ..recall import KEEP, READY
from ..table_scoring import missing, table_model
from .choose import choose_bundle
from .combo import short_combo
from .job_bar import JobBar
from .section import Links, Section, button, row, sentence
from .values_form import ValuesForm

if TYPE_CHECKING:
    from ..session import Session

VOLUME, VOLUME_TIP = "Run on whole volume", "Score and explain every slice"
CASE_TIP = "Score the case from the lesion in your boxes and the values above"
_BY_THEMSELVES = (tasks.LIST, LIVE, RANGE, READY, KEEP)
"""Looking for models and getting ready happen by themselves, and a box teaches at once: no bar for them."""


class ModelPanel(Section):
    """The list of bundles, the run buttons, and the progress of whatever runs, with Cancel.

    Attributes:
        progress, cancel_button: of the run, or of the job that was started last.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self._session = session
        self.bundle_box = short_combo("The model to run", 14)
        self.bundle_box.activated.connect(self._chosen)
        self.folder_button = button("Folder…", "Open a model bundle from a folder", self._open_folder)
        self.body.addLayout(row(self.bundle_box, self.folder_button, stretch=0))
        self.values = ValuesForm(session, links)
        self.body.addWidget(self.values)
        self.slice_button = button(
            "Run on this slice", "Score and explain the slice on the screen", self._slice
        )
        self.volume_button = button(VOLUME, VOLUME_TIP, self._volume)
        self.body.addLayout(row(self.slice_button, self.volume_button, stretch=1))
        self.fast = QCheckBox("Fast")
        self.fast.setToolTip("Run in 8 bits, several times as fast")
        self.fast.setVisible(False)
        self.fast.toggled.connect(self._set_fast)
        self.body.addWidget(self.fast)
        # The model's own run is what the panel is for; else it tells of what was started last.
        job = JobBar(
            session, links, lambda workers: workers.job(tasks.RUN) or workers.last(but=_BY_THEMSELVES)
        )
        self.progress, self.cancel_button = job.bar, job.cancel_button
        self.body.addWidget(job)
        self.text = sentence()
        self.body.addWidget(self.text)
        self.bounds = sentence(tone="faint")
        self.body.addWidget(self.bounds)
        links.connect(session.workers.changed, self.refresh)
        links.connect(session.study_changed, self.refresh)
        links.connect(session.boxes_changed, self.refresh)
        links.connect(session.values.changed, self.refresh)
        for signal in (session.recall.changed, session.prediction_changed):
            links.connect(signal, self._show_bounds)
        links.connect(session.bundle_changed, self._show_bundle)
        self._show_bundle()
        tasks.list_models(session, self._fill)

    def refresh(self) -> None:
        """Enable what can be done, or say what is missing."""
        session = self._session
        self.summarise("none" if session.bundle is None else session.bundle.ref.name)
        ready = session.volume is not None and session.bundle is not None
        free = not session.workers.running(tasks.RUN)
        self.fast.setEnabled(free)
        whole = table_model(session) is not None
        self.slice_button.setVisible(not whole)
        self.slice_button.setEnabled(ready and free)
        self.volume_button.setText("Score this case" if whole else VOLUME)
        self.volume_button.setToolTip(CASE_TIP if whole else VOLUME_TIP)
        self.volume_button.setEnabled(ready and free)
        if session.workers.running(tasks.LIST) and self.bundle_box.count() == 0:
            self.text.setText("Looking for models…")
        elif session.bundle is None:
            self.text.setText("Choose a model, or open one from a folder.")
        elif session.volume is None:
            self.text.setText("The model is ready. Open a study to run it on.")
        else:
            self.text.setText(missing(session))
        self.text.setVisible(bool(self.text.text()))
        self._show_bounds()

    def _show_bounds(self) -> None:
        """What is kept of the study's feature maps; a model of table rows keeps none."""
        said = "" if table_model(self._session) is not None else self._session.recall.bounds
        self.bounds.setText(said)
        self.bounds.setVisible(bool(said))

    def _fill(self, bundles: Any) -> None:
        chosen = self._session.bundle
        for info in bundles:
            self._add(info.name, info.name, info.summary)
        if chosen is not None:
            self._show_bundle()
        elif self._session.workers.running(tasks.MODEL):
            # One is on its way, such as that of a training which has just ended: it must not be put aside.
            self.refresh()
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
            self._offer_fast(bundle)
            self.bundle_box.setToolTip(f"{bundle.ref.name}, weights {bundle.ref.sha256[:12]}")
        self.refresh()

    def _offer_fast(self, bundle: Any) -> None:
        """Only a model that says what it costs has the choice."""
        told: Any = getattr(bundle, "evaluation", {}).get("int8")
        offered = False
        if told:
            from ...inference.quantised import why_not_fast

            offered = not why_not_fast(bundle)
        self.fast.setVisible(offered)
        self.fast.blockSignals(True)
        self.fast.setChecked(self._session.fast)
        self.fast.blockSignals(False)
        if offered:
            self.fast.setToolTip(
                f"Run in 8 bits, several times as fast. It cost {max(told['auc_loss'], 0.0):.4f} of the AUC when it was "
                f"measured on {told.get('patients', 'some')} patients"
            )

    def _set_fast(self, on: bool) -> None:
        try:
            self._session.set_fast(on)
        except BreastAIError as error:
            self._session.fail(error)

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
