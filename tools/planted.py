"""How well do deep signatures find what is planted? Over other seeds of the generator, and with nothing planted.

    python tools/planted.py cui2022,gu2023,yang2023 1 2 3      # studies, seeds; about two minutes for each of both

For each study and seed a new cohort is drawn and its networks are trained, by the protocol of the profile demo, once
with the outcomes that the study plants and once with outcomes drawn without effect. Printed are, of the training
patients out of fold, Spearman's correlation of each signature that learns from the network alone with the planted
latent, and its AUC or C-index; last the means over seeds with their standard errors. Nothing is written but to a
temporary folder.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from radsupport import data, evaluate, imaging, learning, networks
from radsupport.data import datasets
from radsupport.data.synthetic_patients import outcomes_without_effect
from radsupport.settings.study import Study
from radsupport.study import load_study
from radsupport.tables import write_table

OUTCOMES = {"label": ("label",), "survival": ("time", "event")}


def scores(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, latent: pd.Series, folder: Path) -> pd.DataFrame:
    """Return what `evaluate.planted` finds of the signatures that learn from the network alone.

    Networks are kept beside `folder` under the hash of what they follow from: those that learn without the outcome are
    trained once for both.
    """
    if study.deep is None:
        raise SystemExit(f"Study {study.id} has no network.")
    folder.mkdir()
    outcome, settings = OUTCOMES[study.endpoint.primary], study.modelling
    given = networks.Given(
        cohort, cases, windows={name: phase.window for name, phase in study.phases.items()},
        phases=[name for name, phase in study.phases.items() if phase.role == "model"],
        spacing_mm=study.preprocessing.spacing_mm, margin_mm=study.preprocessing.margin_mm, folds=settings.folds,
        seed=study.seed, folder=folder.parent / "cache", jobs=2,
    )  # fmt: skip
    result = networks.compute(study.deep.model_copy(update={"compare": []}), given)
    write_table(result.features, "features_deep", folder)
    result.write(folder, "04_deep_features", settings.external)
    alone = [one for one in study.signatures if one.sources == ["deep"] and not one.combines]
    assembly = learning.assemble(
        folder, alone, study.columns, cohort, outcome=outcome, grid=settings.grid, folds=settings.folds,
        unseen_center=settings.unseen_center,
    )  # fmt: skip
    run = learning.run_signatures(
        assembly, repeats=1, folds=assembly.folds, inner_folds=settings.inner_folds, external=settings.external,
        seed=study.seed, n_jobs=2,
    )  # fmt: skip
    return evaluate.planted(evaluate.judged(run.predictions, outcome, cohorts=["train"]), latent, outcome)


def one_seed(name: str, seed: int) -> pd.DataFrame:
    """Return the scores of one study drawn with one seed, with its effect and without."""
    study = load_study(name, "demo").model_copy(update={"seed": seed})
    outcome = [*OUTCOMES[study.endpoint.primary]]
    with TemporaryDirectory() as place:
        root = Path(place)
        datasets.prepare(study.before_modelling(), root, n_jobs=2)
        cohort, grid = data.open_cohort(study, root).cohort, study.preprocessing
        cases = imaging.preprocess(
            data.case_files(study, cohort, root), root / "images", spacing_mm=grid.spacing_mm,
            interpolation=grid.interpolation, margin_mm=grid.margin_mm, n_jobs=2, progress=False,
        )  # fmt: skip
        latent = pd.read_csv(root / "data" / name / "planted.csv", dtype={"subject": str}, index_col="subject")[
            "latent"
        ]
        other = outcomes_without_effect(study.synthetic, seed, 0)
        nothing = cohort.assign(**{key: other[key].reindex(cohort["subject"]).to_numpy() for key in outcome})
        found = {
            "planted": scores(study, cohort, cases, latent, root / "planted"),
            "nothing": scores(study, nothing, cases, latent, root / "nothing"),
        }
    return pd.concat([table.assign(study=name, seed=seed, effect=key) for key, table in found.items()])


def main() -> int:
    """Print the scores of every study and seed asked for, then their means."""
    studies, seeds = sys.argv[1].split(","), [int(one) for one in sys.argv[2:]]
    rows = []
    columns = ["study", "seed", "effect", "signature", "n", "events", "rho", "measure", "value"]
    for seed in seeds:
        for name in studies:
            start = time.perf_counter()
            rows.append(one_seed(name, seed)[columns])
            print(rows[-1].to_csv(index=False, header=False, float_format="%.3f"), end="")
            print(f"# {name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    means = pd.concat(rows).groupby(["study", "effect", "signature"])[["rho", "value"]].agg(["mean", "sem", "size"])
    print(means.round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
