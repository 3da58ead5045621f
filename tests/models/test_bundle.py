"""Bundles are written whole, read back equal, and refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_breast_ai.models import (
    BackboneSpec,
    BundleError,
    Composition,
    ModelError,
    build,
    list_bundles,
    load_bundle,
    registry,
    save_bundle,
)
from napari_breast_ai.models.bundle import change_bundle


def _images() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_round_trip(small_model: Composition, bundle_folder: Path) -> None:
    assert {file.name for file in bundle_folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "evaluation.json",
    }
    bundle = load_bundle(bundle_folder)
    assert bundle.spec == small_model.spec
    assert (bundle.card, bundle.evaluation, bundle.folder) == ("# Small\n", {"auc": 0.5}, bundle_folder)
    assert bundle.ref.name == "small"
    assert bundle.ref.sha256 == registry.file_hash(bundle_folder / "model.safetensors")
    assert not bundle.model.training
    with torch.inference_mode():
        assert torch.equal(bundle.model(_images()).logits, small_model(_images()).logits)


def test_batch_norm_survives(small_model: Composition, tmp_path: Path) -> None:
    spec = replace(small_model.spec, backbone=BackboneSpec("resnet18", "layer4"))
    model = build(spec)
    model.train()(_images().expand(2, -1, -1, -1))
    model.eval()
    bundle = load_bundle(save_bundle(tmp_path / "b", model, card="", evaluation={}))
    assert int(bundle.model.state_dict()["backbone.bn1.num_batches_tracked"]) == 1
    with torch.inference_mode():
        assert torch.equal(bundle.model(_images()).logits, model(_images()).logits)


def test_half_precision_is_half_the_size_and_near(small_model: Composition, tmp_path: Path) -> None:
    folders = [
        save_bundle(tmp_path / precision, small_model, card="", evaluation={}, precision=precision)  # type: ignore[arg-type]
        for precision in ("float16", "float32")
    ]
    half, whole = ((folder / "model.safetensors").stat().st_size for folder in folders)
    assert half < 0.52 * whole
    bundle = load_bundle(folders[0])
    with torch.inference_mode():
        found = bundle.model(_images()).logits
        torch.testing.assert_close(found, small_model(_images()).logits, rtol=0.02, atol=0.02)
    assert found.dtype == torch.float32


def test_a_bundle_is_replaced_and_leaves_nothing_behind(
    small_model: Composition, bundle_folder: Path
) -> None:
    save_bundle(bundle_folder, small_model, card="second", evaluation={})
    assert load_bundle(bundle_folder).card == "second\n"
    assert [path.name for path in bundle_folder.parent.iterdir()] == [bundle_folder.name]


def test_a_changed_bundle_keeps_every_other_part(small_model: Composition, tmp_path: Path) -> None:
    own = {k: v for k, v in small_model.state_dict().items() if not k.startswith("backbone.")}
    folder = save_bundle(
        tmp_path / "one", small_model, card="A.", evaluation={"a": 1}, precision="float16", folds=[own, own]
    )
    (folder / "int8.bin").write_bytes(b"small")
    had = load_bundle(folder)
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    elsewhere = change_bundle(had, tmp_path / "two", evaluation={"a": 2}, more={"more.txt": b"more"})
    change_bundle(had, folder, card="B.")
    for made, changed in (
        (folder, {"README.md"}),
        (elsewhere, {"evaluation.json", "config.json", "more.txt"}),
    ):
        after = {one.name: one.read_bytes() for one in made.iterdir()}
        assert {name for name in after if after[name] != before.get(name)} == changed
        assert before.keys() <= after.keys()
        assert load_bundle(made).ref == had.ref and len(load_bundle(made).folds) == 2
    assert load_bundle(folder).card.strip() == "B." and load_bundle(elsewhere).evaluation == {"a": 2}


def test_a_bundle_outlives_a_change_that_fails(
    small_model: Composition, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    had, rename = load_bundle(bundle_folder), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise PermissionError("held by another program")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match="held by another program"):
        change_bundle(had, bundle_folder, card="B.")
    assert load_bundle(bundle_folder).card == had.card


def test_a_bundle_that_was_replaced_meanwhile_is_not_changed(
    small_model: Composition, bundle_folder: Path
) -> None:
    had = load_bundle(bundle_folder)
    other = build(small_model.spec)
    save_bundle(bundle_folder, other, card="Another.", evaluation={})
    with pytest.raises(BundleError, match="open it anew"):
        change_bundle(had, bundle_folder, card="B.")
    assert load_bundle(bundle_folder).card.strip() == "Another."


def test_other_folders_are_not_overwritten(small_model: Composition, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="already holds something that is no model bundle"):
        save_bundle(tmp_path, small_model, card="", evaluation={})
    with pytest.raises(BundleError, match="already holds something"):
        save_bundle(tmp_path / "thesis.txt", small_model, card="", evaluation={})
    with pytest.raises(BundleError, match="can't be written"):
        save_bundle(tmp_path / "thesis.txt" / "deeper", small_model, card="", evaluation={})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_can_not_be_kept_is_refused(small_model: Composition, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="evaluation can't be written"):
        save_bundle(tmp_path / "b", small_model, card="", evaluation={"auc": float("nan")})
    model = build(small_model.spec)
    with torch.no_grad():
        model.head.output.weight[0, 0] = 1e6  # type: ignore[union-attr, index, operator]
    with pytest.raises(BundleError, match=r"head\.output\.weight is not finite in float16"):
        save_bundle(tmp_path / "b", model, card="", evaluation={}, precision="float16")
    assert list(tmp_path.iterdir()) == []


def test_line_ends_of_the_evaluation_do_not_matter(bundle_folder: Path) -> None:
    file = bundle_folder / "evaluation.json"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_bundle(bundle_folder).evaluation == {"auc": 0.5}


def _config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return apply


def _weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Change the weights and give the right hash for them, so that only the shape check stands in the way."""

    def apply(folder: Path) -> None:
        file = folder / "model.safetensors"
        state = load_file(file)
        change(state)
        save_file(state, file)
        _config(lambda c: c["sha256"].update({file.name: registry.file_hash(file)}))(folder)

    return apply


