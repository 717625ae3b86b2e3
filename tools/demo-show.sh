#!/usr/bin/env bash
# The common part of `make demo` and `make demo-real`: trains a recipe into a new run folder and shows it.
#
#     tools/demo-show.sh NAME RECIPE INTRODUCTION [key=value ...]
#
# The run is runs/NAME-<n>, the first n that is free. INTRODUCTION is printed first: what is trained, on what, how long it takes.
# On a terminal a live table follows, elsewhere plain lines; then what `assay train` itself ends with: accuracies before and after with
# 95 % intervals, three answers before and after, the learning curve, time, tokens, memory, where the run is, commands to try next.
# ASSAY_BINARY names another program than build/release/assay. The exit status is that of `assay train`.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 3 ] || { echo "demo-show: expected NAME RECIPE INTRODUCTION [key=value ...]" >&2; exit 2; }
name=$1 recipe=$2 introduction=$3
shift 3
assay=${ASSAY_BINARY:-build/release/assay}
n=1
while [ -e "runs/$name-$n" ]; do n=$((n + 1)); done

printf '%s\n\n' "$introduction"
exec "$assay" train "$recipe" "$@" --run "runs/$name-$n"
