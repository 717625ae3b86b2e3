#!/bin/bash
# PSR and NSR (arXiv 2506.01347): wrong answers alone keep diversity, right ones alone lose it; W-REINFORCE keeps more
# than GRPO. Three of eight letters are right.
set -e
cd "$(dirname "$0")"
./lab.py psr_nsr --bed modes --method '[{psr_nsr: {mode: nsr}}]' --base '[{psr_nsr: {mode: psr}}]' \
  --quantity distinct --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py psr_nsr --bed modes --method '[psr_nsr]' \
  --quantity distinct --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
