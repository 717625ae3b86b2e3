#include "serve/watch_alternatives.h"

#include "core/math.h"
#include "core/pool.h"
#include "model/decoder.h"
#include "rollout/session.h"
#include "serve/watch_recipe.h"
#include "serve/watch_rollouts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PASS = 64, BLOCK = 32 };

struct alternatives {
  struct arena *loaded; /* what follows lives in it */
  char path[1024];      /* of the checkpoint; "": none */
  struct session session;
  struct decoder *decoder;
};

static void destroy_loaded(void *arg)
{
  struct alternatives *x = arg;
  arena_destroy(x->loaded);
}

int alternatives_create(struct arena *a, struct alternatives **out, struct error *err)
{
  struct alternatives *x = ARENA_NEW(a, struct alternatives, 1, "watch", err);
  if (!x) return err->code;
  x->loaded = arena_create("watch", 0, err);
  if (!x->loaded) return err->code;
  *out = x;
  return arena_on_reset(a, destroy_loaded, x, err);
}

/* ---- the checkpoint ---------------------------------------------------------------------------------------------- */

/* 000140 -> 140; -1: no checkpoint's name, or no folder. */
static int64_t step_of(const struct watch_run *r, const char *parent, const char *name)
{
  struct stat st;
  char *end, *path = path_join(r->scratch, parent, name, NULL);
  if (*name < '0' || *name > '9' || !path || lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return -1;
  long long step = strtoll(name, &end, 10);
  return *end ? -1 : (int64_t)step;
}

static int choose(const struct watch_run *r, int64_t step, char *path, size_t size, int64_t *chosen, struct error *err)
{
  char *parent = path_join(r->scratch, r->path, "checkpoints", err), **names;
  size_t count = 0;
  *chosen = -1;
  if (!parent) return err->code;
  if (file_is_folder(parent)) TRY(file_list(r->scratch, parent, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    int64_t at = step_of(r, parent, names[i]);
    bool better = *chosen < 0 || (at < step ? *chosen >= step || at > *chosen : *chosen >= step && at < *chosen);
    if (at < 0 || !better) continue;
    *chosen = at;
    snprintf(path, size, "%s/%s", parent, names[i]);
  }
  if (*chosen < 0)
    FAIL(err, ERROR_INPUT, "the run has no checkpoint yet; alternatives are computed with one (save.every)");
  return 0;
}

static int check_size(const struct session *s, struct error *err)
{
  size_t mib = model_fixed_bytes(&s->config, COMPUTE_F32) >> 20, free_mib = memory_available_bytes() >> 20;
  if (mib <= ALTERNATIVES_MIB && mib < free_mib / 2) return 0;
  FAIL(err, ERROR_INPUT,
       "the checkpoint takes %zu MiB; alternatives are computed here up to %d MiB and half of the free memory (%zu "
       "MiB); use assay score CHECKPOINT --top %d",
       mib, ALTERNATIVES_MIB, free_mib, ALTERNATIVES);
}

static int load(struct alternatives *x, const char *path, struct error *err)
{
  if (!strcmp(x->path, path)) return 0;
  struct session_options o = {.model = path, .threads = 1, .type = COMPUTE_F32, .tokenizer_optional = true};
  struct decoder_options d = {.max_rows = PASS, .max_head_rows = PASS, .max_pairs = PASS, .sample = true};
  x->path[0] = '\0';
  arena_reset(x->loaded);
  TRY(session_open(x->loaded, &o, &x->session, err));
  TRY(check_size(&x->session, err));
  TRY(session_load(&x->session, 0, err));
  TRY(decoder_create(x->loaded, x->session.model, &d, &x->decoder, err));
  snprintf(x->path, sizeof x->path, "%s", path);
  return 0;
}

/* ---- the forward ------------------------------------------------------------------------------------------------- */

static void destroy_kv(void *kv)
{
  kv_destroy(kv);
}

/* Appends the alternatives of the tokens that rows [first, first + count) predict. */
static int run_rows(struct alternatives *x, const struct watch_run *r, const struct token_list *ids, int32_t from,
                    int32_t first, int32_t count, double temperature, struct kv *kv, const int32_t *blocks,
                    struct text *out, struct error *err)
{
  int32_t position[PASS], row[PASS], pair[PASS], target[PASS], top[PASS * ALTERNATIVES], heads = 0;
  float logp[PASS * ALTERNATIVES];
  for (int32_t i = 0; i < count; i++) {
    position[i] = first + i;
    if (first + i + 1 < from) continue;
    pair[heads] = heads;
    target[heads] = ids->ids[first + i + 1];
    row[heads++] = i;
  }
  struct rows_run run = {.row = 0, .count = count, .position = first, .table = 0};
  struct rows rows = {
      .count = count, .token = ids->ids + first, .position = position, .run_count = 1, .runs = &run, .blocks = blocks};
  struct head_rows head = {.count = heads, .row = row, .pair_count = heads, .pair_row = pair, .pair_target = target};
  int most = x->session.config.vocab < ALTERNATIVES ? x->session.config.vocab : ALTERNATIVES;
  TRY(decoder_forward(x->decoder, &rows, kv, heads ? &head : NULL, false, err));
  if (heads) TRY(decoder_top(x->decoder, temperature, &head, most, top, logp, err));
  for (int32_t h = 0; h < heads; h++) {
    text_puts(out, first + row[h] + 1 > from ? ",[" : "[");
    for (int k = 0; k < most; k++) {
      text_puts(out, k ? ",[" : "[");
      rollouts_put_piece(r->tokenizer, top[h * most + k], out);
      text_printf(out, ",%" PRId32 ",", top[h * most + k]);
      json_put_f32(out, logp[h * most + k]);
      text_puts(out, "]");
    }
    text_puts(out, "]");
  }
  return 0;
}

static int forward(struct alternatives *x, const struct watch_run *r, const struct token_list *ids, int32_t from,
                   double temperature, struct text *out, struct error *err)
{
  const struct model_config *c = &x->session.config;
  int32_t n = (int32_t)ids->count;
  struct kv_shape shape = {.layers = c->layers,
                           .heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .block = BLOCK,
                           .blocks = (n + BLOCK - 1) / BLOCK};
  struct kv *kv;
  int32_t *blocks = ARENA_NEW(r->scratch, int32_t, (size_t)shape.blocks, "watch", err);
  if (!blocks) return err->code;
  for (int32_t b = 0; b < shape.blocks; b++) blocks[b] = b;
  TRY(kv_create(x->session.device, &shape, &kv, err));
  int rc = arena_on_reset(r->scratch, destroy_kv, kv, err);
  if (rc) kv_destroy(kv);
  for (int32_t first = 0; first < n - 1 && !rc; first += PASS) {
    int32_t count = n - 1 - first < PASS ? n - 1 - first : PASS;
    rc = run_rows(x, r, ids, from, first, count, temperature, kv, blocks, out, err);
  }
  return rc;
}

static double temperature_of(const struct watch_run *r)
{
  char *text, value[32] = "";
  size_t n;
  struct error err = {0};
  if (watch_run_read(r, r->scratch, "recipe.yaml", 1 << 20, &text, &n, &err) == 0 && text)
    recipe_rows_value(text, n, "rollout.temperature", value, sizeof value);
  double t = strtod(value, NULL);
  return t >= 1e-4 && t <= 1e4 ? t : 1;
}

static int check_ids(const struct alternatives *x, const struct token_list *ids, int64_t from, struct error *err)
{
  const struct model_config *c = &x->session.config;
  if (ids->count > ALTERNATIVES_TOKENS || (int64_t)ids->count > (int64_t)c->max_positions)
    FAIL(err, ERROR_INPUT, "prompt and answer have %zu tokens; alternatives are computed up to %d", ids->count,
         ALTERNATIVES_TOKENS);
  if (from < 1 || from > (int64_t)ids->count)
    FAIL(err, ERROR_INPUT, "the answer has no prompt before it; expected at least one token");
  for (size_t i = 0; i < ids->count; i++)
    if (ids->ids[i] < 0 || ids->ids[i] >= c->vocab)
      FAIL(err, ERROR_INPUT, "id %" PRId32 " is no token of the checkpoint; expected 0 to %d", ids->ids[i],
           c->vocab - 1);
  return 0;
}

int alternatives_put(struct alternatives *x, struct watch_run *r, int64_t step, uint64_t key, int64_t attempt,
                     int64_t rollout, struct text *out, struct error *err)
{
  struct token_list ids = {0};
  char path[1024] = "";
  int64_t from, chosen;
  int rc = rollouts_find(r, step, key, attempt, rollout, &ids, &from, err);
  arena_reset(r->scratch);
  if (!rc) rc = choose(r, step, path, sizeof path, &chosen, err);
  if (!rc) rc = load(x, path, err);
  if (!rc) rc = check_ids(x, &ids, from, err);
  if (!rc) {
    bool exact = chosen == step - 1;
    text_printf(out, "{\"exact\":%s,\"from\":\"by checkpoint %06" PRId64 "%s\",\"tokens\":[", exact ? "true" : "false",
                chosen, exact ? ", the weights that sampled" : "; other weights sampled");
    rc = forward(x, r, &ids, (int32_t)from, temperature_of(r), out, err);
    text_puts(out, "]}");
  }
  token_list_free(&ids);
  arena_reset(r->scratch);
  return rc;
}
