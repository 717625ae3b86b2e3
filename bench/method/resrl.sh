#!/bin/bash
# ResRL (arXiv 2605.00380): wrong answers are punished where they look unlike right ones: shared prefixes survive.
# Against W-REINFORCE; seven tokens of a template are shared, a letter decides.
set -e
cd "$(dirname "$0")"
./lab.py resrl --bed template --method '[resrl]' --base '[psr_nsr]' \
  --quantity accuracy --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py resrl --bed template --method '[resrl]' \
  --quantity pass@8 --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
