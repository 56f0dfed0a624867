"""How good a signature is: a table of predictions in, tidy tables out, every choice an argument."""
