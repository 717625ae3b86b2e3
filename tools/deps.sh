#!/usr/bin/env bash
# Installs what the build needs and this machine lacks, by apt: tools/deps.sh [--dev] [--bench] [--browser] [--arm64]. With --dev
# also what lint, clang and fuzz builds need, with --bench what bench/kernel compares with, with --browser what
# tests/e2e/watch.sh drives, with --arm64 the cross compiler, the libraries for arm64 and qemu. Quick when nothing is missing; says what to
# do when it cannot install.
set -euo pipefail

# CMakePresets.json is of CMake 3.25.
check_cmake() {
  local found
  found=$(cmake --version | sed -n '1s/[^0-9]*//p')
  [[ $(printf '%s\n' 3.25 "$found" | sort -V | head -n 1) == 3.25 ]] && return
  echo "deps: found cmake $found; expected 3.25 or later (Debian 12, Ubuntu 24.04); older systems: pip install cmake" >&2
  exit 1
}

packages=(gcc make cmake ninja-build pkg-config git libc6-dev libjansson-dev libyaml-dev libpcre2-dev libzstd-dev
  zlib1g-dev libutf8proc-dev nettle-dev libsqlite3-dev libgmp-dev libedit-dev libcmocka-dev
  libjs-chart.js libseccomp-dev libcurl4-openssl-dev libmicrohttpd-dev bubblewrap python3)
packages+=(libflint-dev)
# FLINT 2, of these releases, keeps Arb in a package of its own.
case "$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}")" in debian-1[0-2]* | ubuntu-2[0-3]*) packages+=(libflint-arb-dev) ;; esac
for flag in "$@"; do
  case $flag in
    --dev) packages+=(clang clang-format-14 libclang-rt-dev pmccabe afl++) ;;
    --bench) packages+=(libopenblas-dev libdnnl-dev) ;;
    --browser) packages+=(chromium chromium-driver) ;;
    --arm64)
      dpkg --print-foreign-architectures 2>/dev/null | grep -qx arm64 || foreign=arm64
      packages+=(gcc-aarch64-linux-gnu qemu-user)
      for library in libjansson-dev libyaml-dev libpcre2-dev libzstd-dev zlib1g-dev libutf8proc-dev nettle-dev libsqlite3-dev \
        libgmp-dev libcmocka-dev libseccomp-dev libcurl4-openssl-dev libmicrohttpd-dev; do
        packages+=("$library:arm64")
      done
      # FLINT's development packages of two architectures exclude each other; of arm64 there is the library alone.
      dpkg-query -W libflint-dev >/dev/null 2>&1 || "$0"
      for library in $(dpkg-query -W -f='${Depends}, ' 'libflint*-dev' 2>/dev/null | grep -oE 'libflint[a-z-]*[0-9]+[a-z0-9]*' | sort -u); do
        packages+=("$library:arm64")
      done ;;
    *) echo "deps: found $flag; expected --dev, --bench, --browser or --arm64" >&2; exit 2 ;;
  esac
done

# Elsewhere than on Debian or Ubuntu: say what is lacking.
if ! command -v dpkg-query >/dev/null; then
  lacking=()
  for tool in cc cmake ninja pkg-config; do command -v "$tool" >/dev/null || lacking+=("$tool"); done
  for module in jansson yaml-0.1 libpcre2-8 libzstd zlib libutf8proc nettle sqlite3 gmp libseccomp libcurl libmicrohttpd cmocka; do
    pkg-config --exists "$module" 2>/dev/null || lacking+=("$module")
  done
  ((${#lacking[@]} == 0)) && exit 0
  echo "deps: lacking ${lacking[*]}; this is not Debian or Ubuntu: install them with your package manager" >&2
  exit 1
fi

missing=()
native=$(dpkg --print-architecture)
for package in "${packages[@]}"; do
  # of this architecture, or of the one that the name ends in
  [[ $package == *:* ]] && architecture=${package#*:} || architecture=$native
  status=$(dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null |
    grep -E "^($architecture|all) installed$" || true)
  # pkg-config is pkgconf on newer systems.
  if [[ -z $status ]] && ! { [[ $package == pkg-config ]] && command -v pkg-config >/dev/null; }; then
    missing+=("$package")
  fi
done
if ((${#missing[@]} == 0)); then
  check_cmake
  exit 0
fi

install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}")
become=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
    echo "deps: lacking ${missing[*]}" >&2
    echo "deps: not root and no sudo here; run as root: apt-get update && apt-get install -y ${missing[*]}" >&2
    exit 1
  fi
  become=(sudo)
fi
echo "deps: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { { [[ -z ${foreign:-} ]] || "${become[@]}" dpkg --add-architecture "$foreign"; } && "${become[@]}" apt-get update && "${become[@]}" "${install[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "deps: apt-get failed; see above, then run: apt-get install -y ${missing[*]}" >&2
  exit 1
fi
check_cmake
