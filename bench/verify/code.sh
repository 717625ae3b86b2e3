#!/usr/bin/env bash
# What judging programs costs: bench/verify/code.sh [humaneval.jsonl] [repeats]. Judges HumanEval's canonical solutions
# by `assay verify code` with one and with two workers, and prints cases per second, milliseconds per verdict, and how
# long the first verdict takes from nothing. A busy machine gives lower numbers: the load is printed beside them.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
assay=${ASSAY_BINARY:-$root/build/release/assay}
data=${1:-${ASSAY_FIXTURES:-$root/../shared/fixtures}/../data/humaneval.jsonl}
repeats=${2:-5}
[[ -x $assay ]] || { echo "found no $assay; make build, or set ASSAY_BINARY" >&2; exit 1; }
[[ -f $data ]] || { echo "found no $data; give the path of humaneval.jsonl" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

/usr/bin/python3 - "$data" "$repeats" >"$work/in.jsonl" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
for _ in range(int(sys.argv[2])):
    for row in rows:
        print(json.dumps(row | {"response": row["canonical_solution"]}))
PY
head -1 "$work/in.jsonl" >"$work/one.jsonl"
echo "load of the machine: $(cut -d' ' -f1-3 /proc/loadavg) on $(nproc) cores"

seconds() { # of a command
  local from
  from=$(date +%s%N)
  "$@" >"$work/out.jsonl"
  echo "$(date +%s%N) $from" | awk '{ printf "%.4f", ($1 - $2) / 1e9 }'
}

best=99
for _ in 1 2 3 4 5 6 7; do
  took=$(seconds "$assay" verify code --in "$work/one.jsonl")
  best=$(awk -v a="$best" -v b="$took" 'BEGIN { print a < b ? a : b }')
done
echo "one verdict from nothing (program, sandbox, Python, its modules, the test): $(awk -v s="$best" 'BEGIN { printf "%.0f", s * 1000 }') ms at best"

count=$(wc -l <"$work/in.jsonl")
for workers in 1 2; do
  took=$(seconds "$assay" verify code --workers $workers --in "$work/in.jsonl")
  right=$(grep -c '"correct": true' "$work/out.jsonl" || true)
  sed -nE 's/.*"ms": ([0-9.e-]+).*/\1/p' "$work/out.jsonl" | sort -g >"$work/ms"
  awk -v w="$workers" -v n="$count" -v r="$right" -v s="$took" '{ ms[NR] = $1 } END {
    printf "%d workers: %d of %d right, %.1f cases/s, per verdict %.1f ms (median), %.1f ms (99 %%)\n",
           w, r, n, n / s, ms[int((NR + 1) / 2)], ms[int(NR * 0.99)] }' "$work/ms"
done
starts=$(dirname "$assay")/tests/parity_humaneval
[[ ! -x $starts ]] || "$starts" 2>/dev/null | grep 'cold start' || true
