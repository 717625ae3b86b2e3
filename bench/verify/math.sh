#!/usr/bin/env bash
# Verdicts per second of `assay verify math` and of math-verify, on the same labelled pairs, one after the other on one
# core: bench/verify/math.sh PEERS_PYTHON [ASSAY] [PAIRS]. PEERS_PYTHON has math-verify installed
# (pip install math-verify). Prints agreement with the labels, seconds a verdict, and the ratio.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:?usage: math.sh PEERS_PYTHON [ASSAY] [PAIRS]}
assay=${2:-$here/../../build/release/assay}
pairs=${3:-$here/../../../shared/fixtures/math/pairs.jsonl}
[[ -f $pairs ]] || { echo "math.sh: $pairs is absent; name a file of {gold, pred, form, equal} lines" >&2; exit 2; }
core=()
command -v taskset >/dev/null && core=(taskset -c 0)
"${core[@]}" "$python" "$here/math_pairs.py" "$assay" "$pairs"
