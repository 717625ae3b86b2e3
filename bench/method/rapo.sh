#!/bin/sh
# RAPO's claim: rare right answers stay within reach, so pass@k at many samples rises above GRPO's (arXiv 2510.03865).
exec "$(dirname "$0")/lab.py" rapo --bed mixed --method '[{rapo: {alpha: 0.05, beta: 0.01}}, {grpo: {aggregation: seq_mean_token_mean}}]' \
  --base '[{grpo: {aggregation: seq_mean_token_mean}}]' --quantity pass@8 --claim up --set save.rollouts=all --seeds 5 "$@" --write
