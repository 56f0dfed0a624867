"""Cox regression: everything under one name. The parts live in modules of their own."""

from __future__ import annotations

from radsupport.survival.cox_fit import CoxFit, fit_cox

__all__ = ["CoxFit", "fit_cox"]
