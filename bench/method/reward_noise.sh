#!/bin/sh
# What noise costs: GRPO under verdicts that are turned over, beside GRPO under true ones.
exec "$(dirname "$0")/lab.py" reward_noise --bed mixed --quantity accuracy --claim down --seeds 8 \
  --method '[grpo, {reward_noise: {false_negative: 0.2, false_positive: 0.1}}]' "$@" --write
