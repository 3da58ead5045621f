"""Modules are traced while other threads run them, and by several threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from napari_breast_ai.inference.engine import fold_batch_norms
from napari_breast_ai.inference.runners import with_fixed_pools
from napari_breast_ai.inference.threads import one_thread
from napari_breast_ai.models.bundle import Bundle


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often")
def test_a_model_runs_in_one_thread_while_another_traces_it(bundles: Callable[[str], Bundle]) -> None:
    module = bundles("gated").model.backbone
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = module(image)
    stop, ready, wrong = threading.Event(), threading.Event(), []

    def run() -> None:
        with torch.no_grad():
            while not stop.is_set():
                try:
                    if not torch.equal(module(image), wanted):
                        wrong.append("other numbers")
                except Exception as error:  # noqa: BLE001 - told below
                    wrong.append(repr(error))
                ready.set()

    other = threading.Thread(target=run)
    other.start()
    try:
        assert ready.wait(60)
        for _ in range(5):
            folded = fold_batch_norms(module)
            traced = with_fixed_pools(module, image)
    finally:
        stop.set()
        other.join()
    assert not wrong, wrong[0]
    with torch.no_grad():
        torch.testing.assert_close(folded(image), wanted)
        torch.testing.assert_close(traced(image), wanted)


@pytest.mark.usefixtures("often")
def test_two_traces_at_once_leave_modules_as_they_were(
    bundles: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, before, wrong = bundles("gated").model.backbone, (nn.Module.__call__, nn.Module.__getattr__), []
    # Put back what a failure would leave to the tests behind it.
    monkeypatch.setattr(nn.Module, "__call__", before[0])
    monkeypatch.setattr(nn.Module, "__getattr__", before[1])

    def run() -> None:
        try:
            for _ in range(5):
                fold_batch_norms(module)
        except Exception as error:  # noqa: BLE001 - told below
            wrong.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong, wrong[0]
    assert (nn.Module.__call__, nn.Module.__getattr__) == before


def test_an_engine_with_threads_of_its_own_holds_back_no_other_thread() -> None:
    count, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
            later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            later.start()
            later.join()
        assert seen == [2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(count)
