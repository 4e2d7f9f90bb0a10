#!/bin/sh
# From a folder to verified CARs. Usage: sh scripts/quickstart.sh [FOLDER [PROJECT]]
# Without a folder it uses Python's own library. State and CARs go to ~/.ptolemy, or DAGSTER_HOME if set.
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
staging=${DAGSTER_HOME:-${PTOLEMY_HOME:-$HOME/.ptolemy}}/staging/$project

.venv/bin/ptolemy create "$project" --target-dir "$folder" --staging-dir "$staging" --car-size 31
.venv/bin/ptolemy run "$project"
.venv/bin/ptolemy status "$project"
cat <<EOF

Next:
  export PATH=$PWD/.venv/bin:\$PATH
  ptolemy find PATH         which CAR and piece hold a file or CID; PATH is relative to the folder
  ptolemy verify $project      read all CARs back again
  ptolemy serve             the HTTP API and the web UI
EOF
