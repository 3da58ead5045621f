"""A digital breast: synthetic DCE studies with known truth, written as real DICOM in each vendor's manner."""

from .dicom import MANNERS, Manner, write_dicom
from .make import Phantom, Truth, make_phantom
from .spec import BPE_LEVELS, DENSITIES, KINDS, Kind, PhantomError, PhantomSpec
from .tissues import TISSUES, Tissue

__all__ = [
    "BPE_LEVELS",
    "DENSITIES",
    "KINDS",
    "MANNERS",
    "TISSUES",
    "Kind",
    "Manner",
    "Phantom",
    "PhantomError",
    "PhantomSpec",
    "Tissue",
    "Truth",
    "make_phantom",
    "write_dicom",
]
