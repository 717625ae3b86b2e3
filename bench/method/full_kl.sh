#!/bin/bash
# KL over the vocabulary: the expectation of the sampled estimator with the same gradient (k2), without its noise: a
# smaller norm of the gradient beside the same reward. The reference is the start, the weight large.
set -e
cd "$(dirname "$0")"
./lab.py full_kl --bed mixed --method '[grpo, {full_kl: {coef: 0.5}}]' --base '[{grpo: {kl_coef: 0.5, kl_type: k2}}]' \
  --quantity grad_norm:last --claim down --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
