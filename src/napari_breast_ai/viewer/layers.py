"""What a volume and its heat maps look like as napari layers: units, scale, names, colours, contrast.

Nothing else in the package knows this. All layers of a volume share units and axis names, because one
layer with other units makes napari ignore them all. Index coordinates have integers at pixel centres, as
napari's data coordinates do, so that a layer's translation is where its first pixel's centre lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core import Box, DceVolume, Prediction
from ..core.orientation import has_size as has_size
from ..core.orientation import sides as sides
from ..core.orientation import upright as upright
from .on_demand import OnDemand

if TYPE_CHECKING:
    from ..study import Loader

KEY = "napari_breast_ai"
"""Key of our entry in a layer's metadata: a dict with `role`, `volume` and `source`; of an image the `contrast` it
begins with; where its pixels are read behind it the `loader`."""

AXES = ("phase", "z", "y", "x")
UNITS = ("pixel", "mm", "mm", "mm")
"""Phases are counted: their distances in seconds differ, which a scale cannot say; the readout says them."""

(
    DYNAMIC,
    SUBTRACTION,
    REFERENCE,
    BOXES,
    OFFERS,
    TARGETS,
    ATTENTION,
    GRADCAM,
    ATTENTION_LINES,
    GRADCAM_LINES,
) = (
    "dynamic",
    "subtraction",
    "reference",
    "boxes",
    "offers",
    "targets",
    "attention",
    "gradcam",
    "attention lines",
    "gradcam lines",
)

CORRECTED, REGIONS, BREASTS = "corrected", "lesion regions", "breasts"
KINETIC = ("difference", "enhancement", "classes", "ser", "exchange", "projection")
"""Images and maps of the Kinetics dock."""

_OVER = (
    ATTENTION,
    GRADCAM,
    ATTENTION_LINES,
    GRADCAM_LINES,
    TARGETS,
    REFERENCE,
    BREASTS,
    REGIONS,
    OFFERS,
    BOXES,
)
ORDER = (DYNAMIC, CORRECTED, SUBTRACTION, *KINETIC, *_OVER)
"""From the bottom to the top."""

OWN_WAY = (BOXES, OFFERS, TARGETS)
"""Layers that follow a change of the study by themselves."""

FILLED = (DYNAMIC, SUBTRACTION)
"""Layers that show the volume's own pixels."""

FIRST_LOOK_S = 120.0
"""The phase shown first is the one nearest to this time: early post-contrast, where lesions stand out."""

_SPARE = (1, 1, 1, 1)

LayerData = tuple[Any, dict[str, Any], str]


class LazySubtraction:
    """Every phase minus the pre-contrast phase, computed for the slices that are asked for.

    An array of shape (phases, slices, rows, columns), float32, that costs no memory of its own.
    """

    def __init__(self, volume: DceVolume, data: Any = None) -> None:
        """`data`: the volume's pixels by another way, such as `OnDemand`; None for `volume.data`."""
        self._data: Any = volume.data if data is None else data
        self._pre = volume.pre_contrast
        self.shape: tuple[int, ...] = volume.data.shape
        self.ndim = 4
        self.dtype = np.dtype(np.float32)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        key = key if isinstance(key, tuple) else (key,)
        if any(part is Ellipsis for part in key):
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            key = key[:at] + (slice(None),) * (self.ndim - len(key) + 1) + key[at + 1 :]
        phase, rest = key[0], key[1:]
        # A length-1 slice keeps the axis wherever the phase's own key keeps one, so that broadcasting is
        # right.
        whole = isinstance(phase, int | np.integer)
        pre = self._data[(self._pre if whole else slice(self._pre, self._pre + 1), *rest)]
        difference: NDArray[np.float32] = np.subtract(self._data[key], pre, dtype=np.float32)
        return difference

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def volume_layers(
    volume: DceVolume,
    source: str | None = None,
    boxes: Iterable[Box] = (),
    loader: Loader | None = None,
    on_demand: bool = False,
    spare: bool = False,
) -> list[LayerData]:
    """A study as layers: the dynamic series, its subtraction (hidden at first), and given boxes, if any.

    Args:
        volume: the study.
        source: the folder or file it was read from, beside which its boxes are kept.
        boxes: boxes that are given (a phantom's truth); shown in a layer that cannot be edited.
        loader: where the volume is still to be filled: the contrast is taken from what has been read so far, and a
            session that finds the layers fills the rest. None where all is there.
        on_demand: the layers read what is asked of them (`OnDemand`), for there may be no session.
        spare: a single phase has a subtraction too, of one hidden voxel: the next case of a list may need the layer,
            and making it takes napari the better part of a second.
    """
    shared = _shared(volume, 4)
    loaded = None if loader is None else loader.loaded
    data = OnDemand(loader) if on_demand and loader is not None and not loader.complete else volume.data
    more = {} if loader is None else {"loader": loader}
    sub_low, sub_high = 0.0, 1.0
    if loaded is None or loaded.all():
        low, high = contrast(volume.data)
        if volume.n_phases > 1:
            sub_low, sub_high = subtraction_contrast(volume)
    else:
        low, high = contrast(volume.data[loaded][None])
        sub_high = _enhancement(volume, loaded)
    layers: list[LayerData] = [
        (
            data,
            {
                **shared,
                "name": "Dynamic",
                "colormap": "gray",
                "interpolation2d": "linear",
                "contrast_limits": (low, high),
                "metadata": _entry(DYNAMIC, volume, source, contrast=(low, high), **more),
            },
            "image",
        )
    ]
    if volume.n_phases > 1 or spare:
        layers.append(
            (
                LazySubtraction(volume, data) if volume.n_phases > 1 else np.zeros(_SPARE, np.float32),
                {
                    **shared,
                    "name": "Subtraction",
                    "colormap": "gray",
                    "interpolation2d": "linear",
                    "contrast_limits": (sub_low, sub_high),
                    "visible": False,
                    "metadata": _entry(SUBTRACTION, volume, source, contrast=(sub_low, sub_high)),
                },
                "image",
            )
        )
    boxes = tuple(boxes)
    if boxes:
        layers.append(reference_layer(volume, boxes))
    return layers


