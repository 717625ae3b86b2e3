#!/bin/bash
# SCRL (arXiv 2605.22074): four letters in tagged blocks, all of which must be right: 1 in 4096 at the start, so GRPO has
# nothing to learn from. Half of a group is credited block by block. Both halves read the same: what differs is the credit.
set -e
cd "$(dirname "$0")"
./lab.py scrl --bed blocks --method '[{scrl: {k: 4, answer: block, verifier: string, prompt: "{problem}:"}}]' \
  --quantity accuracy --claim up --seeds 5 --write "$@"
