"""What the commands share: how one is added, and the places that they write to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core import BreastAIError, Progress
from ..files import write_whole
from .values import phase_times

if TYPE_CHECKING:
    SubParsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

Command: TypeAlias = Callable[[argparse.Namespace, Progress], None]


class Commands:
    """The commands of a parser, to which a family adds its own."""

    def __init__(self, parsers: SubParsers) -> None:
        self._parsers = parsers

    def add(self, name: str, command: Command, text: str) -> argparse.ArgumentParser:
        """Add a command with the options that every command has; `text` says what it does."""
        sub = self._parsers.add_parser(name, help=text, description=text)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.add_argument("--quiet", action="store_true", help="show no progress")
        sub.set_defaults(command=command)
        return sub

    def group(self, name: str, text: str) -> Commands:
        """Add a word that has commands of its own."""
        sub = self._parsers.add_parser(name, help=text, description=text)
        return Commands(sub.add_subparsers(required=True, metavar="COMMAND"))


def add_times(sub: argparse.ArgumentParser) -> None:
    """Let a command that reads a study be told the times of its phases."""
    sub.add_argument(
        "--times",
        type=phase_times,
        metavar="LIST",
        help="seconds of each phase, such as 0,90,180, for formats that do not carry them",
    )


class CommandError(BreastAIError):
    """An argument that names something that cannot be used."""


def window_function(name: str) -> Callable[..., Any]:
    """A function of the window, or a sentence where no napari is installed."""
    try:
        from ..viewer import launch
    except ModuleNotFoundError as error:
        raise CommandError(
            f"This command opens a window and needs {error.name}, which is not installed. "
            'Install it with: pip install "napari-breast-ai[app]"'
        ) from error
    except ImportError as error:
        raise CommandError(
            f"The window's libraries are installed but cannot be loaded ({error}). On Debian or Ubuntu "
            'install the system libraries that Qt needs with "make system"; elsewhere reinstall '
            '"napari-breast-ai[app]".'
        ) from error
    function: Callable[..., Any] = getattr(launch, name)
    return function


def output_folder(path: Path) -> Path:
    """Make the folder, or say why it cannot be made: before the work, not after it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".napari-breast-ai-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CommandError(
            f"The output folder {path} cannot be written ({error.strerror}). Choose another one with --out."
        ) from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file and the folders above it, or say why it cannot be written."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror}). Choose another place.") from error
