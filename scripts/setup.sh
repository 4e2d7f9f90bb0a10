# Makes .venv beside this folder with the locked dependencies and ptolemy itself. Sourced by the other scripts,
# with LOCK set to the lock file to install. Needs Python 3.11 or newer with pip and venv; no compiler.
set -eu
cd "$(dirname "$0")/.."

python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "ptolemy needs Python 3.11 or newer: install it, or set PYTHON to it" >&2
    exit 1
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv || {
    echo "no virtual environment could be made: install your system's venv package for Python" >&2
    exit 1
}
# set up again only when what is installed isn't what the lock and the sources ask for
stamp=$(cat "$LOCK" pyproject.toml setup.py ptolemy_core/kernel/native/* | cksum)
if [ "$(cat .venv/ptolemy-stamp 2>/dev/null || true)" != "$stamp" ]; then
    echo "setting up .venv (once; a minute or two)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$LOCK"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$stamp" >.venv/ptolemy-stamp
fi
