"""Broken files by the thousand: no exception, no hang, memory bounded, each file in the audit once.

The whole check, with each file timed alone, is `python tests/fuzz/run.py --count 10000`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_breast_ai.study import StudyError, assemble, scan
from napari_breast_ai.study.grouping import group_frames
from napari_breast_ai.study.quiet import quiet_parsers

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"


def says(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "TriggerTime": f"{60000 * p}"}


@pytest.mark.timeout(400)
def test_a_thousand_broken_files() -> None:
    done = subprocess.run(
        [sys.executable, str(FUZZ / "run.py"), "--count", "1000", "--together"],
        capture_output=True, text=True, timeout=390, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["files"] == 1000 == found["counts"]["unused"] + found["counts"]["grouped"]
    # The check sees something only if some files are still read, and some refused at each step.
    assert min(found["counts"][kind] for kind in ("unused", "read", "refused")) > 20
    assert found["counts"]["not finite"] == 0


def test_whole_files_are_read(tmp_path: Path) -> None:
    """What the mutations start from is good: a file that is refused for another reason would hide everything."""
    for name, content in _seeds().items():
        path = tmp_path / name
        path.write_bytes(content)
        (group,) = scan(path).groups
        volume = assemble(group)
        assert volume.data.shape[-2:] == (16, 24)
        assert volume.data.any()
        if "enhanced" in name or name == "jpeg2000":
            assert group.n_phases == 2


@pytest.mark.timeout(300)
def test_real_odd_files(data_dir: Path) -> None:
    """Each alone: grouped or unused, and read or refused in a sentence."""
    files = sorted((data_dir / "dicom" / "pydicom_odd").iterdir())
    assert len(files) > 50
    read = 0
    for file in files:
        index = scan(file)
        grouped = {path for group in index.groups for path in group.paths}
        assert len(grouped) + len(index.unused) == 1, file
        for group in index.groups:
            try:
                read += assemble(group).data.size > 0
            except StudyError:
                continue
    assert read >= 10


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"Rows": 65535, "Columns": 65535, "NumberOfFrames": 9000}, "declares"),
        ({"NumberOfFrames": 1_000_000_000}, "declares 1000000000 frames"),
        ({"Rows": 65535}, "bytes of pixels"),
    ],
)
def test_more_pixels_than_the_file_can_hold(study: Any, attributes: dict[str, Any], said: str) -> None:
    study.write(lambda p, z: says(p, z) | (attributes if (p, z) == (3, 4) else {}))
    index = scan(study.folder)
    assert [said in one.reason for one in index.unused] == [True]
    assert assemble(index.dce()).data.shape[0] == 3


def test_a_study_larger_than_memory(study: Any) -> None:
    """Said before anything is read."""
    study.write(says)
    group = scan(study.folder).dce()
    assert group.geometry is not None
    shape = (group.geometry.shape[0], 1 << 24, 1 << 24)
    with pytest.raises(StudyError, match=r"needs .* GiB of memory, more than there is"):
        assemble(replace(group, geometry=replace(group.geometry, shape=shape)))


def test_run_lengths_that_point_elsewhere(study: Any) -> None:
    """The decoder would read wherever the table of segments points to."""
    from napari_breast_ai.study.pixels import _run_lengths

    for table in ([2, 64, 4_000_000_000], [2, 0, 70], [2, 90, 70], [15, 64, 70], [0, 64, 70]):
        data = np.array(table + [0] * (16 - len(table)), dtype="<u4").tobytes() + bytes(60)
        with pytest.raises(ValueError, match="segments"):
            _run_lengths(data, (6, 8), np.dtype(np.uint16))
    with pytest.raises(ValueError, match="segments"):
        _run_lengths(bytes(20), (1, 2), np.dtype(np.uint16))


def test_parsers_are_quiet_and_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    pixels = logging.getLogger("pydicom.pixels.decoders")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with quiet_parsers():
            with quiet_parsers():
                pass
            pixels.error("Doe^Jane")
            warnings.warn("Doe^Jane", stacklevel=1)
        pixels.error("after")
    assert [record.message for record in caplog.records] == ["after"]
    assert heard == []


def test_nothing_of_a_header_in_logs(study: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nor in the names of files that are made: what a header says is in the index alone."""
    secret = "QZX7secret"
    study.write(
        lambda p, z: (
            says(p, z) | {"PatientName": secret, "PatientID": secret, "SeriesDescription": f"{secret} dyn"}
        )
    )
    before = sorted(study.folder.parent.rglob("*"))
    with caplog.at_level(logging.INFO):
        index = scan(study.folder)
        assemble(index.dce())
    assert secret not in caplog.text
    assert sorted(study.folder.parent.rglob("*")) == before


_wild = st.one_of(
    st.none(), st.sampled_from([0.0, -1.0, 1.0, 1e-300, 1e15, 1e300, -1e300]), st.floats(-1e6, 1e6)
)
_whole = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**63, -(2**70), 10**300]))
_place = st.one_of(
    st.none(),
    st.tuples(*[st.sampled_from([0.0, 1.0, -1.0, 2.5, 5.0, 1e6, -1e6])] * 3),
)
_frame = st.fixed_dictionaries(
    {
        "position": _place,
        "orientation": st.sampled_from(
            [None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (0.0,) * 6, (1e6,) * 6]
        ),
        "pixel_spacing": st.sampled_from([None, (1.0, 1.0), (1e-300, 1e6)]),
        "temporal_position": _whole,
        "acquisition_number": _whole,
        "instance_number": _whole,
        **dict.fromkeys(
            (
                "thickness", "spacing_between_slices", "echo_ms", "repetition_ms", "inversion_ms", "flip_deg",
                "trigger_s", "acquisition_s", "content_s", "b_value", "duration_s", "reference_s",
            ),
            _wild,
        ),
    }
)  # fmt: skip


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    values=st.lists(_frame, min_size=1, max_size=9),
    series=st.lists(st.integers(0, 2), min_size=9, max_size=9),
)
def test_any_values_are_sorted(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]], series: list[int]
) -> None:
    """Whatever numbers headers hold, each frame is in exactly one group, and nothing raises."""
    first = _template(tmp_path_factory)
    frames = [
        replace(
            first,
            source=replace(
                first.source,
                path=Path(f"f{i}"),
                series_uid=f"1.2.{series[i]}",
                sop_instance_uid=f"1.{i}",
            ),
            **one,
        )
        for i, one in enumerate(values)
    ]
    with np.errstate(all="ignore"):
        groups = group_frames(frames)
    told = [frame.source.path for group in groups for frame in group.frames]
    assert sorted(told) == sorted(frame.source.path for frame in frames)


_kept: list[Any] = []


def _seeds() -> dict[str, bytes]:
    sys.path.insert(0, str(FUZZ))
    try:
        import seeds
    finally:
        sys.path.remove(str(FUZZ))
    return seeds.made()


def _template(factory: pytest.TempPathFactory) -> Any:
    if not _kept:
        path = factory.mktemp("template") / "one"
        path.write_bytes(_seeds()["classic"])
        _kept.append(scan(path).groups[0].frames[0])
    return _kept[0]
