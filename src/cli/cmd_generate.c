#include <string.h>

#include "cli/budget.h"
#include "core/log.h"

enum {
  WINDOW_LINES = 64,  /* lines that are worked on together */
  PREFILL_ROWS = 512, /* of one forward */
  KV_BLOCK = 32
};

struct settings {
  int64_t n, max_new_tokens, top_k, slots;
  double temperature, top_p, min_p;
  const char *stop, *system, *adapter;
  bool plain;
};
static const struct settings defaults = {.n = 1, .max_new_tokens = 256, .slots = 32, .temperature = 1, .top_p = 1};
static const struct option options[] = {
    {"--n", "N", OPTION_INT, offsetof(struct settings, n), 1, 4096, "answers to each line (default 1)"},
    {"--max-new-tokens", "N", OPTION_INT, offsetof(struct settings, max_new_tokens), 1, 1e6,
     "longest answer (default 256)"},
    {"--temperature", "T", OPTION_REAL, offsetof(struct settings, temperature), 0, 100, "0: greedy (default 1)"},
    {"--top-k", "K", OPTION_INT, offsetof(struct settings, top_k), 0, 1e6, "the K most likely tokens (default: off)"},
    {"--top-p", "P", OPTION_REAL, offsetof(struct settings, top_p), 0, 1,
     "the fewest tokens with this mass (default: off)"},
    {"--min-p", "P", OPTION_REAL, offsetof(struct settings, min_p), 0, 1,
     "tokens with at least this share of the largest probability (default: off)"},
    {"--stop", "TEXT", OPTION_TEXT, offsetof(struct settings, stop), 0, 0, "end an answer in front of this text"},
    {"--system", "TEXT", OPTION_TEXT, offsetof(struct settings, system), 0, 0, "system prompt, with PROMPT"},
    {"--adapter", "DIR", OPTION_TEXT, offsetof(struct settings, adapter), 0, 0,
     "a PEFT folder or run whose adapter MODEL is used with"},
    {"--plain", NULL, OPTION_FLAG, offsetof(struct settings, plain), 0, 0,
     "PROMPT is text to go on with, not a chat message"},
    {"--slots", "N", OPTION_INT, offsetof(struct settings, slots), 1, 4096,
     "answers that are made together; moves no bit (default 32)"}};

/* A line and what it asks for. */
struct request {
  struct line line;
  struct token_list ids;
  struct sampling sampling;
  int64_t n, max_new_tokens, seed;
  bool seed_given;
  const char **stop;
  size_t stop_count;
  struct generate_job *job; /* NULL where the line is wrong */
};

struct generate {
  struct cli *cli;
  const struct settings *settings;
  struct session session;
  struct budget budget;
  struct output *output;
  struct arena *arena; /* of the window */
  struct request requests[WINDOW_LINES];
  int32_t count;
  int64_t lines_done, tokens;
  bool wrong;
  /* one prompt on the command line: its text goes to the terminal as it comes */
  bool streaming;
  struct token_decoder decoder;
  struct text streamed;
};

/* ---- a line to a request ------------------------------------------------------------------------------------------
 */

static int take_stop(struct generate *g, const json_t *object, struct request *r, struct error *err)
{
  const json_t *stop = json_object_get(object, "stop");
  size_t n = json_is_array(stop) ? json_array_size(stop) : (stop && !json_is_null(stop)) || g->settings->stop;
  r->stop = ARENA_NEW(g->arena, const char *, n, "generate", err);
  if (!r->stop) return err->code;
  for (size_t i = 0; i < n; i++) {
    const json_t *s = json_is_array(stop) ? json_array_get(stop, i) : stop;
    if (s && (!json_is_string(s) || !json_string_length(s)))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "stop",
              "found a stop that is no text; expected a string or a list of strings");
    r->stop[i] = s ? json_string_value(s) : g->settings->stop;
  }
  r->stop_count = n;
  return 0;
}

static int take_ids(const struct generate *g, const json_t *list, struct token_list *out, struct error *err)
{
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *id = json_array_get(list, i);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= g->session.config.vocab)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found ids[%zu] that is no token of the model; expected 0 to %d", i,
              g->session.config.vocab - 1);
    TRY(token_list_push(out, (int32_t)json_integer_value(id), err));
  }
  return 0;
}

