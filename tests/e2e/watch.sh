#!/usr/bin/env bash
# label: long. assay watch: what the server answers and refuses; in headless Chromium, where it and its driver are installed, every
# view, clicks, keys, a run that is still written, texts that try to be markup, narrow windows, the exported file.
set -u
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
export ASSAY_SOURCE_DIR=$root ASSAY_BINARY=${ASSAY_BINARY:-$root/build/release/assay}
[ -x "$ASSAY_BINARY" ] || { echo "$ASSAY_BINARY is not built"; exit 1; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
exec python3 "$root/tests/e2e/watch.py"
