#!/usr/bin/env bash
# How long it takes until something happens: fastest, median and slowest of ROUNDS (default 21) starts.
#
#     bench/startup.sh [ASSAY [MODEL ...]]
#
# ASSAY: the program (default build/release/assay). MODEL: GGUF files or model folders whose first token is waited for.
# Goals: `assay --version` under 10 ms, SmolLM2-135M from GGUF to the first token under 0.7 s.
# BUILD=1 also times `make build` in a fresh copy of the sources, without ccache (goal: under 60 s).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
assay=${1:-$root/build/release/assay}
shift || true

starts() { # LABEL ROUNDS COMMAND...: from posix_spawn to the end of the process, with /bin/true beside it
  python3 - "$@" <<'PYTHON'
import os, sys, time

def seconds(command):
    away = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=away)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"startup.sh: {' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start

label, rounds, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
took = sorted(seconds(command) for _ in range(rounds))
none = min(seconds(["true"]) for _ in range(rounds))
print("%-24s %8.1f ms at the fastest, %.1f median, %.1f slowest; any program %.1f"
      % (label, *(1000 * t for t in (took[0], took[rounds // 2], took[-1], none))))
PYTHON
}

starts 'assay --version' "${ROUNDS:-21}" "$assay" --version
for model in "$@"; do
  starts "first token, $(basename "$model")" "${ROUNDS:-5}" "$assay" generate "$model" Hello --max-new-tokens 1 --quiet
done
if [ "${BUILD:-0}" = 1 ]; then
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' EXIT
  git -C "$root" archive HEAD | tar x -C "$copy"
  start=$(date +%s%N)
  CCACHE_DISABLE=1 make -s -C "$copy" build >/dev/null
  echo "make build               $((($(date +%s%N) - start) / 1000000)) ms"
fi
