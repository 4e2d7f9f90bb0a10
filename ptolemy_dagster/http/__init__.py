"""The HTTP API: projects, stages, CARs, files, runs and workers as JSON under /v0. A module per resource.

`serve` is its process. It reads the catalog itself, and launches stages at Dagster's own GraphQL API, so that it
needs none of Dagster's private modules and no code location, and runs don't depend on it.
"""
