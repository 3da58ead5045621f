"""What can go wrong with boxes, in words."""

from __future__ import annotations

from ..core import BreastAIError


class AnnotationError(BreastAIError):
    """Boxes that cannot be read, or an action that cannot be saved."""
