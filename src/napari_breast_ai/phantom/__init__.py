"""A digital breast: synthetic DCE studies with known truth, written as real DICOM in each vendor's manner."""

from .dicom import MANNERS, Manner, write_dicom
from .make import Phantom, Truth, make_phantom
from .regions import breast_truth, tissue_truth
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
    "breast_truth",
    "make_phantom",
    "tissue_truth",
    "write_dicom",
]
