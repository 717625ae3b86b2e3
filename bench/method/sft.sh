#!/bin/bash
# Fine-tuning on own answers without a verdict teaches nothing that GRPO learns from the same answers (control).
set -e
cd "$(dirname "$0")"
./lab.py sft --bed mixed --method '[sft]' \
  --quantity accuracy --claim down --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
