#!/bin/bash
# GRPO+PPL (arXiv 2508.02260): credit for answers that the policy finds likely; the reverse raises entropy and lowers
# accuracy. The effect of alpha 0.01 is enlarged to 0.2.
set -e
cd "$(dirname "$0")"
./lab.py ppl_position --bed long --method '[{ppl_position: {alpha: 0.2}}]' --base '[{ppl_position: {alpha: 0.2, ppl: high}}]' \
  --quantity entropy:mean --claim down --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py ppl_position --bed long --method '[{ppl_position: {alpha: 0.2}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
