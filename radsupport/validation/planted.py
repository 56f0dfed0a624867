"""Control of synthetic studies: does the signature find what the generator planted?

The generator draws one latent number per patient, from which both the tumour's look and the outcome follow. Its own
AUC (C-index) is the most that any signature built on the images can reach, apart from chance.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.cohort.correlation import correlate
from radsupport.errors import NotEstimableError
from radsupport.report.wording import listed
from radsupport.study_schema import Study
from radsupport.validation.discrimination import above_chance, chance_p, discrimination_of
from radsupport.validation.predicted import honest, is_label, judged, outcome_columns

LATENT = "planted latent"


def read_planted(study: Study, data: Path) -> pd.Series:
    """Return the planted latent of each subject, empty where the study is real or the generator's file is not here.

    Parameters
    ----------
    data : Path
        The study's folder under ``data/``; the generator writes ``planted.csv`` (subject, latent) there.
    """
    path = Path(data) / "planted.csv"
    if not study.is_synthetic or not path.is_file():
        return pd.Series(dtype=float, name="latent")
    return pd.read_csv(path, dtype={"subject": str}).set_index("subject")["latent"].astype(float)


def planted_table(predictions: pd.DataFrame, study: Study, latent: pd.Series) -> pd.DataFrame:
    """Return how far each signature follows the planted latent.

    Returns
    -------
    DataFrame
        cohort, signature (the latent itself first), n, events, rho (Spearman's, between honest risk and latent) with
        95% limits by Fisher's z, p_rho, measure, value, ci_low, ci_high, p_chance (`discrimination.chance_p`), found
        (above 0.5 with a p_chance below 0.05).
    """
    rows = []
    seen: set[str] = set()
    for cohort, name, part in judged(predictions, study):
        if cohort not in seen:
            seen.add(cohort)
            rows.append(_ceiling(predictions, study, cohort, latent))
        row: dict[str, object] = {"cohort": cohort, "signature": name, "n": len(part)}
        row |= _agreement(part, latent) | discrimination_of(part, study)
        rows.append(row | {"p_chance": chance_p(row), "found": above_chance(row)})
    columns = ["cohort", "signature", "n", "events", "rho", "rho_low", "rho_high", "p_rho", "measure", "value"]
    return pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "p_chance", "found"])


def _ceiling(predictions: pd.DataFrame, study: Study, cohort: str, latent: pd.Series) -> dict[str, object]:
    """Return the row of the latent itself, over everybody with an outcome in a cohort."""
    part = honest(predictions, cohort).dropna(subset=outcome_columns(study)).drop_duplicates("subject")
    part = part.assign(risk=part["subject"].map(latent).to_numpy()).dropna(subset=["risk"])
    found = discrimination_of(part, study) | {"n": len(part)}
    row = {"cohort": cohort, "signature": LATENT, "n": len(part), "rho": np.nan, "rho_low": np.nan, "rho_high": np.nan}
    return row | {"p_rho": np.nan} | found | {"p_chance": chance_p(found), "found": above_chance(found)}


def _agreement(part: pd.DataFrame, latent: pd.Series) -> dict[str, object]:
    """Return Spearman's correlation with Fisher's limits, standard error sqrt((1 + r^2 / 2) / (n - 3)).

    Bonett & Wright 2000, Psychometrika 65:23. NaN for a constant risk or fewer than four patients.
    """
    try:
        found = correlate(part["risk"], part["subject"].map(latent), "spearman")
    except NotEstimableError:
        return {"rho": np.nan, "rho_low": np.nan, "rho_high": np.nan, "p_rho": np.nan}
    low = high = np.nan
    if found.n > 3 and abs(found.r) < 1:
        half = 1.959963984540054 * np.sqrt((1 + found.r**2 / 2) / (found.n - 3))
        low, high = np.tanh(np.arctanh(found.r) + np.array([-half, half]))
    return {"rho": found.r, "rho_low": float(low), "rho_high": float(high), "p_rho": found.p}


def planted_words(table: pd.DataFrame, study: Study) -> str:
    """Say for each cohort which signatures found the planted effect, and which did not."""
    lines = []
    effect = study.synthetic.effect if study.synthetic else 0.0
    names = study.cohort_names
    for cohort, part in table.groupby("cohort", sort=False):
        latent, own = part[part["signature"] == LATENT].iloc[0], part[part["signature"] != LATENT]
        yes, no = own.loc[own["found"], "signature"], own.loc[~own["found"], "signature"]
        ceiling = f"the latent itself reaches {latent['value']:.2f} ({latent['ci_low']:.2f} to {latent['ci_high']:.2f})"
        verdict = f"found by {listed(list(yes), 12)}" if len(yes) else "**found by no signature**"
        verdict += f"; not found by {listed(list(no), 12)}" if len(no) and len(yes) else ""
        lines.append(f"- {names[str(cohort)]}: {verdict}; {ceiling}.")
    planted = f"Planted: {effect:g} per SD of the latent (log odds, or log hazard). "
    nothing = "Nothing was planted, so whatever is found is chance. " if effect == 0 else ""
    test = "its standard error under chance" if is_label(study) else "the infinitesimal jackknife"
    rule = f'"Found" means above 0.5 with P < 0.05 by {test}.'
    return f"{planted}{nothing}{rule}\n\n" + "\n".join(lines)
