"""What is wrong with a study or a wish, as far as its kinetics go."""

from ..core import BreastAIError


class KineticsError(BreastAIError):
    """Kinetics cannot be read from this study, or not with these settings; the text says what to do."""
