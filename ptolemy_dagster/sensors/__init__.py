"""Sensors: what launches runs by itself."""
