#!/bin/bash
# OPO (arXiv 2505.23585): a baseline weighted by length has less variance than the group's mean. Answers of 4 to 11
# tokens, sums over responses, weights that stand still.
set -e
cd "$(dirname "$0")"
./lab.py opo --bed long --method '[{grpo: {aggregation: seq_mean_token_sum}}, opo]' --base '[{grpo: {dialect: dr_grpo, aggregation: seq_mean_token_sum}}]' \
  --quantity grad_norm:mean --claim down --seeds 6 --write \
  --set train.steps=40 train.lr=0 "$@"
