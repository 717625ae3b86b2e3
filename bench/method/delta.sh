#!/bin/bash
# DelTA (arXiv 2605.21467): tokens that both sides share weigh less, so that long templates hinder less and it learns
# faster than DAPO's loss. Answers of a template and one letter that decides.
set -e
cd "$(dirname "$0")"
./lab.py delta --bed template --method '[{grpo: {clip_high: 0.28, clip_dual: 10}}, delta]' --base '[{grpo: {clip_high: 0.28, clip_dual: 10}}]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
