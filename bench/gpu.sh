#!/usr/bin/env bash
# All that is worth doing on a machine with an NVIDIA GPU, in one call of under ten minutes: the tests of the kernels, of
# laws and of whole runs, the sanitizer, and the workloads beside PyTorch and transformers, alternately, in one table.
#
#     bench/gpu.sh [BUILD]              BUILD: a build folder (default build/cuda; it is made where it is not there)
#     bench/gpu.sh --pack FOLDER        program, tests and the libraries they need in one archive, for a machine without them
#     bench/gpu.sh FOLDER               on that machine
#     bench/gpu.sh --list               names of the parts
#
# Every part has a limit of its own and is written to OUT/table.md when it is over, so that nothing that fails, hangs or
# is cut off takes others with it. From the environment: ONLY (a pattern: parts whose names match it), BUDGET (seconds,
# default 570), OUT (folder for table, logs and results.jsonl; default build/gpu), WORK (room for models; default
# /tmp/assay-gpu), TORCH (a Python with PyTorch and transformers; default python3), DEVICE (default cuda; cuda-emulated
# tries this script without a GPU).
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
tests=(unit_compute_overlay unit_compute_quant unit_compute_cuda unit_compute_cuda_attention unit_model_graphs law_runs
  law_quantised_base law_needs law_method_flow law_preferences)

