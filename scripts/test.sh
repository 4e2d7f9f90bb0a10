#!/bin/sh
# Formatting, lint, types and all tests. Usage: sh scripts/test.sh [pytest options]
LOCK=requirements-dev.lock
. "$(dirname "$0")/setup.sh"

.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
