#!/bin/sh
# The main job on real files: folder -> verified CARs. Usage: sh scripts/quickstart.sh [FOLDER [PROJECT]]
# Without a folder it takes Python's own library. State and CARs go to ./.ptolemy, or DAGSTER_HOME if set.
start=$PWD
case "${1:-}" in
    "") folder="" ;;
    /*) folder=$1 ;;
    *) folder=$start/$1 ;;
esac
LOCK=requirements.lock
. "$(dirname "$0")/setup.sh"

if [ -z "$folder" ]; then
    folder=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
fi
project=${2:-delta}
: "${DAGSTER_HOME:=$PWD/.ptolemy}"
export DAGSTER_HOME
staging=$DAGSTER_HOME/staging/$project

.venv/bin/ptolemy create "$project" --target-dir "$folder" --staging-dir "$staging" --car-size 31
.venv/bin/ptolemy run "$project"
.venv/bin/ptolemy status "$project"
cat <<EOF

Where to look next:
  export DAGSTER_HOME=$DAGSTER_HOME PATH=$PWD/.venv/bin:\$PATH
  ptolemy find NAME              which CAR and piece holds a file (or what a CID names)
  ptolemy verify $project           read all CARs back once more
  dagster dev -w $PWD/workspace.yaml      the web UI, on http://localhost:3000
EOF
