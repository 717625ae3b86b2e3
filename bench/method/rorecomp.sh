#!/bin/sh
# RoRecomp beside GRPO: any number of letters, then a digit that alone counts. The paper claims shorter answers at about
# the same accuracy: two rows.
set -e
lab="$(dirname "$0")/lab.py"
for row in "length/mean:last down" "solved:last up"; do
  set -- $row -- "$@"
  quantity=$1 claim=$2
  shift 3
  "$lab" rorecomp --bed long --quantity "$quantity" --claim "$claim" --seeds 10 --method '[rorecomp, grpo]' "$@" --write
done
