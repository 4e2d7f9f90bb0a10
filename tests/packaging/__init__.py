"""What users install: wheel, source distribution, and the engine alone."""
