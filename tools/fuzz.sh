#!/usr/bin/env bash
# Runs every fuzz target for a time: tools/fuzz.sh [SECONDS]. New inputs go to build/fuzz/corpus; a find is kept as
# build/fuzz/find-NAME-*: copy it to tests/fuzz/corpus/NAME once the bug is understood.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
for source in tests/fuzz/*.c; do
  name=$(basename "$source" .c)
  [[ $name == driver ]] && continue
  mkdir -p "build/fuzz/corpus/$name"
  echo "fuzz: $name, $seconds s"
  "build/fuzz/tests/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/find-$name-" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" 2>&1 |
    tee "build/fuzz/$name.log" | grep -E 'ERROR|SUMMARY|stat::number_of_executed_units' || true
  ((PIPESTATUS[0] == 0)) || { echo "fuzz: $name failed; see build/fuzz/$name.log" >&2; exit 1; }
done
