"""`napari-breast-ai` on the command line: the same core without a screen, and the window by name.

Each module of commands has a `register` that adds its own; what a command needs is imported when it runs.

Exit status: 0 when done, 1 with a sentence for bad input, 2 for bad usage, 130 when stopped by the person.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from ..core import BreastAIError, Cancelled, Progress, silent
from .console import ProgressLine
from .parser import make_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Redirected output may know few characters (Windows' code pages), and a series' name may hold any.
        sys.stdout.reconfigure(errors="replace")
    arguments = make_parser().parse_args(argv)
    command: Callable[[argparse.Namespace, Progress], None] = arguments.command
    progress = ProgressLine() if sys.stderr.isatty() and not arguments.quiet else silent
    try:
        command(arguments, progress)
        sys.stdout.flush()
    except BreastAIError as error:
        if arguments.debug:
            raise
        print(f"napari-breast-ai: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Cancelled):
        print("\nnapari-breast-ai: stopped; nothing was written by the unfinished step.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough of it (as `head` does); Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if arguments.debug:
            raise
        print(
            f"napari-breast-ai: unexpected {type(error).__name__}: {error}\n"
            "This is a defect of the program. Run the command again with --debug and report what it prints.",
            file=sys.stderr,
        )
        return 1
    return 0
