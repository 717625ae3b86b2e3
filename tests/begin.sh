# shellcheck shell=bash
# What scripts of tests/ begin with, sourced: the tree, the program, a folder that goes when they end, and a `fail` that
# counts. They end with: exit $((failures > 0))
set -u
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
assay=${ASSAY_BINARY:-$root/build/release/assay}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
