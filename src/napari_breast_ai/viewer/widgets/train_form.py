"""What is to be learnt, from which cases, how: the choices before a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QSpinBox, QWidget

from ...training.protocol import ProtocolKind
from ..training import TABLE
from .choose import choose_cohort, choose_recipe, choose_result, choose_weights
from .combo import short_combo
from .label_columns import LabelTree
from .run_panel import PICTURES
from .section import Entry, Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

_DOWNLOAD, _RECIPES = "download", "recipes"
IMAGES = (
    ("As the recipe says", ""),
    ("Single pictures (ultrasound, one slice)", PICTURES),
    ("Subtracted (post − pre)", "preparation.source.kind=subtraction"),
)
PROTOCOLS = (
    ("As the recipe says", ""),
    ("Cross-validation", "kfold"),
    ("Cross-validation, several shuffles", "repeated"),
    ("First patients train, last ones test", "sequential"),
    ("The table's split column", "column"),
    ("Drawn once: training, validation, test", "fractions"),
)


class CohortSection(Section):
    """The table and the columns that could be learnt."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        self.table_button = button(
            "Table…", "A CSV with case_id, patient_id, path and label columns", self._open
        )
        super().__init__("Cohort", parent, beside=self.table_button)
        self._session = session
        self._offered: Any = None
        self.text = sentence()
        self.tree = LabelTree()
        self.tree.chosen.connect(lambda: session.training.choose(labels=self.tree.labels()))
        self.body.addWidget(self.text)
        self.body.addWidget(self.tree)
        links.connect(session.training.changed, self.refresh)
        links.connect(session.workers.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the table that is chosen."""
        training = self._session.training
        columns = training.columns
        self.tree.setVisible(columns is not None)
        if self._session.workers.running(TABLE):
            self.text.setText("Reading the table…")
            return
        if columns is None:
            self.text.setText(
                "Open a table of cases: a CSV with a line for each case, with the columns case_id, patient_id, path, "
                "and one for what is to be learnt, such as the diagnosis. Boxes come from the Annotate dock."
            )
            return
        cohort = columns.cohort
        text = f"<b>{cohort.source.name}</b>: {columns.patients} patients, {len(cohort.rows)} cases."
        if not columns.labels:
            text += " It has no column that could be learnt: add one with a word for each case."
        self.text.setText(text)
        if columns is not self._offered:
            self._offered = columns
            self.tree.set_columns(columns.labels, training.order.labels)

    def _open(self) -> None:
        if table := choose_cohort(self):
            self._session.training.open_table(table)


class HowSection(Section):
    """Recipe, images, protocol, weights, reader, result folder."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("How", parent)
        self._session = session
        self._offered: Any = None
        training = session.training
        self.recipe = short_combo("How a model is made", 14)
        self.recipe_button = button("File…", "A recipe of your own (YAML)", self._recipe_file)
        self.what = sentence(tone="faint")
        self.images = short_combo("What of a case the model sees", 14)
        for text, value in IMAGES:
            self.images.addItem(text, value)
        self.protocol = short_combo("Who trains and who judges; always by patient", 14)
        for text, value in PROTOCOLS:
            if not value or value in get_args(ProtocolKind):
                self.protocol.addItem(text, value)
        self.folds, self.repeats = _number(2, 50, 5, "folds"), _number(1, 50, 3, "shuffles")
        self.folds.setPrefix("folds ")
        self.repeats.setPrefix("shuffles ")
        self.weights = short_combo("Where the backbone's ImageNet weights come from", 14)
        self.weights.addItem("Choose…", "")
        self.weights.addItem("Download (PyTorch)", _DOWNLOAD)
        self.weights_button = button(
            "File…", "ImageNet weights on this machine (.safetensors, .pth)", self._weights_file
        )
        self.reader = short_combo("Whose boxes are learnt from", 14)
        self.out = Entry()
        self.out.setToolTip("The folder that model, figures and report go to")
        self.out_button = button("Folder…", "Choose the folder of the result", self._out_folder)
        self.changes = Entry()
        self.changes.setPlaceholderText("None. Such as fit.epochs=30 fit.lr=0.01")
        self.changes.setToolTip("Changes of the recipe: key=value, with spaces between")
        self._numbers = QWidget()
        line = row(self.folds, self.repeats)
        line.setContentsMargins(0, 0, 0, 0)
        line.addStretch(1)
        self._numbers.setLayout(line)
        grid = QGridLayout()
        grid.setSpacing(5)
        grid.setColumnStretch(1, 1)
        self._reader_label = QLabel("Boxes of")
        lines: tuple[tuple[QLabel, tuple[QWidget, ...]], ...] = (
            (QLabel("Recipe"), (self.recipe, self.recipe_button)),
            (QLabel("Images"), (self.images,)),
            (QLabel("Protocol"), (self.protocol,)),
            (QLabel("Weights"), (self.weights, self.weights_button)),
            (self._reader_label, (self.reader,)),
            (QLabel("Result in"), (self.out, self.out_button)),
            (QLabel("Changes"), (self.changes,)),
        )
        for number, (label, widgets) in enumerate(lines):
            grid.addWidget(label, 2 * number, 0)
            grid.addLayout(row(*widgets, stretch=0), 2 * number, 1)
        # What belongs to a line stands below it.
        grid.addWidget(self.what, 1, 0, 1, 2)
        grid.addWidget(self._numbers, 5, 1)
        self.body.addLayout(grid)
        self.recipe.activated.connect(lambda _: self._choose())
        self.images.activated.connect(lambda _: self._choose())
        self.protocol.activated.connect(lambda _: self._choose())
        self.weights.activated.connect(lambda _: self._choose())
        self.reader.activated.connect(lambda _: self._choose())
        for spin in (self.folds, self.repeats):
            spin.editingFinished.connect(self._choose)
        for entry in (self.out, self.changes):
            entry.editingFinished.connect(self._choose)
        links.connect(training.changed, self.refresh)
        session.workers.start(_RECIPES, "Look for recipes", _recipes, done=self._fill, failed=session.fail)
        self.refresh()

    def refresh(self) -> None:
        """Show what is chosen."""
        training = self._session.training
        order, columns = training.order, training.columns
        self.setVisible(columns is not None)
        new = columns is not None and columns is not self._offered
        if new and columns is not None:
            self._offered = columns
            self.images.setCurrentIndex(1 if columns.pictures else 0)
            if training.wanted is not None:
                # All that was asked for stands in one line, where it can be read and changed.
                self.images.setCurrentIndex(0)
                self.protocol.setCurrentIndex(0)
                self.changes.setText(" ".join(training.wanted.changes))
            self.reader.clear()
            self.reader.addItem("the one who drew", "")
            for name in columns.readers:
                self.reader.addItem(name, name)
        several = columns is not None and len(columns.readers) > 1
        self._reader_label.setVisible(several)
        self.reader.setVisible(several)
        self.reader.setCurrentIndex(max(0, self.reader.findData(order.reader)))
        self._offer(self.weights, order.weights)
        self._offer(self.recipe, order.recipe)
        if not self.out.hasFocus():
            self.out.setText(order.out)
        self.what.setText(str(self.recipe.currentData(Qt.ItemDataRole.ToolTipRole) or ""))
        kind = str(self.protocol.currentData())
        self._numbers.setVisible(kind in ("kfold", "repeated", "sequential"))
        self.repeats.setVisible(kind == "repeated")
        if new:
            self._choose()

    def _fill(self, recipes: Any) -> None:
        self.recipe.clear()
        for number, (name, text) in enumerate(recipes.items()):
            self.recipe.addItem(name, name)
            self.recipe.setItemData(number, text, Qt.ItemDataRole.ToolTipRole)
        self.refresh()

    @staticmethod
    def _offer(box: QComboBox, value: str) -> None:
        """Choose a value, which may be a file that the list does not know yet."""
        index = box.findData(value)
        if index < 0 and value:
            box.addItem(Path(value).name, value)
            index = box.count() - 1
            box.setItemData(index, value, Qt.ItemDataRole.ToolTipRole)
        box.setCurrentIndex(max(0, index))

    def _choose(self) -> None:
        """Tell the training what stands here."""
        changes = [str(self.images.currentData())]
        if kind := str(self.protocol.currentData()):
            changes.append(f"protocol.kind={kind}")
            if kind in ("kfold", "repeated", "sequential"):
                changes.append(f"protocol.folds={self.folds.value()}")
            if kind == "repeated":
                changes.append(f"protocol.repeats={self.repeats.value()}")
        changes += self.changes.text().split()
        self._set(
            recipe=str(self.recipe.currentData() or self._session.training.order.recipe),
            changes=tuple(one for one in changes if one),
            weights=str(self.weights.currentData() or ""),
            reader=str(self.reader.currentData() or ""),
            out=self.out.text().strip(),
        )

    def _set(self, **values: Any) -> None:
        training = self._session.training
        new = {name: value for name, value in values.items() if getattr(training.order, name) != value}
        if new:
            training.choose(**new)
        else:
            self.refresh()

    def _recipe_file(self) -> None:
        if file := choose_recipe(self):
            self._set(recipe=file)

    def _weights_file(self) -> None:
        if file := choose_weights(self):
            self._set(weights=file)

    def _out_folder(self) -> None:
        if folder := choose_result(self, self.out.text()):
            self._set(out=folder)


def _recipes(progress: Any) -> dict[str, str]:
    from ...training.columns import recipe_sentences

    return recipe_sentences()


def _number(low: int, high: int, value: int, tip: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setValue(value)
    spin.setToolTip(tip)
    return spin
