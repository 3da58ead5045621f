"""A titled part of a dock, and the small things parts are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

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
    """A heading over a column of widgets.

    Attributes:
        body: the layout to add to. A widget `beside` stands at the right end of the heading.
    """

    def __init__(self, title: str, parent: QWidget | None = None, beside: QWidget | None = None) -> None:
        super().__init__(parent)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        heading = QLabel(f"<b>{title}</b>")
        if beside is None:
            outer.addWidget(heading)
        else:
            outer.addLayout(row(heading, beside, stretch=0))
        line = QFrame()
        line.setFixedHeight(1)
        line.setStyleSheet("background-color: rgba(128, 128, 128, 90);")
        outer.addWidget(line)
        self.body = QVBoxLayout()
        self.body.setSpacing(4)
        self.body.setContentsMargins(0, 2, 0, 0)
        outer.addLayout(self.body)


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
