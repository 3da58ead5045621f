from __future__ import annotations

import pytest

from napari_breast_ai.phantom import Phantom, PhantomSpec, make_phantom

SMALL = (8, 96, 96)


@pytest.fixture(scope="session")
def igm() -> Phantom:
    return make_phantom(PhantomSpec("igm", 2, SMALL))


@pytest.fixture(scope="session")
def nme() -> Phantom:
    return make_phantom(PhantomSpec("nme", 1, SMALL))


@pytest.fixture(scope="session")
def normal() -> Phantom:
    return make_phantom(PhantomSpec("normal", 4, SMALL))
