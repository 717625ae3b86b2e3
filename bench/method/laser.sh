#!/bin/sh
# LaSeR's claim: the score behind an answer learns to tell right from wrong (arXiv 2510.14943). The base is the same
# method with a weight that moves nothing, so that its scores are there to look at.
exec "$(dirname "$0")/lab.py" laser --bed mixed --method '[{laser: {token: 256, measure: true, beta_v: 0.2, alpha: 0.3, tau: 0.1, warm_loss: 5, warm_mix: 50}}]' \
  --base '[{laser: {token: 256, measure: true, beta_v: 0.2, alpha: 1.0e-12, tau: 0}}]' --quantity laser/f1:mean --claim up --seeds 8 "$@" --write
