#!/bin/bash
# KL in the reward (arXiv 1909.08593): the policy stays near its start, which here has entropy. Against RLOO without.
set -e
cd "$(dirname "$0")"
./lab.py kl_reward --bed mixed --method '[rloo, {kl_reward: {coef: 0.1}}]' --base '[rloo]' \
  --quantity entropy:last --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
