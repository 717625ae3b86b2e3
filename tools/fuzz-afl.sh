#!/usr/bin/env bash
# Fuzzes the readers with AFL++ (Debian: afl++), under ASan and UBSan, one process at the lowest priority.
#   tools/fuzz-afl.sh [MINUTES [TARGET...]]     MINUTES: of all targets together (default 60)
# Builds tests/fuzz in build/afl, begins from tests/fuzz/corpus, and writes what it finds to build/afl/out/TARGET. Ends with
# 1 where an input crashed or hung; put such an input into tests/fuzz/corpus/TARGET, mend the reader, and it stays mended.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then targets=(safetensors gguf tokenizer_json template recipe jsonl train_events adapter_config); fi
command -v afl-fuzz >/dev/null || { echo "fuzz-afl.sh: afl-fuzz is missing; on Debian: apt install afl++" >&2; exit 2; }
export AFL_QUIET=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1
export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0:allocator_may_return_null=1
export UBSAN_OPTIONS=abort_on_error=1:symbolize=0:halt_on_error=1

cmake -S . -B build/afl -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=afl-clang-fast \
  -DASSAY_SANITIZE=address,undefined -DASSAY_FUZZ=ON >/dev/null
nice -n 19 ninja -C build/afl "${targets[@]/#/fuzz_}" >build/afl/build.log || { tail -20 build/afl/build.log; exit 1; }

found=0
for target in "${targets[@]}"; do
  out=build/afl/out/$target
  rm -rf "$out"
  # Inputs of 64 KiB at most: a long one finds nothing that a short one does not, and runs slower.
  rm -rf "build/afl/in/$target"
  mkdir -p "build/afl/in/$target" "$out"
  find "tests/fuzz/corpus/$target" -type f -size -64k -exec cp {} "build/afl/in/$target/" \;
  timeout $((minutes * 60 / ${#targets[@]} + 300)) nice -n 19 afl-fuzz -i "build/afl/in/$target" -o "$out" -m none -t 5000 \
    -V $((minutes * 60 / ${#targets[@]})) -- "build/afl/tests/fuzz_$target" >"$out/log" 2>&1 || { tail -5 "$out/log"; found=1; }
  stats=$out/default/fuzzer_stats
  [ -f "$stats" ] || { echo "$target: did not run; see $out/log"; found=1; continue; }
  value() { sed -n "s/^$1 *: //p" "$stats"; }
  echo "$target: $(value execs_done) runs in $(value run_time) s, $(value corpus_count) inputs kept, $(value bitmap_cvg) of the edges," \
    "$(value saved_crashes) crashes, $(value saved_hangs) hangs"
  [ "$(value saved_crashes)" = 0 ] && [ "$(value saved_hangs)" = 0 ] || found=1
done
exit $found
