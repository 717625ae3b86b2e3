#!/bin/bash
# SDPO (arXiv 2601.20802): the policy that has seen a right answer of its group teaches itself and needs fewer steps than
# GRPO. The start can read an answer in its context; its problems have none.
set -e
cd "$(dirname "$0")"
./lab.py sdpo --bed hint --method '[{sdpo: {prompt: "{solution}{prompt}", solution: "{text}"}}]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
