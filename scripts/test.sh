#!/bin/sh
# Formatting, lint, spelling, types, import rules and all tests. Usage: sh scripts/test.sh [pytest options]
LOCK=requirements-dev.lock
. "$(dirname "$0")/setup.sh"

.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/codespell
.venv/bin/mypy
.venv/bin/lint-imports --no-logo
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
