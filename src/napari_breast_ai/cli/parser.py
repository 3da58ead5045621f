"""The command line's words: every family of commands in one parser."""

from __future__ import annotations

import argparse

from .. import __version__
from . import asking, boxes, cache, kinetics, models, phantom, pharmaco, report, study, train, training
from .common import Commands
from .console import RESEARCH_USE


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="napari-breast-ai",
        description=f"Breast DCE-MRI: load, box, predict, explain. {RESEARCH_USE}",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = Commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    for family in (phantom, study, models, kinetics, pharmaco, boxes, train, training, asking, report, cache):
        family.register(commands)
    return parser
