"""What the four papers printed, recomputed; and the same checks for any table of printed values."""

from radsupport.claims import auc, counts, estimates, p_values, text  # noqa: F401  (each registers its checkers)
from radsupport.claims.claims import check_claims

__all__ = ["check_claims"]
