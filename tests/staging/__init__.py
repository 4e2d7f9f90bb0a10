"""Tests of the staging area."""
