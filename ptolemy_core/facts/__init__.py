"""What Ptolemy tells about CARs, files, projects and runs: each field with its name, type, unit and meaning, once.

`--json` of the command line, the HTTP API, the summary of a manifest and the tables of the web UI all derive from
these models, and docs/schemas is generated from them. A model only presents: it reads no catalog and decides nothing.
"""
