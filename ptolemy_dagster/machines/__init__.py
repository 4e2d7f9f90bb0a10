"""More than one machine: a run's steps on workers of a Dask scheduler, which notices when one is lost."""
