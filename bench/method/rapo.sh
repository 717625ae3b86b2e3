#!/bin/sh
# RAPO's claim: right answers that GRPO loses stay within reach; pass@k at many samples rises (arXiv 2510.03865).
exec "$(dirname "$0")/lab.py" rapo --bed modes --method '[{rapo: {alpha: 0.02, beta: 0.01}}, {grpo: {aggregation: seq_mean_token_mean}}]' \
  --base '[{grpo: {aggregation: seq_mean_token_mean}}]' --quantity distinct --claim up --set save.rollouts=all --seeds 8 "$@" --write
