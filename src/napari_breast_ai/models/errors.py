"""What can be wrong with a model."""

from __future__ import annotations

from ..core import BreastAIError


class ModelError(BreastAIError):
    """A model can't be built as described, or its weights don't fit."""


class BundleError(ModelError):
    """A folder is not a bundle that can be used, or a bundle can't be written."""
