#!/usr/bin/env bash
# What a method costs beside GRPO, on the built-in model with a learning rate of 0, so that every run sees the same
# rollouts.
#
#     bench/method/overhead.sh ASSAY [ROUNDS [METHOD ...]]
#
# METHOD: those to look at; else all for the instructions, and three for the time. ROUNDS 0: no time. RUNNER: a command that
# stands before every run (nice, a lock).
#
# instructions   user-mode instructions of one thread: perf where it can count, else valgrind's cachegrind (AVX2 kernels);
#                the same in every run, whatever else the machine does. Of one step: a run of two less a run of one.
#                Methods at their neutral setting that need nothing more than GRPO: expected below +1 %. Methods with
#                extra forwards at their defaults: (measured - GRPO) / one forward, where one forward is what GRPO's KL
#                term to a reference adds: expected within 10 % of the announced number.
# time           ROUNDS (5) pairs of processor seconds in turn, of METHODs at their neutral setting: the 95 % interval of
#                the paired difference (t), expected below +3 %.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
assay=$(realpath "${1:?usage: overhead.sh ASSAY [ROUNDS [METHOD ...]]}") rounds=${2:-5}
shift $(($# < 2 ? $# : 2))
counted=${*:-$("$assay" methods | awk '{print $2}')} timed=${*:-ace beyond_8020 ppl_position}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1

arguments() { # METHODS STEPS PROBLEMS
  printf '%s\n' train recipes/cispo.yaml "methods=$1" train.lr=0 train.minibatches=1 eval=null "train.steps=$2" \
    "rollout.problems=$3" --threads 1 --quiet --run "$work/run"
}

count() { # METHODS STEPS: instructions of a run
  local words
  mapfile -t words < <(arguments "$1" "$2" 8)
  rm -rf "$work/run"
  if perf stat -x, -e instructions:u true 2>&1 | grep -q '^[0-9]'; then
    ${RUNNER:-} perf stat -x, -e instructions:u "$assay" "${words[@]}" 2>&1 >/dev/null | sed -n 's/^\([0-9]*\),.*/\1/p'
  else
    ASSAY_ISA=avx2 ${RUNNER:-} valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$assay" "${words[@]}" 2>&1 >/dev/null |
      sed -nE 's/^.*I +refs: +//p' | tr -d ,
  fi
}

step() { # METHODS: instructions of a run's second step
  echo $(($(count "$1" 2) - $(count "$1" 1)))
}

seconds() { # METHODS: processor seconds of a run of twenty steps
  local words TIMEFORMAT='%U %S'
  mapfile -t words < <(arguments "$1" 20 16)
  rm -rf "$work/run"
  { time ${RUNNER:-} "$assay" "${words[@]}" >"$work/out" 2>&1; } 2>&1 | awk '{print $1 + $2}'
}

neutral() { # METHOD: its options that turn it off
  "$assay" methods "$1" | sed -nE 's/^  neutral +(.*) gives the bits of grpo$/\1/p' | sed 's/ /, /g; s/=/: /g'
}

price() { # METHODS: passes of scoring, and whether it generates or asks for nothing
  "$assay" methods --resolve recipes/cispo.yaml "methods=$1" train.minibatches=1 --json 2>/dev/null | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(len(d["forwards"]["passes"]), "asks" if {"generate", "judge", "replay"} & set(d["needs"]) else "plain", len(d["needs"]))'
}

base=$(step '[grpo]')
echo "| setting | instructions beside GRPO | expected |"
echo "|---|---|---|"
for name in $counted; do
  options=$(neutral "$name")
  [ -n "$options" ] || continue
  set="[{$name: {$options}}]"
  read -r passes kind needs <<<"$(price "$set")"
  [ "$passes $needs" = "0 0" ] || continue
  awk -v a="$(step "$set")" -v b="$base" -v n="$name, off" 'BEGIN {printf "| %s | %+.3f %% | below +1 %% |\n", n, 100 * (a / b - 1)}'
done
forward=$(($(step '[{grpo: {kl_coef: 0.001}}]') - base))
for name in $counted; do
  read -r passes kind needs <<<"$(price "[$name]")"
  [ "${passes:-0}" -gt 0 ] && [ "$kind" = plain ] || continue
  awk -v a="$(step "[$name]")" -v b="$base" -v f="$forward" -v p="$passes" -v n="$name" \
    'BEGIN {printf "| %s | %+.1f %%, %.2f forwards | %d, within 10 %% |\n", n, 100 * (a / b - 1), (a - b) / f, p}'
done
[ "$rounds" -gt 1 ] || exit 0
echo
echo "| setting | processor time beside GRPO, 95 % of $rounds pairs | expected |"
echo "|---|---|---|"
for name in $timed; do
  for ((i = 0; i < rounds; i++)); do
    echo "$(seconds '[grpo]') $(seconds "[{$name: {$(neutral "$name")}}]")"
  done | python3 -c '
import math, sys
d = [100 * (float(b) / float(a) - 1) for a, b in map(str.split, sys.stdin)]
n, t = len(d), [0, 0, 12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]
mean = sum(d) / n
half = t[min(n, 10)] * math.sqrt(sum((x - mean) ** 2 for x in d) / (n - 1) / n)
print(f"| {sys.argv[1]}, off | {mean - half:+.1f} to {mean + half:+.1f} % | below +3 % |")' "$name"
done
