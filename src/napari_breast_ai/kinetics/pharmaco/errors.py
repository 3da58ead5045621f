"""What is wrong with a wish for pharmacokinetics."""

from __future__ import annotations

from ..errors import KineticsError


class PharmacoError(KineticsError):
    """No concentration, no arterial input or no fit can be had from this; the text says what to give or to change."""