static int take_prompt(struct generate *g, const json_t *object, struct request *r, struct error *err)
{
  const json_t *ids = json_object_get(object, "ids"), *prompt = json_object_get(object, "prompt"),
               *messages = json_object_get(object, "messages");
  const json_t *variables = json_object_get(object, "variables");
  if (json_is_array(ids)) return take_ids(g, ids, &r->ids, err);
  if (!json_is_string(prompt) && !json_is_array(messages))
    FAIL(err, ERROR_INPUT,
         "found neither prompt, messages nor ids; expected one of {\"prompt\": \"...\"}, {\"messages\": [...]}, "
         "{\"ids\": [...]}");
  return session_prompt_ids(&g->session, json_string_value(prompt), json_is_string(prompt) ? NULL : messages,
                            json_is_object(variables) ? variables : NULL, &r->ids, err);
}

static int take_request(struct generate *g, struct request *r, struct error *err)
{
  const struct settings *s = g->settings;
  const json_t *o = r->line.object;
  int64_t top_k;
  int most = g->session.config.max_positions;
  TRY(take_prompt(g, o, r, err));
  TRY(take_stop(g, o, r, err));
  TRY(json_int_or(o, "n", 1, 4096, s->n, &r->n, NULL, err));
  TRY(json_int_or(o, "max_new_tokens", 1, INT32_MAX, s->max_new_tokens, &r->max_new_tokens, NULL, err));
  TRY(json_int_or(o, "top_k", 0, INT32_MAX, s->top_k, &top_k, NULL, err));
  TRY(json_real_or(o, "temperature", 0, 100, s->temperature, &r->sampling.temperature, NULL, err));
  TRY(json_real_or(o, "top_p", 0, 1, s->top_p, &r->sampling.top_p, NULL, err));
  TRY(json_real_or(o, "min_p", 0, 1, s->min_p, &r->sampling.min_p, NULL, err));
  TRY(json_int_or(o, "seed", 0, INT64_MAX, -1, &r->seed, NULL, err));
  r->sampling.top_k = (int32_t)top_k;
  r->seed_given = r->seed >= 0;
  if (!r->ids.count) FAIL(err, ERROR_INPUT, "the prompt has no token; expected text");
  if ((int64_t)r->ids.count >= most)
    FAIL(err, ERROR_INPUT, "the prompt has %zu tokens; expected fewer than %d, the model's max_position_embeddings",
         r->ids.count, most);
  if ((int64_t)r->ids.count + r->max_new_tokens > most) r->max_new_tokens = most - (int64_t)r->ids.count;
  return 0;
}

/* ---- requests to answers --------------------------------------------------------------------------------------------
 */

static int make_job(struct generate *g, struct request *r, struct tree *t, struct generate_job *job, struct error *err)
{
  int32_t segment;
  TRY(tree_add_segment(t, -1, SEGMENT_PROMPT, (int32_t)r->ids.count, &segment, err));
  TRY(tree_append_ids(t, segment, r->ids.ids, (int32_t)r->ids.count, 0, err));
  // with a seed of its own a line's answers do not depend on where it stands
  *job = (struct generate_job){.segment = segment,
                               .count = (int32_t)r->n,
                               .seed = (uint64_t)(r->seed_given ? r->seed : g->cli->seed),
                               .at = {.purpose = RNG_GENERATE, .group = r->seed_given ? 0 : (uint32_t)r->line.number},
                               .sampling = r->sampling,
                               .max_new_tokens = (int32_t)r->max_new_tokens,
                               .stop = r->stop,
                               .stop_count = r->stop_count,
                               .leaf = ARENA_NEW(g->arena, int32_t, (size_t)r->n, "generate", err),
                               .finish = ARENA_NEW(g->arena, enum finish, (size_t)r->n, "generate", err)};
  return job->leaf && job->finish ? 0 : err->code;
}

static void after_token(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct generate *g = arg;
  (void)at;
  g->tokens++;
  if (!g->streaming) {
    if (g->tokens % 64 == 0) log_progress("generate", (double)g->tokens, 0, "tok");
    return;
  }
  token_decoder_add(&g->decoder, record->id, &g->streamed);
  fwrite(g->streamed.bytes ? g->streamed.bytes : "", 1, g->streamed.size, stdout);
  fflush(stdout);
  text_clear(&g->streamed);
}

static bool cancelled(void *arg)
{
  (void)arg;
  return cli_stopped();
}

