"""Benchmarks: Ptolemy beside the floors of the machine and beside other tools, measured in one run."""
