#!/bin/sh
# PGFC beside its uncorrected control under a verifier that errs, with a KL to the start: noise shrinks the reward against
# the KL and so moves the optimum; the paper claims that the correction moves it back. The bed's rates are 0.1 for right
# answers and 0.2 for wrong ones.
kl='{grpo: {kl_coef: 0.5, kl_type: k3+}}'
exec "$(dirname "$0")/lab.py" pgbc_pgfc --bed noisy --quantity accuracy --claim up --seeds 8 \
  --method "[{pgbc_pgfc: {mode: pgfc, rho0: 0.2, rho1: 0.1, scale: c}}, $kl]" \
  --base "[{pgbc_pgfc: {mode: noise}}, $kl]" "$@" --write
