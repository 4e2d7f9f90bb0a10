"""The stages as assets: what a scan found, the container plan, the built CARs."""
