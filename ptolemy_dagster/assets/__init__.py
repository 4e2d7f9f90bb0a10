"""The stages as assets: what a scan found, the container plan, the built CARs."""

GROUP = "ptolemy"
SINGLE_CARS = "single_cars"
"""The group of the asset `car`, which is materialized to build or rebuild one CAR alone."""
OWNERS = ["team:ptolemy"]
"""Who answers for the assets, as Dagster's UI shows it."""
