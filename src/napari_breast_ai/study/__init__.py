"""From files to volumes: header scan, groups and phases with a reason for every file, pixels."""

from .assemble import assemble, open_study, open_volume, read_study
from .errors import StudyError
from .finding import find_studies
from .index import Group, Phase, StudyIndex, Unused
from .keeping import load, overruled, read_overrules, save
from .loading import Loader
from .outline import outline
from .overrules import Decision, Overrules, Wanted, apply
from .roles import ROLES, Role
from .scan import scan
from .sequence import AngleImages, SequenceFacts, read_flip_angles, read_on_slices, sequence_facts
from .told_times import recall_times, tell_times, times_unknown
from .writers import write_dicom_series, write_nifti

__all__ = [
    "ROLES",
    "AngleImages",
    "Decision",
    "Group",
    "Loader",
    "Overrules",
    "Phase",
    "Role",
    "SequenceFacts",
    "StudyError",
    "StudyIndex",
    "Unused",
    "Wanted",
    "apply",
    "assemble",
    "find_studies",
    "load",
    "open_study",
    "open_volume",
    "outline",
    "overruled",
    "read_flip_angles",
    "read_on_slices",
    "read_overrules",
    "read_study",
    "recall_times",
    "save",
    "scan",
    "sequence_facts",
    "tell_times",
    "times_unknown",
    "write_dicom_series",
    "write_nifti",
]
