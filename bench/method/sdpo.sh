#!/bin/bash
# SDPO (arXiv 2601.20802): the policy that has seen a right answer of its group teaches itself and needs fewer steps than
# GRPO; a teacher that is a moving average (the paper's) is steadier than the live weights. The start can read an answer
# in its context; its problems have none.
set -e
cd "$(dirname "$0")"
./lab.py sdpo --bed hint --method '[{sdpo: {prompt: "{solution}{prompt}", solution: "{text}", teacher: ema}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=5e-4 "$@"
./lab.py sdpo --bed hint --method '[{sdpo: {prompt: "{solution}{prompt}", solution: "{text}", teacher: ema}}]' --base '[{sdpo: {prompt: "{solution}{prompt}", solution: "{text}", teacher: live}}]' \
  --quantity accuracy --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=5e-4 "$@"
