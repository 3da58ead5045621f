"""What a result shows and what it does not, in plain sentences made from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .appraisal import Appraisal, Appraised, Question, fold_aucs
from .metrics import over_runs
from .records import VALIDATION, Run

FEW = 20
"""Fewer patients than this in a class, and any interval is wide."""


def main_part(appraisal: Appraisal) -> str:
    """The part that the sentences speak of: the first that was not used for choices."""
    return appraisal.run.parts[0]


def shows(appraisal: Appraisal) -> list[str]:
    """What the result shows, one sentence a question."""
    part = main_part(appraisal)
    found = []
    for question in appraisal.questions:
        judged = appraisal.judged.get((question.name, part, "patient"))
        if judged is None:
            found.append(f"{question.name}: the {part} part holds no case on which this question arises.")
        else:
            found.append(_auc_sentence(question, part, judged))
        runs = over_runs(list(fold_aucs(appraisal.run, question, part).values()))
        if repeated(appraisal.run, part) and runs.mean is not None:
            found.append(
                f"{question.name}: over {len(runs.values)} runs by themselves, the AUC per slice has a mean (SD) of "
                f"{runs}."
            )
    return found


def protocol_words(given: Mapping[str, Any]) -> str:
    """Who trained and who judged, in a sentence with those numbers that count; "" for a protocol of another kind."""
    try:
        folds, first = int(given.get("folds", 0)), round(100 * float(given.get("fraction", 0)))
        parts = ", ".join(f"{float(part):g}" for part in given.get("parts", ()))
        said = {
            "sequential": f"The first {first} % of the patients, in the table's order, train, with {folds}-fold "
            f"cross-validation among them; the last {100 - first} % are the test.",
            "kfold": f"{folds}-fold cross-validation of all patients: each is judged once, by a model that has not "
            "learnt from her.",
            "repeated": f"{given.get('repeats')} × {folds}-fold cross-validation: all patients are shuffled "
            f"{given.get('repeats')} times, and each is judged once in every shuffle, by a model that has not learnt "
            "from her.",
            "column": "The parts are those of the table's column split.",
            "fractions": f"Patients are drawn once for training, validation and test, in the proportions {parts}.",
        }.get(str(given.get("kind")), "")
    except (TypeError, ValueError):
        return ""
    if said and given.get("kind") != "column":
        said += " Each class's patients are dealt out evenly." if given.get("stratified") else ""
        said += "" if given.get("seed") is None else f" Seed of the shuffles: {given['seed']}."
    if said and given.get("inner folds"):
        said += f" Each model's settings were chosen by {given['inner folds']} inner folds of its training patients."
    return said


_EPOCHS = {"epochs", "batch", "lr", "weight_decay", "attention", "attention_positive", "reduce", "choose_on"}
_USED = {
    "narrow": {"iterations", "tolerance", "restarts", "calibrate"},
    "ridge": {"iterations", "tolerance", "penalties", "calibrate"},
    "sgd": _EPOCHS,
    "finetune": _EPOCHS | {"tuning"},
}
"""Settings of `HeadFit` that each method looks at."""


def used_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without the settings that its way of fitting does not use; they would be read as if they had mattered.

    The protocol is left out too: a sentence of its own tells it.
    """
    fit = recipe.get("fit")
    if not isinstance(fit, dict) or fit.get("method") not in _USED:
        return dict(recipe)
    used = {key: value for key, value in recipe.items() if key not in ("protocol", "fit")}
    if recipe.get("head") != "narrow":
        used.pop("hidden", None)
    kept = {"method"} | _USED[fit["method"]]
    if recipe.get("pooling") != "attention":
        kept -= {"attention", "attention_positive", "reduce"}
    return used | {"fit": {key: value for key, value in fit.items() if key in kept}}


