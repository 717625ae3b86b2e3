#!/usr/bin/env bash
# Checks the rules of the house in seconds: tools/lint.sh [PATH...] (default: everything). Each finding is one line
# "FILE:LINE: what is wrong"; the exit status is 1 if there is any.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
report() { cat >>"$findings"; }

for tool in clang-format-14 pmccabe awk gcc; do
  command -v "$tool" >/dev/null || { echo "lint: $tool is not installed; run tools/deps.sh --dev" >&2; exit 1; }
done

# The files of the tree (git's view: tracked and new, not ignored), or those under the given paths.
mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" | sort -u |
  while read -r f; do [[ -f $f ]] && echo "$f"; done)
((${#files[@]})) || { echo "lint: found no files; expected a git checkout and paths inside it" >&2; exit 1; }
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep -E '^(src|include|tests|tools|bench)/.*\.[ch]$')
mapfile -t product < <(printf '%s\n' "${sources[@]}" | grep -E '^(src|include)/')
mapfile -t headers < <(printf '%s\n' "${product[@]}" | grep -E '\.h$' | grep -v '\.inc\.h$')

# --- Format ---
check_format() {
  printf '%s\n' "${sources[@]}" | xargs -r clang-format-14 --dry-run -Werror 2>&1 |
    awk -F: '/: error: / && !seen[$1]++ { printf "%s:%d: not formatted from here on; run make format\n", $1, $2 }'
  printf '%s\n' "${sources[@]}" |
    LC_ALL=C xargs -r awk '{ s = $0; gsub(/[\200-\277]/, "", s) } # continuation bytes of UTF-8 take no column
      length(s) > 120 && !seen[FILENAME]++ { printf "%s:%d: %d columns; at most 120\n", FILENAME, FNR, length(s) }'
}

# --- Sizes: files by lines, functions by lines and by decisions (pmccabe; a switch counts once; in src only) ---
check_sizes() {
  printf '%s\n' "${sources[@]}" | xargs -r awk 'FNR == 801 { printf "%s:801: over 800 lines; divide it\n", FILENAME }'
  printf '%s\n' "${sources[@]}" | grep -E '\.c$|\.inc\.h$' | xargs -r pmccabe 2>/dev/null | awk -F'\t' '{
    place = $6; name = $6
    sub(/\([0-9]+\):.*/, "", place); sub(/.*: */, "", name)
    if ($5 > 60) printf "%s:%d: %s has %d lines; at most 60\n", place, $4, name, $5
    if ($1 > 15 && place ~ /^src/) printf "%s:%d: %s has complexity %d; at most 15\n", place, $4, name, $1
  }'
}

# --- Words: functions that are banned where they are banned ---
never='strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atoll|atof|rand|srand|random|setenv|putenv|unsetenv|system|popen|tmpnam|alloca'
memory='malloc|calloc|realloc|free|strdup|strndup|posix_memalign|aligned_alloc'
libm='pow|exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|tanh|sinh|cosh|erf|lgamma|tgamma|cbrt|hypot|atan2?'
outward='exit|_exit|abort|printf|puts|putchar|perror|vprintf'
check_words() {
  local stripped
  stripped=$(for f in "${product[@]}"; do awk -f tools/lint_strip.awk "$f"; done)
  hits() { grep -E "^[^:]+:[0-9]+:(.*[^A-Za-z0-9_.>])?($1)[[:space:]]*\(" <<<"$stripped" | cut -d: -f1,2; }
  hits "$never" | sed 's/$/: a banned function is called; see docs or tools\/lint.sh/'
  hits "$memory" | grep -v '^src/core/' | sed 's/$/: memory comes from core\/arena.h only/'
  hits "(__builtin_)?($libm)f?l?" | grep -Ev '^src/core/math' | sed 's/$/: libm rounds differently everywhere; use core\/math.h/'
  grep -E '#[[:space:]]*include[[:space:]]*<(math|tgmath|fenv)\.h>' <<<"$stripped" | cut -d: -f1,2 | sed 's/$/: use core\/math.h/'
  hits "$outward" | grep -Ev '^src/(cli/|core/error\.c|core/log\.c)' | sed 's/$/: only cli\/ ends the program or prints/'
  grep -nE '\b(TODO|FIXME|XXX)\b' "${product[@]}" /dev/null | cut -d: -f1,2 | sed 's/$/: finish it or file an issue/'
}

# --- Layers: src/A may include src/B where B stands above A in tools/layers.txt ---
check_layers() {
  printf '%s\n' "${product[@]}" | grep '^src/' | xargs -r awk '
    BEGIN { while ((getline line < "tools/layers.txt") > 0) if (line ~ /^[a-z]/) rank[line] = ++n }
    /^#[ \t]*include[ \t]*"/ {
      split(FILENAME, at, "/"); split($0, quoted, "\""); split(quoted[2], to, "/")
      if (quoted[2] !~ /\//) next
      if (!(at[2] in rank)) { printf "%s:%d: the folder %s is not in tools/layers.txt\n", FILENAME, FNR, at[2]; next }
      if (!(to[1] in rank)) printf "%s:%d: includes are written from src/: \"%s\"\n", FILENAME, FNR, quoted[2]
      else if (rank[to[1]] > rank[at[2]]) printf "%s:%d: %s may not include %s\n", FILENAME, FNR, at[2], to[1]
    }'
}

# --- Every header stands alone ---
check_headers() {
  printf '%s\n' "${headers[@]}" | xargs -r -P 4 -I{} sh -c '
    flags="-mavx2 -mfma -mf16c"
    case {} in *avx512*) flags="$flags -mavx512f -mavx512bw -mavx512dq -mavx512vl" ;; esac
    gcc -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $flags -Isrc -Iinclude -Wall -Wextra -Werror \
      -fsyntax-only -x c {} 2>/dev/null || echo "{}:1: does not compile on its own"'
  for h in "${headers[@]}"; do
    [[ $h == src/* ]] || continue
    guard=ASSAY_$(sed 's/^src\///; s/[^A-Za-z0-9]/_/g' <<<"$h" | tr a-z A-Z)
    folder=$(cut -d/ -f2 <<<"$h")
    short=ASSAY_$(tr a-z A-Z <<<"$folder")_$(basename "$h" .h | sed 's/[^A-Za-z0-9]/_/g' | tr a-z A-Z)_H
    grep -qE "^#ifndef ($guard|$short)$" "$h" || echo "$h:1: the guard is not $guard"
  done
}

# --- No path of a machine in any text file ---
check_paths() {
  printf '%s\n' "${files[@]}" | grep -vE '^(tests/fuzz/corpus/|models/|LICENSE)' |
    xargs -r grep -InE '(^|[^A-Za-z0-9_.])/(work|home|root|Users)/[A-Za-z0-9_]' /dev/null | cut -d: -f1,2 | sed 's/$/: the path of a machine/'
}

# --- Every method has a recipe and a test, and once docs/methods exists a page ---
check_methods() {
  printf '%s\n' "${files[@]}" | grep -E '^src/method/[a-z0-9_]+\.c$' |
    grep -vE 'src/method/(part_.*|compose|table|recipe.*|calc|calc_.*|step.*|method.*)\.c$' | while read -r f; do
    name=$(basename "$f" .c)
    grep -rqsE "(^|[^a-z_])$name([^a-z_]|$)" recipes || echo "$f:1: no file in recipes/ uses $name"
    grep -rqsE "(^|[^a-z])$name([^a-z]|$)" tests --include=*.c --include=*.sh || echo "$f:1: no test names $name"
    [[ ! -d docs/methods || -f docs/methods/$name.md ]] || echo "$f:1: docs/methods/$name.md is missing"
  done
}

# --- Scripts parse ---
check_scripts() {
  for f in "${files[@]}"; do
    case $f in *.sh | .ci/run) bash -n "$f" 2>/dev/null || echo "$f:1: bash cannot parse it" ;; esac
  done
}

((${#sources[@]})) && { check_format; check_sizes; } | report
((${#product[@]})) && { check_words; check_layers; check_headers; } | report
{ check_paths; check_methods; check_scripts; } | report
sort -u "$findings"
count=$(sort -u "$findings" | wc -l)
echo "lint: ${#files[@]} files, $count findings"
((count == 0))
