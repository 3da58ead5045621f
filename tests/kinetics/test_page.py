"""The page on kinetics and the code hold together: each sentence that the room and its command can say is on it."""

import ast
import re
from pathlib import Path

import napari_breast_ai.cli.kinetics as command
import napari_breast_ai.cli.kinetics_breast as beside
import napari_breast_ai.files as writing
import napari_breast_ai.inference.segmentation as network
import napari_breast_ai.kinetics as room
import napari_breast_ai.models.segmentation as layout

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kinetics.md"


def plain(node: ast.expr) -> str | None:
    """A string, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def sentences() -> dict[str, str]:
    """Whole sentences in the source, each with its module; documentation aside."""
    found = {}
    files = [
        *sorted(Path(room.__file__).parent.glob("*.py")),
        *(Path(one.__file__) for one in (command, beside, network, layout, writing)),
    ]
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                inside.add(id(node.value))
            elif isinstance(node, ast.JoinedStr):
                inside.update(id(part) for part in node.values)
        for node in ast.walk(tree):
            if id(node) in inside or not isinstance(node, ast.expr) or (said := plain(node)) is None:
                continue
            said = " ".join(said.split())
            if said.endswith(".") and len(said.split()) > 3 and said[:1] in "…“ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                found[said] = path.stem
    return found


def test_each_sentence_is_on_the_page():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    said = sentences()
    assert len(said) > 40
    missing = sorted(f"{module}: {one}" for one, module in said.items() if one not in page)
    assert not missing, "not in docs/kinetics.md:\n" + "\n".join(missing)


def test_the_page_says_nothing_that_the_code_does_not():
    said = sentences()
    listed = re.findall(r"^\| \*(.+?)\* \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(listed) > 40
    assert [one for one in listed if one not in said] == []
