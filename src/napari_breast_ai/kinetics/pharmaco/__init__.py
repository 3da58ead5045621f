"""Pharmacokinetics: T1, concentration, arterial input, and Tofts models fitted voxel by voxel.

    sequence = SpoiledGradientEcho(tr_s=0.008, flip_deg=20, relaxivity=4.5)
    t1 = t1_nonlinear(images, flips_deg, tr_s)
    arterial = population_input("georgiou", last_s=400, arrival_s=60)
    maps = pharmacokinetic_maps(volume.data, volume.times.start_s, sequence, t1, arterial)

Times are seconds on the study's clock, concentrations mM, rates 1/min. numpy and scipy only.
"""

from .arrival import arrived_input, study_delay
from .convolution import Convolution, exponential_convolution
from .delay import find_delay
from .errors import PharmacoError
from .fit import MODELS, Bounds, Fit, Fitter, fit_curves, model_curves
from .inputs import (
    HAEMATOCRIT,
    POPULATIONS,
    ArterialInput,
    drawn_input,
    georgiou_blood,
    parker_blood,
    population_input,
)
from .maps import STATUS, UNITS, Maps, pharmacokinetic_maps
from .regions import artery_input, read_input, region_curve, strongest
from .signal import Concentration, SpoiledGradientEcho, concentration, signal_of
from .t1 import T1Map, t1_linear, t1_nonlinear, told_t1

__all__ = [
    "HAEMATOCRIT",
    "MODELS",
    "POPULATIONS",
    "STATUS",
    "UNITS",
    "ArterialInput",
    "Bounds",
    "Concentration",
    "Convolution",
    "Fit",
    "Fitter",
    "Maps",
    "PharmacoError",
    "SpoiledGradientEcho",
    "T1Map",
    "arrived_input",
    "artery_input",
    "concentration",
    "drawn_input",
    "exponential_convolution",
    "find_delay",
    "fit_curves",
    "georgiou_blood",
    "model_curves",
    "parker_blood",
    "pharmacokinetic_maps",
    "population_input",
    "read_input",
    "region_curve",
    "signal_of",
    "strongest",
    "study_delay",
    "t1_linear",
    "t1_nonlinear",
    "told_t1",
]
