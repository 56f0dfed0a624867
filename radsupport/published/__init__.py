"""What the four papers printed, recomputed; and the same checks for any table of printed values."""

from radsupport.published.claims import check_claims

__all__ = ["check_claims"]
