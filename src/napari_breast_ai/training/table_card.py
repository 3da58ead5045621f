"""The card of a model of table rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.table_spec import TableSpec
from .card import figure_lines, group_words, source_words

_CLASSIFIERS = {
    "logistic": "penalised logistic regression",
    "svm": "support vector machine with a Gaussian kernel",
    "forest": "random forest",
}


def table_card(spec: TableSpec, evaluation: Mapping[str, Any], command: str) -> str:
    """The card, in Markdown, of a model that was trained on a person's own cohort.

    Args:
        spec: of the model.
        evaluation: as written into the bundle.
        command: that makes it again.
    """
    lines = [
        f"# {spec.name}",
        "",
        f"Answers {group_words(spec)}, for a whole case. {evaluation['data']}",
        "",
        "**Research use only; not a medical device; not for diagnosis. What it does on images of another scanner, "
        "hospital or kind of patient has not been measured.**",
        "",
        "## What it is",
        "",
        f"- Recipe: `{spec.recipe}`; it needs {' and '.join(spec.needs)}, and has no heat map.",
        *_members(spec),
        *_blocks(spec, evaluation),
        "- Missing values are filled in with the training patients' median or commonest category, inputs are "
        "standardised on them; the number of inputs and the penalty were chosen by cross-validation inside them.",
        f"- Made by `{command}`.",
        "",
        "## What it looks at most",
        "",
        *_inputs(evaluation),
        "",
        *figure_lines(evaluation),
    ]
    return "\n".join([*lines, ""])


def _members(spec: TableSpec) -> list[str]:
    found = []
    for group in spec.groups:
        own = [member for member in spec.members if member.group == group.name]
        how = " and ".join(f"{_CLASSIFIERS[one.classifier]} on {' with '.join(one.blocks)}" for one in own)
        found.append(f"- {group.name}: {how}{'; the mean of both' if len(own) > 1 else ''}.")
    return found


def _blocks(spec: TableSpec, evaluation: Mapping[str, Any]) -> list[str]:
    found = []
    if spec.radiomics is not None:
        made = evaluation.get("radiomics", {})
        found.append(
            f"- Radiomics: {made.get('features')} features by {made.get('library')}, as the IBSI defines them, within "
            f"the {spec.radiomics.region} of the lesion ({spec.radiomics.lesions}), of {source_words(spec)}; "
            f"{spec.radiomics.bins} grey levels"
            + (
                f", voxels of {spec.radiomics.resample_mm:g} mm."
                if spec.radiomics.resample_mm and spec.preparation.source.kind != "picture"
                else ", voxels as they are."
            )
        )
    if spec.clinical:
        told = [
            column.name + (f" ({', '.join(column.categories)})" if column.categories else "")
            for column in spec.columns
            if column.block == "clinical"
        ]
        found.append(f"- Clinical values: {'; '.join(told)}.")
    if spec.deep is not None:
        height, width = spec.preparation.size
        found.append(
            f"- Deep features: {spec.deep.backbone.name} (layer `{spec.deep.backbone.layer}`, weights: "
            f"{spec.deep.backbone.origin}, frozen) on {source_words(spec)}, {height} × {width} pixels, mean over the "
            "lesion's slices."
        )
    return found


def _inputs(evaluation: Mapping[str, Any]) -> list[str]:
    found = []
    for one in evaluation.get("inputs", []):
        weights = one.get("weights per standard deviation", {})
        names = list(weights or one.get("inputs", []))[:10]
        told = ", ".join(
            f"{name} ({', '.join(f'{w:+.2f}' for w in weights[name])})" if weights else name for name in names
        )
        what = "weights per standard deviation" if weights else "without order"
        found.append(
            f"- {one['group']}, {' with '.join(one['blocks'])}: {one['inputs chosen']} of {one['inputs offered']} "
            f"inputs ({what}): {told}."
        )
    return found
