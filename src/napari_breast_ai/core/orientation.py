"""Which way a study's images are shown, and what lies at their edges."""

from __future__ import annotations

from typing import Literal

from .geometry import Geometry
from .volume import DceVolume


def upright(volume: DceVolume) -> tuple[Literal["up", "down"], Literal["left", "right"]]:
    """Which way rows and columns run on the screen so that a reader sees what she is used to.

    The head, on axial slices the front, is at the top, and on axial and coronal slices the patient's right on
    the left. The stored pixels stay as they are. Images without a place in the patient are shown as stored.
    """
    return upright_of(volume.geometry) if has_place(volume) else ("down", "right")


def upright_of(geometry: Geometry) -> tuple[Literal["up", "down"], Literal["left", "right"]]:
    """The same of images whose place in the patient is known."""
    mirrored = geometry.directions["across"] == "L-R"
    return "up" if geometry.directions["down"] in ("F-H", "P-A") else "down", "left" if mirrored else "right"


def sides(volume: DceVolume) -> dict[str, str]:
    """The patient's side (R, L, A, P, H, F) at each edge of the upright image; empty where nothing tells."""
    return sides_of(volume.geometry) if has_place(volume) else {}


def sides_of(geometry: Geometry) -> dict[str, str]:
    """The same of images whose place in the patient is known."""
    vertical, horizontal = upright_of(geometry)
    first, last = geometry.directions["down"].split("-")
    near, far = geometry.directions["across"].split("-")
    top, bottom = (first, last) if vertical == "down" else (last, first)
    left, right = (near, far) if horizontal == "right" else (far, near)
    return {"top": top, "bottom": bottom, "left": left, "right": right}


def has_size(volume: DceVolume) -> bool:
    """Whether the pixels have a size in millimetres: a picture without one counts a pixel as 1 mm."""
    return bool(volume.frames) or volume.n_slices > 1 or volume.geometry.spacing != (1.0, 1.0, 1.0)


def has_place(volume: DceVolume) -> bool:
    """Whether the study says where in the patient it lies."""
    return bool(volume.identity.frame_of_reference_uid) or volume.n_slices > 1
