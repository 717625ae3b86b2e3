#include "cli/eval_perplexity.h"

#include <stdlib.h>
#include <string.h>

#include "cli/budget.h"
#include "core/log.h"
#include "eval/boundary.h"
#include "model/decoder.h"

enum { PASS_ROWS = 512, KV_BLOCK = 32 };

struct known {
  const char *id;
  struct problem problem;
};

struct perplexity {
  struct cli *cli;
  struct session session;
  struct decoder *decoder;
  struct known *problems; /* by id */
  size_t count;
  struct arena *arena; /* of one attempt */
  double logp[PASS_ROWS];
};

/* ---- the model and the problems ---------------------------------------------------------------------------------- */

static int by_id(const void *x, const void *y)
{
  return strcmp(((const struct known *)x)->id, ((const struct known *)y)->id);
}

static int read_problems(struct perplexity *p, const struct eval_settings *s, struct error *err)
{
  struct source **sources = ARENA_NEW(p->cli->arena, struct source *, s->data_count, "eval", err);
  size_t all = 0;
  if (!sources) return err->code;
  for (size_t i = 0; i < s->data_count; i++) {
    TRY(source_open(p->cli->arena, &s->data[i], (int)i, (uint64_t)p->cli->seed, &sources[i], err));
    if (!source_count(sources[i]))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "--data", "found %s, which has no end; expected a problem file",
              source_name(sources[i]));
    all += source_count(sources[i]);
  }
  p->problems = ARENA_NEW(p->cli->arena, struct known, all, "eval", err);
  if (!p->problems) return err->code;
  for (size_t i = 0; i < s->data_count; i++)
    for (uint64_t k = 0; k < source_count(sources[i]); k++) {
      struct known *known = &p->problems[p->count++];
      TRY(source_problem(sources[i], p->cli->arena, k, &known->problem, err));
      known->id = known->problem.id;
    }
  qsort(p->problems, p->count, sizeof *p->problems, by_id);
  return 0;
}

static void destroy_arena(void *arena)
{
  arena_destroy(arena);
}

int perplexity_open(struct cli *c, const char *model, const struct eval_settings *settings, struct perplexity **out,
                    struct error *err)
{
  struct perplexity *p = ARENA_NEW(c->arena, struct perplexity, 1, "eval", err);
  struct decoder_options o = {.max_rows = PASS_ROWS, .max_head_rows = PASS_ROWS, .max_pairs = PASS_ROWS};
  if (!p) return err->code;
  p->cli = c;
  *out = p;
  TRY(read_problems(p, settings, err));
  struct session_options session = {
      .model = model, .threads = (int)c->threads, .type = cli_compute_type(c), .keep = cli_keep(c)};
  struct budget budget;
  TRY(session_open(c->arena, &session, &p->session, err));
  TRY(budget_load(c, &p->session, 0, &budget, err));
  TRY(decoder_create(c->arena, p->session.model, &o, &p->decoder, err));
  p->arena = arena_create("perplexity", 0, err);
  return p->arena ? arena_on_reset(c->arena, destroy_arena, p->arena, err) : err->code;
}

/* ---- one attempt ------------------------------------------------------------------------------------------------- */

static void destroy_kv(void *kv)
{
  kv_destroy(kv);
}

static int make_kv(struct perplexity *p, int32_t rows, struct kv **kv, int32_t **blocks, struct error *err)
{
  const struct model_config *c = &p->session.config;
  struct kv_shape shape = {.layers = c->layers,
                           .heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .block = KV_BLOCK,
                           .blocks = (rows + KV_BLOCK - 1) / KV_BLOCK};
  *blocks = ARENA_NEW(p->arena, int32_t, (size_t)shape.blocks, "eval", err);
  if (!*blocks) return err->code;
  for (int32_t b = 0; b < shape.blocks; b++) (*blocks)[b] = b;
  TRY(kv_create(p->session.device, &shape, kv, err));
  int rc = arena_on_reset(p->arena, destroy_kv, *kv, err);
  if (rc) kv_destroy(*kv);
  return rc;
}

/* Rows first .. first+count-1 of the ids; the row at i predicts ids[i + 1], which is asked for from `from` on. Log-
 * probabilities are added to out at their place. */
static int run_rows(struct perplexity *p, const int32_t *ids, int32_t first, int32_t count, int32_t from, struct kv *kv,
                    const int32_t *blocks, double *out, struct error *err)
{
  int32_t token[PASS_ROWS], position[PASS_ROWS], row[PASS_ROWS], pair[PASS_ROWS], target[PASS_ROWS], heads = 0;
  struct rows_run run = {.row = 0, .count = count, .position = first};
  int32_t begin = first + 1 > from ? first + 1 : from;
  for (int32_t i = 0; i < count; i++) {
    token[i] = ids[first + i];
    position[i] = first + i;
    if (first + i + 1 < from) continue;
    row[heads] = i;
    pair[heads] = heads;
    target[heads++] = ids[first + i + 1];
  }
  struct rows rows = {
      .count = count, .token = token, .position = position, .run_count = 1, .runs = &run, .blocks = blocks};
  struct head_rows head = {.count = heads, .row = row, .pair_count = heads, .pair_row = pair, .pair_target = target};
  TRY(decoder_forward(p->decoder, &rows, kv, heads ? &head : NULL, false, err));
  return heads ? decoder_score(p->decoder, 1, &head, out + (begin - from), NULL, err) : 0;
}

static int score_ids(struct perplexity *p, const struct token_list *ids, int32_t from, double *out, struct error *err)
{
  int32_t rows = (int32_t)ids->count - 1, answer = (int32_t)ids->count - from;
  double *logp = ARENA_NEW(p->arena, double, (size_t)answer, "eval", err);
  struct kv *kv;
  int32_t *blocks;
  if (!logp) return err->code;
  TRY(make_kv(p, rows, &kv, &blocks, err));
  for (int32_t first = 0; first < rows; first += PASS_ROWS)
    TRY(run_rows(p, ids->ids, first, rows - first < PASS_ROWS ? rows - first : PASS_ROWS, from, kv, blocks, logp, err));
  *out = boundary_perplexity(logp, NULL, (size_t)answer);
  return 0;
}

static int score_attempt(struct perplexity *p, const struct attempt *t, double *out, struct error *err)
{
  struct known key = {.id = t->problem}, *known = bsearch(&key, p->problems, p->count, sizeof key, by_id);
  struct token_list ids = {0};
  *out = __builtin_nan("");
  if (!known)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--perplexity",
            "found attempts at problem \"%s\", which the data lack; expected --data or --recipe as it was when they "
            "were made",
            t->problem);
  if (!t->text_size) return 0;
  int rc = session_problem_ids(&p->session, &known->problem, NULL, &ids, err);
  int32_t from = (int32_t)ids.count;
  if (!rc) rc = tokenizer_encode(p->session.tokenizer, t->text, t->text_size, 0, &ids, err);
  bool fits = from >= 1 && (int64_t)ids.count <= p->session.config.max_positions && (int32_t)ids.count > from;
  if (!rc && fits) rc = score_ids(p, &ids, from, out, err);
  token_list_free(&ids);
  return rc;
}

int perplexity_score(struct perplexity *p, const struct attempt_list *l, double *out, struct error *err)
{
  for (size_t i = 0; i < l->count; i++) {
    TRY(score_attempt(p, &l->items[i], &out[i], err));
    arena_reset(p->arena);
    log_progress("scoring", (double)(i + 1), (double)l->count, "answers");
    STOP_IF_ASKED(err);
  }
  log_progress_end();
  return 0;
}