def used_input(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the model sees, without the phase of a study where it sees single pictures."""
    source = given.get("source")
    if not isinstance(source, dict) or source.get("kind") != "picture":
        return dict(given)
    return dict(given) | {"source": {"kind": "picture"}}


def repeated(run: Run, part: str) -> bool:
    """Whether several runs have judged the same slice."""
    places = [(record.case_id, record.slice) for record in run.records if record.part == part]
    return len(set(places)) < len(places)


def _auc_sentence(question: Question, part: str, judged: Appraised) -> str:
    n, positives = len(judged.answers.scores), int(judged.answers.positive.sum())
    against = f"{n - positives} with {question.negative}"
    if question.negative.startswith("not "):
        against = f"{n - positives} without"
    who = f"{n} {part} patients, {positives} with {question.positive}, {against}"
    area = judged.auc
    if area.value is None:
        return f"{question.name} ({who}): nothing can be said. {area.reason}"
    pairs = (
        f"{question.name}: of 100 pairs of a patient with {question.positive} and one with {question.negative}, the "
        f"model gives the first the higher score in about {100 * area.value:.0f}"
    )
    if question.negative.startswith("not "):
        pairs = pairs.replace(f"one with {question.negative}", "one without")
    if area.low is None or area.high is None:
        return f"{pairs} ({who}; no interval: {area.reason})"
    said = f"{pairs} (95 % interval {100 * area.low:.0f} to {100 * area.high:.0f}; {who})."
    if area.low <= 0.5 <= area.high:
        return said + " Guessing gives 50, which is inside the interval: better than guessing is not shown."
    if area.high < 0.5:
        return said + " That is worse than guessing: look whether the two classes were mixed up."
    return said


def shows_not(appraisal: Appraisal) -> list[str]:
    """What the result does not show."""
    run, part = appraisal.run, main_part(appraisal)
    found = []
    data = run.document.get("data")
    if isinstance(data, str) and "phantom" in data:
        found.append("The cases are synthetic phantoms. The result says nothing about patients.")
    made = run.document.get("made")
    if isinstance(made, dict) and made.get("weights") == "random":
        found.append(
            "The backbone began with random weights, not with ones learnt on ImageNet. What the same recipe reaches "
            "with those is not shown."
        )
    if part == VALIDATION:
        found.append(
            "There is no test part. Whatever was chosen on these patients (when to stop, which settings, which "
            "recipe) flatters every figure on them; new patients must be expected to do worse."
        )
    if repeated(run, part):
        found.append(
            "Several runs have judged the same slices, and figures other than those over the runs are of their mean "
            "scores. Such a committee does better than one model; what one model does, the mean over the runs says."
        )
    classes = [
        (count, name)
        for question in appraisal.questions
        if (judged := appraisal.judged.get((question.name, part, "patient"))) is not None
        for count, name in (
            (int(judged.answers.positive.sum()), question.positive),
            (int((~judged.answers.positive).sum()), question.negative),
        )
    ]
    few = {name: count for count, name in classes if count < FEW}
    if few:
        said = ", ".join(f"{count} {name}" for name, count in few.items())
        found.append(
            f"Few patients of a class were judged ({said}). Intervals from so few are wide, and the true figure may "
            "lie anywhere inside; a good model and a poor one may look alike."
        )
    wide = [
        question.name
        for question in appraisal.questions
        if (judged := appraisal.judged.get((question.name, part, "patient"))) is not None
        and judged.auc.low is not None
        and judged.auc.high is not None
        and judged.auc.high - judged.auc.low > 0.2
    ]
    if wide:
        found.append(
            f"The interval of the AUC is wider than 0.2 for: {', '.join(wide)}. More patients would tell more."
        )
    found += [
        "Only the patients of this cohort were judged. Whether the figures hold at another hospital, on another "
        "scanner or with another protocol, and in patients who were not chosen for this cohort, is not shown.",
        "The share of each class here is that of the cohort, not of a clinic. Precision and the negative predictive "
        "value do not carry over to a clinic.",
        "No reader was measured beside the model. Whether it helps a radiologist is not shown.",
    ]
    missing = sum(
        int((~judged.answers.answered).sum())
        for question in appraisal.questions
        if (judged := appraisal.judged.get((question.name, part, "patient"))) is not None
    )
    if missing:
        found.append(
            f"Where the model gave no answer about a patient ({missing} times), that counts as wrong, and as 0.5 in "
            "the AUC."
        )
    return found


def method_notes(appraisal: Appraisal) -> list[str]:
    """How the figures were made."""
    return [
        "Per patient: one score for each patient by the model's own rule. Intervals are Wilson's for shares (F1: "
        "Wilson's of tp / (tp + fp + fn), put through 2 J / (1 + J)) and DeLong's for the AUC (at an AUC of 0 or 1, "
        "where DeLong's has no width: Wilson's on the smaller class).",
        "Per slice: slices of one patient are alike. The intervals to read are from drawing whole patients 2000 "
        "times; Wilson's and DeLong's, as published studies give them, take slices as independent and are too narrow.",
        "A threshold or a temperature is chosen on the validation part alone and then used on the other parts.",
        "Where several runs have judged the same slice, its scores are averaged first, so that it counts once.",
        "Figures are computed anew from the predictions in evaluation.json, not copied from it.",
    ]
