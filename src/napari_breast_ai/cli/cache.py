"""The command about what is kept on this computer."""

from __future__ import annotations

import argparse

from ..core import Progress
from .common import Commands


def register(commands: Commands) -> None:
    """Add `cache`."""
    cache = commands.add("cache", _cache, "say what models have left on this computer, and delete it")
    cache.add_argument("--empty", action="store_true", help="delete it")
    cache.add_argument(
        "--keep", choices=("yes", "no"), help="whether anything is kept from now on (default yes)"
    )


def _cache(arguments: argparse.Namespace, progress: Progress) -> None:
    """Say what models have left on this computer, and delete it."""
    from ..inference import InferenceError
    from ..inference.cache import FeatureCache, in_words, is_off, switch
    from ..places import cache_folder

    folder = cache_folder()
    if folder is None:
        print("Nothing is kept: NAPARI_BREAST_AI_CACHE says off.")
        return
    if arguments.keep is not None:
        try:
            switch(arguments.keep == "yes")
        except OSError as error:
            raise InferenceError(f"The choice cannot be written to {folder} ({error}).") from error
    disk = FeatureCache(folder / "features")
    if arguments.empty:
        print(f"Deleted {in_words(disk.empty())}.")
    print(f"{in_words(disk.size())} of at most {in_words(disk.limit)} in {disk.folder}.")
    print("Nothing more is kept." if is_off() else "What models compute is kept.")