/* What the window's lines need at most. */
static int window_options(const struct generate *g, struct generate_options *out, struct error *err)
{
  struct generate_options o = {.slots = (int)g->settings->slots,
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = 1,
                               .max_path = 2,
                               .kv_block = KV_BLOCK};
  int prompt = 1, answer = 1;
  int64_t rollouts = 0;
  for (int32_t i = 0; i < g->count; i++) {
    const struct request *r = &g->requests[i];
    int length = (int)r->ids.count, longest = (int)r->max_new_tokens;
    if (!r->n) continue;
    rollouts += r->n;
    if (r->n > o.max_group) o.max_group = (int)r->n;
    if (length > prompt) prompt = length;
    if (longest > answer) answer = longest;
    if (length + longest > o.max_path) o.max_path = length + longest;
  }
  if (rollouts && rollouts < o.slots) o.slots = (int)rollouts;
  TRY(budget_blocks(&g->budget, &g->session, generate_blocks(&o, prompt, answer), &o, err));
  *out = o;
  return 0;
}

/* Jobs of one temperature run together: records are at it. */
static int run_jobs(struct generate *g, struct generator *generator, struct tree *t, struct error *err)
{
  struct generate_hooks hooks = {.after_token = after_token, .cancelled = cancelled, .arg = g};
  struct generate_job *jobs = ARENA_NEW(g->arena, struct generate_job, (size_t)g->count, "generate", err);
  bool *done = ARENA_NEW(g->arena, bool, (size_t)g->count, "generate", err);
  if (!jobs || !done) return err->code;
  int32_t next = 0;
  for (int32_t i = 0; i < g->count; i++) {
    double temperature = g->requests[i].sampling.temperature;
    int32_t first = next;
    for (int32_t k = i; k < g->count; k++) {
      struct request *r = &g->requests[k];
      if (!r->n || done[k] || r->sampling.temperature > temperature || r->sampling.temperature < temperature) continue;
      done[k] = true;
      r->job = &jobs[next];
      TRY(make_job(g, r, t, &jobs[next++], err));
    }
    if (next > first) TRY(generator_run(generator, t, jobs + first, next - first, temperature, 0, &hooks, NULL, err));
  }
  return 0;
}

static void put_floats(struct text *t, const char *name, const struct segment *s, bool behaviour)
{
  text_printf(t, ", \"%s\": [", name);
  for (int32_t i = 0; i < s->count; i++) {
    if (i) text_puts(t, ", ");
    json_put_f32(t, behaviour ? s->tokens[i].logp_behaviour : s->tokens[i].logp);
  }
  text_puts(t, "]");
}

static int put_answer(struct generate *g, const struct request *r, int32_t sample, const struct tree *t,
                      struct error *err)
{
  const struct segment *s = &t->segments[r->job->leaf[sample]];
  struct text line = {0}, text = {0};
  text_printf(&line, "{\"line\": %d, \"sample\": %d, \"ids\": [", r->line.number, sample);
  int32_t *ids = ARENA_NEW(g->arena, int32_t, (size_t)s->count, "generate", err);
  if (!ids) return err->code;
  for (int32_t i = 0; i < s->count; i++) {
    ids[i] = s->tokens[i].id;
    text_printf(&line, i ? ", %d" : "%d", ids[i]);
  }
  text_puts(&line, "]");
  put_floats(&line, "logp", s, false);
  put_floats(&line, "logp_behaviour", s, true);
  if (g->session.tokenizer) {
    tokenizer_decode(g->session.tokenizer, ids, (size_t)s->count, true, &text);
    text_puts(&line, ", \"text\": ");
    json_put_string(&line, text.bytes ? text.bytes : "",
                    generate_find_stop(text.bytes ? text.bytes : "", text.size, r->stop, r->stop_count));
  }
  text_printf(&line, ", \"finish\": \"%s\"}", r->job->finish[sample] == FINISH_STOP ? "stop" : "length");
  int rc = text_finish(&text, err);
  if (!rc) rc = output_line(g->output, &line, err);
  text_free(&text);
  text_free(&line);
  return rc;
}

/* Answers the window's lines, each in its place. */
static int answer_window(struct generate *g, struct lines *lines, struct error *err)
{
  struct generate_options o;
  struct generator *generator;
  struct tree *t;
  TRY(window_options(g, &o, err));
  TRY(tree_create(g->arena, &t, err));
  TRY(generator_create(g->arena, g->session.model, g->session.tokenizer, g->session.end_ids, g->session.end_id_count,
                       &o, &generator, err));
  TRY(run_jobs(g, generator, t, err));
  for (int32_t i = 0; i < g->count && !g->streaming; i++) {
    struct request *r = &g->requests[i];
    if (r->line.error.code) {
      g->wrong = true;
      TRY(answer_error(g->cli, g->output, lines, &r->line, &r->line.error, err));
    }
    for (int32_t k = 0; r->job && k < r->n; k++) TRY(put_answer(g, r, k, t, err));
  }
  return 0;
}

