#!/bin/sh
# EAD beside plain sampling at temperature 1: three letters, all of which must be right. The paper claims more success in
# as many samples: hot first letters explore, cold last ones keep what is known.
exec "$(dirname "$0")/lab.py" ead --bed chain --quantity accuracy --claim up --seeds 8 --set train.steps=400 \
  --method '[{ead: {tau_max: 1.2, tau_min: 0.7, d0: 8, d_inc: 0, c: 0}}]' "$@" --write
