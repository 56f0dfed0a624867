"""What the four papers printed, recomputed; and the same checks for any table of printed values."""
