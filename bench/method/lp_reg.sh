#!/bin/bash
# Lp-Reg (arXiv 2510.03222): rare tokens that are not noise are not erased, so entropy stays and the rare right answer
# is found. The start answers with a decoy in 7 of 10, rightly in 3 of 100. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py lp_reg --bed decoy --method '[{lp_reg: {rho: 0.2}}]' \
  --quantity entropy:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
./lab.py lp_reg --bed decoy --method '[{lp_reg: {rho: 0.2}}]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
