"""Make the demo bundles: `python -m napari_breast_ai.training.demo --out DIR`.

A model (with --narrow, two) is trained from scratch on phantoms, judged on other phantoms, and written with a card
that says so.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

from ..core import BreastAIError, Progress, silent
from ..models import (
    RECIPES,
    Composition,
    ImageSource,
    ModelSpec,
    NarrowHead,
    PoolingSpec,
    PreparationSpec,
    build,
    save_bundle,
)
from ..models import HeadSpec as Head
from .card import Provenance, phantom_card
from .cohort import CohortSpec, make_cohort
from .evaluate import Evaluation, evaluate
from .examples import Examples, group_targets
from .fit import Epoch, FitSpec, History, fit, initialise
from .losses import LossWeights
from .narrow import fit_narrow
from .refit import Refit, refit_pair, widen
from .scoring import score_slices
from .splits import Split, split_by_patient

log = logging.getLogger(__name__)

ATTENTION, NARROW = "demo-attention-squeezenet", "demo-squeezenet-narrow"
SHARES = (0.66, 0.1, 0.24)
ORIGIN = "trained from scratch on synthetic phantoms"


@dataclass(frozen=True)
class DemoSpec:
    """What the demo bundles are made from.

    Attributes:
        patients: number of phantoms.
        epochs: of the attention model; the narrow model's backbone gets half as many more.
        seed: of the cohort, the split, the weights and the training.
        threads: of torch, and processes that make phantoms.
        narrow: make the narrow model, too.
        held_out: number of further phantoms, of another seed, that the result is judged on and nothing else.
    """

    patients: int = 200
    epochs: int = 14
    seed: int = 0
    threads: int = 2
    narrow: bool = False
    held_out: int = 50

    def command(self) -> str:
        """The command that does the same again."""
        return (
            f"python -m napari_breast_ai.training.demo --out DIR --patients {self.patients} --epochs "
            f"{self.epochs} "
            f"--held-out {self.held_out} --seed {self.seed} --threads {self.threads}"
            + " --narrow"
            * self.narrow
        )


def attention_spec() -> ModelSpec:
    """The attention model: is there a lesion; if so, IGM or NME; where to look."""
    return replace(RECIPES["attention-squeezenet"], name=ATTENTION)


def narrow_spec() -> ModelSpec:
    """M1's model on subtracted slices (its data set 2), of a late phase, in the mode of the attention model."""
    preparation = RECIPES["attention-squeezenet"].preparation
    late = ImageSource("subtraction", "nearest_time", 300.0)
    return replace(
        RECIPES["squeezenet-narrow"],
        name=NARROW,
        preparation=replace(preparation, source=late, channels=None),
    )


def attention_fit(spec: DemoSpec) -> FitSpec:
    """How the attention model is fitted."""
    return FitSpec(
        epochs=spec.epochs,
        seed=spec.seed,
        lr=7e-4,
        lesion_share=0.75,
        weights=LossWeights(attention=2.0, attention_positive=5.0, groups={"diagnosis": 1.5}),
    )


