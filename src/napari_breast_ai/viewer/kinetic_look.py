"""What kinetic images, maps and regions look like as napari layers: colours, limits, names.

Units and scale are those of `layers`, where every layer of a volume gets them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from cmap import Colormap as CatalogColormap
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from ..core import DceVolume
from . import layers as look

if TYPE_CHECKING:
    from napari.layers import Labels

    from ..kinetics import Derived, KineticMaps
    from ..kinetics.lazy import LazyStack
    from ..kinetics.pharmaco import Maps

DIFFERENCE, ENHANCEMENT, CLASSES, SER, EXCHANGE, PROJECTION = look.KINETIC
MAP_NAMES = {CLASSES: "Kinetic classes", ENHANCEMENT: "Initial enhancement (%)", SER: "SER"}

EXCHANGE_NAMES = {
    "ktrans": "Ktrans (1/min)",
    "kep": "kep (1/min)",
    "ve": "ve",
    "vp": "vp",
    "r2": "Goodness of fit (R²)",
}
SHOWN_R2 = 0.5
"""Parameters are shown where the model describes the curve at least so well, as in the written pictures."""

SAMPLE = 400_000
"""Voxels that tell where the colours end: a hand that moves a slider does not wait for all of them."""

REGION_COLORS = ("#009e73", "#cc79a7", "#e69f00", "#0072b2", "#d55e00", "#f0e442", "#56b4e9")

BREAST_COLORS = {1: "#56b4e9", 2: "#d55e00", 3: "#2fb58e", 4: "#f0e442"}
"""Of the labels of breasts: right, left, one breast, fibroglandular tissue."""

NO_LABEL = "#b8b8b8"
"""Of a label that stands for nothing."""


def difference_layer(study: DceVolume, image: Derived) -> look.LayerData:
    """A subtraction, or an enhancement in per cent, of two phases."""
    limits = image_limits(image)
    return image.stack, _grey(study, DIFFERENCE, image_name(image), limits), "image"


def projection_layer(study: DceVolume, data: Any, image: Derived, name: str) -> look.LayerData:
    """Projections, shape (slices, rows, columns), seen in place of the slices."""
    return data, _grey(study, PROJECTION, name, image_limits(image)), "image"


def fill_labels(layer: Labels, data: NDArray[np.uint8]) -> None:
    """Give a layer of labels other ones. What its brush remembers is forgotten: it must not be undone in these."""
    layer.data = data
    layer.editable = False
    layer.editable = True


def corrected_layer(study: DceVolume, volume: DceVolume, contrast: tuple[float, float]) -> look.LayerData:
    """The phases after motion correction, over the dynamic series and in its contrast."""
    settings = {
        **look.shared_settings(study, 4),
        "name": "Dynamic, motion corrected",
        "colormap": "gray",
        "interpolation2d": "linear",
        "contrast_limits": contrast,
        "metadata": look.entry(look.CORRECTED, study),
    }
    return volume.data, settings, "image"


def map_layer(
    study: DceVolume, data: Any, role: str, limits: tuple[float, float], **more: Any
) -> look.LayerData:
    """One of `CLASSES`, `ENHANCEMENT`, `SER` over the image."""
    codes = role != ENHANCEMENT
    settings = {
        **look.shared_settings(study),
        "name": MAP_NAMES[role],
        "colormap": map_colormap(role),
        "contrast_limits": limits,
        # A code between two codes means nothing, and each voxel is judged by itself.
        "interpolation2d": "nearest",
        "blending": "translucent",
        "metadata": look.entry(role, study),
        **more,
    }
    if not codes:
        settings["interpolation2d"] = "linear"
    return data, settings, "image"


def exchange_layer(
    study: DceVolume, maps: Maps, name: str, limits: tuple[float, float], **more: Any
) -> look.LayerData:
    """A map of a pharmacokinetic parameter, 0 (and transparent) where it was not fitted well enough to show."""
    settings = {
        **look.shared_settings(study),
        "name": EXCHANGE_NAMES[name],
        "colormap": ramp("bids:viridis", "exchange"),
        "contrast_limits": limits,
        "interpolation2d": "nearest",
        "blending": "translucent",
        "metadata": look.entry(EXCHANGE, study),
        **more,
    }
    return exchange_stack(maps, name), settings, "image"


def exchange_stack(maps: Maps, name: str) -> LazyStack:
    """The values to draw, a slice at a time."""
    from ..kinetics.lazy import LazyStack

    values, good = maps.map(name), maps.map("r2")
    if name == "r2":
        return LazyStack.each(maps.status.shape, np.float32, lambda where: values[where])
    return LazyStack.each(
        maps.status.shape, np.float32, lambda where: np.where(good[where] >= SHOWN_R2, values[where], 0)
    )


def exchange_limits(maps: Maps) -> dict[str, tuple[float, float]]:
    """By parameter: to the 95th percentile of what is shown and stands at no bound; of R² to 1. It takes its time."""
    good = (maps.map("r2") >= SHOWN_R2) & ~maps.fit.at_bound
    found = {"r2": (0.0, 1.0)}
    for name in EXCHANGE_NAMES:
        if name not in found:
            shown = maps.map(name)[good]
            high = float(np.percentile(shown, 95)) if shown.size else 1.0
            found[name] = 0.0, high if high > 0 else 1.0
    return found


def regions_layer(study: DceVolume, data: NDArray[np.uint8]) -> look.LayerData:
    """Regions of lesions as labels, drawn as outlines so that what they enclose stays visible."""
    from napari.utils.colormaps import CyclicLabelColormap

    colors = [_rgba(one) for one in REGION_COLORS]
    settings = {
        **look.shared_settings(study),
        "name": "Lesion regions",
        "opacity": 0.9,
        "colormap": CyclicLabelColormap(colors=np.array([(0, 0, 0, 0), *colors], np.float32)),
        "metadata": look.entry(look.REGIONS, study),
    }
    return data, settings, "labels"


def breast_layer(study: DceVolume, data: NDArray[np.uint8]) -> look.LayerData:
    """Breasts and their tissue as labels."""
    from napari.utils.colormaps import CyclicLabelColormap

    # A colour for every number: napari would compile for seconds for a colormap of single numbers.
    colors = [(0.0, 0.0, 0.0, 0.0), *(_rgba(BREAST_COLORS.get(label, NO_LABEL)) for label in range(1, 256))]
    settings = {
        **look.shared_settings(study),
        "name": "Breasts",
        "colormap": CyclicLabelColormap(colors=np.array(colors, np.float32)),
        "metadata": look.entry(look.BREASTS, study),
    }
    return data, settings, "labels"


def map_colormap(role: str) -> Colormap:
    """The colours of the classes or bins, a step each; of enhancement a ramp that begins transparent."""
    from ..kinetics import CLASS_COLORS, SER_COLORS

    if role == ENHANCEMENT:
        return ramp("bids:magma", role)
    colors = CLASS_COLORS if role == CLASSES else SER_COLORS
    top = len(colors) - 1
    # The steps lie half-way between two codes.
    edges = [0.0, *((code + 0.5) / top for code in range(top)), 1.0]
    return Colormap(
        [_rgba(one) for one in colors], controls=edges, interpolation="zero", name=f"breast-ai {role}"
    )


def map_limits(role: str, maps: KineticMaps, shown: float) -> tuple[float, float]:
    """The ends of a map's colours: first and last code, or per cent."""
    from ..kinetics import CLASS_COLORS, SER_COLORS

    if role != ENHANCEMENT:
        return 0.0, float(len(CLASS_COLORS if role == CLASSES else SER_COLORS) - 1)
    step = max(1, round((maps.initial.size / SAMPLE) ** 0.5))
    some = maps.initial[:, ::step, ::step]
    strong = some[some >= shown]
    high = float(np.percentile(strong, 99)) if strong.size else 2 * shown
    return shown, max(high, 1.5 * shown)


