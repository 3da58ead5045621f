"""Enhancement over time: derived images, kinetic maps, curves, lesion regions.

The room stands on numpy and scipy: no torch, no Qt, and matplotlib only where a picture is written. The names below
are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import KineticsError

if TYPE_CHECKING:
    from .areas import Area, area_of_boxes, area_of_mask, area_of_voxel
    from .box_curves import BoxCurve, curves_of_boxes, drawn_together
    from .breast import BreastMasks, BreastSettings, Segmenter, segment_breast
    from .breast_labels import labels_of, masks_of
    from .classes import (
        CLASS_COLORS,
        CLASS_NAMES,
        COURSES,
        SER_COLORS,
        SER_EDGES,
        SER_NAMES,
        SPEEDS,
        Thresholds,
        classify,
    )
    from .curves import Curve, CurveType, curve_of, curve_type, curves_csv, most_suspicious
    from .density import BreastFigures, breast_figures, breasts_csv, density_figures
    from .derived import Derived, phase_image, relative_enhancement, subtraction
    from .functional import FunctionalRule, functional_mask
    from .maps import KineticMaps, kinetic_maps
    from .motion import Corrected, MotionSettings, correct_motion
    from .phases import PhaseChoice, choose_phases
    from .projection import Projection, brightest, project, slab, slab_stack
    from .region import Growing, grow
    from .rotation import RotatingMip
    from .sizes import Size, size_of
    from .summary import LesionKinetics, lesion_kinetics, lesions_csv

_LATER: dict[str, str] = {
    "Area": "areas",
    "area_of_boxes": "areas",
    "area_of_mask": "areas",
    "area_of_voxel": "areas",
    "BreastMasks": "breast",
    "BreastSettings": "breast",
    "Segmenter": "breast",
    "segment_breast": "breast",
    "labels_of": "breast_labels",
    "masks_of": "breast_labels",
    "CLASS_COLORS": "classes",
    "CLASS_NAMES": "classes",
    "COURSES": "classes",
    "SER_COLORS": "classes",
    "SER_EDGES": "classes",
    "SER_NAMES": "classes",
    "SPEEDS": "classes",
    "Thresholds": "classes",
    "classify": "classes",
    "BoxCurve": "box_curves",
    "curves_of_boxes": "box_curves",
    "drawn_together": "box_curves",
    "Curve": "curves",
    "CurveType": "curves",
    "curve_of": "curves",
    "curve_type": "curves",
    "curves_csv": "curves",
    "most_suspicious": "curves",
    "BreastFigures": "density",
    "breast_figures": "density",
    "breasts_csv": "density",
    "density_figures": "density",
    "Derived": "derived",
    "phase_image": "derived",
    "relative_enhancement": "derived",
    "subtraction": "derived",
    "FunctionalRule": "functional",
    "functional_mask": "functional",
    "KineticMaps": "maps",
    "kinetic_maps": "maps",
    "Corrected": "motion",
    "MotionSettings": "motion",
    "correct_motion": "motion",
    "PhaseChoice": "phases",
    "choose_phases": "phases",
    "Projection": "projection",
    "brightest": "projection",
    "project": "projection",
    "slab": "projection",
    "slab_stack": "projection",
    "Growing": "region",
    "grow": "region",
    "RotatingMip": "rotation",
    "Size": "sizes",
    "size_of": "sizes",
    "LesionKinetics": "summary",
    "lesion_kinetics": "summary",
    "lesions_csv": "summary",
}

__all__ = [
    "CLASS_COLORS",
    "CLASS_NAMES",
    "COURSES",
    "SER_COLORS",
    "SER_EDGES",
    "SER_NAMES",
    "SPEEDS",
    "Area",
    "BoxCurve",
    "BreastFigures",
    "BreastMasks",
    "BreastSettings",
    "Corrected",
    "Curve",
    "CurveType",
    "Derived",
    "FunctionalRule",
    "Growing",
    "KineticMaps",
    "KineticsError",
    "LesionKinetics",
    "MotionSettings",
    "PhaseChoice",
    "Projection",
    "RotatingMip",
    "Segmenter",
    "Size",
    "Thresholds",
    "area_of_boxes",
    "area_of_mask",
    "area_of_voxel",
    "breast_figures",
    "breasts_csv",
    "brightest",
    "choose_phases",
    "classify",
    "correct_motion",
    "curve_of",
    "curve_type",
    "curves_csv",
    "curves_of_boxes",
    "density_figures",
    "drawn_together",
    "functional_mask",
    "grow",
    "kinetic_maps",
    "labels_of",
    "lesion_kinetics",
    "lesions_csv",
    "masks_of",
    "most_suspicious",
    "phase_image",
    "project",
    "relative_enhancement",
    "segment_breast",
    "size_of",
    "slab",
    "slab_stack",
    "subtraction",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
