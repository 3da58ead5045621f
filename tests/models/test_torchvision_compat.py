"""torchvision comes in whatever torch it was built for."""

from __future__ import annotations

import builtins
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from napari_breast_ai.models import torchvision_compat


def test_models_work_and_missing_operators_fail_in_a_fresh_interpreter() -> None:
    code = """
import warnings
warnings.simplefilter("error")
import torch
try:
    import torchvision
    whole = True
except RuntimeError as error:
    assert "torchvision::nms" in str(error), error
    whole = False
from napari_breast_ai.models import import_torchvision
module = import_torchvision()
assert import_torchvision() is module
import torchvision
assert torchvision is module
from torchvision.models import squeezenet1_1
with torch.inference_mode():
    assert squeezenet1_1(weights=None).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
boxes, scores = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([1.0, 0.5])
try:
    kept = torchvision.ops.nms(boxes, scores, 0.5)
    assert whole and kept.tolist() == [0]
except (NotImplementedError, RuntimeError):
    assert not whole
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_another_failure_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(torchvision_compat, "importlib", SimpleNamespace(import_module=fail))
    monkeypatch.setattr(torchvision_compat, "_library", None)
    with pytest.raises(builtins.RuntimeError, match="out of luck"):
        torchvision_compat.import_torchvision()
    assert torchvision_compat._library is None
