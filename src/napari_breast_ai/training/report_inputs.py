"""The report's section on a model of table rows: what it looks at, and what was chosen inside the training patients."""

from __future__ import annotations

from typing import Any

from .. import page as html
from .records import Run

MOST = 15
"""Inputs that are listed of each part of a model."""


def inputs(run: Run) -> str:
    """The section; "" for a model that looks at images, and where the file tells nothing that can be shown."""
    told, choices = run.document.get("inputs"), run.document.get("choices")
    if not isinstance(told, list) or not isinstance(choices, list):
        return ""
    try:
        return _section(run, told, choices)
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""


def _section(run: Run, told: list[Any], choices: list[Any]) -> str:
    found = [html.paragraph(_made(run), "note lead")]
    for one in told:
        weights = one.get("weights per standard deviation", {})
        rows = [
            (name, ", ".join(f"{weight:+.3f}" for weight in weights[name]))
            if weights
            else (name, "not one number")
            for name in list(weights or one.get("inputs", []))[:MOST]
        ]
        caption = (
            f"{one['group']}, from {' with '.join(one['blocks'])}: {one['inputs chosen']} of {one['inputs offered']} "
            "inputs"
        )
        if one["inputs chosen"] > len(rows):
            caption += f"; {'the strongest' if weights else 'some'} of them"
        found.append(html.table(("input", "weight per standard deviation"), rows, caption))
    chosen_rows = []
    for choice in choices:
        for member in choice["members"]:
            chosen = ", ".join(f"{key} {value:g}" for key, value in member["chosen"].items())
            chosen_rows.append(
                (
                    _round(choice),
                    choice["training patients"],
                    f"{member['group']}, {' with '.join(member['blocks'])}",
                    chosen.replace("keep 0", "all inputs").replace("keep ", "inputs "),
                    f"{member['auc inside']:.3f}",
                )
            )
    head = ("fitted for", "training patients", "part", "chosen", "AUC of the choice inside")
    found.append(html.table(head, chosen_rows, "Choices, each made inside its training patients"))
    found.append(
        html.paragraph(
            "The AUC of a choice is that of the best of several on the patients it was chosen on: it flatters, and is "
            "none of the figures above."
        )
    )
    return "".join(found)


def _round(choice: dict[str, Any]) -> str:
    if choice["part"] == "final":
        return "the final model"
    return f"{choice['part']}, repeat {choice['repeat']}, fold {choice['fold']}"


def _made(run: Run) -> str:
    made = run.document.get("radiomics")
    said = (
        "Missing values were filled in, inputs scaled and chosen, and the penalty chosen, inside the training patients "
        "of each fit alone."
    )
    if isinstance(made, dict):
        said += (
            f" Radiomics: {made.get('features')} features of {made.get('library')}, within the {made.get('region')} "
            f"({made.get('lesions')} lesion)."
        )
    return said
