"""Names for studies and images whose files carry no UIDs, as some de-identification leaves them.

Decisions and boxes are kept under a study's UID. Where StudyInstanceUID is empty, all such studies would share one
name; here each gets a UID (2.25, PS3.5 B.2) made of its content, equal for a moved or renamed copy:

- an image without SOPInstanceUID is named by SHA-256 of its rows, columns, series and instance number, the number
  of its frames, the position of each, and 64 KiB from the middle of its pixels;
- the images without StudyInstanceUID that have one PatientID and StudyDate are one study, named by SHA-256 of the
  sorted names of its images. With an image more or less it is another study.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from .headers import Frame, Source

_SAMPLE = 1 << 16

NO_STUDY_UID = (
    "Some images carry no StudyInstanceUID. Boxes and decisions are kept under a name made of their content, and are "
    "found again only with the same images."
)


def named(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """The frames with UIDs where their files have none, and a sentence where a study had none."""
    if all(frame.source.study_uid and frame.source.sop_instance_uid for frame in frames):
        return list(frames), []
    by_file: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[id(frame.source)].append(frame)
    images = {key: own[0].source.sop_instance_uid or _uid([_content(own)]) for key, own in by_file.items()}
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, own in by_file.items():
        if not own[0].source.study_uid:
            members[_study(own[0].source)].append(images[key])
    studies = {study: _uid(sorted(names)) for study, names in members.items()}
    sources = {
        key: replace(
            own[0].source,
            sop_instance_uid=images[key],
            study_uid=own[0].source.study_uid or studies[_study(own[0].source)],
        )
        for key, own in by_file.items()
    }
    found = [replace(frame, source=sources[id(frame.source)]) for frame in frames]
    return found, [NO_STUDY_UID] if studies else []


def _study(source: Source) -> tuple[str, str]:
    return source.patient_id, source.study_date


def _uid(names: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _content(own: Sequence[Frame]) -> str:
    """What names one file, in hexadecimal."""
    source = own[0].source
    told = [source.rows, source.columns, source.series_number, own[0].instance_number, len(own)]
    digest = hashlib.sha256(repr((*told, [frame.position for frame in own])).encode())
    start = source.pixels.packed or source.pixels.start
    try:
        with source.path.open("rb") as stream:
            end = stream.seek(0, 2)
            stream.seek(start + max(end - start - _SAMPLE, 0) // 2)
            digest.update(stream.read(_SAMPLE))
    except OSError:  # gone since its header was read
        pass
    return digest.hexdigest()
