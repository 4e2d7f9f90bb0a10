"""The engine as a library: its public names, examples, and that it works without Dagster."""
