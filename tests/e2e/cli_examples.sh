#!/usr/bin/env bash
# The example at the end of a command's help runs as printed, from the root of the repository. train, sft and bench have tests of their own.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
ln -s "$assay" "$work/assay"
export PATH="$work:$PATH"
cd "$root" || exit 1
for command in $(assay | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  case $command in train | sft | bench) continue ;; esac
  example=$(assay "$command" --help | sed -n '/^Example:/,$p' | sed -n '2s/^  //p')
  if ! timeout 50 bash -c "set -o pipefail; $example" >"$work/out" 2>"$work/err" </dev/null || [ ! -s "$work/out" ]; then
    echo "FAILED: $example: $(head -c 300 "$work/err")"
    failures=$((failures + 1))
  fi
done
[ "$failures" = 0 ] || exit 1
echo "all examples run"
