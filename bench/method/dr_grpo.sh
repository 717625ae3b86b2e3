#!/bin/bash
# Dr.GRPO (arXiv 2503.20783): without the division by a response's length wrong answers do not grow. Against GRPO as
# published, the mean over responses of means over tokens. The digit at the end decides, the letters before it are idle.
set -e
cd "$(dirname "$0")"
./lab.py dr_grpo --bed long --method '[dr_grpo]' --base '[{grpo: {aggregation: seq_mean_token_mean}}]' \
  --quantity length/mean:last --claim down --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
