"""How far a project is and how fast: computed here once, shown by the command line, the HTTP API and the web UI."""
