#include <string.h>
#include "cli/budget.h"
#include "core/log.h"
#include "core/math.h"
#include "model/decoder.h"
#include "rollout/session.h"

enum {
  PASS_ROWS = 512,      /* of one forward */
  TOP_HEAD_ROWS = 64,   /* with --top, whose logits are held whole */
  WINDOW_LINES = 64,    /* lines that are worked on together */
  WINDOW_TOKENS = 4096, /* or until so many tokens have come */
  KV_BLOCK = 32
};

struct settings {
  int64_t top;
  double temperature;
  const char *adapter;
};
static const struct settings defaults = {.temperature = 1};
static const struct option options[] = {
    {"--top", "K", OPTION_INT, offsetof(struct settings, top), 1, 1000,
     "the K most likely tokens at each place as well"},
    {"--temperature", "T", OPTION_REAL, offsetof(struct settings, temperature), 1e-4, 1e4,
     "of the distribution that is scored (default 1)"},
    {"--adapter", "DIR", OPTION_TEXT, offsetof(struct settings, adapter), 0, 0,
     "a PEFT folder or run whose adapter MODEL is used with"},
};

/* One line's tokens and results. Target i is ids[from + i]. */
struct sequence {
  struct line line;
  const int32_t *ids;
  int32_t count, from;
  int32_t done;           /* rows that have been through the decoder */
  int32_t table;          /* first KV block */
  double *logp, *entropy; /* [count - from] */
  int32_t *top_ids;       /* [count - from, top] */
  float *top_logp;
};

/* One pass over pieces of several sequences. */
struct pass {
  int32_t token[PASS_ROWS], position[PASS_ROWS];
  struct rows_run runs[PASS_ROWS];
  int32_t run_count, rows;
  int32_t head_row[PASS_ROWS], pair_row[PASS_ROWS], target[PASS_ROWS];
  struct sequence *owner[PASS_ROWS]; /* of each head row, and which of its targets */
  int32_t target_index[PASS_ROWS];
  int32_t heads;
  double logp[PASS_ROWS], entropy[PASS_ROWS];
};

struct score {
  struct cli *cli;
  struct session session;
  struct decoder *decoder;
  struct lines *lines;
  struct output *output;
  struct arena *arena;        /* of the window */
  struct sequence *sequences; /* [WINDOW_LINES] */
  int32_t count;
  struct pass *pass;
  int64_t done_lines;
  bool wrong;
};

static const struct settings *settings_of(const struct score *s)
{
  return s->cli->settings;
}

/* ---- a line to tokens -------------------------------------------------------------------------------------------- */

static int take_ids(const json_t *list, int32_t vocab, struct token_list *out, struct error *err)
{
  if (!json_is_array(list))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found ids that are no list; expected [1, 2, ...]");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *id = json_array_get(list, i);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= vocab)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found ids[%zu] that is no token of the model; expected 0 to %d", i,
              vocab - 1);
    TRY(token_list_push(out, (int32_t)json_integer_value(id), err));
  }
  return 0;
}

/* {prompt, completion} or {messages, completion}: encoded apart and put together. */
static int take_completion(const struct score *s, const json_t *object, struct token_list *out, int64_t *from,
                           struct error *err)
{
  const json_t *prompt = json_object_get(object, "prompt"), *messages = json_object_get(object, "messages");
  const json_t *completion = json_object_get(object, "completion"), *variables = json_object_get(object, "variables");
  if (!json_is_string(completion) || (!json_is_string(prompt) && !messages))
    FAIL(err, ERROR_INPUT,
         "found neither ids nor a prompt with a completion; expected {\"ids\": [...]}, {\"prompt\", \"completion\"} or "
         "{\"messages\", \"completion\"}");
  TRY(session_prompt_ids(&s->session, json_string_value(prompt), prompt ? NULL : messages,
                         json_is_object(variables) ? variables : NULL, out, err));
  *from = (int64_t)out->count;
  return tokenizer_encode(s->session.tokenizer, json_string_value(completion), json_string_length(completion),
                          TOKENIZER_SPECIAL, out, err);
}

