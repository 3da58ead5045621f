"""Where a model runs."""

from __future__ import annotations

import torch

from .errors import InferenceError


def choose_device(wish: str | torch.device | None = None) -> torch.device:
    """The device that was wished for, or the best one there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        InferenceError: the device isn't known or isn't there.
    """
    if wish is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wish)
    except RuntimeError as error:
        raise InferenceError(f"The device {str(wish)!r} is unknown. Use 'cpu', 'cuda' or 'mps'.") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise InferenceError(f"The device {str(device)!r} is not available on this computer. Use 'cpu'.")
    return device
