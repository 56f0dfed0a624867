"""What the four papers printed, recomputed."""
