"""Tests of where data comes from, and how it is deleted there."""
