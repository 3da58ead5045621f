"""A titled part of a dock, and the small things parts are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QKeyEvent, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .painting import painting
from .remembered import settings
from .theme import is_dark


class Links:
    """Connections of a dock to its session, cut when the dock goes, which the session outlives."""

    def __init__(self) -> None:
        self._pairs: list[tuple[SignalInstance, Callable[..., Any]]] = []

    def connect(self, signal: SignalInstance, slot: Callable[..., Any]) -> None:
        """Call `slot` whenever `signal` is emitted."""
        signal.connect(slot)
        self._pairs.append((signal, slot))

    def cut(self) -> None:
        """Call nothing any more."""
        for signal, slot in self._pairs:
            signal.disconnect(slot, missing_ok=True)
        self._pairs.clear()


class KeepsEnter(QWidget):
    """Enter in a list or a number goes no further: for the window it says that the case is done."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys that no part of this has taken; the window takes those that are left."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and isinstance(self.focusWidget(), QAbstractSpinBox | QAbstractItemView):
            event.accept()
        else:
            super().keyPressEvent(event)


class Entry(QLineEdit):
    """A line of text; Enter ends it and goes no further, whatever it brings on the screen."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt hands Enter on to the window, where it says that the case is done: by then perhaps the next one."""
        super().keyPressEvent(event)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()


class Section(QWidget):
    """A heading over a column of widgets; a dock may let it be folded up.

    Attributes:
        body: the layout to add to. A widget `beside` stands at the right end of the heading.
        folded: whether only the heading is seen.
    """

    def __init__(self, title: str, parent: QWidget | None = None, beside: QWidget | None = None) -> None:
        super().__init__(parent)
        self._outer = QVBoxLayout(self)
        self._outer.setContentsMargins(0, 0, 0, 0)
        self._outer.setSpacing(4)
        self._title, self._summary = title, ""
        self._heading: QLabel | QToolButton = QLabel(f"<b>{title}</b>")
        self._brief = Brief()
        self._line = row(self._heading, self._brief, *([] if beside is None else [beside]), stretch=1)
        self._outer.addLayout(self._line)
        line = QFrame()
        line.setFixedHeight(1)
        line.setStyleSheet("background-color: rgba(128, 128, 128, 90);")
        self._outer.addWidget(line)
        self._content = QWidget()
        self.body = QVBoxLayout(self._content)
        self.body.setSpacing(4)
        self.body.setContentsMargins(0, 2, 0, 0)
        self._outer.addWidget(self._content)
        self.folded = False
        self._key = ""

    def let_fold(self, key: str, folded: bool = False) -> None:
        """Make the heading a button that folds the section up; for this user it stays as it was left.

        Args:
            key: under which that is remembered.
            folded: at the first time.
        """
        heading = fold_button(self._title, "Fold this part up, or open it. It stays so the next time.")
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        self._line.replaceWidget(self._heading, heading)
        # Out of the section at once: a widget that waits to be deleted is still seen.
        self._heading.setParent(None)
        self._heading.deleteLater()
        self._heading, self._key = heading, f"folded/{key}"
        self.fold(str(settings().value(self._key, folded)).lower() in ("true", "1"))
        heading.toggled.connect(lambda opened: self.fold(not opened))
        heading.clicked.connect(lambda: settings().setValue(self._key, self.folded))

    def fold(self, folded: bool) -> None:
        """Show the heading alone, or all. What the person chose is remembered, this is not."""
        self.folded = folded
        self._content.setVisible(not folded)
        self._brief.tell(self._summary if folded else "")
        if isinstance(self._heading, QToolButton):
            self._heading.setChecked(not folded)

    def summarise(self, text: str) -> None:
        """What is to be known of the section while it is folded up, in a few words."""
        self._summary = text
        self._brief.tell(text if self.folded else "")

    @property
    def heading(self) -> QWidget:
        """The heading; a button where the section can be folded."""
        return self._heading


def fold_button(text: str, tip: str) -> QToolButton:
    """A flat button with an arrow that points down while it is pressed in."""
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    made.setCheckable(True)
    made.setAutoRaise(True)
    made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    made.setArrowType(Qt.ArrowType.RightArrow)
    made.toggled.connect(
        lambda opened: made.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
    )
    return made


class Brief(QWidget):
    """A line beside a heading, cut with dots where there is no room for all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def tell(self, text: str) -> None:
        """Show this."""
        self._text = text
        self.setToolTip(text)
        self.setAccessibleName(text)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what fits."""
        if self._text:
            with painting(self) as painter:
                painter.setPen(QColor(TONES["faint"][0 if is_dark(self) else 1]))
                cut = self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, self.width())
                painter.drawText(
                    self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, cut
                )


TONES = {"faint": ("#b0b2b5", "#5e5e62"), "warning": ("#f0c34e", "#7a5200")}
"""Colours of sentences that stand out, on dark and on light ground."""


class Sentence(QLabel):
    """A label whose colour goes with the theme."""

    def __init__(self, text: str, tone: str) -> None:
        super().__init__(text)
        self._tone = tone

    def changeEvent(self, event: QEvent) -> None:
        """napari's theme has changed, or is there now."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            style = f"color: {TONES[self._tone][0 if is_dark(self) else 1]};"
            # Setting one is a change of style too.
            if style != self.styleSheet():
                self.setStyleSheet(style)


def sentence(text: str = "", *, tone: str = "") -> QLabel:
    """A label for sentences, broken over lines; its text can be selected and copied.

    `tone`: "faint" or "warning"; "" for plain text.
    """
    label = Sentence(text, tone) if tone else QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # Wide enough that Qt, which reckons the height of broken text at the smallest width, wastes none.
    label.setMinimumWidth(345)
    label.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Minimum)
    return label


def button(text: str, tip: str, pressed: Callable[[], None]) -> QPushButton:
    """A push button with a tooltip."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda: pressed())
    return made


def row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Widgets side by side; the one at `stretch` takes the room that is left."""
    layout = QHBoxLayout()
    layout.setSpacing(6)
    for index, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if index == stretch else 0)
    return layout
