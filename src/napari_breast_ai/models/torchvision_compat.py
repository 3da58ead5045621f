"""Import torchvision even where its wheel was built for another torch.

torchvision's wheel from the package index is built with CUDA. Beside a CPU build of torch its compiled part
does not load, and the import then dies with "operator torchvision::nms does not exist", although the models
need none of the compiled operators. Declaring the operators (without giving them a body) lets the import
through; calling one then fails, as it must.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# A declaration lives as long as its Library object.
_library: torch.library.Library | None = None


def import_torchvision() -> ModuleType:
    """The module `torchvision`, imported plainly if that works, else with the missing operators declared.

    Raises:
        RuntimeError, ImportError: as torchvision's own import, where another cause stands behind them.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _library is not None or "torchvision::nms" not in str(error):
            raise
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        _library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
    return importlib.import_module("torchvision")
