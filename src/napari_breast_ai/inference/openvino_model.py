"""A model that OpenVINO runs on the CPU: one slice on all threads, or several slices, each on a thread of its own."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 8
"""Most slices side by side, which is as many as a run asks for at a time; where there are more threads, they share."""


class OpenVinoModel:
    """A backbone on the CPU.

    A thread that has a slice for itself keeps its maps in its own cache and waits for no other.

    Args:
        xml: the model as OpenVINO writes it, images (n, 3, H, W) to features (n, C, h, w).
        weights: its weights.
    """

    def __init__(self, xml: bytes, weights: bytes) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(model=xml, weights=openvino.Tensor(np.frombuffer(weights, np.uint8)))
        model.reshape([1, *(size.get_length() for size in list(model.input().partial_shape)[1:])])
        threads = torch.get_num_threads()
        at_once = min(threads, AT_ONCE)
        self._alone = core.compile_model(model, "CPU", _wishes("LATENCY", threads))
        several = core.compile_model(model, "CPU", _wishes("THROUGHPUT", threads) | {"NUM_STREAMS": at_once})
        self._shape = tuple(several.output().shape)[1:]
        self._queue = openvino.AsyncInferQueue(several, at_once)
        self._place = openvino.Tensor
        # One place for a request, and one queue: a second thread waits until the first is done.
        self._lock = Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 (n, C, h, w) of images float32 (n, 3, H, W)."""
        given = images.contiguous().numpy()
        with self._lock:
            if len(given) == 1:
                return torch.from_numpy(self._alone(given)[0].copy())
            found = np.empty((len(given), *self._shape), np.float32)
            for i in range(len(given)):
                free = self._queue.get_idle_request_id()
                self._queue[free].set_output_tensor(self._place(found[i : i + 1], shared_memory=True))
                self._queue.start_async({0: given[i : i + 1]}, share_inputs=True)
            self._queue.wait_all()
        return torch.from_numpy(found)


def _wishes(hint: str, threads: int) -> dict[str, Any]:
    return {
        # Unasked it would take half precision where a processor has it, for what is not in 8 bits too.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
    }
