#!/bin/bash
# REINFORCE++-baseline (arXiv 2501.03262): the group's mean tells easy problems from hard ones, which one mean of the
# step does not.
set -e
cd "$(dirname "$0")"
./lab.py reinforce_pp_baseline --bed mixed --method '[reinforce_pp_baseline]' --base '[reinforce_pp]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
