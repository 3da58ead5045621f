"""Okabe and Ito's palette, which people with the common forms of colour blindness can tell apart.

Source: Okabe and Ito, "Color universal design", 2008.
"""

from __future__ import annotations

OKABE_ITO = {
    "black": "#000000",
    "orange": "#e69f00",
    "sky blue": "#56b4e9",
    "green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "purple": "#cc79a7",
}
"""The palette as it was published, for lines and marks on white."""

LABEL_COLORS = {
    "IGM": "#e69f00",
    "NME": "#d987b8",
    "lesion": "#56b4e9",
    "other benign": "#2fb58e",
    "other malignant": "#ee7442",
    "normal tissue": "#b8b8b8",
}
"""Colours of the classes, from the palette, the dark ones lightened for grey images on black."""
