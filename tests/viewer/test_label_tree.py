"""The tree of columns that could be learnt, as it is painted."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

from napari_breast_ai.training.columns import LabelColumn
from napari_breast_ai.viewer.widgets.label_columns import LabelTree

pytestmark = pytest.mark.gui


@pytest.mark.parametrize(("ground", "ink"), [("#262930", "#f0f1f2"), ("#efebe9", "#3b3a39")])
def test_a_box_that_is_not_ticked_is_seen_on_any_ground(qtbot: Any, ground: str, ink: str) -> None:
    tree = LabelTree()
    qtbot.addWidget(tree)
    tree.setStyleSheet(f"QTreeWidget {{ background: {ground}; color: {ink}; }}")
    tree.set_columns([LabelColumn("kind", (("a", 4), ("b", 5)))], [])
    tree.resize(300, 160)
    tree.show()
    qtbot.waitExposed(tree)
    picture = tree.viewport().grab().toImage()
    item = tree.topLevelItem(0)
    assert item is not None
    option = QStyleOptionViewItem()
    tree.itemDelegate().initStyleOption(option, tree.indexFromItem(item, 0))
    option.rect = tree.visualItemRect(item)
    box = tree.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, tree)

    def light(at: QPoint) -> int:
        return int(picture.pixelColor(at).lightness())

    behind = light(QPoint(option.rect.right() - 40, option.rect.center().y()))
    for edge in (QPoint(box.center().x(), box.top()), QPoint(box.left(), box.center().y())):
        assert abs(light(edge) - behind) > 50, "the frame"