def take_place(layer: Any, data: Any, settings: dict[str, Any]) -> None:
    """Give an image layer of ours another study's pixels; what the person chose (shown, gamma) stays."""
    layer.metadata = settings["metadata"]
    if data.shape == _SPARE and info(layer)["role"] == SUBTRACTION:
        if layer.visible:
            layer.visible = False
        if layer.data.shape == _SPARE:
            return
    layer.data = data
    if tuple(layer.scale) != tuple(settings["scale"]):
        layer.scale = settings["scale"]
    if not layer.visible:
        # A hidden layer does not look at its new size by itself, and the sliders would keep the old study's ends.
        layer.translate = layer.translate
    low, high = settings["contrast_limits"]
    set_contrast(layer, low, high, whole=True)


def set_contrast(layer: Any, low: float, high: float, whole: bool = False) -> None:
    """Set display limits: with `whole` they are the ends of the slider too, else the slider grows with them."""
    known = layer.contrast_limits_range
    layer.contrast_limits_range = (low, high) if whole else (min(low, known[0]), max(high, known[1]))
    layer.contrast_limits = (low, high)


def shown_image(layers: Iterable[Any], volume: DceVolume) -> Any | None:
    """The study's image that is seen: a projection or subtraction where one is shown, else the dynamic series."""
    mine = {info(layer).get("role"): layer for layer in layers if info(layer).get("volume") is volume}
    for role in ("projection", "difference", SUBTRACTION, DYNAMIC):
        if (layer := mine.get(role)) is not None and layer.visible:
            return layer
    return None


def reference_layer(volume: DceVolume, boxes: Iterable[Box]) -> LayerData:
    """Boxes that are given and not the reader's own: thin white frames in a layer of their own."""
    boxes = tuple(boxes)
    return (
        [rectangle(box) for box in boxes],
        {
            **_shared(volume, 3),
            "name": "True boxes" if all(box.author == "truth" for box in boxes) else "Given boxes",
            "ndim": 3,
            "shape_type": "rectangle",
            "edge_color": "white",
            "face_color": "transparent",
            "edge_width": edge_width(volume) * 0.5,
            "opacity": 0.75,
            "metadata": _entry(REFERENCE, volume, None, boxes=boxes),
        },
        "shapes",
    )


def heat_layer(
    volume: DceVolume,
    maps: Any,
    role: str,
    name: str,
    *,
    covered: tuple[int, int, int, int] | None = None,
    **display: Any,
) -> LayerData:
    """Heat maps, shape (slices, h, w), as a small layer that covers exactly the image, or what `covered` says of it
    (see `Prediction.covered`).

    The map is drawn larger by its scale and by linear interpolation on the graphics card; no array is
    resampled. `display` gives `colormap`, `opacity`, `contrast_limits` and `visible`.
    """
    y0, x0, y1, x1 = covered or (0, 0, *volume.geometry.shape[1:])
    rows, columns = y1 - y0, x1 - x0
    dz, dy, dx = volume.geometry.spacing
    h, w = maps.shape[1:]
    return (
        maps,
        {
            **_shared(volume, 3),
            "name": name,
            "scale": (dz, dy * rows / h, dx * columns / w),
            # Centre of cell 0 in pixels, align_corners=False: 0.5 · rows / h - 0.5.
            "translate": (0.0, dy * (y0 + 0.5 * rows / h - 0.5), dx * (x0 + 0.5 * columns / w - 0.5)),
            "interpolation2d": "linear",
            "blending": "translucent",
            "metadata": _entry(role, volume, None),
            **display,
        },
        "image",
    )


