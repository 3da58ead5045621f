"""A picture that cannot be painted takes nothing with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FAILS = """
import sys
from qtpy.QtWidgets import QApplication, QWidget
from napari_breast_ai.viewer.widgets.painting import painting

class Fails(QWidget):
    painters = []

    def paintEvent(self, event):
        with painting(self) as painter:
            self.painters.append(painter)
            raise ValueError("no picture")

sys.excepthook = lambda *_: None
app = QApplication([])
widget = Fails()
widget.show()
for _ in range(20):
    widget.update()
    app.processEvents()
assert widget.painters and not any(one.isActive() for one in widget.painters)
print("alive")
"""


def test_the_program_outlives_a_picture_that_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILS], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    assert done.returncode == 0 and "alive" in done.stdout, done.stderr[-2000:]