pack() { # FOLDER
  local build=${BUILD:-build/cuda}
  mkdir -p "$1/tests" "$1/lib"
  cp "$build/bench_kernel_attention" "$1/tests/" || return 1
  cp "$build/assay" "$1/" && for t in "${tests[@]}"; do cp "$build/tests/$t" "$1/tests/" || return 1; done
  ldd "$1/assay" "$1"/tests/* | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$1/lib/"
  strip "$1/assay" "$1"/tests/* 2>/dev/null
  tar -C "$1" -czf "$1/pack.tar.gz" assay tests lib && rm -rf "${1:?}/assay" "$1/tests" "${1:?}/lib" && du -sh "$1"
}
if [ "${1:-}" = --pack ]; then
  pack "${2:?"gpu.sh: --pack takes a folder"}"
  exit
fi

python=${TORCH:-python3}
device=${DEVICE:-cuda}
work=${WORK:-/tmp/assay-gpu}
list=
[ "${1:-}" = --list ] && list=1 && shift
build=${1:-build/cuda}
mkdir -p "$work" "${OUT:-build/gpu}"
out=$(cd "${OUT:-build/gpu}" && pwd)
table=$out/table.md
results=$out/results.jsonl
budget=${BUDGET:-570}
failures=0
say() { echo "$*" | tee -a "$table"; }

# part NAME LIMIT COMMAND...: its output goes to OUT/NAME.log, its last line (or why it failed) into the table.
part() {
  local name=$1 limit=$2 left rc
  shift 2
  [ -n "$list" ] && echo "$name" && return
  [[ $name =~ ${ONLY:-.} ]] || return 0
  left=$((budget - SECONDS))
  if [ $left -lt 5 ]; then
    say "| $name | left out | | no time was left |"
    return
  fi
  [ "$limit" -gt $left ] && limit=$left
  local begin=$SECONDS
  timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null
  rc=$?
  local took=$((SECONDS - begin)) line
  line=$(tail -1 "$out/$name.log" | tr '|\t' '/ ' | cut -c1-300)
  case $rc in
    0) say "| $name | ok | $took | $line |" ;;
    77) say "| $name | left out | $took | $line |" ;;
    124 | 137) say "| $name | out of time | $took | $line |" ; failures=$((failures + 1)) ;;
    *)
      line=$(grep -m1 -aE 'FAILED|seed|ERROR|[Ee]rror|assay: ' "$out/$name.log" | tr '|\t' '/ ' | cut -c1-300)
      say "| $name | FAILED ($rc) | $took | $line |"
      failures=$((failures + 1))
      ;;
  esac
  grep -a '^{' "$out/$name.log" | sed "s/^{/{\"part\": \"$name\", /" >>"$results"
}

# --- what a part runs ---
machine() {
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader || echo "no nvidia-smi"
  nvcc --version 2>/dev/null | tail -1
  "$python" -c 'import torch, transformers; print("PyTorch", torch.__version__, "transformers", transformers.__version__, torch.cuda.get_device_name(0))' ||
    echo "no PyTorch with a GPU"
  "$build/assay" --version
}
make_build() { cmake --preset cuda && cmake --build --preset cuda && cmake --build --preset cuda --target bench_kernel_attention; }
# The tests of the emulated device stand beside: a part that finds no GPU says so and is no success.
on_gpu() { # TEST [FILTER]
  local log
  log=$("$build/tests/$1" "${@:2}" 2>&1)
  local rc=$?
  printf '%s\n' "$log"
  if grep -q 'not in this build or on this machine' <<<"$log"; then
    echo "FAILED: no GPU was there"
    return 1
  fi
  return $rc
}
whole_runs() { ASSAY_GPU=$device ASSAY_BINARY=$build/assay ASSAY_SOURCE_DIR=$root bash tests/e2e/device_cuda.sh && echo "whole runs"; }
law() { ASSAY_DEVICE=$device "$build/tests/$1"; }
sanitize() { # TOOL
  command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer"; return 77; }
  compute-sanitizer --tool "$1" --error-exitcode 9 "$build/tests/unit_compute_overlay" test_cuda 1
}
# bf16 of tensor cores beside the processor's order, on the same weights; f32 must be equal.
bits() {
  for type in f32 bf16; do
    for d in cpu "$device"; do
      seq 1200 | awk '{printf "%s%d%s", NR % 60 == 1 ? "{\"ids\":[" : ",", ($1 * 7919) % 251 + 3, NR % 60 ? "" : "]}\n"}' >"$work/ids.jsonl"
      ASSAY_DEVICE=$d "$build/assay" score models/tiny --in "$work/ids.jsonl" --compute $type --json --quiet >"$work/bits.$type.$d" || return 1
    done
    echo "$type: $("$python" bench/gpu/near.py "$work/bits.$type.cpu" "$work/bits.$type.$device")"
  done
  cmp "$work/bits.f32.cpu" "$work/bits.f32.$device" || return 1
}
model() { # NAME: of bench/gpu, made once
  [ -f "$work/$1/config.json" ] && [ -n "$(ls "$work/$1"/*.safetensors 2>/dev/null)" ] && return
  "$python" bench/gpu/make_model.py "bench/gpu/$1.json" models/tiny "$work/$1"
}
ours() { # MODEL WORK OPTIONS...
  local m=$1
  shift
  [ -d "$m" ] || { echo "no model $m"; return 77; }
  ASSAY_DEVICE=$device "$build/assay" bench "$1" "$m" --compute bf16 --json --quiet "${@:2}"
}
theirs() { # MODEL WORK OPTIONS...
  local m=$1
  shift
  [ -d "$m" ] || { echo "no model $m"; return 77; }
  "$python" bench/peer/hf.py "$m" "$@" --bf16 --device cuda --repeat 2
}
gemms() {
  [ "$device" = cuda ] || return 77
  for shape in "8192 8192 8192" "4096 4864 896" "4096 896 4864" "64 4864 896"; do
    # shellcheck disable=SC2086
    "$python" bench/gpu/gemm.py $shape || return 1
  done
}
# Law 1 at the sizes of training, then seconds beside the floors.
attention() {
  local program=$build/tests/bench_kernel_attention
  [ -x "$program" ] || program=$build/bench_kernel_attention
  "$program" "$device"
}
our_8192() { # two products of a layer are of 8192 x 8192
  our_8192_folder
  ASSAY_DEVICE=$device "$build/assay" bench gemm "random:$work/gemm8192" --batch 8192 --compute bf16 --json --quiet
}
# The two instructions that products in bf16 are made of on Hopper: the time of each, and whether they give the same bits.
products() {
  [ "$device" = cuda ] || return 77
  our_8192_folder
  for p in mma wgmma; do
    for m in "random:$work/gemm8192 8192" "$work/0.5b 16384" "$work/0.5b 256" "$work/0.5b 1"; do
      [ -e "${m% *}" ] || [ "${m#random}" != "$m" ] || continue
      ASSAY_CUDA_PRODUCTS=$p ASSAY_DEVICE=$device "$build/assay" bench gemm "${m% *}" --batch "${m##* }" --compute bf16 --json \
        --quiet | sed "s/^{/{\"products\": \"$p\", \"batch\": ${m##* }, /" || return 1
    done
    seq 1200 | awk '{printf "%s%d%s", NR % 60 == 1 ? "{\"ids\":[" : ",", ($1 * 7919) % 251 + 3, NR % 60 ? "" : "]}\n"}' >"$work/ids.jsonl"
    ASSAY_CUDA_PRODUCTS=$p ASSAY_DEVICE=$device "$build/assay" score models/tiny --in "$work/ids.jsonl" --compute bf16 --json \
      --quiet >"$work/products.$p" || return 1
  done
  cmp -s "$work/products.mma" "$work/products.wgmma" && echo "mma and wgmma: equal bits" ||
    echo "mma and wgmma: $("$python" bench/gpu/near.py "$work/products.mma" "$work/products.wgmma")"
}
our_8192_folder() { mkdir -p "$work/gemm8192" && cp bench/gpu/gemm8192.json "$work/gemm8192/config.json"; }
smol() { # greedy answers of SmolLM2 on both devices, where it is there
  [ -n "${ASSAY_SMOLLM2:-}" ] || { echo "ASSAY_SMOLLM2 names no folder"; return 77; }
  for d in cpu "$device"; do
    ASSAY_DEVICE=$d "$build/assay" generate "$ASSAY_SMOLLM2" 'The capital of France is' --max-new-tokens 16 --temperature 0 --json \
      --quiet >"$work/smol.$d" || return 1
  done
  cmp "$work/smol.cpu" "$work/smol.$device" && echo "the same answer in f32"
}

if [ -f "$build/pack.tar.gz" ] && [ -z "$list" ]; then
  mkdir -p "$work/pack" && tar -C "$work/pack" -xzf "$build/pack.tar.gz" || exit 1
  build=$work/pack
fi
if [ -z "$list" ]; then
  : >"$table"
  : >"$results"
  [ -d "$build/lib" ] && export LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  say "| part | result | s | |"
  say "|---|---|---|---|"
fi
if [ ! -x "$build/assay" ] && [ -z "$list" ]; then
  part build 400 make_build
  build=build/cuda
  [ -x "$build/assay" ] || { tail -20 "$out/build.log"; exit 1; }
fi
[ -n "$list" ] || build=$(cd "$build" && pwd)
export -f machine make_build on_gpu whole_runs law sanitize bits model ours theirs gemms attention our_8192 our_8192_folder products smol
export python device work build root
run() { local name=$1 limit=$2; shift 2; part "$name" "$limit" bash -c '"$@"' part "$@"; }

run machine 40 machine
# the kernels against the processor's bits; laws; the sanitizer
run kernels 60 on_gpu unit_compute_overlay test_cuda
run kernels_blocks 40 on_gpu unit_compute_quant test_products_gpu
run kernels_attention 40 on_gpu unit_compute_cuda_attention test_law_gpu
run graphs 20 on_gpu unit_compute_cuda test_graphs_gpu
run ahead 20 on_gpu unit_model_graphs test_decoding_ahead_gpu
run bits 30 bits
run whole_runs 90 whole_runs
run law_runs 60 law law_runs
run law_quantised_base 40 law law_quantised_base
run memcheck 60 sanitize memcheck
# workloads, each beside its peer
run model_0.5b 60 model 0.5b
run gemm 20 ours "$work/0.5b" gemm --batch 4096
run gemm_8192 60 our_8192
run gemm_torch 60 gemms
run products 60 products
run attention 60 attention
run decode_256 60 ours "$work/0.5b" decode --batch 256 --prompt 128 --new 512 --repeat 1
run decode_256_transformers 60 theirs "$work/0.5b" decode --batch 256 --prompt 128 --new 512
run decode_1 30 ours "$work/0.5b" decode --batch 1 --prompt 128 --new 128 --repeat 2
# the same with one wait a token before the next pass begins, as it would be without running ahead
run decode_32 30 ours "$work/0.5b" decode --batch 32 --prompt 128 --new 256 --repeat 1
run decode_256_behind 60 ours "$work/0.5b" decode --batch 256 --prompt 128 --new 512 --repeat 1 --ahead off
run decode_32_behind 30 ours "$work/0.5b" decode --batch 32 --prompt 128 --new 256 --repeat 1 --ahead off
run decode_1_behind 30 ours "$work/0.5b" decode --batch 1 --prompt 128 --new 128 --repeat 2 --ahead off
run decode_1_transformers 40 theirs "$work/0.5b" decode --batch 1 --prompt 128 --new 128
run train 60 ours "$work/0.5b" train --batch 8 --prompt 1024 --new 1024 --repeat 2
run train_torch 60 theirs "$work/0.5b" train --batch 8 --prompt 1024 --new 1024
run train_torch_compile 90 theirs "$work/0.5b" train --batch 8 --prompt 1024 --new 1024 --compile
run grpo 60 ours "$work/0.5b" grpo --problems 8 --group 16 --new 256 --repeat 1
run score 40 ours "$work/0.5b" score --batch 8 --prompt 1024 --new 1024 --repeat 2
# behind them: what matters less in a first call
run racecheck 60 sanitize racecheck
run synccheck 40 sanitize synccheck
run law_needs 60 law law_needs
run law_method_flow 60 law law_method_flow
run law_preferences 40 law law_preferences
run smollm2 60 smol
run model_7b 90 model 7b
run decode_7b_1 60 ours "$work/7b" decode --batch 1 --prompt 128 --new 64 --repeat 1
run decode_7b_1_transformers 60 theirs "$work/7b" decode --batch 1 --prompt 128 --new 64
run decode_7b_q8_0 60 ours "$work/7b" decode --batch 1 --prompt 128 --new 64 --repeat 1 --weights q8_0
[ -n "$list" ] && exit
say ""
say "$failures failed, $SECONDS s"
exit $((failures > 0))
