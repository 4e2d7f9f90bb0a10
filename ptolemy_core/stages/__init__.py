"""The stages of a project: scan, containerize, blitz, verify. Each may be run again at any time."""
