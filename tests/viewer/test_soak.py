"""The short form of the soak: it counts what the long one counts."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

pytestmark = pytest.mark.gui


def test_short_soak(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import soak

    from napari_breast_ai.viewer import tasks

    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    figures = soak.soak(
        steps=40, boxes=8, studies=2, shape=(12, 64, 64), viewer=make_napari_viewer(show=True)
    )
    assert figures["problems"] == []
    assert figures["memory_growth_mb"] < 50
    assert abs(figures["none_references_lost_by_calls"]) < 100


def test_the_soak_sees_a_leak_and_a_broken_pair(
    make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soak that cannot fail shows nothing: hold memory and lose references to None, and it must say so."""
    import soak

    from napari_breast_ai.viewer import tasks

    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    held: list[Any] = []
    real = soak.study

    def leaking(seed: int, shape: tuple[int, int, int]) -> Any:
        # Far above the limit: what earlier tests left may be given back meanwhile.
        held.append(bytearray(b"x" * 100_000_000))
        return real(seed, shape)

    monkeypatch.setattr(soak, "study", leaking)
    monkeypatch.setattr(soak, "step_slices", lambda session, steps: None)
    monkeypatch.setattr(soak, "lost_nones", lambda: soak.PROBE_CALLS)
    figures = soak.soak(steps=4, boxes=1, studies=1, shape=(4, 32, 32), viewer=make_napari_viewer(show=True))
    assert "Memory grew" in figures["problems"][0]
    assert "References to None are lost" in figures["problems"][1]
