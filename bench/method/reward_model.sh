#!/bin/bash
# A reward model from pairs (Bradley-Terry): does it put the better answer of held-out pairs first? Five seeds of
# recipes/reward_model.yaml; the base is the untrained head, at half. Prints the accuracies at the start and at the end.
#     bench/method/reward_model.sh [ASSAY]
set -euo pipefail
cd "$(dirname "$0")/../.."
assay=${1:-build/release/assay}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for seed in 1 2 3 4 5; do
  "$assay" sft recipes/reward_model.yaml seed=$seed --run "$work/$seed" --quiet
  python3 - "$seed" "$work/$seed/metrics.jsonl" <<'PY'
import json, sys
rows = [json.loads(l) for l in open(sys.argv[2])]
seen = [v for r in rows for k, v in r.items() if k.startswith("eval/") and k.endswith("/accuracy")]
print(f"seed {sys.argv[1]}: held-out pairs {seen[0]:.3f} -> {seen[-1]:.3f}")
PY
done
