#!/usr/bin/env bash
# The kernels of cuda/ under whole runs: in f32 a run on a GPU ends with the processor's weights and state, bit for bit,
# whatever the micro-batch and the KV blocks; what is scored and generated is the same too. In bf16 the same holds on the
# emulated device; tensor cores add in an order of their own, so on a GPU the laws stand among its own runs. On the
# emulated device, or on a GPU where ASSAY_GPU=cuda names it (bench/gpu.sh).
. "$(dirname "$0")/../begin.sh"
gpu=${ASSAY_GPU:-cuda-emulated}
cd "$work" || exit 1
cat >recipe.yaml <<RECIPE
model: $root/models/tiny
data: [{task: addition, format: plain}]
methods: [{grpo: {kl_coef: 0.1}}, entropy_bonus]
rollout: {problems: 2, group: 4, max_new_tokens: 6, max_prompt_tokens: 16, top_p: 0.95}
train: {steps: 2, lr: 1.0e-3, minibatches: 2}
save: {every: 1}
RECIPE
hashes() { "$assay" convert --hash "$1"; }

"$assay" train recipe.yaml --run cpu --threads 1 --quiet || fail "cpu: exit status $?"
ASSAY_DEVICE=$gpu "$assay" train recipe.yaml --run gpu --threads 1 --quiet || fail "$gpu: exit status $?"
[ "$(hashes gpu)" = "$(hashes cpu)" ] || fail "$gpu gives other weights or another state than the processor"
# AdamW's moments in the host's memory too (the emulated device has a memory of its own where it is told one)
ASSAY_EMULATED_ROOM=4000000000 ASSAY_DEVICE=$gpu "$assay" train recipe.yaml compute.micro_batch=512 compute.slots=3 compute.kv_block=4 \
  compute.vocab_chunk=32 compute.recompute=true compute.offload=true --run small --quiet || fail "small passes: exit status $?"
[ "$(hashes small)" = "$(hashes cpu)" ] || fail "memory knobs move bits on $gpu"
grep -q '"mismatch":0,' gpu/metrics.jsonl || fail "a mismatch on $gpu"

printf '%s\n' '{"ids":[3,7,11,2,9]}' '{"ids":[5,1,4]}' >in.jsonl
for device in cpu "$gpu"; do
  ASSAY_DEVICE=$device "$assay" score "$root/models/tiny" --top 5 --json --in in.jsonl >"score.$device" || fail "score on $device"
  ASSAY_DEVICE=$device "$assay" generate "$root/models/tiny" "12+7=" --json --seed 3 >"generate.$device" ||
    fail "generate on $device"
done
cmp score.cpu "score.$gpu" || fail "$gpu scores other bits"
cmp generate.cpu "generate.$gpu" || fail "$gpu generates something else"
[ -s score.cpu ] && [ -s generate.cpu ] || fail "nothing was scored or generated"

if ! ASSAY_DEVICE=cuda "$assay" score "$root/models/tiny" --in in.jsonl --quiet >/dev/null 2>error; then
  grep -qE 'device cuda, which this build does not have|NVIDIA GPU|driver' error || fail "no GPU: $(cat error)"
fi
# A base that stays in blocks: an adapter beside it learns the same, and what is scored is the same.
adapter() { # RUN TYPE
  "$assay" train recipe.yaml lora.rank=4 compute.weights=q8_0 train.steps=1 --compute "$2" --run "$1" --threads 1 --quiet ||
    fail "$1: exit status $?"
}
adapter cpu.blocks f32
ASSAY_DEVICE=$gpu adapter gpu.blocks f32
[ "$(hashes gpu.blocks)" = "$(hashes cpu.blocks)" ] || fail "beside blocks $gpu gives another adapter than the processor"
grep -q '"mismatch":0,' gpu.blocks/metrics.jsonl || fail "a mismatch beside blocks on $gpu"
adapter cpu16.blocks bf16
ASSAY_DEVICE=$gpu adapter gpu16.blocks bf16
[ "$gpu" = cuda ] || [ "$(hashes gpu16.blocks)" = "$(hashes cpu16.blocks)" ] ||
  fail "beside blocks in bf16 $gpu gives another adapter than the processor"
grep -q '"mismatch":0,' gpu16.blocks/metrics.jsonl || fail "a mismatch beside blocks in bf16 on $gpu"
for weights in q8_0 q4_0; do
  for device in cpu "$gpu"; do
    ASSAY_DEVICE=$device "$assay" score "$root/models/tiny" --weights $weights --json --in in.jsonl >"blocks.$device" ||
      fail "score --weights $weights on $device"
  done
  cmp blocks.cpu "blocks.$gpu" && [ -s blocks.cpu ] || fail "$gpu scores other bits with $weights"
done
ASSAY_DEVICE=$gpu ASSAY_EMULATED_ROOM=4000000000 "$assay" train recipe.yaml compute.offload=true --plan |
  grep -q "AdamW moments .* of the host's" || fail "the plan does not tell of moments in the host's memory"

# bf16: kl_coef asks for a reference, which has a rounded copy and no master.
"$assay" train recipe.yaml --compute bf16 --run cpu16 --threads 1 --quiet || fail "bf16 on the cpu: exit status $?"
ASSAY_DEVICE=$gpu "$assay" train recipe.yaml --compute bf16 --run gpu16 --threads 1 --quiet || fail "bf16: exit status $?"
ASSAY_DEVICE=$gpu "$assay" train recipe.yaml --compute bf16 compute.micro_batch=512 compute.slots=3 compute.kv_block=4 \
  compute.vocab_chunk=32 compute.recompute=true --run small16 --quiet || fail "bf16, small passes: exit status $?"
[ "$(hashes small16)" = "$(hashes gpu16)" ] || fail "memory knobs move bits of bf16 on $gpu"
[ "$gpu" = cuda ] || [ "$(hashes gpu16)" = "$(hashes cpu16)" ] || fail "bf16 on $gpu gives other weights than the processor"
[ "$(hashes gpu16)" != "$(hashes gpu)" ] || fail "bf16 gives the bits of f32"
grep -q '"mismatch":0,' gpu16/metrics.jsonl || fail "a mismatch in bf16 on $gpu"
# The products of Hopper's warpgroups: the processor's bits on the emulated device too, whatever the passes, and beside
# blocks.
if [ "$gpu" != cuda ]; then
  export ASSAY_CUDA_PRODUCTS=wgmma
  ASSAY_DEVICE=$gpu "$assay" train recipe.yaml --compute bf16 compute.micro_batch=512 compute.slots=3 compute.kv_block=4 \
    compute.vocab_chunk=32 --run wide16 --quiet || fail "wgmma: exit status $?"
  [ "$(hashes wide16)" = "$(hashes cpu16)" ] || fail "products by wgmma give other weights than the processor"
  grep -q '"mismatch":0,' wide16/metrics.jsonl || fail "a mismatch of products by wgmma"
  ASSAY_DEVICE=$gpu adapter wide16.blocks bf16
  [ "$(hashes wide16.blocks)" = "$(hashes cpu16.blocks)" ] || fail "beside blocks products by wgmma give another adapter"
  ASSAY_CUDA_PRODUCTS=hmma ASSAY_DEVICE=$gpu "$assay" score "$root/models/tiny" --in in.jsonl --quiet >/dev/null 2>error &&
    fail "ASSAY_CUDA_PRODUCTS=hmma was taken"
  grep -q 'expected auto, mma or wgmma' error || fail "ASSAY_CUDA_PRODUCTS=hmma: $(cat error)"
  unset ASSAY_CUDA_PRODUCTS
fi
exit $((failures > 0))
