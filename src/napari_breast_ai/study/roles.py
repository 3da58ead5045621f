"""What a group of images is, judged from its headers, with the reason in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .headers import Frame

ROLES = ("dce", "t1", "t2", "dwi", "adc", "derived", "other")
"""All roles. "derived" has a `detail`: subtraction, mip, reformat, localizer, test or ""; "t1", "t2" and "dce"
have "fat-suppressed" or ""."""


@dataclass(frozen=True)
class Role:
    """A role with its reason.

    Attributes:
        name: one of `ROLES`.
        reason: a few words for people.
        confidence: 0 to 1.
        detail: the kind of derived images; "fat-suppressed".
    """

    name: str
    reason: str
    confidence: float
    detail: str = ""


def _said(pattern: str) -> re.Pattern[str]:
    # Descriptions join words with underscores and digits, where \b sees no boundary.
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])", re.IGNORECASE)


_DERIVED = (
    ("localizer", {"LOCALIZER"}, _said(r"locali[sz]er|scout|survey|loc|3 ?-?plane")),
    (
        "subtraction",
        {"SUB", "SUBTRACT", "SUBTRACTION"},
        re.compile(
            r"(?<![a-z])(?:subs?|subtr\w*)(?![a-z])|\(\d+/\d+/\d+\) ?- ?\(\d+/\d+/\d+\)", re.IGNORECASE
        ),
    ),
    ("mip", {"MIP", "MINIP", "MAX_IP", "PROJECTION IMAGE"}, _said(r"mip|mips|minip")),
    ("reformat", {"REFORMATTED", "MPR"}, _said(r"mpr|reformat\w*|rfmt")),
    ("test", set[str](), _said(r"test")),
)
_ADC = _said(r"adc|apparent diffusion\w*")
_DIFFUSION = _said(r"dwi|dti|diff|diffusion|resolve|tensor")
_DYNAMIC = re.compile(
    r"efgre3d|3dfgre|vibrant|fl3d|fl3_we|twist|thrive|(?<![a-z])dyn|(?<![a-z])dce|(?<![a-z])ph\d+/",
    re.IGNORECASE,
)
_NOT_WATER = frozenset(
    {
        "F",
        "FAT",
        "IP",
        "IN_PHASE",
        "OP",
        "OPP_PHASE",
        "OUT_PHASE",
        "P",
        "PHASE",
        "R",
        "REAL",
        "I",
        "IMAGINARY",
    }
)
_FAT_IMAGE = re.compile(r"^fat:|_F$|(?<![a-z])(?:in|opp|out)[ _-]?phase", re.IGNORECASE)
_FAT_NAMED = _said(
    r"fs|fat[ _-]?(?:sat\w*|sup\w*)|stir|tirm|spair|spir|dixon[ _-]?w|water|we|proset|ideal[ _-]?w|"
    r"vibrant|e?thrive|qfs"
)
FAT_DESCRIBED = "fat suppression by the description"
_FAT_OPTIONS = frozenset({"FS", "SFS", "FAT_SAT", "WE"})
_NO_FAT_NAMED = _said(r"non?[ _-]?(?:fs|fat[ _-]?sat\w*)|without[ _-]?fat[ _-]?sat\w*|w/?o[ _-]?fs")
_T1, _T2 = _said(r"t1w?"), _said(r"t2w?|stir|tirm")


def nature(frame: Frame, diffusion: bool) -> Role | None:
    """What a frame is whatever its time: derived, ADC, diffusion; None for an original image of another kind.

    Args:
        frame: the frame.
        diffusion: some image of its series has a b-value above 0.
    """
    types = set(frame.image_type)
    description = frame.source.description
    if "ADC" in types or _ADC.search(description):
        where = "ImageType" if "ADC" in types else "the description"
        return Role("adc", f"{where} says ADC", 0.9)
    for detail, codes, pattern in _DERIVED:
        if types & codes:
            return Role("derived", f"ImageType says {detail}", 0.95, detail)
        if pattern.search(description):
            return Role("derived", f"the description says {detail}", 0.8, detail)
    if "TRACEW" in types or (diffusion and frame.image_type[:1] != ("DERIVED",)):
        return Role("dwi", "ImageType says TRACEW" if "TRACEW" in types else "b-values above 0", 0.95)
    if frame.image_type and frame.image_type[0] != "ORIGINAL":
        return Role("derived", f"ImageType begins with {frame.image_type[0]}", 0.7)
    if "DIFFUSION" in types or _DIFFUSION.search(description):
        where = "ImageType" if "DIFFUSION" in types else "the description"
        return Role("dwi", f"{where} says diffusion", 0.7)
    return None


def judge(frames: Sequence[Frame], phases: int, nature_of: Role | None) -> Role:
    """The role of a group of `phases` whole phases (0 where its images make none)."""
    first = frames[0]
    if nature_of is not None:
        return nature_of
    if first.position is None or first.source.pixels.samples != 1:
        return Role("other", "no place in the patient" if first.position is None else "colour images", 0.9)
    if first.source.modality != "MR":
        return Role("other", f"modality {first.source.modality or 'unknown'}, not MR", 0.9)
    if phases > 1:
        return _dynamic(first, phases)
    weighting, reason = _weighting(first)
    if weighting == "other":
        return Role(weighting, reason, 0.3)
    fat = fat_suppressed(first)
    return Role(weighting, ", ".join(filter(None, (reason, fat))), 0.6, "fat-suppressed" if fat else "")


def fat_suppressed(first: Frame) -> str:
    """What says that fat is suppressed, or ""."""
    named = f"{first.source.description} {first.source.protocol}"
    if first.fat_suppression:
        return (
            "fat suppression by SpectrallySelectedSuppression"
            if first.fat_suppression in ("FAT", "FAT_AND_WATER", "BOTH")
            else ""
        )
    if first.source.scan_options & _FAT_OPTIONS:
        return "fat suppression by ScanOptions"
    if _NO_FAT_NAMED.search(named):
        return ""
    return FAT_DESCRIBED if _FAT_NAMED.search(named) else ""


def dixon_part(first: Frame) -> str:
    """Which image of a Dixon acquisition other than water the description names ("f", "fat", "inphase"), or ""."""
    match = _FAT_IMAGE.search(first.source.description)
    return re.sub(r"[\W_]", "", match[0].casefold()) if match else ""


def _dynamic(first: Frame, phases: int) -> Role:
    source = first.source
    reasons, confidence = [f"{phases} phases of one geometry"], 0.3
    if _is_t1_gradient_echo(first):
        reasons.append("T1-weighted gradient echo")
        confidence += 0.3
    if _DYNAMIC.search(" ".join((source.description, source.protocol, source.sequence))):
        reasons.append("named like a dynamic series")
        confidence += 0.2
    if source.contrast_agent:
        reasons.append("a contrast agent is named")
        confidence += 0.15
    if set(first.image_type) & _NOT_WATER or dixon_part(first):
        reasons.append("a Dixon or phase image other than water")
        confidence -= 0.15
    if confidence < 0.4:
        reasons.append("nothing else says contrast-enhanced")
    fat = fat_suppressed(first)
    if fat:
        reasons.append(fat)
    return Role("dce", ", ".join(reasons), round(confidence, 2), "fat-suppressed" if fat else "")


def _is_t1_gradient_echo(first: Frame) -> bool:
    scanning = set(first.source.scanning)
    if scanning and ("GR" not in scanning or "EP" in scanning):
        return False
    repetition, echo = first.repetition_ms, first.echo_ms
    return repetition is not None and echo is not None and repetition <= 50 and echo <= 12


def _weighting(first: Frame) -> tuple[str, str]:
    source = first.source
    named = f"{source.description} {source.protocol}"
    for role, code, pattern in (("t2", "T2", _T2), ("t1", "T1", _T1)):
        if code in first.image_type[2:] or pattern.search(named):
            return role, f"named {code}-weighted"
    if _is_t1_gradient_echo(first):
        return "t1", "gradient echo with short TR and TE"
    if first.echo_ms is not None and first.echo_ms >= 60:
        return "t2", f"echo time {first.echo_ms:g} ms"
    if first.repetition_ms is not None and first.repetition_ms <= 900 and (first.echo_ms or 99) <= 25:
        return "t1", f"TR {first.repetition_ms:g} ms and TE {first.echo_ms:g} ms"
    return "other", "nothing says what weighting it has"
