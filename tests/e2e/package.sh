#!/usr/bin/env bash
# label: long
# What others get: an installation in a folder of its own, a program of theirs built against it by pkg-config, and a
# Debian package with all of it, its fields and its dependencies.
set -u
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
assay=${ASSAY_BINARY:-$root/build/release/assay}
build=$(dirname "$assay")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
cd "$root" || exit 1

cache="$build/CMakeCache.txt"
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$cache")
version=$("$assay" --version | sed -n '1s/^assay \([0-9.]*\).*/\1/p')
[ -n "$version" ] || fail "the program has no version: $("$assay" --version)"
if grep -q '^ASSAY_SANITIZE:[A-Z]*=.' "$cache" || grep -q '^ASSAY_FUZZ:BOOL=ON' "$cache"; then
  echo "skipped: a build for tests is not packed"
  exit 77
fi
[ -e "$build/libassay.a" ] || fail "no libassay.a; expected it to be built: cmake --build $build --target assay_archive"

# Installed under DESTDIR for /usr: nothing leaves the folder, and nothing in it names where it was built.
DESTDIR="$work/root" cmake --install "$build" --prefix /usr >"$work/out" 2>&1 || fail "install: $(cat "$work/out")"
usr="$work/root/usr"
wanted="bin/assay include/assay.h lib/libassay.a lib/pkgconfig/assay.pc share/assay/recipes/demo.yaml
  share/assay/models/tiny/config.json share/doc/assay/copyright share/man/man1/assay.1 share/man/man1/assay-train.1
  share/bash-completion/completions/assay share/zsh/site-functions/_assay share/fish/vendor_completions.d/assay.fish"
for file in $wanted; do
  [ -s "$usr/$file" ] || fail "the installation lacks $file"
done
[ "$(ls "$work/root")" = usr ] || fail "the installation writes beside usr: $(ls "$work/root")"
grep -q "$work\|$build" "$usr/lib/pkgconfig/assay.pc" && fail "assay.pc names a folder of the build"
[ "$("$usr/bin/assay" --version)" = "$("$assay" --version)" ] || fail "the installed program is another one"

export PKG_CONFIG_PATH="$usr/lib/pkgconfig"
[ "$(pkg-config --modversion assay)" = "$version" ] || fail "pkg-config says version $(pkg-config --modversion assay)"
# shellcheck disable=SC2046
"${compiler:-cc}" -std=c17 -Wall -Wextra -Wpedantic -Werror examples/grpo.c $(pkg-config --cflags --libs assay) -o "$work/grpo" ||
  fail "grpo.c does not compile against the installation"
"$work/grpo" "$usr/share/assay/models/tiny" 1 "$work/trained" >"$work/out" || fail "grpo ends with $?"
grep -qE '^step +1  solved .* mismatch 0$' "$work/out" || fail "grpo: $(cat "$work/out")"

if ! command -v dpkg-deb >/dev/null || ! command -v dpkg-shlibdeps >/dev/null || ! command -v cpack >/dev/null; then
  echo "installed and linked; skipped: no dpkg-dev here, or no cpack"
  exit 0
fi

# The package, beside the build folder's own.
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$work/package" >"$work/out" 2>&1 || fail "cpack: $(cat "$work/out")"
set -- "$work/package"/*.deb
[ $# = 1 ] || fail "expected one package: $*"
[ "$(basename "$1")" = "assay_${version}_$(dpkg --print-architecture).deb" ] || fail "its name is $(basename "$1")"
dpkg-deb --contents "$1" >"$work/list" || fail "its contents cannot be listed"
for file in $wanted; do
  grep -q " \./usr/$file\$" "$work/list" || fail "the package lacks $file"
done
grep -vE ' root/root .* \./usr/' "$work/list" >"$work/odd" && fail "not root's, or not below usr: $(cat "$work/odd")"
grep -E '^.{5}w|^.{8}w|^.{3}s|^.{6}s' "$work/list" && fail "a file that others may write, or with another's rights"
field() { dpkg-deb --field "$package" "$1"; }
package=$1
[ "$(field Package) $(field Version) $(field Section)" = "assay $version science" ] || fail "fields: $(dpkg-deb --info "$package")"
[ "$(field Architecture)" = "$(dpkg --print-architecture)" ] || fail "architecture: $(field Architecture)"
[ -n "$(field Maintainer)" ] || fail "no maintainer"
[ -n "$(field Description)" ] || fail "no description"
for library in libc6 libjansson4 libyaml-0-2 libpcre2-8-0 libseccomp2; do
  field Depends | grep -q "$library" || fail "it does not depend on $library: $(field Depends)"
done
field Recommends | grep -q bubblewrap || fail "it does not recommend bubblewrap"

# What is in it runs, and is stripped.
dpkg-deb --extract "$package" "$work/extracted" || fail "it cannot be extracted"
"$work/extracted/usr/bin/assay" --version >"$work/out" || fail "the program in it does not run"
"$work/extracted/usr/bin/assay" generate "$work/extracted/usr/share/assay/models/tiny" '12+34=' --temperature 0 >"$work/out" ||
  fail "the program in it answers nothing"
echo "installed, linked, packed and run"
