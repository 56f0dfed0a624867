"""From the files of a study to its checked tables: manifest, clinical sheet, scans, synthetic patients."""
