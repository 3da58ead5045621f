"""Open Sample: digital phantoms with known truth. Synthetic, and said to be so on the screen."""

from __future__ import annotations

from typing import Literal

from .layers import LayerData, volume_layers
from .notices import activity
from .tasks import SAMPLE_SEED


def phantom_igm() -> list[LayerData]:
    """A synthetic study with idiopathic granulomatous mastitis, with its true boxes."""
    return _phantom("igm")


def phantom_nme() -> list[LayerData]:
    """A synthetic study with malignant non-mass enhancement, with its true boxes."""
    return _phantom("nme")


def _phantom(kind: Literal["igm", "nme"]) -> list[LayerData]:
    from ..phantom import PhantomSpec, make_phantom

    with activity("Making the phantom") as report:
        phantom = make_phantom(PhantomSpec(kind=kind, seed=SAMPLE_SEED), report)
    return volume_layers(phantom.volume, None, phantom.truth.boxes)
