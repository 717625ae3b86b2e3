#!/usr/bin/env bash
# How long it takes until something happens: the fastest of ROUNDS (default 5) starts.
#
#     bench/startup.sh [ASSAY [MODEL]]
#
# ASSAY: the program (default build/release/assay). MODEL: a GGUF file or model folder whose first token is waited for.
# Goals: `assay --version` under 10 ms, SmolLM2-135M from GGUF to the first token under 0.7 s.
# BUILD=1 also times `make build` in a fresh copy of the sources (goal: under 60 s).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
assay=${1:-$root/build/release/assay} model=${2:-} rounds=${ROUNDS:-5}

fastest() { # LABEL COMMAND...: milliseconds, less what starting any program takes
  local label=$1 best=-1 floor=-1 start took
  shift
  for ((i = 0; i < rounds; i++)); do
    start=$(date +%s%N)
    /bin/true
    took=$(($(date +%s%N) - start))
    ((floor < 0 || took < floor)) && floor=$took
    start=$(date +%s%N)
    "$@" >/dev/null
    took=$(($(date +%s%N) - start))
    ((best < 0 || took < best)) && best=$took
  done
  awk -v l="$label" -v b="$best" -v f="$floor" 'BEGIN { printf "%-28s %9.1f ms   (/bin/true: %.1f ms)\n", l, b / 1e6, f / 1e6 }'
}

fastest 'assay --version' "$assay" --version
[ -z "$model" ] || fastest 'to the first token' "$assay" generate "$model" Hello --max-new-tokens 1 --quiet
if [ "${BUILD:-0}" = 1 ]; then
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' EXIT
  git -C "$root" archive HEAD | tar x -C "$copy"
  start=$(date +%s%N)
  CCACHE_DISABLE=1 make -s -C "$copy" build >/dev/null
  echo "make build                   $((($(date +%s%N) - start) / 1000000)) ms"
fi
