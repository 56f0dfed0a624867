"""Who is in the study: manifest, clinical table, public data sets, synthetic CT, tables."""
