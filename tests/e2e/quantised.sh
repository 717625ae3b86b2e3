#!/usr/bin/env bash
# Matrices that stay in blocks, from the command line: --weights keep scores a GGUF file as without it, bit for bit, whatever
# the instruction set and the threads; the sampler's log-probabilities are the scorer's; a file round-trips; --weights q8_0
# takes less memory; wrong words are refused.
. "$(dirname "$0")/../begin.sh"
cd "$work" || exit 1
tiny=$root/models/tiny
hash_of() { "$assay" convert --hash "$1" | head -1; }

# --- writing GGUF and reading it back ---
for type in f32 f16 bf16 q8_0; do
  "$assay" convert "$tiny" "$type.gguf" --type "$type" --quiet || fail "convert to $type: exit status $?"
  "$assay" convert "$type.gguf" again.gguf --type "$type" --quiet || fail "$type again: exit status $?"
  [ "$(hash_of "$type.gguf")" = "$(hash_of again.gguf)" ] || fail "$type.gguf converted to itself holds other weights"
  "$assay" convert again.gguf third.gguf --type "$type" --quiet # pairs are sorted by now
  cmp -s again.gguf third.gguf || fail "$type.gguf converted to itself twice is another file"
  rm -f again.gguf third.gguf
done
[ "$(hash_of f32.gguf)" = "$(hash_of "$tiny")" ] || fail "f32.gguf holds other weights than models/tiny"
"$assay" convert f32.gguf back --quiet && [ "$(hash_of back)" = "$(hash_of "$tiny")" ] || fail "back from GGUF: other weights"
echo '{"text": "12+34=46 and 7*8"}' >texts.jsonl
for model in f32.gguf back; do
  "$assay" tokenize "$model" --in texts.jsonl --json --quiet >"ids.$model"
  "$assay" tokenize "$tiny" --in texts.jsonl --json --quiet | cmp -s - "ids.$model" || fail "$model: other ids than models/tiny"
done
"$assay" convert "$tiny" sharded --shard-size 500K --quiet || fail "sharded: exit status $?"
[ -f sharded/model.safetensors.index.json ] && [ ! -f sharded/model.safetensors ] || fail "--shard-size made no shards"
for file in sharded/model-*.safetensors; do [ "$(stat -c %s "$file")" -le 900000 ] || fail "$file is too large"; done
[ "$(hash_of sharded)" = "$(hash_of "$tiny")" ] || fail "sharded: other weights"
"$assay" convert "$tiny" folder --type q8_0 2>error.txt && fail "q8_0 in safetensors"
grep -q 'q8_0 for a .gguf file' error.txt || fail "q8_0 in safetensors: $(cat error.txt)"

# --- the same bits as without blocks ---
"$assay" generate q8_0.gguf '12+34=' --max-new-tokens 8 --weights keep --json --quiet >answer.jsonl || fail "generate: exit status $?"
"$assay" generate q8_0.gguf '12+34=' --max-new-tokens 8 --json --quiet | cmp -s - answer.jsonl || fail "generate: keep differs from full"
printf '{"ids": [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18], "from": 1}\n' >ids.jsonl
sets=$("$assay" doctor 2>/dev/null | grep -oE '\b(avx2|avx512)\b' | sort -u)
for compute in f32 bf16; do
  ASSAY_ISA=ref "$assay" score q8_0.gguf --in ids.jsonl --json --quiet --compute $compute >want || fail "score: exit status $?"
  for isa in ref $sets; do
    for threads in 1 2; do
      ASSAY_ISA=$isa "$assay" score q8_0.gguf --in ids.jsonl --json --quiet --compute $compute --weights keep --threads $threads >got ||
        fail "score --weights keep: exit status $?"
      cmp -s want got || fail "$isa, $threads threads, $compute: keep differs from full"
    done
  done
