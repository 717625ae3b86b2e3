#!/usr/bin/env bash
# Encoding speed against the `tokenizers` package on one core, on about 10 MB of text of this repository and of the data
# given, and the worst cases.
#
#     bench/text.sh FOLDER [BUILD [PYTHON [TEXT...]]]
#
# FOLDER: a model's folder with tokenizer.json. PYTHON: one that has `tokenizers` (default python3). TEXT: more files.
# Goal: at least 5 times the package, and four times the time for four times the letters.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1 build=${2:-$root/build/release} python=${3:-python3}
shift $(($# < 3 ? $# : 3))
text=$(mktemp)
trap 'rm -f "$text"' EXIT
while [ "$(stat -c %s "$text")" -lt 10000000 ]; do cat "$root"/docs/*.md "$root"/docs/*/*.md "$root"/src/*/*.c "$@" >>"$text"; done
truncate -s 10000000 "$text"
iconv -c -f UTF-8 -t UTF-8 "$text" >"$text.8" && mv "$text.8" "$text"
taskset -c 0 "$build/bench_text_tokenize" "$folder" "$text"
RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false taskset -c 0 "$python" - "$folder" "$text" <<'PY'
import sys, time
from tokenizers import Tokenizer
t = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
data = open(sys.argv[2], "rb").read()
docs, at = [], 0
while at < len(data):
    end = data.find(b"\n", at + 4096)
    end = len(data) if end < 0 else end + 1
    docs.append(data[at:end].decode("utf-8", "replace"))
    at = end
best, count = 1e9, 0
for _ in range(3):
    start, count = time.perf_counter(), 0
    for d in docs:
        count += len(t.encode(d, add_special_tokens=False).ids)
    best = min(best, time.perf_counter() - start)
print(f"{'the tokenizers package':28} {len(data) / 2**20 / best:8.1f} MiB/s, {count} tokens")
PY
