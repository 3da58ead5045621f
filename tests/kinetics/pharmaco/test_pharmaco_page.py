"""The page on pharmacokinetics and the code hold together: each sentence that can be said is on it."""

import ast
import re
from pathlib import Path

import napari_breast_ai.cli.pharmaco as command
import napari_breast_ai.kinetics.pharmaco as room

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "pharmacokinetics.md"


def plain(node: ast.expr) -> str | None:
    """A string, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def sentences() -> set[str]:
    """Whole sentences in the source; documentation aside."""
    found = set()
    for path in [*Path(room.__file__).parent.glob("*.py"), Path(command.__file__)]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                inside.add(id(node.value))
            elif isinstance(node, ast.JoinedStr):
                inside.update(id(part) for part in node.values)
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and id(node) not in inside and (said := plain(node)) is not None:
                said = " ".join(said.split())
                if said.endswith(".") and len(said.split()) > 3:
                    found.add(said)
    return found - {"Wrote … to …."}


def test_the_table_of_sentences_is_that_of_the_code():
    listed = re.findall(r"^\| \*(.+?)\* \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(listed) > 50
    assert sorted(set(listed)) == sorted(sentences())


def test_the_page_names_the_bounds_and_models_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    bounds = room.Bounds()
    said = f"0 ≤ Ktrans ≤ {bounds.ktrans:g}/min, 0 ≤ ve ≤ {bounds.ve:g}, 0 ≤ vp ≤ {bounds.vp:g}, "
    assert said + f"{bounds.kep[0]:g} ≤ kep ≤ {bounds.kep[1]:g}/min" in text
    for name in room.UNITS:
        assert f"`{name}`" in text
    assert f"with {room.HAEMATOCRIT:g} where none is given" in text
