"""A reader's hand on a napari window: real mouse and key events on its canvas, and a watch on what it paints."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from vispy.gloo import gl

LONGEST_S = 60.0
MOVES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Where between press and release the mouse is seen."""

Place = tuple[float, float]
"""Row and column of the image."""


class Hand:
    """Presses keys and drags on the canvas of one viewer.

    Attributes:
        frames: pictures that have come on the screen so far (swapped, not only asked for).
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.frames = 0
        window = next(one for one in QApplication.topLevelWidgets() if one.windowTitle() == viewer.title)
        self.canvas = next(one for one in window.findChildren(QOpenGLWidget) if one.isVisible())
        self.canvas.frameSwapped.connect(self._swapped)

    def _swapped(self) -> None:
        self.frames += 1

    def wait(self, seconds: float) -> None:
        """Let the window work for a while, as when the reader looks."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            QCoreApplication.processEvents()
            time.sleep(0.002)

    def wait_for(self, done: Callable[[], bool], what: str) -> float:
        """Let the window work until something is so; the seconds that took."""
        start = time.perf_counter()
        while not done():
            QCoreApplication.processEvents()
            if time.perf_counter() - start > LONGEST_S:
                raise AssertionError(f"Waited {LONGEST_S:.0f} s in vain: {what}.")
            time.sleep(0.001)
        return time.perf_counter() - start

    def timed(self, act: Callable[[], None], done: Callable[[], bool], what: str) -> tuple[float, float]:
        """Do something and wait until the screen shows it and the window has nothing more to do.

        Returns:
            Seconds until `act` had returned, and until what it led to was painted: a picture begun after `done` has
            come on the screen, and all events that were waiting then have been served.
        """
        start = time.perf_counter()
        act()
        returned = time.perf_counter() - start
        while not done():
            QCoreApplication.processEvents()
            _too_long(start, what)
        seen = self.frames
        while self.frames == seen:
            QCoreApplication.processEvents()
            _too_long(start, what)
        while self.frames != seen:  # another picture follows at once
            seen = self.frames
            QCoreApplication.processEvents()
        return returned, time.perf_counter() - start

    def served(self, act: Callable[[], None]) -> float:
        """Seconds until something has been done and all that it led to has been served, painted or not."""
        start = time.perf_counter()
        act()
        QCoreApplication.processEvents()
        return time.perf_counter() - start

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press and release a key."""
        QTest.keyClick(self.canvas, key, modifier)

    def at(self, place: Place, spacing: Place) -> QPoint:
        """Where on the canvas a pixel of the image is."""
        camera, size = self.viewer.scene.camera, self.canvas.size()
        down, across = camera.orientation2d
        y = (place[0] * spacing[0] - camera.center[-2]) * camera.zoom * (1 if down == "down" else -1)
        x = (place[1] * spacing[1] - camera.center[-1]) * camera.zoom * (1 if across == "right" else -1)
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))

    def pull(self, start: Place, end: Place, spacing: Place, pause: float) -> Callable[[], None]:
        """Press, move, and give what releases the button."""
        first, last = self.at(start, spacing), self.at(end, spacing)
        self._move(first, Qt.MouseButton.NoButton)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=first)
        for part in MOVES:
            self._move(first + (last - first) * part, Qt.MouseButton.LeftButton)
            self.wait(pause)
        return lambda: QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=last)

    def _move(self, to: QPoint, held: Qt.MouseButton) -> None:
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(to),
            QPointF(self.canvas.mapToGlobal(to)),
            Qt.MouseButton.NoButton,
            held,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.canvas, event)

    def point(self, at: QPoint) -> None:
        """Move the pointer."""
        self._move(at, Qt.MouseButton.NoButton)

    def drawn_by(self) -> str:
        """What draws, as OpenGL calls it: a graphics card or Mesa's software."""
        self.canvas.makeCurrent()
        return str(gl.glGetParameter(gl.GL_RENDERER))

    def picture(self) -> NDArray[np.uint8]:
        """What is on the canvas, shape (rows, columns, 4)."""
        image = self.canvas.grabFramebuffer()
        return np.array(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)


def _too_long(start: float, what: str) -> None:
    if time.perf_counter() - start > LONGEST_S:
        raise AssertionError(f"Nothing was painted in {LONGEST_S:.0f} s: {what}.")
