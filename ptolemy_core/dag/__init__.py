"""Blocks of the DAG, as bytes and as exact sizes: dag-pb nodes, UnixFS messages, HAMT and file shapes."""
