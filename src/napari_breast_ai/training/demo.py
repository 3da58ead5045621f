"""Make the demo bundles: `python -m napari_breast_ai.training.demo --out DIR`.

A model (with --narrow, two) is made of phantoms only: its backbone is trained from scratch on some, then frozen; the
head is fitted, cross-validated and calibrated on others by the code of every training, and judged on others again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import platformdirs
import torch

from ..core import BreastAIError, Progress, silent
from ..models import Composition, PreparationSpec, load_bundle, save_bundle
from ..models.bundle import change_bundle
from .card import phantom_card
from .cohort import CohortSpec, make_cohort
from .demo_backbone import (
    ATTENTION,
    EPOCH_PART,
    FIRST_HEAD,
    NARROW,
    Start,
    attention_fit,
    attention_spec,
    kept_backbone,
    narrow_spec,
    train_attention,
    train_narrow,
)
from .demo_heads import train_heads
from .examples import Examples
from .fitspec import FitSpec
from .known import trained_on
from .protocol import Plan
from .recipe import Recipe, read_recipe
from .splits import Split, split_by_patient

log = logging.getLogger(__name__)

SHARES = (0.66, 0.1, 0.24)
"""Of the phantoms: the backbone is fitted on the first, its epoch is chosen on the second; the head sees the third
alone."""
RECIPES = {
    ATTENTION: (
        "squeezenet-ridge",
        "flips=false",
        "mirror=false",
        "fit.calibrate=false",
        "fit.penalties=[30.0, 10.0, 3.0, 1.0, 0.3]",
    ),
    NARROW: ("squeezenet-narrow",),
}
"""By which the heads are fitted, with what is otherwise here."""
FOLDS = 5

_ATTENTION = (
    "Says for each slice whether there is a lesion and, if so, granulomatous mastitis (IGM) against malignant non-mass "
    "enhancement (NME); its attention was trained to lie on lesion boxes."
)
_NARROW = (
    "Tells granulomatous mastitis (IGM) from malignant non-mass enhancement (NME) on slices that show a lesion: 1000 "
    "frozen SqueezeNet features and a narrow network with 10 hidden units."
)


@dataclass(frozen=True)
class DemoSpec:
    """What the demo bundles are made from.

    Attributes:
        patients: number of phantoms that something is learnt from.
        epochs: of the attention model's backbone; the narrow model's gets half as many more.
        held_out: number of phantoms of another seed, that the result is judged on and nothing else.
        seed: of the cohorts, the split, the weights and the training.
        threads: of torch, and processes that make phantoms.
        narrow: make the narrow model, too.
    """

    patients: int = 200
    epochs: int = 14
    held_out: int = 50
    seed: int = 0
    threads: int = 2
    narrow: bool = False

    def command(self) -> str:
        """The command that does the same again."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "narrow"}
        values = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in told.items())
        return f"python -m napari_breast_ai.training.demo --out DIR {values}{' --narrow' * self.narrow}"


