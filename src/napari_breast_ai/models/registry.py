"""Where bundles lie and what their configuration says. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import platformdirs

from .errors import BundleError, ModelError
from .spec import ModelSpec
from .table_spec import TableSpec

SCHEMA = "napari-breast-ai/bundle"
VERSION = 3
"""2: mirrored backbones, and copies of pooling and head for tasks. 3: pooling and head of the folds beside the model's
own, for intervals, and the errors of the temperatures. Older bundles are read as they are, and have neither."""
TABLE = "table"
"""The kind of a bundle whose model looks at a row of features and values, see `TableSpec`."""
CONFIG, WEIGHTS, CARD, EVALUATION = "config.json", "model.safetensors", "README.md", "evaluation.json"
FOLDS = "folds.safetensors"
"""Pooling and head of each fold of the cross-validation; a bundle need not have them."""


@dataclass(frozen=True)
class BundleInfo:
    """A bundle that can be chosen by its name.

    Attributes:
        name: to give to `load_bundle`.
        folder: where it lies.
        origin: "shipped" with the package, or put into the "user" folder.
        spec: what model it is; None if the configuration can't be used.
        problem: why it can't be used, in a sentence; "" if nothing is known to be wrong (hashes are checked
            when it is loaded).
    """

    name: str
    folder: Path
    origin: Literal["shipped", "user"]
    spec: ModelSpec | TableSpec | None
    problem: str = ""

    @property
    def summary(self) -> str:
        """One line: what it is and asks, or why it cannot be used."""
        if self.problem or self.spec is None:
            return self.problem
        labels = "; ".join(", ".join(group.labels) for group in self.spec.groups)
        needs = self.spec.needs if isinstance(self.spec, TableSpec) else ()
        asks = f", from {' and '.join(needs)}" if needs else ""
        return f"{self.spec.recipe} for {labels}{asks} ({self.origin})"


@dataclass(frozen=True)
class BundleConfig:
    """What a bundle's config.json says.

    Attributes:
        spec: the model.
        weights_sha256: of model.safetensors, as hexadecimal digits.
        evaluation_sha256: of evaluation.json's content, see `content_hash`.
        folds_sha256: of folds.safetensors; "" for a bundle without it.
    """

    spec: ModelSpec | TableSpec
    weights_sha256: str
    evaluation_sha256: str
    folds_sha256: str = ""


def shipped_folder() -> Path:
    """The folder of the bundles that come with the package."""
    return Path(str(files(__package__) / "bundles"))


def user_folder() -> Path:
    """The folder for a user's own bundles; it need not exist."""
    return platformdirs.user_data_path("napari-breast-ai", appauthor=False) / "bundles"


def list_bundles() -> tuple[BundleInfo, ...]:
    """Shipped bundles, then the user's, each by name; a shipped one hides a user's of the same name."""
    found: list[BundleInfo] = []
    places: tuple[tuple[Literal["shipped", "user"], Path], ...] = (
        ("shipped", shipped_folder()),
        ("user", user_folder()),
    )
    for origin, place in places:
        if not place.is_dir():
            continue
        for folder in sorted(place.iterdir()):
            taken = any(info.name == folder.name for info in found)
            # Names that begin with a dot are unfinished writes.
            if taken or folder.name.startswith(".") or not (folder / CONFIG).is_file():
                continue
            try:
                found.append(BundleInfo(folder.name, folder, origin, read_config(folder).spec))
            except ModelError as error:
                found.append(BundleInfo(folder.name, folder, origin, None, str(error)))
    return tuple(found)


def find_bundle(name_or_folder: str | Path) -> Path:
    """The folder of a bundle, given its name or the folder itself.

    Raises:
        BundleError: there is no bundle of that name and no such folder.
    """
    known = {info.name: info.folder for info in list_bundles()}
    if isinstance(name_or_folder, str) and name_or_folder in known:
        return known[name_or_folder]
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise BundleError(
            f"{folder} is a file; a model bundle is a folder with {CONFIG} and {WEIGHTS} in it."
        )
    names = ", ".join(known) or "none"
    raise BundleError(
        f"There is no model bundle {str(name_or_folder)!r}. Known names: {names}; or give a folder."
    )


def read_config(folder: Path) -> BundleConfig:
    """Read and check a bundle's config.json.

    Raises:
        BundleError: it is missing, unreadable, of another kind or of a newer version.
        ModelError: the model that it describes is not usable.
    """
    if not (folder / CONFIG).is_file():
        raise BundleError(f"{folder} is not a model bundle: it has no {CONFIG}.")
    data = read_json(folder / CONFIG)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise BundleError(f"{folder} is not a model bundle: its {CONFIG} is of another kind.")
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(
            f"{folder} is not a usable model bundle: its version {version!r} is not a number from 1 on."
        )
    if version > VERSION:
        raise BundleError(
            f"{folder} was written by a newer napari-breast-ai (bundle version {version}; this one reads "
            f"{VERSION}). Update napari-breast-ai to use it."
        )
    hashes = data.get("sha256")
    if not isinstance(hashes, dict) or not all(isinstance(hashes.get(n), str) for n in (WEIGHTS, EVALUATION)):
        raise BundleError(f"{folder} is not a usable model bundle: its {CONFIG} has no hashes. Get it anew.")
    kind = TableSpec if data.get("kind") == TABLE else ModelSpec
    return BundleConfig(
        kind.from_json(data.get("model")), hashes[WEIGHTS], hashes[EVALUATION], str(hashes.get(FOLDS) or "")
    )


def read_json(file: Path) -> Any:
    """The content of a JSON file of a bundle.

    Raises:
        BundleError: it can't be read or is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} can't be read ({error}). Get the bundle anew.") from error


def file_hash(file: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def content_hash(content: object) -> str:
    """SHA-256 of JSON content, whatever its layout and line ends (version control may change those)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