static int take_tokens(const struct score *s, const json_t *object, struct token_list *out, int64_t *from,
                       struct error *err)
{
  const json_t *ids = json_object_get(object, "ids");
  int most = s->session.config.max_positions;
  if (ids) {
    TRY(take_ids(ids, s->session.config.vocab, out, err));
    TRY(json_int_or(object, "from", 1, INT32_MAX, 1, from, NULL, err));
  } else {
    TRY(take_completion(s, object, out, from, err));
  }
  if (!out->count) FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found no tokens; expected at least one");
  if (*from < 1)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "prompt",
            "found a prompt of no tokens and no BOS; expected at least one token before the completion");
  if (*from > (int64_t)out->count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "from", "found from %lld and %zu tokens; expected 1 to %zu", (long long)*from,
            out->count, out->count);
  if ((int64_t)out->count > most)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids",
            "found %zu tokens; expected at most %d, the model's max_position_embeddings", out->count, most);
  return 0;
}

static int make_sequence(const struct score *s, struct sequence *q, struct error *err)
{
  struct token_list ids = {0};
  int64_t from = 1;
  size_t top = (size_t)settings_of(s)->top;
  int rc = take_tokens(s, q->line.object, &ids, &from, err);
  if (!rc) {
    size_t targets = ids.count - (size_t)from;
    int32_t *copy = ARENA_NEW(s->arena, int32_t, ids.count, "score", err);
    q->logp = copy ? ARENA_NEW(s->arena, double, targets, "score", err) : NULL;
    q->entropy = q->logp ? ARENA_NEW(s->arena, double, targets, "score", err) : NULL;
    q->top_ids = q->entropy ? ARENA_NEW(s->arena, int32_t, targets * top, "score", err) : NULL;
    q->top_logp = q->top_ids ? ARENA_NEW(s->arena, float, targets *top, "score", err) : NULL;
    if (q->top_logp) memcpy(copy, ids.ids, ids.count * sizeof *copy);
    q->ids = copy;
    q->count = (int32_t)ids.count;
    q->from = (int32_t)from;
    rc = q->top_logp ? 0 : err->code;
  }
  token_list_free(&ids);
  return rc;
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* Rows of a sequence: all tokens but the last, which predicts nothing that is asked for. */
static int32_t rows_of(const struct sequence *q)
{
  return q->line.error.code || q->count == q->from ? 0 : q->count - 1;
}

/* Adds the next piece of a sequence, as far as rows and heads allow. */
static void add_piece(struct pass *p, struct sequence *q, int32_t head_room)
{
  int32_t first = q->done, row = p->rows;
  while (q->done < rows_of(q) && p->rows < PASS_ROWS) {
    int32_t at = q->done;
    if (at + 1 >= q->from) {
      if (p->heads == head_room) break;
      p->head_row[p->heads] = p->rows;
      p->pair_row[p->heads] = p->heads;
      p->target[p->heads] = q->ids[at + 1];
      p->owner[p->heads] = q;
      p->target_index[p->heads++] = at + 1 - q->from;
    }
    p->token[p->rows] = q->ids[at];
    p->position[p->rows++] = at;
    q->done++;
  }
  if (q->done > first)
    p->runs[p->run_count++] =
        (struct rows_run){.row = row, .count = q->done - first, .position = first, .table = q->table};
}

static int run_pass(struct score *s, struct kv *kv, const int32_t *blocks, struct error *err)
{
  struct pass *p = s->pass;
  int32_t top = (int32_t)settings_of(s)->top;
  double temperature = settings_of(s)->temperature;
  struct rows rows = {.count = p->rows,
                      .token = p->token,
                      .position = p->position,
                      .run_count = p->run_count,
                      .runs = p->runs,
                      .blocks = blocks};
  struct head_rows head = {
      .count = p->heads, .row = p->head_row, .pair_count = p->heads, .pair_row = p->pair_row, .pair_target = p->target};
  TRY(decoder_forward(s->decoder, &rows, kv, p->heads ? &head : NULL, false, err));
  if (!p->heads) return 0;
  TRY(decoder_score(s->decoder, temperature, &head, p->logp, p->entropy, err));
  for (int32_t h = 0; h < p->heads; h++) {
    p->owner[h]->logp[p->target_index[h]] = p->logp[h];
    p->owner[h]->entropy[p->target_index[h]] = p->entropy[h];
  }
  if (!top) return 0;
  struct arena_mark mark = arena_mark(s->arena);
  int32_t *ids = ARENA_NEW(s->arena, int32_t, (size_t)p->heads * (size_t)top, "score", err);
  float *logp = ids ? ARENA_NEW(s->arena, float, (size_t)p->heads *(size_t)top, "score", err) : NULL;
  if (!logp) return err->code;
  TRY(decoder_top(s->decoder, temperature, &head, top, ids, logp, err));
  for (int32_t h = 0; h < p->heads; h++) {
    memcpy(p->owner[h]->top_ids + (size_t)p->target_index[h] * (size_t)top, ids + h * top, (size_t)top * sizeof *ids);
    memcpy(p->owner[h]->top_logp + (size_t)p->target_index[h] * (size_t)top, logp + h * top,
           (size_t)top * sizeof *logp);
  }
  arena_release(s->arena, mark);
  return 0;
}

static void destroy_kv(void *kv)
{
  kv_destroy(kv);
}

/* KV for all sequences of the window: each has blocks of its own, one behind the other. */
static int make_kv(struct score *s, struct kv **kv, int32_t **blocks, struct error *err)
{
  const struct model_config *c = &s->session.config;
  struct kv_shape shape = {.layers = c->layers, .heads = c->kv_heads, .head_dim = c->head_dim, .block = KV_BLOCK};
  for (int32_t i = 0; i < s->count; i++) {
    s->sequences[i].table = shape.blocks;
    shape.blocks += (rows_of(&s->sequences[i]) + KV_BLOCK - 1) / KV_BLOCK;
  }
  *kv = NULL;
  if (!shape.blocks) return 0;
  *blocks = ARENA_NEW(s->arena, int32_t, (size_t)shape.blocks, "score", err);
  if (!*blocks) return err->code;
  for (int32_t b = 0; b < shape.blocks; b++) (*blocks)[b] = b;
  TRY(kv_create(s->session.device, &shape, kv, err));
  int rc = arena_on_reset(s->arena, destroy_kv, *kv, err);
  if (rc) kv_destroy(*kv);
  return rc;
}

static int score_window(struct score *s, struct error *err)
{
  struct kv *kv;
  int32_t *blocks = NULL;
  TRY(make_kv(s, &kv, &blocks, err));
  for (int32_t next = 0; kv;) {
    struct pass *p = s->pass;
    p->run_count = p->rows = p->heads = 0;
    for (int32_t i = next; i < s->count && p->rows < PASS_ROWS; i++)
      add_piece(p, &s->sequences[i], settings_of(s)->top ? TOP_HEAD_ROWS : PASS_ROWS);
    if (!p->rows) break;
    TRY(run_pass(s, kv, blocks, err));
    while (next < s->count && s->sequences[next].done == rows_of(&s->sequences[next])) next++;
    STOP_IF_ASKED(err);
    lines_progress(s->cli, "scoring", s->done_lines + next, "lines");
  }
  return 0;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void put_reals(struct text *t, const char *key, const double *x, int32_t n)
{
  text_printf(t, ", \"%s\": [", key);
  for (int32_t i = 0; i < n; i++) {
    if (i) text_puts(t, ", ");
    json_put_f32(t, (float)x[i]);
  }
  text_puts(t, "]");
}

static void put_top(struct text *t, const struct sequence *q, int32_t top)
{
  text_puts(t, ", \"top\": [");
  for (int32_t i = 0; i < q->count - q->from; i++) {
    text_puts(t, i ? ", {\"ids\": [" : "{\"ids\": [");
    for (int32_t k = 0; k < top; k++) text_printf(t, "%s%d", k ? ", " : "", q->top_ids[i * top + k]);
    text_puts(t, "], \"logp\": [");
    for (int32_t k = 0; k < top; k++) {
      if (k) text_puts(t, ", ");
      json_put_f32(t, q->top_logp[i * top + k]);
    }
    text_puts(t, "]}");
  }
  text_puts(t, "]");
}

static void put_sequence(struct text *t, const struct sequence *q, int32_t top)
{
  text_puts(t, "{\"ids\": [");
  for (int32_t i = 0; i < q->count; i++) text_printf(t, "%s%d", i ? ", " : "", q->ids[i]);
  text_printf(t, "], \"from\": %d", q->from);
  put_reals(t, "logp", q->logp, q->count - q->from);
  put_reals(t, "entropy", q->entropy, q->count - q->from);
  if (top) put_top(t, q, top);
  text_puts(t, "}");
}

static int put_window(struct score *s, struct error *err)
{
  struct text t = {0};
  int rc = 0;
  for (int32_t i = 0; i < s->count && !rc; i++) {
    struct sequence *q = &s->sequences[i];
    if (q->line.error.code) {
      s->wrong = true;
      rc = answer_error(s->cli, s->output, s->lines, &q->line, &q->line.error, err);
    } else {
      put_sequence(&t, q, (int32_t)settings_of(s)->top);
      rc = output_line(s->output, &t, err);
    }
  }
  text_free(&t);
  s->done_lines += s->count;
  return rc;
}

/* Reads lines until the window is full; *more is false at the end. */
static int read_window(struct score *s, bool *more, struct error *err)
{
  int64_t tokens = 0;
  for (s->count = 0; s->count < WINDOW_LINES && tokens < WINDOW_TOKENS;) {
    struct sequence *q = &s->sequences[s->count];
    *q = (struct sequence){0};
    TRY(lines_next(s->lines, s->arena, &q->line, more, err));
    if (!*more) return 0;
    int rc = q->line.object ? make_sequence(s, q, &q->line.error) : 0;
    if (rc && rc != ERROR_INPUT) {
      *err = q->line.error;
      return rc;
    }
    tokens += q->count;
    s->count++;
  }
  return 0;
}

static int open_score(struct score *s, struct error *err)
{
  struct cli *c = s->cli;
  struct decoder_options o = {.max_rows = PASS_ROWS,
                              .max_head_rows = settings_of(s)->top ? TOP_HEAD_ROWS : PASS_ROWS,
                              .max_pairs = PASS_ROWS,
                              .sample = settings_of(s)->top > 0};
  struct session_options session = {.model = c->arguments[0],
                                    .threads = (int)c->threads,
                                    .type = cli_compute_type(c),
                                    .keep = cli_keep(c),
                                    .tokenizer_optional = true,
                                    .adapter = settings_of(s)->adapter};
  struct budget budget;
  TRY(session_open(c->arena, &session, &s->session, err));
  if (settings_of(s)->top > s->session.config.vocab)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--top", "found --top %lld; expected at most %d, the model's vocabulary",
            (long long)settings_of(s)->top, s->session.config.vocab);
  TRY(budget_load(c, &s->session, 0, &budget, err));
  TRY(decoder_create(c->arena, s->session.model, &o, &s->decoder, err));
  s->sequences = ARENA_NEW(c->arena, struct sequence, WINDOW_LINES, "score", err);
  s->pass = s->sequences ? ARENA_NEW(c->arena, struct pass, 1, "score", err) : NULL;
  if (!s->pass) return err->code;
  TRY(lines_open(c, &s->lines, err));
  return output_open(c, &s->output, err);
}

static int run(struct cli *c, struct error *err)
{
  struct score s = {.cli = c};
  TRY(open_score(&s, err));
  s.arena = arena_create("score", 0, err);
  int rc = s.arena ? 0 : err->code;
  for (bool more = true; more && !rc;) {
    rc = read_window(&s, &more, err);
    if (!rc) rc = score_window(&s, err);
    if (!rc) rc = put_window(&s, err);
    if (s.arena) arena_reset(s.arena);
  }
  log_progress_end();
  arena_destroy(s.arena);
  if (!rc) rc = output_close(s.output, err);
  return rc ? rc : s.wrong ? ERROR_INPUT : 0;
}

const struct command command_score = {
    .name = "score",
    .help = "Log-probabilities of given tokens",
    .arguments = "MODEL",
    .about =
        "Reads JSON Lines {ids, from?}, {prompt, completion} or {messages, completion} (prompt and completion are "
        "encoded apart and put together; a\n"
        "plain prompt gets the model's BOS, a rendered template does not). Writes {ids, from, logp, entropy, top?}: "
        "logp[i] is the log-probability of\n"
        "ids[from+i] given what stands before it, in nats; entropy[i] that of the distribution it comes from; top[i] "
        "the K most likely, {ids, logp}.\n"
        "Lines are worked on together, up to 64 at a time. A tokenizer is needed for text only.",
    .example = "echo '{\"ids\": [1, 2, 3]}' | assay score models/tiny",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run,
};
