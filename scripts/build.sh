#!/usr/bin/env bash
# build.sh FOLDER JOBS: configures and builds. Silent when nothing is to be done; on failure the compiler's own words.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 jobs=$2
if [ ! -f "$folder/build.ninja" ]; then
  log=$(mktemp)
  cmake -S . -B "$folder" -G Ninja -DFST_PYTHON=.venv/bin/python >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
  rm -f "$log"
fi
if [ -t 1 ]; then
  cmake --build "$folder" -j "$jobs"
else
  log=$(mktemp)
  cmake --build "$folder" -j "$jobs" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
  rm -f "$log"
fi
