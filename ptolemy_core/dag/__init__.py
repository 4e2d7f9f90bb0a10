"""Blocks of the DAG, as bytes and as exact sizes: dag-pb nodes, UnixFS messages, HAMTs, file DAGs, CIDs of files.

Pure functions: no files, no CARs. Which block goes where in a CAR is `layout`; decoding other tools' blocks is
`reader`.
"""
