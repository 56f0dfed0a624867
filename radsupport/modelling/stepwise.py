"""Stepwise selection by AIC for Cox and logistic fits, as MASS::stepAIC (no Python library has it)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from radsupport.errors import InputError
from radsupport.modelling.design import Design
from radsupport.modelling.fitted import FittedModel, check_choice


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen fit and how it was reached; ``fit, path = selection`` unpacks it.

    Attributes
    ----------
    fit : FittedModel
    path : DataFrame
        step, change ("" for the start, then "- age" or "+ age"), aic (criterion after the change), n_terms.
    """

    fit: FittedModel
    path: pd.DataFrame

    def __iter__(self) -> Iterator[FittedModel | pd.DataFrame]:
        yield self.fit
        yield self.path

    @property
    def terms(self) -> list[str]:
        """Terms of the chosen fit."""
        return self.fit.design.names


def backward_aic(
    fit: FittedModel, *, k: float = 2.0, direction: str = "backward", scope: Design | None = None
) -> Selection:
    """Leave out terms one at a time while the AIC falls (MASS::stepAIC).

    In each step the term whose removal lowers -2 log-likelihood + k df most goes, a factor as a whole; ties keep the
    model as it is. All models are fitted to the rows of `fit`, so that their likelihoods can be compared.

    Parameters
    ----------
    fit : CoxFit or LogisticFit
        Where to start.
    k : float
        Penalty per coefficient: 2 is AIC; log(n), for Cox log(events), is BIC.
    direction : {"backward", "forward", "both"}
    scope : Design, optional
        Terms that may enter, from ``full_fit.design``; needed for "forward". By default those of `fit`.

    Returns
    -------
    Selection
        The AIC of selected models ignores the selection: standard errors and p-values are too small, whoever computes
        them.

    Raises
    ------
    InputError
        "forward" without a scope, a scope whose columns `fit` has no data for, or `k` below zero.
    """
    check_choice(direction, "direction", ("backward", "forward", "both"))
    full = fit.design if scope is None else scope
    if direction == "forward" and scope is None:
        raise InputError('`direction="forward"` needs the terms that may enter: `scope=full_fit.design`.')
    if not k >= 0:
        raise InputError(f"`k` must not be negative, it is {k}; 2 is AIC.")
    lacking = [name for name in full.sources if name not in fit.data.columns]
    if lacking:
        raise InputError(
            f"The rows of `fit` lack {', '.join(lacking)}: fit the largest model first, then start from"
            " `full_fit.refit(full_fit.design.select([]))` with `scope=full_fit.design`."
        )
    rows = [(0, "", _criterion(fit, k), len(fit.design.names))]
    while True:
        best = _best_change(fit, full, direction, k)
        if best is None or best[1] >= rows[-1][2]:
            break
        change, value, fit = best
        rows.append((len(rows), change, value, len(fit.design.names)))
    return Selection(fit, pd.DataFrame(rows, columns=["step", "change", "aic", "n_terms"]))


def _criterion(fit: FittedModel, k: float) -> float:
    return -2 * fit.log_likelihood + k * len(fit.table)


def _best_change(fit: FittedModel, full: Design, direction: str, k: float) -> tuple[str, float, FittedModel] | None:
    """The single change with the lowest criterion; removals come first and the first of equals wins, as in stepAIC."""
    current = fit.design.names
    changes: list[tuple[str, list[str]]] = []
    if direction != "forward":
        changes += [(f"- {name}", [term for term in current if term != name]) for name in current]
    if direction != "backward":
        changes += [(f"+ {name}", [*current, name]) for name in full.names if name not in current]
    known = {predictor.name: predictor for predictor in (*full.predictors, *fit.design.predictors)}
    fits = [(change, fit.refit(Design(tuple(known[name] for name in terms)))) for change, terms in changes]
    return min(((change, _criterion(new, k), new) for change, new in fits), key=lambda found: found[1], default=None)