static void clear_window(struct generate *g)
{
  for (int32_t i = 0; i < g->count; i++) token_list_free(&g->requests[i].ids);
  memset(g->requests, 0, sizeof g->requests);
  g->count = 0;
  arena_reset(g->arena);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int answer_lines_in(struct generate *g, struct error *err)
{
  struct lines *lines;
  bool more = true;
  TRY(lines_open(g->cli, &lines, err));
  TRY(output_open(g->cli, &g->output, err));
  while (more) {
    clear_window(g);
    while (g->count < WINDOW_LINES) {
      struct request *r = &g->requests[g->count];
      TRY(lines_next(lines, g->arena, &r->line, &more, err));
      if (!more) break;
      if (!r->line.error.code && take_request(g, r, &r->line.error)) r->n = 0;
      if (r->line.error.code > ERROR_INPUT) {
        *err = r->line.error;
        return err->code;
      }
      g->count++;
    }
    if (g->count) TRY(answer_window(g, lines, err));
  }
  log_progress_end();
  TRY(output_close(g->output, err));
  return g->wrong ? ERROR_INPUT : 0;
}

/* PROMPT on the command line: a chat message where the model has a template. */
static int answer_prompt(struct generate *g, const char *prompt, struct error *err)
{
  struct request *r = &g->requests[0];
  bool chat = g->session.template && !g->settings->plain;
  json_t *system =
      g->settings->system ? json_pack("{s:s, s:s}", "role", "system", "content", g->settings->system) : NULL;
  json_t *user = json_pack("{s:s, s:s}", "role", "user", "content", prompt);
  json_t *o = chat ? system ? json_pack("{s:[o, o]}", "messages", system, user) : json_pack("{s:[o]}", "messages", user)
                   : json_pack("{s:s}", "prompt", prompt);
  if (!o) FAIL_AT(err, ERROR_INPUT, NULL, 0, "PROMPT", "found a prompt that is not UTF-8; expected text");
  r->line = (struct line){.object = o, .number = 1};
  g->count = 1;
  TRY(take_request(g, r, err));
  g->streaming = !g->cli->json && !g->cli->out && r->n == 1 && !r->stop_count;
  token_decoder_start(&g->decoder, g->session.tokenizer, true);
  if (!g->streaming) TRY(output_open(g->cli, &g->output, err));
  TRY(answer_window(g, NULL, err));
  if (g->streaming) {
    token_decoder_flush(&g->decoder, &g->streamed);
    fwrite(g->streamed.bytes ? g->streamed.bytes : "", 1, g->streamed.size, stdout);
    fputc('\n', stdout);
    text_free(&g->streamed);
    return 0;
  }
  return output_close(g->output, err);
}

static int run(struct cli *c, struct error *err)
{
  struct generate *g = ARENA_NEW(c->arena, struct generate, 1, "generate", err);
  if (!g) return err->code;
  g->cli = c;
  g->settings = c->settings;
  cli_catch_signals();
  struct session_options o = {.model = c->arguments[0],
                              .threads = (int)c->threads,
                              .type = cli_compute_type(c),
                              .keep = cli_keep(c),
                              .tokenizer_optional = c->argument_count == 1,
                              .adapter = g->settings->adapter};
  TRY(session_open(c->arena, &o, &g->session, err));
  TRY(budget_load(c, &g->session, 0, &g->budget, err));
  g->arena = arena_create("window", 0, err);
  if (!g->arena) return err->code;
  int rc = c->argument_count == 2 ? answer_prompt(g, c->arguments[1], err) : answer_lines_in(g, err);
  clear_window(g);
  arena_destroy(g->arena);
  return rc;
}

const struct command command_generate = {
    .name = "generate",
    .help = "Answers to prompts, with every token's log-probability",
    .arguments = "MODEL [PROMPT]",
    .about =
        "With PROMPT: the answer as text, as it comes (a chat message where the model has a chat template). Without: "
        "JSON Lines from --in,\n"
        "{prompt | messages | ids, n?, max_new_tokens?, temperature?, top_p?, top_k?, min_p?, stop?, seed?}; one line "
        "out per answer:\n"
        "{line, sample, ids, logp, logp_behaviour, text, finish}. logp is what `assay score --temperature T` gives, "
        "bit for bit; logp_behaviour is of the\n"
        "distribution that was drawn from. Order of filters: temperature, top_k, top_p, min_p. ids include the stop "
        "token; text ends before a stop string.",
    .example = "assay generate models/tiny '12+34=' --temperature 0",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 2,
    .run = run};
