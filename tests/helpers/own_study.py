"""The shortest study file of a user's own data, for tests that say what differs."""

from __future__ import annotations

AGE = "age: {source: clinical, kind: number, label: Age, unit: years, minimum: 18, maximum: 110}"
GRADE = "grade: {source: clinical, kind: category, label: Grade, levels: [low, high]}"


def own_study(manifest: str, column: str = AGE, signatures: str = "", more: str = "") -> str:
    """Return the text of a study ``mine``: one cohort of one center, one phase, a yes/no outcome, one column."""
    name = column.partition(":")[0]
    return f"""
id: mine
title: My study
question: Does it work?
seed: 1
data: {{kind: real, manifest: {manifest}}}
endpoint: {{primary: label, label: {{column: label, name: relapse, positive: relapse, negative: none}}}}
cohorts: {{train: {{name: A, centers: [A]}}}}
columns: {{{column}}}
phases: {{ct: {{name: CT, short: CT, window: {{level: 40, width: 400}}}}}}
signatures: {signatures or f"[{{name: Clinical, columns: [{name}]}}]"}
{more}"""
