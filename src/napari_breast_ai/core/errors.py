"""Errors that a person reads: one sentence saying what is wrong and what to do."""

from __future__ import annotations


class BreastAIError(Exception):
    """Bad input. Its text is shown to the person as it stands, in the window and on the command line."""
