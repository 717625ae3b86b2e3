#!/usr/bin/env bash
# A GPU that breaks in mid-run or has too little memory, on the emulated device: one sentence with its exit status,
# checkpoints that are whole, and a resume that ends with the hashes of a run to which nothing happened.
. "$(dirname "$0")/../begin.sh"
export ASSAY_DEVICE=cuda-emulated
cd "$work" || exit 1
cat >recipe.yaml <<RECIPE
model: $root/models/tiny
data: [{task: addition, format: plain}]
methods: [{grpo: {kl_coef: 0.1}}]
rollout: {problems: 2, group: 4, max_new_tokens: 6, max_prompt_tokens: 16}
train: {steps: 3, lr: 1.0e-3}
save: {every: 1}
RECIPE
hashes() { "$assay" convert --hash "$1"; }
train() { "$assay" train recipe.yaml --threads 1 --quiet "$@" 2>error; }

# --- a device error at some launch: in the first step, between two, beside the writing of a checkpoint ---
ASSAY_DEVICE=cpu train --run whole || fail "a run on the processor: exit status $?"
broken=0
saved=0
for launch in 1 600 1100 1700 1000000; do
  ASSAY_EMULATED_FAULT=$launch train --run "run$launch"
  rc=$?
  if [ $rc = 0 ]; then
    [ $launch = 1000000 ] || fail "launch $launch is behind the end of the run; this test wants a longer one"
  else
    broken=$((broken + 1))
    [ $rc = 3 ] || fail "launch $launch: exit status $rc instead of 3"
    [ "$(wc -l <error)" = 1 ] || fail "launch $launch: more than one line: $(cat error)"
    grep -q 'the GPU failed in .*ASSAY_EMULATED_FAULT.*--resume' error || fail "launch $launch: $(cat error)"
    [ -z "$(find "run$launch/checkpoints" -name '.writing*' 2>/dev/null)" ] || fail "launch $launch: a half checkpoint stayed"
    for checkpoint in "run$launch"/checkpoints/0*; do
      [ -d "$checkpoint" ] || continue
      saved=$((saved + 1))
      (cd "$checkpoint" && sha256sum --quiet -c checksums.txt) || fail "launch $launch: $checkpoint is not whole"
    done
    # a run that broke before its first checkpoint begins anew
    if [ -d "run$launch/checkpoints/000001" ]; then
      "$assay" train "run$launch/recipe.yaml" --run "run$launch" --resume --threads 1 --quiet || fail "resume: exit status $?"
    else
      rm -rf "run$launch"
      train --run "run$launch" || fail "again: exit status $?"
    fi
  fi
  [ "$(hashes "run$launch")" = "$(hashes whole)" ] || fail "launch $launch: other weights or another state than without a fault"
done
[ $broken -ge 4 ] && [ $saved -ge 1 ] || fail "$broken of the faults were met, $saved checkpoints were there"
ASSAY_EMULATED_FAULT=1700 train --run named
grep -q 'computing step [123]: the GPU failed' error || fail "no step is named: $(cat error)"
ASSAY_EMULATED_FAULT=50 "$assay" generate "$root/models/tiny" '12+7=' --quiet >out 2>error
[ $? = 3 ] && grep -q 'the GPU failed' error || fail "generate on a broken device: $(cat error)"
[ -s out ] && fail "generate on a broken device wrote: $(cat out)"

# --- too little memory ---
ASSAY_EMULATED_ROOM=$((12 << 20)) train --run tight
[ $? = 3 ] && grep -qE 'lower .*compute\.(slots|micro_batch)' error || fail "12 MiB: $(cat error)"
[ -d tight/checkpoints ] && fail "12 MiB: something was written"
ASSAY_EMULATED_ROOM=$((2 << 20)) "$assay" generate "$root/models/tiny" '12+7=' --quiet >out 2>error
[ $? = 3 ] && grep -qE 'needs .* MiB.*raise --memory' error || fail "2 MiB: $(cat error)"
ASSAY_EMULATED_ROOM=1000 "$assay" generate "$root/models/tiny" '12+7=' --quiet >out 2>error
[ $? = 3 ] && grep -q 'has no room even for .*device: cpu' error || fail "1000 bytes: $(cat error)"

exit $((failures > 0))
