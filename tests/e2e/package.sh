#!/usr/bin/env bash
# label: long
# What others get: an installation in a folder of its own, a program of theirs built against it by pkg-config, and a
# Debian package with all of it, its fields and its dependencies.
. "$(dirname "$0")/../begin.sh"
build=$(dirname "$assay")
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
  share/assay/models/tiny/config.json share/doc/assay/copyright share/doc/libassay-dev/copyright share/man/man1/assay.1 share/man/man1/assay-train.1
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

# The packages, beside the build folder's own: the program, and what is needed to link with the library.
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$work/package" >"$work/out" 2>&1 || fail "cpack: $(cat "$work/out")"
architecture=$(dpkg --print-architecture)
package="$work/package/assay_${version}_$architecture.deb"
library="$work/package/libassay-dev_${version}_$architecture.deb"
set -- "$work/package"/*.deb
[ $# = 2 ] || fail "expected two packages: $*"
for file in "$package" "$library"; do
  [ -s "$file" ] || fail "expected $file among $*"
  dpkg-deb --contents "$file" >"$work/list" || fail "the contents of $file cannot be listed"
  cat "$work/list" >>"$work/both"
  grep -vE ' root/root .* \./usr/' "$work/list" >"$work/odd" && fail "not root's, or not below usr: $(cat "$work/odd")"
  grep -E '^.{5}w|^.{8}w|^.{3}s|^.{6}s' "$work/list" && fail "a file that others may write, or with another's rights"
done
for file in $wanted; do
  [ "$(grep -c " \./usr/$file\$" "$work/both")" = 1 ] || fail "not in one of the packages: $file"
done
field() { dpkg-deb --field "$1" "$2"; }
for file in "$package assay science" "$library libassay-dev libdevel"; do
  # shellcheck disable=SC2086
  set -- $file
  [ "$(field "$1" Package) $(field "$1" Version) $(field "$1" Section)" = "$2 $version $3" ] ||
    fail "fields: $(dpkg-deb --info "$1")"
  [ "$(field "$1" Architecture)" = "$architecture" ] || fail "architecture: $(field "$1" Architecture)"
  [ -n "$(field "$1" Maintainer)" ] || fail "no maintainer"
  [ -n "$(field "$1" Description)" ] || fail "no description"
done
for needed in libc6 libjansson4 libyaml-0-2 libpcre2-8-0 libseccomp2; do
  field "$package" Depends | grep -q "$needed" || fail "it does not depend on $needed: $(field "$package" Depends)"
done
field "$package" Recommends | grep -q bubblewrap || fail "it does not recommend bubblewrap"
# Each library that the pkg-config file names comes with a package that libassay-dev depends on.
depends=",$(field "$library" Depends | tr -d ' '),"
for name in $(pkg-config --libs assay); do
  case $name in
    -L* | -lassay | -lpthread | -lm | -ldl | -lrt | -lstdc++) continue ;;
    -l*) name=$("${compiler:-cc}" -print-file-name="lib${name#-l}.so") ;;
  esac
  owner=$(dpkg -S "$name" 2>/dev/null || dpkg -S "$(realpath -s "$name")" 2>/dev/null || dpkg -S "/usr$name" 2>/dev/null) || continue
  owner=${owner%%:*}
  [[ $depends == *",$owner,"* ]] || fail "libassay-dev does not depend on $owner, which has $name: $depends"
done

# What is in it runs, and is stripped.
dpkg-deb --extract "$package" "$work/extracted" || fail "it cannot be extracted"
"$work/extracted/usr/bin/assay" --version >"$work/out" || fail "the program in it does not run"
"$work/extracted/usr/bin/assay" generate "$work/extracted/usr/share/assay/models/tiny" '12+34=' --temperature 0 >"$work/out" ||
  fail "the program in it answers nothing"
echo "installed, linked, packed and run"