def _garbage(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(b"\x80\x04 garbage")
    _config(lambda c: c["sha256"].update({file.name: registry.file_hash(file)}))(folder)


def _flip(folder: Path) -> None:
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "is not a model bundle: it has no config.json"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "can't be read"),
    "binary config": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "can't be read"),
    "other JSON": (lambda f: (f / "config.json").write_text("[1]"), "of another kind"),
    "other schema": (_config(lambda c: c.update(schema="other")), "of another kind"),
    "newer": (
        _config(lambda c: c.update(version=99)),
        "newer napari-breast-ai .bundle version 99; .* Update",
    ),
    "bad version": (_config(lambda c: c.update(version="1")), "not a number"),
    "no hashes": (_config(lambda c: c.pop("sha256")), "has no hashes"),
    "no model": (_config(lambda c: c.pop("model")), "description is not usable"),
    "unknown backbone": (
        _config(lambda c: c["model"]["backbone"].update(name="vgg99")),
        "'vgg99' is unknown",
    ),
    "unknown layer": (_config(lambda c: c["model"]["backbone"].update(layer="x")), "'x' is unknown"),
    "unknown pooling": (_config(lambda c: c["model"]["pooling"].update(kind="x")), "pooling 'x' is unknown"),
    "unknown head": (_config(lambda c: c["model"]["head"].update(kind="x")), "head 'x' is unknown"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "no card": (lambda f: (f / "README.md").unlink(), "has no README.md"),
    "no evaluation": (lambda f: (f / "evaluation.json").unlink(), "has no evaluation.json"),
    "changed weights": (_flip, "model.safetensors doesn't have the hash"),
    "changed evaluation": (
        lambda f: (f / "evaluation.json").write_text('{"auc": 0.99}'),
        "evaluation.json doesn't have the hash",
    ),
    "unreadable weights": (_garbage, "model.safetensors can't be read"),
    "missing weight": (_weights(lambda s: s.pop("head.output.bias")), "they lack head.output.bias"),
    "strange weight": (_weights(lambda s: s.update(extra=torch.zeros(1))), "they have the unknown extra"),
    "bent weight": (
        _weights(lambda s: s.update({"head.output.bias": torch.zeros(7)})),
        r"head.output.bias has the shape \(7,\) and should have \(3,\)",
    ),
    "other width": (_config(lambda c: c["model"]["backbone"].update(layer="conv10")), "don't fit the model"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_refusal_is_a_sentence(case: str, bundle_folder: Path) -> None:
    damage, words = BROKEN[case]
    damage(bundle_folder)
    with pytest.raises(ModelError, match=words) as caught:
        load_bundle(bundle_folder)
    assert str(caught.value).endswith(".")


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "user_folder", lambda: tmp_path / "none")
    with pytest.raises(BundleError, match="There is no model bundle 'nonesuch'"):
        load_bundle("nonesuch")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="is a file; a model bundle is a folder"):
        load_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match="is not a model bundle"):
        load_bundle(tmp_path)


def test_bundles_are_found_by_name(
    small_model: Composition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, user = tmp_path / "shipped", tmp_path / "user"
    monkeypatch.setattr(registry, "shipped_folder", lambda: shipped)
    monkeypatch.setattr(registry, "user_folder", lambda: user)
    assert list_bundles() == ()
    save_bundle(shipped / "demo-a", small_model, card="shipped", evaluation={})
    save_bundle(user / "demo-a", small_model, card="hidden", evaluation={})
    save_bundle(user / "mine", small_model, card="mine", evaluation={})
    save_bundle(user / "old", small_model, card="", evaluation={})
    _config(lambda c: c.update(version=99))(user / "old")
    (user / "nothing").mkdir()
    found = {info.name: info for info in list_bundles()}
    assert list(found) == ["demo-a", "mine", "old"]
    assert (found["demo-a"].origin, found["mine"].origin) == ("shipped", "user")
    assert found["mine"].spec == small_model.spec
    assert found["old"].spec is None
    assert "newer" in found["old"].problem
    assert load_bundle("demo-a").card == "shipped\n"
    assert load_bundle("mine").folder == user / "mine"


def test_shipped_bundles_are_sound_and_small() -> None:
    folders = [info for info in list_bundles() if info.origin == "shipped"]
    for info in folders:
        assert info.name.startswith("demo-")
        bundle = load_bundle(info.name)
        assert bundle.ref.name == info.name
        assert bundle.card
    size = sum(file.stat().st_size for info in folders for file in info.folder.rglob("*") if file.is_file())
    assert size <= 6_000_000