def make_demo(
    out: Path,
    spec: DemoSpec,
    *,
    cohort: CohortSpec | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Evaluation]:
    """Train, judge and write the demo bundles.

    Args:
        out: folder in which the bundles' folders appear.
        spec: what from.
        cohort: other phantoms than those of the spec's number and seed, for trying things out.
        cache: folder for prepared slices.
        progress: told after every phantom and every training step.

    Returns:
        Bundle name to held-out evaluation.

    Raises:
        TrainingError: when the cohort is too small for the split or the fit fails.
        BundleError: when a bundle cannot be written.
    """
    model_spec = attention_spec()
    cohort = cohort or CohortSpec(patients=spec.patients, seed=spec.seed)
    examples = make_cohort(
        cohort,
        model_spec.preparation,
        workers=spec.threads,
        cache=cache,
        progress=progress,
    )
    truth = examples.case_diagnoses
    split = split_by_patient(
        examples.patients, SHARES, spec.seed, strata=[truth[patient] for patient in examples.patients]
    )
    attention, history = _fit_attention(model_spec, examples, split, spec, progress)
    attention, refit = _look_again(attention, examples, split, progress)
    unseen = replace(cohort, patients=spec.held_out, seed=cohort.seed + 1)

    def judged_on(preparation: PreparationSpec) -> Examples:
        return make_cohort(unseen, preparation, workers=spec.threads, cache=cache, progress=progress)

    held_out = judged_on(model_spec.preparation)
    found = {ATTENTION: evaluate(attention, held_out, progress=progress)}
    fitted = attention_fit(spec)
    _save(
        out, attention, found[ATTENTION], examples, split, held_out, spec, cohort,
        "Says for each slice whether there is a lesion and, if so, granulomatous mastitis (IGM) against "
        "malignant non-mass enhancement (NME); its attention was trained to lie on lesion boxes.",
        f"All weights were fitted with the attention loss and the task losses for {len(history.epochs)} "
        f"epochs; those of epoch {history.best}, the best on the validation part, were kept. Then early "
        "features were put beside the last ones, and the IGM/NME scores were fitted anew on the training "
        "part as a ridge-penalised logistic regression; the second validation part chose the penalty.",
        {
            "fit": fitted.to_json(),
            "history": _curves(history),
            "refit": {"penalty": refit.penalty, "validation auc per patient": _named(refit.choices)},
        },
    )  # fmt: skip
    if not spec.narrow:
        return found
    examples = make_cohort(
        cohort, narrow_spec().preparation, workers=spec.threads, cache=cache, progress=progress
    )
    held_out = judged_on(narrow_spec().preparation)
    narrow, notes = _fit_narrow(attention, examples, split, spec, progress)
    found[NARROW] = evaluate(narrow, held_out, boxed=True, progress=progress)
    _save(
        out, narrow, found[NARROW], examples, split, held_out, spec, cohort,
        "Tells granulomatous mastitis (IGM) from malignant non-mass enhancement (NME) on slices that "
        "show a lesion: 1000 frozen SqueezeNet features and a narrow network with 10 hidden units.",
        "The backbone was trained for lesion detection and diagnosis on the training part, then frozen; "
        "the narrow head was fitted by full-batch L-BFGS on the standardised features of the same part's lesion slices.",
        notes,
    )  # fmt: skip
    return found


def _fit_attention(
    model_spec: ModelSpec, examples: Examples, split: Split, spec: DemoSpec, progress: Progress
) -> tuple[Composition, History]:
    model = _fresh(model_spec, spec.seed)
    history = fit(model, examples, split.train, _thinned(examples, split), attention_fit(spec), progress)
    return model, history


def _look_again(
    model: Composition, examples: Examples, split: Split, progress: Progress
) -> tuple[Composition, Refit]:
    """The model with early features beside the last ones, and its IGM/NME scores fitted on them."""
    wide = widen(model)
    train, choice = examples.subset(split.train), examples.subset(split.test)
    return wide, refit_pair(wide, "diagnosis", train, choice, progress)


