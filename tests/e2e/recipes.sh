#!/usr/bin/env bash
# Laws 1 to 3 under the recipes: three steps on the built-in model end with the same weights and state whatever the
# micro-batch and the threads, with mismatch 0. Every fifth recipe, at two corners; tests/e2e/recipes_all.sh runs each
# recipe at four (RECIPES_EVERY=9 RECIPES_FIRST=0 .. 8: a ninth of them). Second contexts that do not fit are counted and said once.
. "$(dirname "$0")/../begin.sh"
cd "$root" || exit 1
recipes=0
every=${RECIPES_EVERY:-5} first=${RECIPES_FIRST:-0} corners=${RECIPES_CORNERS:-"512,1 2048,3"}
start=$("$assay" convert --hash models/tiny)

# Of weights and state; a reward model, which `convert` does not take, has the checksum of its weights.
hash_of() { "$assay" convert --hash "$1" 2>/dev/null || grep -h ' model.safetensors$' "$1"/checkpoints/000003/checksums.txt; }

# RECIPE: enough rollouts that 512 rows are not all of a mini-batch, no evaluation.
check() {
  local name=$1 command=train settings=(rollout.problems=32 eval=null) corner first="" hash run
  grep -q '^rollout:' "recipes/$name.yaml" || command=sft settings=(train.passes=0)
  for corner in $corners; do
    run=$work/run
    rm -rf "$run"
    "$assay" $command "recipes/$name.yaml" train.steps=3 "${settings[@]}" "compute.micro_batch=${corner%,*}" \
      --threads "${corner#*,}" --run "$run" --quiet 2>"$work/err" || { fail "$name, $corner: $(cat "$work/err")"; return; }
    hash=$(hash_of "$run")
    [ -n "$hash" ] || fail "$name: there is no hash"
    [ "$hash" != "$start" ] || fail "$name: the weights did not move"
    [ "${first:=$hash}" = "$hash" ] || fail "$name: micro-batch and threads $corner give other bits"
    [ "$(grep -c '"mismatch":0,' "$run/metrics.jsonl")" = 3 ] || fail "$name, $corner: mismatch is not 0 in three steps"
    [ "$command" = sft ] || [ "$(grep -c '"mismatch/of":[1-9]' "$run/metrics.jsonl")" -gt 0 ] || fail "$name: nothing was compared"
  done
}

for path in recipes/*.yaml; do
  grep -q '^model: models/tiny' "$path" || continue
  [ $((recipes++ % every)) = "$first" ] && check "$(basename "$path" .yaml)"
done
[ "$recipes" -gt 40 ] || fail "only $recipes recipes begin with the built-in model"

# A prompt of the method's own that is longer than prompts may be.
"$assay" train recipes/sdpo.yaml train.steps=2 rollout.max_prompt_tokens=8 eval=null --run "$work/long" 2>"$work/err" >&2 ||
  fail "sdpo: $(tail -1 "$work/err")"
grep -q '"scores/second_too_long":[1-9]' "$work/long/metrics.jsonl" || fail "second contexts that do not fit are not counted"
[ "$(grep -c 'are too long and scored nowhere' "$work/err")" = 1 ] || fail "second contexts: $(cat "$work/err")"

exit $((failures > 0))
