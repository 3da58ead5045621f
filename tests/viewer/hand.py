"""A real window, and a hand on its mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QCursor, QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_breast_ai.viewer.session import get_session

NONE = Qt.KeyboardModifier.NoModifier
CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton

Place = tuple[float, float]


class Window:
    """A viewer with docks, and a hand on mouse and keyboard.

    Attributes:
        docks: by name. dock: the first of them.
        said: what the session has told the person.
    """

    def __init__(
        self, viewer: Any, qtbot: Any, docks: tuple[str, ...] = ("Review",), reader: str = "anna"
    ) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.session = get_session(viewer, reader)
        self.said: list[str] = []
        self.session.said.connect(self.said.append)
        self.docks: dict[str, Any] = {}
        for name in docks:
            _, self.docks[name] = viewer.window.add_plugin_dock_widget(
                "napari-breast-ai", name, tabify=bool(self.docks)
            )
        self.dock = self.docks[docks[0]]
        # Where it is in nobody's way: a pointer over the canvas would draw along.
        screen = self.dock.screen().geometry()
        QCursor.setPos(screen.bottomRight())
        self.settle()

    def settle(self, ms: int = 50) -> None:
        # Not QTest.qWait: vispy puts a loop in its place that never sleeps, and other threads get little done meanwhile.
        self.qtbot.wait(ms)

    def wait(self, true: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(true, timeout=180_000)

    def raise_dock(self, name: str) -> Any:
        """Bring a dock to the front of its tabs."""
        self.docks[name].parent().raise_()
        self.settle()
        return self.docks[name]

    # ------------------------------------------------------------------- mouse

    @property
    def canvas(self) -> QWidget:
        """The widget that gets the mouse, found as the screen would find it: in the middle of the window."""
        middle = self.dock.window().centralWidget()
        found = [
            one for one in middle.findChildren(QWidget) if type(one).__name__.startswith("CanvasBackend")
        ]
        (canvas,) = [one for one in found if one.isVisible()]
        return canvas

    def at(self, row: float, column: float) -> QPoint:
        """Where a pixel of the image lies on the canvas, for a 2D view without rotation."""
        spacing = self.session.volume.geometry.spacing
        center, zoom = self.viewer.scene.camera.center[-2:], self.viewer.scene.camera.zoom
        size = self.canvas.size()
        x = size.width() / 2 + (column * spacing[2] - center[1]) * zoom / self.canvas.devicePixelRatio()
        y = size.height() / 2 + (row * spacing[1] - center[0]) * zoom / self.canvas.devicePixelRatio()
        return QPoint(round(x), round(y))

    def point(self, row: float, column: float) -> None:
        """Move the pointer over a pixel of the image."""
        self._move(self.at(row, column), Qt.MouseButton.NoButton)
        self.settle(20)

    def _move(self, at: QPointF | QPoint, held: Qt.MouseButton) -> None:
        """The event of a move, without the screen's own pointer, which tells of itself in its own time."""
        pos = QPointF(at)
        event = QMouseEvent(
            QMouseEvent.Type.MouseMove,
            pos,
            QPointF(self.canvas.mapToGlobal(pos.toPoint())),
            Qt.MouseButton.NoButton,
            held,
            NONE,
        )
        QApplication.sendEvent(self.canvas, event)

    def drag(self, start: Place, end: Place, button: Qt.MouseButton = LEFT) -> None:
        """Press a button, move, let go."""
        self.begin_drag(start, button)
        self.go_on(start, end, button)
        self.end_drag(end, button)

    def begin_drag(self, start: Place, button: Qt.MouseButton = LEFT) -> None:
        self.point(*start)
        QTest.mousePress(self.canvas, button, pos=self.at(*start))

    def go_on(self, start: Place, end: Place, button: Qt.MouseButton = LEFT) -> None:
        a, b = self.at(*start), self.at(*end)
        for part in (0.25, 0.5, 0.75, 1.0):
            self._move(a + (b - a) * part, button)
            self.settle(15)

    def end_drag(self, end: Place, button: Qt.MouseButton = LEFT) -> None:
        QTest.mouseRelease(self.canvas, button, pos=self.at(*end))
        self.settle(30)

    def wheel(self, at: Place, notches: float, modifier: Qt.KeyboardModifier = NONE) -> None:
        pos = QPointF(self.at(*at))
        event = QWheelEvent(
            pos,
            QPointF(self.canvas.mapToGlobal(pos.toPoint())),
            QPoint(0, 0),
            QPoint(0, round(120 * notches)),
            Qt.MouseButton.NoButton,
            modifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.canvas, event)
        self.settle(30)

    def click(self, widget: QWidget, pos: QPoint | None = None) -> None:
        QTest.mouseClick(widget, LEFT, pos=pos if pos is not None else widget.rect().center())
        self.settle(30)

    # -------------------------------------------------------------------- keys

    def press(self, key: Any, modifier: Qt.KeyboardModifier = NONE) -> None:
        """A key, pressed over the canvas and let go."""
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifier)
        self.settle(30)

    def hold(self, key: Any) -> None:
        self.canvas.setFocus()
        QTest.keyPress(self.canvas, key)
        self.settle(30)

    def release(self, key: Any) -> None:
        QTest.keyRelease(self.canvas, key)
        self.settle(30)
