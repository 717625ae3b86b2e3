# label: long. llama.cpp loads what `assay convert X.gguf` writes and means the same by it: log-probabilities of given ids.
# ASSAY_LLAMA_CPP names a checkout of llama.cpp built in its folder build with static libraries (cmake -B build
# -DBUILD_SHARED_LIBS=OFF); ASSAY_SMOLLM2 a GGUF file to convert as well.
set -euo pipefail
llama=${ASSAY_LLAMA_CPP:-}
if [ ! -f "$llama/include/llama.h" ] || [ ! -d "$llama/build" ]; then
  echo "skipped: ASSAY_LLAMA_CPP names no built checkout of llama.cpp"
  exit 77
fi
assay=$ASSAY_BINARY
fixtures=${ASSAY_FIXTURES:-$ASSAY_SOURCE_DIR/../shared/fixtures}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >score.cpp <<'CPP'
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "llama.h"
/* score MODEL ID...: log p(id[i + 1] | id[0..i]), one a line; f32 KV, one thread. */
int main(int argc, char **argv)
{
  llama_log_set([](enum ggml_log_level, const char *, void *) {}, nullptr);
  llama_backend_init();
  llama_model_params mp = llama_model_default_params();
  mp.n_gpu_layers = 0;
  llama_model *m = llama_model_load_from_file(argv[1], mp);
  if (!m) { fprintf(stderr, "llama.cpp does not load %s\n", argv[1]); return 1; }
  llama_context_params cp = llama_context_default_params();
  cp.n_ctx = 256; cp.n_batch = 256; cp.n_ubatch = 256; cp.n_threads = cp.n_threads_batch = 1;
  cp.type_k = cp.type_v = GGML_TYPE_F32;
  cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context *c = llama_init_from_model(m, cp);
  if (!c) return 1;
  int n = argc - 2, V = llama_vocab_n_tokens(llama_model_get_vocab(m));
  llama_batch b = llama_batch_init(n, 0, 1);
  for (int i = 0; i < n; i++) {
    b.token[i] = atoi(argv[2 + i]); b.pos[i] = i; b.n_seq_id[i] = 1; b.seq_id[i][0] = 0; b.logits[i] = 1;
  }
  b.n_tokens = n;
  if (llama_decode(c, b)) return 1;
  for (int i = 0; i + 1 < n; i++) {
    const float *z = llama_get_logits_ith(c, i);
    double most = z[0], sum = 0;
    for (int v = 0; v < V; v++) if (z[v] > most) most = z[v];
    for (int v = 0; v < V; v++) sum += std::exp(z[v] - most);
    printf("%.9g\n", z[b.token[i + 1]] - most - std::log(sum));
  }
}
CPP
mapfile -t archives < <(find "$llama/build/src" "$llama/build/ggml" -name '*.a')
c++ -O1 -I"$llama/include" -I"$llama/ggml/include" score.cpp -o score -Wl,--start-group "${archives[@]}" -Wl,--end-group \
  -fopenmp -pthread -ldl

failed=0
# Largest difference of log-probabilities between ours and llama.cpp's reading of what we wrote.
compare() { # NAME SOURCE TYPE TOLERANCE ID...
  local name=$1 source=$2 type=$3 tolerance=$4
  shift 4
  rm -f made.gguf
  "$assay" convert "$source" made.gguf --type "$type" --quiet
  ./score made.gguf "$@" >theirs
  echo "{\"ids\": [$(IFS=,; echo "$*")], \"from\": 1}" | "$assay" score made.gguf --quiet --json >ours.json
  python3 - "$name $type" "$tolerance" <<'PYTHON' || failed=1
import json, sys
ours = json.loads(open("ours.json").readline())["logp"]
theirs = [float(x) for x in open("theirs")]
worst = max(abs(a - b) for a, b in zip(ours, theirs))
print(f"{sys.argv[1]}: {len(theirs)} log-probabilities, largest difference {worst:.2e}, allowed {sys.argv[2]}")
sys.exit(len(ours) != len(theirs) or not worst <= float(sys.argv[2]))
PYTHON
}
ids="3 17 55 80 9 41 100 2 64 23 7 77 31 90 12 5"
for family in llama smollm qwen2 qwen3; do
  # f32 in another order of summation; f16: llama.cpp rounds activations to f16 as well; bf16 the same with 8 bits; q8_0: it
  # rounds activations to 8 bits. Measured: 7e-6, 5e-3, 4e-2, 1.5e-1 at most.
  compare $family "$fixtures/models/$family" f32 5e-5 $ids
  compare $family "$fixtures/models/$family" f16 2e-2 $ids
  compare $family "$fixtures/models/$family" bf16 1e-1 $ids
  compare $family "$fixtures/models/$family" q8_0 4e-1 $ids
done
compare llama3-rope "$fixtures/models/llama3-rope" f32 5e-5 $ids
# Families and rotary scalings of tests/parity/data. Not there: phi3, whose window llama.cpp leaves out and whose long
# factors it takes for the whole context, and smollm3, whose layers without positions it expects at every fourth.
for family in llama-linear qwen2-yarn granite olmo2; do
  compare $family "$ASSAY_SOURCE_DIR/tests/parity/data/models/$family" f32 5e-5 3 17 25 40 9 41 10 2 34 23 7 37 31 20 12 5
done
if [ -n "${ASSAY_SMOLLM2:-}" ]; then
  compare SmolLM2 "$ASSAY_SMOLLM2" f32 2e-4 1 4093 198 1780 314 260 3575 282 4649 47 2 198
  compare SmolLM2 "$ASSAY_SMOLLM2" q8_0 5e-1 1 4093 198 1780 314 260 3575 282 4649 47 2 198
fi
exit $failed