@dataclass(frozen=True)
class Phantoms:
    """All phantoms of a demo model.

    Attributes:
        learnt: those that something is learnt from.
        split: of their numbers, by `SHARES`.
        held_out: those that the result is judged on.
    """

    learnt: CohortSpec
    split: Split
    held_out: CohortSpec

    @classmethod
    def of(cls, spec: DemoSpec, cohort: CohortSpec | None = None) -> Phantoms:
        """Those of a spec; `cohort` in place of the first, for trying things out.

        Raises:
            TrainingError: there are too few for the split.
        """
        learnt = cohort or CohortSpec(patients=spec.patients, seed=spec.seed)
        split = split_by_patient(range(learnt.patients), SHARES, spec.seed, strata=learnt.kinds)
        return cls(learnt, split, replace(learnt, patients=spec.held_out, seed=learnt.seed + 1))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many of each part have which lesion."""
        parts = {
            "backbone and attention": (self.learnt, self.split.train),
            EPOCH_PART: (self.learnt, self.split.validation),
            "head": (self.learnt, self.split.test),
            "test": (self.held_out, range(self.held_out.patients)),
        }
        kinds = {name: Counter(cohort.kinds[i] for i in numbers) for name, (cohort, numbers) in parts.items()}
        return {
            name: {kind if kind == "normal" else kind.upper(): n for kind, n in sorted(found.items())}
            for name, found in kinds.items()
        }

    def told(self) -> dict[str, Any]:
        """As evaluation.json tells them."""
        return {"patients": self.counts(), "cohort": asdict(self.learnt)}

    def names(self) -> list[str]:
        """Of all that something is learnt from, as `make_cohort` gives them."""
        return [f"phantom-{self.learnt.phantom(i, 300.0).seed}" for i in range(self.learnt.patients)]


def make_demo(
    out: Path,
    spec: DemoSpec,
    *,
    cohort: CohortSpec | None = None,
    keep: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Train, judge and write the demo bundles.

    Args:
        out: folder in which the bundles' folders appear.
        spec: what from.
        cohort: other phantoms than those of the spec's number and seed, for trying things out.
        keep: take the backbones of the bundles that lie in `out`, which were made by this spec, and make only anew
            what stands on them.
        cache: folder for prepared slices.
        progress: told after every phantom, step, batch and round.

    Returns:
        The bundles' folders.

    Raises:
        TrainingError: a cohort is too small, a fit fails, or a bundle does not tell how its backbone was made.
        BundleError: a bundle cannot be read or written.
    """
    phantoms = Phantoms.of(spec, cohort)

    def made(one: CohortSpec, preparation: PreparationSpec, which: Sequence[int] | None = None) -> Examples:
        return make_cohort(
            one, preparation, which=which, workers=spec.threads, cache=cache, progress=progress
        )

    def parts(preparation: PreparationSpec) -> tuple[Examples, list[list[int]]]:
        """All slices to learn from, and which of them are in each part of the split."""
        names, examples = phantoms.names(), made(phantoms.learnt, preparation)
        own = [{names[i] for i in part} for part in phantoms.split.parts().values()]
        return examples, [[i for i, p in enumerate(examples.patients) if p in one] for one in own]

    def finished(start: Start, recipe: Recipe, summary: str) -> Path:
        preparation = start.model.spec.preparation
        to_learn = made(phantoms.learnt, preparation, phantoms.split.test)
        held_out = made(phantoms.held_out, preparation)
        return _finish(out, start, to_learn, held_out, recipe, phantoms, spec, summary, progress)

    how = attention_fit(spec.epochs, spec.seed)
    if keep:
        attention = kept_backbone(out / ATTENTION, phantoms.told(), how)
    else:
        examples, (fitted, choosing, _) = parts(attention_spec().preparation)
        attention = train_attention(examples, fitted, choosing, how, progress)
    written = [finished(attention, _recipe(attention, spec), _ATTENTION)]
    if spec.narrow:
        how = FitSpec(epochs=max(1, spec.epochs // 2), lr=3e-4, lesion_share=0.75, seed=spec.seed + 1)
        if keep:
            narrow = kept_backbone(out / NARROW, phantoms.told(), how)
        else:
            examples, (fitted, choosing, _) = parts(narrow_spec().preparation)
            narrow = train_narrow(attention, examples, fitted, choosing, how, progress)
        written.append(finished(narrow, _recipe(narrow, spec), _NARROW))
    return tuple(written)


def _recipe(start: Start, spec: DemoSpec) -> Recipe:
    """Every training's recipe, but for some changes; it fits the head alone."""
    model = start.model.spec
    name, *changes = RECIPES[model.name]
    recipe = read_recipe(name, [*changes, f"protocol.folds={FOLDS}", f"seed={spec.seed}"])
    assert isinstance(recipe, Recipe)
    return replace(recipe, model=model.recipe, layer=model.backbone.layer, pooling=model.pooling.kind)


def _finish(
    out: Path,
    start: Start,
    to_learn: Examples,
    held_out: Examples,
    recipe: Recipe,
    phantoms: Phantoms,
    spec: DemoSpec,
    summary: str,
    progress: Progress,
) -> Path:
    """Fit and judge what stands on a backbone, and write the bundle."""
    count, others = len(set(to_learn.patients)), len(set(held_out.patients))
    data = (
        f"{len(to_learn) + len(held_out)} slices of {count + others} synthetic phantoms, no patients: {count} judged in "
        f"a cross-validation of the head, {others} others as the test."
    )
    trained = train_heads(start.model, to_learn, held_out, recipe, data, progress)
    names = phantoms.names()
    evaluation = trained.evaluation | {
        # Scores of phantoms, not of each of their slices, and no pictures: the bundle stays small.
        "predictions": [],
        "gallery": [],
        "ranges": dict(start.ranges),
        "trained_on": trained_on(Plan((), tuple(range(len(names)))), names, names, {}, "phantoms"),
        "phantoms": phantoms.told(),
        "backbone": dict(start.notes),
        "command": spec.command(),
    }
    model = trained.model
    assert isinstance(model, Composition)
    card = phantom_card(model.spec, evaluation, summary, _phantoms(phantoms.learnt), start.kept)
    folder = save_bundle(
        out / model.spec.name,
        model,
        card=card,
        evaluation=evaluation,
        precision="float16",
        folds=trained.folds,
    )
    return change_bundle(load_bundle(folder), folder, more={FIRST_HEAD: start.first_head()})


def _phantoms(cohort: CohortSpec) -> str:
    """The phantoms in words."""
    rows, columns = cohort.matrix
    (fast, slow), (thin, thick) = cohort.interval_s, cohort.slice_mm
    sample = cohort.phantom(0, 300.0)
    return (
        f"Each has {rows} × {columns} pixels, slices {thin:g} to {thick:g} mm apart and phases {fast:g} to {slow:g} s "
        f"apart. The traits of the two classes overlap as in the phantom's overlap = {sample.overlap:g}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m napari_breast_ai.training.demo",
        description="Train the demo bundles from scratch on synthetic phantoms and judge them on other phantoms.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder in which the bundles appear")
    for name, what in (
        ("patients", "number of phantoms to learn from"),
        ("epochs", "of the backbone"),
        ("held_out", "phantoms to judge on"),
        ("seed", "of everything that is drawn"),
        ("threads", "processor cores to use"),
    ):
        default = getattr(DemoSpec(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, help=f"{what} ({default})"
        )
    parser.add_argument(
        "--cache",
        type=Path,
        default=platformdirs.user_cache_path("napari-breast-ai", appauthor=False) / "phantoms",
        help="folder for prepared slices (default: %(default)s)",
    )
    parser.add_argument("--narrow", action="store_true", help="make the narrow model, too")
    parser.add_argument(
        "--keep-backbone",
        action="store_true",
        help="keep the backbones of the bundles in --out, and make only anew what stands on them",
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    spec = DemoSpec(**{one.name: getattr(given, one.name) for one in fields(DemoSpec)})
    try:
        written = make_demo(
            given.out, spec, keep=given.keep_backbone, cache=given.cache, progress=_Reporter()
        )
    except BreastAIError as error:
        log.error("%s", error)
        return 1
    for folder in written:
        log.info("%s\n%s", folder, (folder / "README.md").read_text(encoding="utf-8"))
    return 0


class _Reporter:
    """Logs progress when its name changes and about every tenth."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def __call__(self, done: int, total: int, what: str) -> None:
        now = (what, 10 * done // max(total, 1))
        if now != self._last:
            self._last = now
            log.info("%s: %d of %d", what, done, total)


if __name__ == "__main__":
    sys.exit(main())
