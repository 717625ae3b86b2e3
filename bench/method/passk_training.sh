#!/bin/bash
# Pass@k training (arXiv 2508.10751): reward for sets of k explores: entropy and pass@8 above GRPO's.
set -e
cd "$(dirname "$0")"
./lab.py passk_training --bed modes --method '[passk_training]' \
  --quantity entropy:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py passk_training --bed decoy --method '[passk_training]' \
  --quantity pass@8 --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
