"""All keys, on demand."""

from __future__ import annotations

from html import escape
from itertools import groupby

from qtpy.QtWidgets import QPushButton, QWidget

from ..shortcuts import listed
from .section import Section, sentence


class KeysPanel(Section):
    """A button that unfolds the list of keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.more = QPushButton("Show")
        self.more.setCheckable(True)
        self.more.setToolTip("The list of all keys")
        super().__init__("Keys", parent, beside=self.more)
        self.text = sentence(_table())
        self.text.setVisible(False)
        self.body.addWidget(self.text)
        self.hint = sentence(
            "Wheel: slices. Ctrl and wheel: zoom. Right button dragged: brightness and contrast. Space held: move "
            "the picture."
        )
        self.body.addWidget(self.hint)
        self.more.toggled.connect(self._fold)

    def _fold(self, on: bool) -> None:
        self.text.setVisible(on)
        self.more.setText("Hide" if on else "Show")


def _table() -> str:
    rows = []
    for part, lines in groupby(listed(), key=lambda one: one[0]):
        rows.append(f"<tr><td colspan=2><b>{escape(part)}</b></td></tr>")
        rows.extend(
            f"<tr><td style='white-space: nowrap'>{escape(key)}&nbsp;&nbsp;</td><td>{escape(text)}</td></tr>"
            for _, key, text in lines
        )
    return f"<table>{''.join(rows)}</table>"
