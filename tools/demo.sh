#!/usr/bin/env bash
# What `make demo` runs once the program is built: GRPO teaches models/tiny to add, then the same held-out problems before and after.
set -euo pipefail
cd "$(dirname "$0")/.."
assay=${ASSAY_BINARY:-build/release/assay}
n=1
while [ -e "runs/demo-$n" ]; do n=$((n + 1)); done
run=runs/demo-$n

echo "Training models/tiny with recipes/demo.yaml: sums of two-digit numbers, rewarded when right. About a minute on two cores."
start=$(date +%s)
"$assay" train recipes/demo.yaml --run "$run"
seconds=$(($(date +%s) - start))

accuracy() { sed -n "$1p" <<<"$(grep -o '"eval/addition/[a-z]*":[0-9.]*' "$run/metrics.jsonl" | grep "/$2\"" | cut -d: -f2)" | awk '{printf "%.1f", 100 * $1}'; }
last=$(grep -c '"eval/addition/accuracy"' "$run/metrics.jsonl")
echo
echo "1,000 held-out sums, one answer each (95 % interval):"
echo "  before  $(accuracy 1 accuracy) %  ($(accuracy 1 low) to $(accuracy 1 high))"
echo "  after   $(accuracy "$last" accuracy) %  ($(accuracy "$last" low) to $(accuracy "$last" high))     trained in $seconds s, evaluations included"
echo
echo "Three of them, answered greedily:"
for sum in 47+38= 66+57= 29+94=; do
  before=$("$assay" generate models/tiny "$sum" --temperature 0 --max-new-tokens 6)
  after=$("$assay" generate "$run" "$sum" --temperature 0 --max-new-tokens 6)
  printf '  %s  before %-6s after %-6s right %s\n' "$sum" "$before" "$after" "$((${sum%=}))"
done
echo
echo "The run is in $run. Try next:"
echo "  $assay generate $run '58+67=' --temperature 0"
echo "  $assay eval $run --data task:addition,format=plain,held_out=0.2 --problems 200 --max-new-tokens 6"
echo "  $assay train recipes/demo.yaml train.lr=1.0e-4 --run runs/slower"
