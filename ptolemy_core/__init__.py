"""Ptolemy's engine: from a file tree to Filecoin pieces, as plain Python. Imports no Dagster."""
