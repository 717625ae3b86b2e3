#!/usr/bin/env bash
# bench/method/lab.py: each seed has a start of its own, which method and base share; a row says how many; what was run is not run
# again.
. "$(dirname "$0")/../begin.sh"
lab() {
  python3 "$root/bench/method/lab.py" dr_grpo --bed bandit --method '[dr_grpo]' --quantity solved:mean --claim up --seeds 5 \
    --set train.steps=2 eval=null --assay "$assay" --folder "$work/lab" >"$work/out" 2>&1 || fail "lab.py: $(tail -5 "$work/out")"
  tail -1 "$work/out"
}

row=$(lab)
number='-?[0-9.]+(e-[0-9]+)?'
grep -qE "^\| dr_grpo \| bandit \| grpo \| solved:mean \| $number \| $number \| $number \($number to $number\) \| $number \| up \| (yes|no|the opposite) \| 5 \|$" \
  <<<"$row" || fail "its row: $row"
home=$(echo "$work"/lab/bandit-*)
hashes=$(for seed in 1 2 3 4 5; do "$assay" convert --hash "$home/start-$seed" | tr '\n' ' ' && echo; done | sort -u | wc -l)
[ "$hashes" = 5 ] || fail "five seeds have $hashes different starts"
for seed in 1 5; do
  shared=$(grep -lF "model: \"$home/start-$seed\"" "$home"/*-"$seed"/recipe.yaml | wc -l)
  [ "$shared" = 2 ] || fail "$shared runs of seed $seed begin with its start; expected the method's and the base's"
done

touch "$work/then"
[ "$(lab)" = "$row" ] || fail "a second call says something else: $(tail -1 "$work/out")"
again=$(find "$work/lab" -newer "$work/then" -name metrics.jsonl | wc -l)
[ "$again" = 0 ] || fail "a second call ran $again runs again"
exit $((failures > 0))