done
# rounded on loading: what the file in blocks holds
"$assay" score "$tiny" --in ids.jsonl --json --quiet --weights q8_0 >rounded
"$assay" score q8_0.gguf --in ids.jsonl --json --quiet | cmp -s - rounded || fail "--weights q8_0 is not what q8_0.gguf holds"
"$assay" score "$tiny" --in ids.jsonl --json --quiet --weights q4_0 >four || fail "q4_0: exit status $?"
cmp -s four rounded && fail "q4_0 scores as q8_0"

# --- an adapter trained beside blocks: used, and folded ---
train() { # MODEL HOW RUN FURTHER...
  cat >adapter.yaml <<RECIPE
model: $1
lora: {rank: 2, alpha: 16}
data: [{task: addition, format: plain}]
methods: [grpo]
rollout: {problems: 8, group: 8, max_new_tokens: 6, max_prompt_tokens: 16}
train: {steps: 2, lr: 1.0e-2}
compute: {weights: $2}
RECIPE
  "$assay" train adapter.yaml --run "$3" --quiet "${@:4}" || fail "train beside $2: exit status $?"
}
train q8_0.gguf keep kept
train "$tiny" q8_0 rounding
for threads in 1 2 3; do
  "$assay" score kept --in ids.jsonl --json --quiet --weights keep --threads $threads >with || fail "score beside blocks: exit status $?"
  "$assay" score rounding --in ids.jsonl --json --quiet --weights q8_0 --threads $threads >with.rounding
  [ $threads = 1 ] && cp with with.one && cp with.rounding with.rounding.one
  cmp -s with with.one && cmp -s with.rounding with.rounding.one || fail "an adapter beside blocks, $threads threads: other bits"
done
cmp -s with rounded && fail "the adapter learned nothing"
# what is folded into are the numbers of the base's file: those of its blocks, or those before they were rounded on loading
"$assay" merge kept folded --quiet || fail "merge beside blocks: exit status $?"
"$assay" convert q8_0.gguf made --quiet
cp -r kept/checkpoints/000002 peft && sed -i "s|\"base_model_name_or_path\": \"[^\"]*\"|\"base_model_name_or_path\": \"$work/made\"|" peft/adapter_config.json
"$assay" merge peft again --quiet && [ "$(hash_of again)" = "$(hash_of folded)" ] || fail "folded into blocks is not folded into their numbers"
"$assay" score folded --in ids.jsonl --json --quiet | cmp -s - rounded && fail "folding changed nothing"
train q8_0.gguf keep still train.lr=0
train "$tiny" q8_0 still.rounding train.lr=0
"$assay" merge still out.still --quiet && [ "$(hash_of out.still)" = "$(hash_of q8_0.gguf)" ] || fail "an adapter of nothing moved the numbers of blocks"
"$assay" merge still.rounding out.rounding --quiet && [ "$(hash_of out.rounding)" = "$(hash_of "$tiny")" ] ||
  fail "a base that was rounded on loading is not folded as its file has it"
"$assay" merge kept refused --type q8_0 2>error.txt && fail "merge --type q8_0"
grep -q 'supported are f32, bf16 and f16' error.txt || fail "merge --type q8_0: $(cat error.txt)"

# --- refused ---
"$assay" score "$tiny" --in ids.jsonl --weights q5 2>error.txt && fail "--weights q5"
grep -q 'expected full, keep, q8_0 or q4_0' error.txt || fail "--weights q5: $(cat error.txt)"
cat >recipe.yaml <<RECIPE
model: $tiny
data: [{task: addition, format: plain}]
methods: [grpo]
rollout: {problems: 2, group: 2, max_new_tokens: 4, max_prompt_tokens: 16}
train: {steps: 1}
compute: {weights: q8_0}
RECIPE
"$assay" train recipe.yaml --run run --quiet 2>error.txt && fail "whole weights trained in blocks"
grep -q 'frozen base under an adapter' error.txt || fail "compute.weights without an adapter: $(cat error.txt)"
exit $((failures > 0))