def ramp(name: str, role: str) -> Colormap:
    """A perceptually uniform colormap that is transparent at its low end only."""
    steps = np.linspace(0.0, 1.0, 256)
    colors = np.array(CatalogColormap(name)(0.25 + 0.75 * steps), np.float32)
    colors[0, 3] = 0.0
    return Colormap(colors, name=f"breast-ai {role}")


def image_name(image: Derived) -> str:
    """As in the dock, short enough for the list of layers."""
    if image.kind == "phase":
        return f"Phase {image.phase}"
    return f"Phase {image.phase} − {image.base}" + (" (%)" if image.kind == "relative" else "")


def image_limits(image: Derived) -> tuple[float, float]:
    """Display limits: of a phase from the air on, of a difference from 0 on."""
    n = image.geometry.shape[0]
    rows, columns = image.geometry.shape[1:]
    step = slice(None, None, max(1, round((12 * rows * columns / SAMPLE) ** 0.5)))
    some = np.stack([image.at((z, step, step)) for z in range(n)[:: max(1, n // 12)]])
    if image.kind == "phase":
        return look.contrast(some[None])
    high = float(np.percentile(some, 99.8))
    return 0.0, high if high > 0 else 1.0


def _grey(study: DceVolume, role: str, name: str, limits: tuple[float, float]) -> dict[str, Any]:
    return {
        **look.shared_settings(study),
        "name": name,
        "colormap": "gray",
        "interpolation2d": "linear",
        "contrast_limits": limits,
        "metadata": look.entry(role, study, contrast=limits),
    }


def _rgba(color: str) -> tuple[float, ...]:
    values = [int(color[i : i + 2], 16) / 255 for i in range(1, len(color), 2)]
    return (*values, 1.0) if len(values) == 3 else tuple(values)
