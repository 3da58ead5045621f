"""The tables of keys in the README and the documentation are the ones that make the bindings."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/docks/annotate.md"])
def test_the_written_table_is_the_bound_one(page: str) -> None:
    from napari_breast_ai.viewer.shortcuts import markdown_table

    text = (ROOT / page).read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- shortcuts: begin -->")
    table, end, _ = rest.partition("<!-- shortcuts: end -->")
    assert end
    assert table.strip() == markdown_table()
