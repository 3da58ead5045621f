"""What the person is told, and the check at the start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from ..core import Progress

RESEARCH_USE = "Research use only — not a medical device"

_checked = False


def bad_qt_pair(python: tuple[int, ...], pyside: str | None) -> str:
    """What is wrong with this Python and PySide6 together, as a sentence, or "".

    PySide6 6.12.0 on Python 3.11 loses a reference to None with every call that returns nothing; the
    process dies after some thousand slice steps.
    """
    if python[:2] <= (3, 11) and pyside is not None and pyside.split(".")[:2] == ["6", "12"]:
        return (
            f"PySide6 {pyside} crashes on Python {python[0]}.{python[1]} after a while of scrolling. "
            'Boxes are safe, but install another one soon: pip install "PySide6>=6.11.2,<6.12"'
        )
    return ""


def installed_pyside() -> str | None:
    """The version of PySide6, or None where another Qt is used."""
    try:
        return metadata.version("PySide6")
    except metadata.PackageNotFoundError:
        return None


def check_start() -> None:
    """Tell the person, once, of a pair of versions that crashes."""
    global _checked
    if _checked:
        return
    _checked = True
    if sentence := bad_qt_pair(sys.version_info[:3], installed_pyside()):
        warn(sentence)


def tell(sentence: str) -> None:
    """A notification that asks for nothing."""
    from napari.utils.notifications import show_info

    show_info(sentence)


def warn(sentence: str) -> None:
    """A notification that something needs attention."""
    from napari.utils.notifications import show_warning

    show_warning(sentence)


def complain(sentence: str) -> None:
    """A notification that something could not be done."""
    from napari.utils.notifications import show_error

    show_error(sentence)


@contextmanager
def activity(what: str) -> Iterator[Progress]:
    """A bar in napari's activity dock, for work that one of napari's own menus waits for."""
    from napari.utils import progress

    with progress(total=0, desc=what) as bar:

        def report(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.set_description(what)
            bar.update(done - bar.n)

        yield report
