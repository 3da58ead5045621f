"""Questions that one can ask of a heat map, each with a number that answers it."""
