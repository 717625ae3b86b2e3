#!/usr/bin/env bash
# What `make demo` runs once the program is built: GRPO teaches models/tiny to add, with the same held-out problems before and after.
# Words behind it override keys of the recipe: tools/demo.sh seed=2.
set -euo pipefail
cd "$(dirname "$0")/.."
exec tools/demo-show.sh demo recipes/demo.yaml \
  "A model of 0.8 M parameters (models/tiny) learns to add two-digit numbers by
trying: an answer that is right is rewarded, nothing else tells it how.
560 steps of 64 sums x 8 answers take about a minute on two cores; 1,000 sums
that it never trains on are the test." "$@"
