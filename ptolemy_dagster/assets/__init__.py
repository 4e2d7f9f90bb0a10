"""The stages as assets: what a scan found, the container plan, the built CARs."""

GROUP = "ptolemy"
OWNERS = ["team:ptolemy"]
"""Who answers for the assets, as Dagster's UI shows it."""