def _fit_narrow(
    attention: Composition, examples: Examples, split: Split, spec: DemoSpec, progress: Progress
) -> tuple[Composition, dict[str, Any]]:
    """The narrow model on a backbone that goes on from the attention model's and learns conv10."""
    final = narrow_spec()
    task = replace(final, groups=attention.spec.groups, head=Head("linear"), pooling=PoolingSpec("average"))
    teacher = _fresh(task, spec.seed + 1)
    teacher.backbone.load_state_dict(attention.backbone.state_dict(), strict=False)
    how = FitSpec(epochs=max(1, spec.epochs // 2), lr=3e-4, lesion_share=0.75, seed=spec.seed + 1)
    history = fit(teacher, examples, split.train, _thinned(examples, split), how, progress)
    model = _fresh(final, spec.seed + 2)
    model.backbone.load_state_dict(teacher.backbone.state_dict())
    group = final.groups[0]
    chosen = [i for i in split.train if examples.diagnoses[i] in group.labels]
    lesions = examples.subset(chosen)
    vectors = score_slices(model, lesions, keep_vectors=True, progress=progress).vectors
    assert vectors is not None and isinstance(model.head, NarrowHead)
    fitted = fit_narrow(
        model.head,
        torch.from_numpy(vectors),
        group_targets(final.groups, lesions.boxes),
        final.groups,
        seed=spec.seed,
    )
    notes = {
        "backbone fit": how.to_json(),
        "history": _curves(history),
        "head": {
            "slices": len(chosen),
            "training loss": fitted.loss,
            "training accuracy": fitted.training_accuracy,
            "evaluations of the loss": fitted.evaluations,
        },
    }
    return model, notes


def _fresh(model_spec: ModelSpec, seed: int) -> Composition:
    """A model with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(model_spec)
    initialise(model, seed)
    model.spec = replace(model.spec, backbone=replace(model.spec.backbone, origin=ORIGIN))
    return model


def _thinned(examples: Examples, split: Split) -> list[int]:
    """Validation slices: all with a lesion and every third without; more would only take longer."""
    lesions = examples.lesion_boxes
    return [i for i in split.validation if lesions[i] or examples.slices[i] % 3 == 0]


def _phantoms(cohort: CohortSpec) -> str:
    """The phantoms in words."""
    rows, columns = cohort.matrix
    (fast, slow), (thin, thick) = cohort.interval_s, cohort.slice_mm
    sample = cohort.phantom(0, 300.0)
    return (
        f"Each has {rows} × {columns} pixels, slices {thin:g} to {thick:g} mm apart and phases {fast:g} to {slow:g} s "
        f"apart. The traits of the two classes overlap as in the phantom's overlap = {sample.overlap:g}."
    )


def _named(choices: dict[float, float]) -> dict[str, float]:
    """With keys that JSON knows."""
    return {str(penalty): value for penalty, value in choices.items()}


def _counts(examples: Examples, patients: set[str]) -> dict[str, int]:
    """How many of the patients have which lesion."""
    truth = examples.case_diagnoses
    return dict(sorted(Counter(truth[patient] or "normal" for patient in patients).items()))


def _curves(history: History) -> dict[str, Any]:
    def plain(epoch: Epoch) -> dict[str, Any]:
        return {"epoch": epoch.number, "training loss": epoch.train, "validation auc": epoch.validation}

    return {"kept epoch": history.best, "epochs": [plain(epoch) for epoch in history.epochs]}


def _save(
    out: Path,
    model: Composition,
    evaluation: Evaluation,
    examples: Examples,
    split: Split,
    held_out: Examples,
    spec: DemoSpec,
    cohort: CohortSpec,
    summary: str,
    fitting: str,
    notes: dict[str, Any],
) -> None:
    """Write one bundle with half-precision weights."""
    names = {"train": "training", "validation": "validation", "test": "second validation"}
    parts = {
        names[name]: _counts(examples, {examples.patients[i] for i in indices})
        for name, indices in split.parts().items()
    }
    parts["held-out test"] = _counts(held_out, set(held_out.patients))
    card = phantom_card(
        model.spec, Provenance(summary, parts, _phantoms(cohort), fitting, spec.command()), evaluation
    )
    report = {
        "schema": "napari-breast-ai/evaluation",
        "version": 1,
        "data": "synthetic phantoms only; says nothing about patients",
        "split": {"by": "patient", "patients": parts},
        "held-out": evaluation.to_json(),
        "cohort": asdict(cohort),
        "training": notes | {"command": spec.command()},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    save_bundle(out / model.spec.name, model, card=card, evaluation=report, precision="float16")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 1 with a sentence on standard error."""
    default = DemoSpec()
    parser = argparse.ArgumentParser(
        prog="python -m napari_breast_ai.training.demo",
        description="Train the demo bundles from scratch on synthetic phantoms and judge them on other "
        "phantoms.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder in which the bundles appear")
    parser.add_argument("--patients", type=int, default=default.patients, help="number of phantoms")
    parser.add_argument("--held-out", type=int, default=default.held_out, help="phantoms to judge on")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--threads", type=int, default=default.threads, help="processor cores to use")
    parser.add_argument(
        "--cache",
        type=Path,
        default=platformdirs.user_cache_path("napari-breast-ai", appauthor=False) / "phantoms",
        help="folder for prepared slices (default: %(default)s)",
    )
    parser.add_argument("--narrow", action="store_true", help="make the narrow model, too")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    spec = DemoSpec(given.patients, given.epochs, given.seed, given.threads, given.narrow, given.held_out)
    try:
        found = make_demo(given.out, spec, cache=given.cache, progress=_Reporter())
    except BreastAIError as error:
        log.error("%s", error)
        return 1
    for name, evaluation in found.items():
        for figure, estimate in evaluation.figures.items():
            log.info("%s: %s %s", name, figure, estimate)
        if evaluation.pointing is not None:
            log.info("%s: attention's peak inside a true box %s", name, evaluation.pointing.hits)
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
