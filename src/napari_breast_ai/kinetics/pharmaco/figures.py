"""A picture of the maps of one slice, and of the input that they rest on."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...core import Geometry
from .errors import PharmacoError
from .inputs import ArterialInput
from .maps import FITTED, Maps

_TITLES = {"ktrans": "Ktrans, 1/min", "kep": "kep, 1/min", "ve": "ve", "vp": "vp", "r2": "R²"}
_LIMITS = {"ve": 1.0, "r2": 1.0}
_SHOWN_R2 = 0.5
_HIGH = 95.0
_COLUMNS = 3


def busiest_slice(maps: Maps) -> int:
    """The slice with the most voxels that the model describes (R² of at least 0.5)."""
    good = (maps.status == FITTED) & (maps.map("r2") >= _SHOWN_R2)
    return int(good.sum(axis=(1, 2)).argmax())


def maps_figure(
    maps: Maps, before: NDArray[np.generic], geometry: Geometry, arterial: ArterialInput, z: int | None = None
) -> Figure:
    """Maps of a slice over the image before contrast, in the slice's own proportions, and the arterial input.

    Voxels with an R² below 0.5 are left out (all fitted ones are in the map of R² itself); each colour scale ends at the
    95th percentile of what is shown, voxels with a parameter at a bound aside.

    Args:
        maps: of a study.
        before: a phase before contrast, shape (slices, rows, columns).
        geometry: of the study.
        arterial: the input of the maps.
        z: slice; the one with the most voxels that the model describes where None.

    Raises:
        PharmacoError: there is no such slice.
    """
    place = busiest_slice(maps) if z is None else z
    if not 0 <= place < maps.status.shape[0]:
        raise PharmacoError(f"There is no slice {place}. Choose one from 0 to {maps.status.shape[0] - 1}.")
    skipped = {"tofts": ("vp",), "patlak": ("kep", "ve")}.get(maps.fit.model, ())
    names = [name for name in _TITLES if name not in skipped]
    rows = -(-(len(names) + 1) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 3.8 * rows + 0.6), dpi=110, layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    aspect = geometry.spacing[1] / geometry.spacing[2]
    image = np.nan_to_num(np.asarray(before[place], np.float32))
    white = max(1e-6, float(np.percentile(image, 99.5)))
    fitted = maps.status[place] == FITTED
    good = fitted & (maps.map("r2")[place] >= _SHOWN_R2)
    for axes, name in zip(panels, names, strict=False):
        shown = fitted if name == "r2" else good
        values = maps.map(name)[place]
        usual = values[shown & ~maps.fit.at_bound[place]]
        high = _LIMITS.get(name) or (float(np.percentile(usual, _HIGH)) if usual.size else 1.0)
        axes.imshow(image, cmap="gray", vmin=0, vmax=white, aspect=aspect, interpolation="nearest")
        drawn = axes.imshow(
            np.ma.masked_where(~shown, values),
            cmap="viridis",
            vmin=0.0,
            vmax=high or 1.0,
            aspect=aspect,
            interpolation="nearest",
        )
        figure.colorbar(drawn, ax=axes, shrink=0.8, extend="max" if name not in _LIMITS else "neither")
        axes.set_title(_TITLES[name])
        axes.set_xticks([])
        axes.set_yticks([])
    panels[len(names)].plot(arterial.arrival_s, arterial.plasma_mM, color="#d55e00")
    panels[len(names)].set(title="Arterial plasma", xlabel="seconds", ylabel="mM")
    for axes in panels[len(names) + 1 :]:
        axes.set_visible(False)
    figure.suptitle(
        f"Slice {place}, model {maps.fit.model}; voxels with R² of at least {_SHOWN_R2:g}; research use only",
        fontsize=10,
    )
    return figure
