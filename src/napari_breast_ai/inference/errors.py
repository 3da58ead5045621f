"""What can be wrong when a model is run."""

from __future__ import annotations

from ..core import BreastAIError


class InferenceError(BreastAIError):
    """The study doesn't have what the model needs, or the result can't be written."""