def full_stack(prediction: Prediction, maps: NDArray[np.float32], n_slices: int) -> NDArray[np.float32]:
    """The maps of the predicted slices, shape (n, h, w), in a stack of all slices; 0 where there is none."""
    stack = np.zeros((n_slices, *maps.shape[1:]), dtype=np.float32)
    stack[list(prediction.slices)] = maps
    return stack


def contrast(data: NDArray[Any]) -> tuple[float, float]:
    """Display limits of an image stack: from the air to nearly the brightest, safe from a few hot voxels."""
    sample = _sample(data)
    low, high = np.percentile(sample, (1.0, 99.8)) if sample.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1.0)


def subtraction_contrast(volume: DceVolume) -> tuple[float, float]:
    """Display limits of the subtraction: 0 is black, what enhances most is white."""
    pre = _sample(volume.data[volume.pre_contrast : volume.pre_contrast + 1])
    last = volume.n_phases - 1
    middle = volume.times.nearest(volume.times.start_s[last] / 2)
    difference = _sample(volume.data[middle : middle + 1]) - pre
    high = float(np.percentile(difference, 99.8)) if difference.size else 1.0
    return 0.0, high if high > 0 else 1.0


def _enhancement(volume: DceVolume, loaded: NDArray[np.bool_]) -> float:
    """The white end of the subtraction, from the slices that have been read in two phases."""
    pre = loaded[volume.pre_contrast]
    highs = [
        float(
            np.percentile(
                np.subtract(volume.data[p, z], volume.data[volume.pre_contrast, z], dtype=np.float32), 99.8
            )
        )
        for p, z in np.argwhere(loaded & pre)
        if p != volume.pre_contrast
    ]
    return max(highs) if highs and max(highs) > 0 else 1.0


def first_look(volume: DceVolume) -> tuple[int, int]:
    """Phase and slice that are shown first."""
    first = min(volume.pre_contrast + 1, volume.n_phases - 1)
    return volume.times.nearest(FIRST_LOOK_S, first), volume.n_slices // 2


def rectangle(box: Box) -> NDArray[np.float64]:
    """The corners of a box, shape (4, 3), as (slice, row, column)."""
    z, y0, x0, y1, x1 = float(box.z), box.y0, box.x0, box.y1, box.x1
    return np.array([[z, y0, x0], [z, y0, x1], [z, y1, x1], [z, y1, x0]])


def edge_width(volume: DceVolume) -> float:
    """The width of a box's frame in pixels: the same part of the image at every matrix size."""
    return max(volume.geometry.shape[1:]) / 220


def info(layer: Any) -> dict[str, Any]:
    """Our entry in a layer's metadata; empty for a layer that is not ours."""
    entry = layer.metadata.get(KEY)
    return entry if isinstance(entry, dict) else {}


def shared_settings(volume: DceVolume, ndim: int = 3) -> dict[str, Any]:
    """Scale, units and axis names of a layer in the volume's pixels."""
    return _shared(volume, ndim)


def entry(role: str, volume: DceVolume, source: str | None = None, **more: Any) -> dict[str, Any]:
    """Metadata by which the plugin knows a layer as its own."""
    return _entry(role, volume, source, **more)


def _shared(volume: DceVolume, ndim: int) -> dict[str, Any]:
    return {
        "scale": (1.0, *volume.geometry.spacing)[-ndim:],
        "units": UNITS[-ndim:],
        "axis_labels": AXES[-ndim:],
    }


def _entry(role: str, volume: DceVolume, source: str | None, **more: Any) -> dict[str, Any]:
    return {KEY: {"role": role, "volume": volume, "source": source, **more}}


def _sample(data: NDArray[Any], target: int = 400_000) -> NDArray[np.float32]:
    """About `target` voxels, evenly spread over rows and columns of all slices, as float32 (N,)."""
    step = max(1, int(np.sqrt(data.size / target)))
    return np.asarray(data[:, :, ::step, ::step], dtype=np.float32).ravel()
