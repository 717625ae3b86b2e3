#include "rollout/reward_score.h"

#include "core/math.h"
#include "model/decoder.h"
#include "rollout/conversation.h"
#include "rollout/kv.h"

enum { PASS_ROWS = 512, KV_BLOCK = 16 };

struct reward_scorer {
  struct session session;
  struct decoder *decoder;
  struct kv_space *kv;
  struct kv_path path;
  int longest;
  double *weight; /* [hidden] */
  float *state;   /* [hidden] of the last token */
  int32_t position[PASS_ROWS];
};

static int open_passes(struct reward_scorer *s, struct arena *a, struct error *err)
{
  const struct model_config *c = &s->session.config;
  struct decoder_options d = {.max_rows = s->longest < PASS_ROWS ? s->longest : PASS_ROWS,
                              .max_head_rows = 1,
                              .max_pairs = 1,
                              .vocab_chunk = 32};
  struct kv_shape shape = {c->layers, c->kv_heads, c->head_dim, KV_BLOCK, (s->longest + KV_BLOCK - 1) / KV_BLOCK};
  TRY(decoder_create(a, s->session.model, &d, &s->decoder, err));
  TRY(kv_space_create(a, s->session.device, &shape, &s->kv, err));
  TRY(kv_path_open(a, s->kv, s->longest, &s->path, err));
  s->weight = ARENA_NEW(a, double, (size_t)c->hidden, "reward model", err);
  s->state = ARENA_NEW(a, float, (size_t)c->hidden, "reward model", err);
  if (!s->weight || !s->state) return err->code;
  weight_read(s->session.model->score, WEIGHT_MASTER, 0, 1, s->weight, HOST_F64);
  return device_sync(s->session.device, err);
}

int reward_scorer_open(struct arena *a, const struct reward_scorer_options *o, struct reward_scorer **out,
                       struct error *err)
{
  struct reward_scorer *s = ARENA_NEW(a, struct reward_scorer, 1, "reward model", err);
  struct session_options session = {.model = o->model, .threads = o->threads, .type = o->type, .may_score = true};
  if (!s) return err->code;
  TRY(session_open(a, &session, &s->session, err));
  if (!s->session.config.scores)
    FAIL_AT(err, ERROR_INPUT, o->model, 0, "architectures",
            "found %s, which gives no score; expected a reward model: a folder whose architecture ends in "
            "ForSequenceClassification with one label, as assay sft with methods: [reward_model] writes it",
            s->session.config.architecture);
  s->longest = s->session.config.max_positions;
  if (o->max_tokens && o->max_tokens < s->longest) s->longest = o->max_tokens;
  TRY(session_load(&s->session, s->longest, err));
  TRY(open_passes(s, a, err));
  *out = s;
  return 0;
}

int reward_scorer_longest(const struct reward_scorer *s)
{
  return s->longest;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

int reward_score_ids(const struct reward_scorer *s, const struct problem *p, const char *answer, size_t n,
                     struct token_list *ids, struct error *err)
{
  struct token_list learn = {0};
  int rc;
  if (p->messages) {
    json_t *all = json_copy((json_t *)p->messages);
    json_t *text = json_stringn(answer, n);
    rc = all && text && !json_array_append_new(all, json_pack("{s:s, s:O}", "role", "assistant", "content", text))
             ? 0
             : error_fail(err, ERROR_RESOURCE, p->source, p->line, NULL,
                          "the answer is not valid UTF-8, or memory is lacking");
    if (!rc) rc = conversation_tokens(&s->session, p, NULL, all, json_array_size(p->messages), ids, &learn, err);
    json_decref(text);
    json_decref(all);
  } else {
    rc = conversation_answer(&s->session, p, NULL, answer, n, ids, &learn, err);
  }
  token_list_free(&learn);
  return rc;
}

/* ---- the score -------------------------------------------------------------------------------------------------- */

static int forward(struct reward_scorer *s, const int32_t *ids, int32_t first, int32_t count, bool last,
                   struct error *err)
{
  static const int32_t FINAL[] = {-1};
  struct rows_run run = {.row = 0, .count = count, .position = first, .table = 0};
  struct rows rows = {.count = count,
                      .token = ids + first,
                      .position = s->position,
                      .run_count = 1,
                      .runs = &run,
                      .blocks = s->path.table};
  int32_t row = count - 1;
  struct decoder_tap tap = {.layer_count = 1, .count = 1, .layers = FINAL, .row = &row, .to = s->state};
  for (int32_t i = 0; i < count; i++) s->position[i] = first + i;
  if (last) decoder_set_tap(s->decoder, &tap);
  return decoder_forward(s->decoder, &rows, s->kv->kv, NULL, false, err);
}

int reward_score(struct reward_scorer *s, const int32_t *ids, size_t count, double *out, struct error *err)
{
  int32_t n = (int32_t)count, most = s->longest < PASS_ROWS ? s->longest : PASS_ROWS;
  ASSAY_BUG_IF(count < 1 || count > (size_t)s->longest);
  TRY(kv_path_extend(s->kv, &s->path, n, err));
  for (int32_t first = 0; first < n; first += most) {
    int32_t rows = n - first < most ? n - first : most;
    TRY(forward(s, ids, first, rows, first + rows == n, err));
  }
  kv_path_release(s->kv, &s->path);
  double sum = 0;
  for (int32_t c = 0; c < s->session.config.hidden; c++) sum = math_fma(s->weight[c], (double)s->state[c], sum);
  *out = sum;
  return 0;
}
