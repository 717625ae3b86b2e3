#!/bin/bash
# SCRL (arXiv 2605.22074): four letters in tagged blocks, all of which must be right: 1 in 500 at the start, so GRPO has
# hardly anything to learn from. Half of a group is credited block by block. Both halves read the same: what differs is the
# credit. The KL holds the tags, which no block's credit touches (docs/pitfalls.md).
set -e
cd "$(dirname "$0")"
for quantity in prefix accuracy; do
  ./lab.py scrl --bed blocks --method '[{scrl: {k: 4, answer: block, verifier: string, prompt: "{problem}"}}, {grpo: {kl_coef: 0.2}}]' \
    --base '[{grpo: {kl_coef: 0.2}}]' --quantity $quantity --claim up --seeds 10 --write \
    --set train.steps=240 train.lr=2e-3 "$@"
done
