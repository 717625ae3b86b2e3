#!/bin/bash
# DPO (arXiv 2305.18290, section 6): pairs teach more than fine-tuning on the preferred answers alone.
set -e
cd "$(dirname "$0")"
./lab.py dpo --bed mixed --method '[{dpo: {pairs: 4}}]' --base '[rft]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
