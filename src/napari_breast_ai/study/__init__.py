"""From files to volumes: header scan, groups and phases with a reason for every file, pixels."""

from .assemble import assemble, read_study
from .errors import StudyError
from .index import Group, Phase, StudyIndex, Unused
from .loading import Loader
from .roles import ROLES, Role
from .scan import scan

__all__ = [
    "ROLES",
    "Group",
    "Loader",
    "Phase",
    "Role",
    "StudyError",
    "StudyIndex",
    "Unused",
    "assemble",
    "read_study",
    "scan",
]
