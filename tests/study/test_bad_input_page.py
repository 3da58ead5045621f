"""The page of bad input and the code hold together: each sentence that the study room can say is on the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import napari_breast_ai.study as study

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "bad-input.md"
_REASON = re.compile(r"(it|its|the file) [a-z]")


def _plain(node: ast.expr) -> str | None:
    """A string, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def sentences() -> dict[str, str]:
    """Reasons and whole sentences in the source of the study room, each with its module."""
    found = {}
    for path in sorted(Path(study.__file__).parent.glob("*.py")):
        inside: set[int] = set()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):  # documentation
                inside.add(id(node.value))
            elif isinstance(node, ast.JoinedStr):
                inside.update(id(part) for part in node.values)
        for node in ast.walk(tree):
            if id(node) in inside or not isinstance(node, ast.expr) or (said := _plain(node)) is None:
                continue
            said = said.strip(" ;")
            whole = (
                said.endswith(".") and len(said.split()) > 3 and said[:1] in "…“ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            )
            if (_REASON.match(said) and len(said.split()) > 3) or whole:
                found[" ".join(said.split())] = path.stem
    return found


def test_each_sentence_is_on_the_page() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    said = sentences()
    assert len(said) > 60
    missing = sorted(f"{module}: {one}" for one, module in said.items() if one not in page)
    assert not missing, "not in docs/reference/bad-input.md:\n" + "\n".join(missing)


def test_the_page_says_nothing_that_the_code_does_not() -> None:
    said = sentences()
    listed = re.findall(r"^\| \*(.+?)\* \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(listed) > 60
    assert [one for one in listed if one not in said] == []
