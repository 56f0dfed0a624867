"""What the tests of the checkers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from radsupport.claims.claims import check_claim, check_claims
from radsupport.claims.report import checked_claims
from radsupport.claims.verdicts import Claim, Verdict


@pytest.fixture(scope="session")
def verdicts() -> pd.DataFrame:
    """Verdicts on the claims of the four papers."""
    return check_claims()


@pytest.fixture(scope="session")
def results() -> pd.DataFrame:
    """The same with inputs and recomputed numbers."""
    return checked_claims()


@pytest.fixture(scope="session")
def judge() -> Callable[..., Verdict]:
    """Return a function that judges one claim and insists that it is well formed."""

    def run(kind: str, published_value: str, inputs: dict[str, Any], item: str = "item", **more: Any) -> Verdict:
        verdict, problem = check_claim(Claim("study", "table", item, "group", published_value, kind, inputs, **more))
        assert verdict is not None, problem
        return verdict

    return run


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Return a function that judges one malformed claim and returns the reason it is refused for."""

    def run(kind: str, published_value: str, inputs: dict[str, Any], item: str = "item") -> str:
        verdict, problem = check_claim(Claim("study", "table", item, "group", published_value, kind, inputs))
        assert verdict is None
        assert problem
        return problem

    return run
