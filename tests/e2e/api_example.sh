#!/usr/bin/env bash
# The example in include/assay.h, compiled as a C and as a C++ program would see the header, linked with the installed
# library as docs/train.md says, and run on a model drawn at random.
. "$(dirname "$0")/../begin.sh"
build=$(dirname "$assay")
fail() { echo "FAILED: $*"; exit 1; }

sed -n '/^\/\* example:begin$/,/^example:end \*\/$/p' "$root/include/assay.h" | sed '1d;$d' >"$work/example.c"
grep -q 'int main' "$work/example.c" || fail "include/assay.h holds no example"
strict="-Wall -Wextra -Wpedantic -Werror -I$root/include"
# shellcheck disable=SC2086
{
  gcc -std=c17 $strict -c "$work/example.c" -o "$work/example.o" || fail "the example does not compile"
  if command -v g++ >/dev/null; then
    echo '#include <assay.h>' | g++ -x c++ -std=c++17 $strict -fsyntax-only - || fail "the header is not C++"
  fi
}

# A sanitized build's libraries need its compiler and flag.
cache="$build/CMakeCache.txt"
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$cache")
sanitize=$(sed -n 's/^ASSAY_SANITIZE:[A-Z]*=//p' "$cache")
if grep -q '^ASSAY_FUZZ:BOOL=ON' "$cache"; then echo "compiled; a fuzz build is not linked"; exit 0; fi
cmake --install "$build" --prefix "$work/installed" --component library >"$work/out" || fail "the library: $(cat "$work/out")"
libraries=$(PKG_CONFIG_PATH="$work/installed/lib/pkgconfig" pkg-config --libs assay) || fail "assay.pc"
# shellcheck disable=SC2086
"${compiler:-cc}" ${sanitize:+-fsanitize=$sanitize} "$work/example.o" $libraries -o "$work/example" || fail "the example does not link"
"$work/example" "random:$root/models/tiny" '12+34=' >"$work/out" || fail "the example ends with $?"
[ "$(wc -l <"$work/out")" -ge 4 ] && grep -q ' tokens)$' "$work/out" || fail "four answers expected: $(cat "$work/out")"
"$work/example" "$work/none" >"$work/out" 2>"$work/err" && fail "a model that is not there is no error"
grep -q "^example: .*none" "$work/err" || fail "the error names no file: $(cat "$work/err")"
echo "compiled, linked and run"
