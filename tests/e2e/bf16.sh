#!/usr/bin/env bash
# compute type bf16 from the command line: a short GRPO run ends with the same hashes whatever the instruction set, the threads and the micro-batch,
# with mismatch 0; what it sampled is made again; sampler and scorer agree; a run keeps its type.
. "$(dirname "$0")/../begin.sh"
cd "$work" || exit 1
cat >recipe.yaml <<RECIPE
model: $root/models/tiny
data: [{task: addition, format: plain}]
methods: [{grpo: {kl_coef: 0.1}}]
rollout: {problems: 8, group: 4, max_new_tokens: 6, max_prompt_tokens: 16}
train: {steps: 2, lr: 1.0e-3, minibatches: 2}
compute: {type: bf16}
save: {every: 1}
RECIPE

# --- the same bits everywhere ---
hashes() { "$assay" convert --hash "$1"; }
"$assay" train recipe.yaml --run first --quiet || fail "train: exit status $?"
first=$(hashes first)
sets=$("$assay" doctor 2>/dev/null | grep -oE '\b(avx2|avx512|amx)\b' | sort -u)
for isa in ref $sets; do
  ASSAY_ISA=$isa "$assay" train recipe.yaml --run "$isa" --threads 2 --quiet || fail "$isa: exit status $?"
  [ "$(hashes "$isa")" = "$first" ] || fail "$isa gives other weights"
done
"$assay" train recipe.yaml compute.micro_batch=512 compute.slots=3 compute.recompute=true --threads 1 --run small --quiet ||
  fail "small passes: exit status $?"
[ "$(hashes small)" = "$first" ] || fail "threads, slots or micro-batches move the weights"
"$assay" train recipe.yaml compute.kv_block=4 compute.vocab_chunk=32 --threads 3 --run blocks --quiet || fail "blocks: exit status $?"
[ "$(hashes blocks)" = "$first" ] || fail "KV blocks or the LM head's chunk move the weights"
"$assay" train recipe.yaml --compute f32 --run f32 --quiet || fail "f32: exit status $?"
[ "$(hashes f32)" != "$first" ] || fail "f32 and bf16 give the same weights"

# --- what the steps say ---
grep -q '"mismatch":0,' first/metrics.jsonl || fail "no mismatch in the metrics"
grep -qE '"mismatch":[1-9]' first/metrics.jsonl && fail "mismatch is not 0"
grep -qE '"rows/padding":[1-9]' first/metrics.jsonl || fail "units are not filled up"
grep -qE '"rows/padding":[1-9]' f32/metrics.jsonl && fail "f32 has rows of padding"
grep -q '"mismatch/of":[1-9]' first/metrics.jsonl || fail "nothing was compared"

# --- one run, one type ---
"$assay" replay first --step 2 --quiet >replay.txt || fail "replay: exit status $?"
grep -qv identical replay.txt && fail "a rollout is not made again: $(head -1 replay.txt)"
"$assay" train recipe.yaml train.steps=3 --compute f32 --run first --resume 2>error.txt && fail "a run goes on in another type"
grep -q 'compute.type' error.txt || fail "the resume in another type: $(cat error.txt)"
"$assay" train recipe.yaml train.steps=3 --run first --resume --quiet || fail "resume: exit status $?"
"$assay" train recipe.yaml train.steps=3 --run whole --quiet || fail "train: exit status $?"
[ "$(hashes first)" = "$(hashes whole)" ] || fail "a resumed run ends elsewhere"

# --- sampler and scorer; the other commands ---
"$assay" generate "$root/models/tiny" '12+34=' --compute bf16 --json --quiet >answer.jsonl || fail "generate: exit status $?"
python3 - answer.jsonl <<'PYTHON' >given.jsonl || fail "generate prints no JSON"
import json, sys
answer = json.loads(open(sys.argv[1]).readline())
prompt = [13, 14, 12, 15, 16, 30]  # any ids: the score is asked of the same path twice
print(json.dumps({"ids": prompt + answer["ids"], "from": len(prompt)}))
PYTHON
for isa in ref $sets; do
  ASSAY_ISA=$isa "$assay" score "$root/models/tiny" --compute bf16 --json --quiet --in given.jsonl >"score.$isa" || fail "score: exit status $?"
  cmp -s "score.$isa" score.ref || fail "$isa scores otherwise"
done
"$assay" score "$root/models/tiny" --json --quiet --in given.jsonl >score.f32 || fail "score: exit status $?"
cmp -s score.f32 score.ref && fail "--compute bf16 scores as f32 does"
"$assay" eval "$root/models/tiny" --data task:addition,format=plain --problems 4 --compute bf16 --quiet >/dev/null || fail "eval: exit status $?"
echo '12+34=' | "$assay" chat "$root/models/tiny" --compute bf16 --quiet >/dev/null || fail "chat: exit status $?"
"$assay" bench decode "$root/models/tiny" --compute bf16 --batch 2 --prompt 4 --new 4 --repeat 1 --json --quiet >bench.json || fail "bench: exit status $?"
grep -q '"compute": "bf16", "isa": "' bench.json || fail "bench does not say what it ran on: $(cat bench.json)"
"$assay" replay first --step 2 --compute bf16 2>error.txt && fail "replay takes --compute"
grep -q 'expected none' error.txt || fail "replay --compute: $(cat error.txt)"
[ "$failures" = 0 ] && echo "bf16: all well"
exit $((failures > 0))
