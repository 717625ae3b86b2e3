/* A conversation in the terminal. The KV of the last turns is kept, so that an answer reads what is new and no more;
 * the answer is, to the bit, what `assay generate` gives for the conversation's messages. */
#include "cli/budget.h"
#include "cli/chat_line.h"
#include "core/file.h"
#include "core/log.h"
#include "core/settings.h"
#include "core/yaml.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PREFILL_ROWS = 512, KV_BLOCK = 16, CONTEXT = 4096, KEEP = 2 /* turns whose KV is kept */ };

struct settings {
  const char *system, *adapter;
  double temperature, top_p;
  int64_t max_new_tokens, context;
};
static const struct settings defaults = {.temperature = 0.7, .top_p = 0.95, .max_new_tokens = 512, .context = CONTEXT};
static const struct option options[] = {
    {"--system", "TEXT", OPTION_TEXT, offsetof(struct settings, system), 0, 0, "system prompt"},
    {"--adapter", "DIR", OPTION_TEXT, offsetof(struct settings, adapter), 0, 0,
     "a PEFT folder or run whose adapter MODEL is used with"},
    {"--temperature", "T", OPTION_REAL, offsetof(struct settings, temperature), 0, 100, "0: greedy (default 0.7)"},
    {"--top-p", "P", OPTION_REAL, offsetof(struct settings, top_p), 0, 1,
     "the fewest tokens with this mass (default 0.95)"},
    {"--max-new-tokens", "N", OPTION_INT, offsetof(struct settings, max_new_tokens), 1, 1e6,
     "longest answer (default 512)"},
    {"--context", "N", OPTION_INT, offsetof(struct settings, context), 2, 1e7,
     "tokens that conversation and answer may have, if the model reads so many (default 4096)"}};

struct chat {
  struct cli *cli;
  struct settings now; /* changed by /temperature and the like */
  int64_t seed;
  struct session session;
  struct generator *generator;
  struct chat_lines *lines;
  struct output *output;
  struct arena *arena; /* of one answer */
  bool terminal, colour;
  bool plain;         /* no chat template: a line is gone on with, nothing is remembered */
  int positions;      /* of the longest path */
  json_t *messages;   /* plain: {prompt, completion} objects */
  int64_t retries;    /* of the answer that stands last */
  int32_t read, kept; /* tokens of the last prompt, and how many of them were still there */
  bool wrong, over, warned;
  struct token_decoder decoder;
  struct text text; /* what an answer's next characters are */
};

/* ---- what a person sees -------------------------------------------------------------------------------------------
 */

static void say_dim(const struct chat *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say_dim(const struct chat *c, const char *fmt, ...)
{
  char line[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  if (c->terminal && !c->cli->quiet)
    fprintf(stderr, "%s%s%s\n", c->colour ? "\033[2m" : "", line, c->colour ? "\033[0m" : "");
}

/* A failure that the conversation outlives. */
static void complain(struct chat *c, struct error *e)
{
  log_error(e);
  if (c->cli->json) {
    struct text t = {0};
    struct error ignored = {0};
    put_error(&t, e);
    if (output_line(c->output, &t, &ignored)) error_clear(&ignored);
    text_free(&t);
  }
  error_clear(e);
  c->wrong = true;
}

static void greet(const struct chat *c)
{
  const struct model_config *m = &c->session.config;
  say_dim(c, "%s: %s, %.0f M parameters, %d positions. /help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.",
          c->session.source.path, m->architecture, (double)model_parameters(m) / 1e6, c->positions);
  if (c->plain && !c->cli->quiet)
    log_info(
        "no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): plain completion: the "
        "model goes on with each line by itself");
}

/* ---- the conversation ---------------------------------------------------------------------------------------------
 */

static int add_message(struct chat *c, const char *role, const char *content, size_t n, struct error *err)
{
  json_t *text = json_stringn(content, n);
  if (!text)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, role,
            "found bytes that are not UTF-8; expected text; set the terminal to UTF-8");
  json_t *o = c->plain ? json_pack("{s:o}", "prompt", text) : json_pack("{s:s, s:o}", "role", role, "content", text);
  if (!o || json_array_append_new(c->messages, o)) FAIL(err, ERROR_RESOURCE, "no memory for the conversation");
  return 0;
}

static const char *role_at(const struct chat *c, size_t i)
{
  const char *role = json_string_value(json_object_get(json_array_get(c->messages, i), "role"));
  return role ? role : c->plain ? "user" : "";
}

static void drop_last(struct chat *c)
{
  if (json_array_size(c->messages)) json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

static bool last_is(const struct chat *c, const char *role)
{
  size_t n = json_array_size(c->messages);
  return n && !strcmp(role_at(c, n - 1), role);
}

static uint32_t turns(const struct chat *c)
{
  uint32_t n = 0;
  for (size_t i = 0; i < json_array_size(c->messages); i++) n += !strcmp(role_at(c, i), "user");
  return n;
}

static int set_system(struct chat *c, const char *text, struct error *err)
{
  if (c->plain)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "/system", "this model has no chat template: it knows no system prompt");
  if (json_array_size(c->messages) && !strcmp(role_at(c, 0), "system")) json_array_remove(c->messages, 0);
  if (!*text) return 0;
  json_t *o = json_pack("{s:s, s:s}", "role", "system", "content", text);
  if (!o || json_array_insert_new(c->messages, 0, o))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "/system", "found bytes that are not UTF-8; expected text");
  return 0;
}

static int reset(struct chat *c, struct error *err)
{
  const char *system = c->now.system ? c->now.system : "";
  json_array_clear(c->messages);
  return c->plain ? 0 : set_system(c, system, err);
}

/* ---- an answer ----------------------------------------------------------------------------------------------------
 */

static void put_stream(struct chat *c)
{
  struct error ignored = {0};
  if (c->text.size && !c->cli->json && output_put(c->output, &c->text, &ignored)) error_clear(&ignored);
  text_clear(&c->text);
}

static void after_token(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct chat *c = arg;
  (void)at;
  token_decoder_add(&c->decoder, record->id, &c->text);
  put_stream(c);
}

static bool cancelled(void *arg)
{
  (void)arg;
  return chat_interrupted() || cli_stopped();
}

/* The ids that the model reads for the conversation as it stands. */
static int make_prompt(struct chat *c, struct token_list *ids, struct error *err)
{
  const json_t *last = json_array_get(c->messages, json_array_size(c->messages) - 1);
  const char *prompt = c->plain ? json_string_value(json_object_get(last, "prompt")) : NULL;
  TRY(session_prompt_ids(&c->session, prompt, prompt ? NULL : c->messages, NULL, ids, err));
  if (!ids->count) FAIL(err, ERROR_INPUT, "the line has no token; expected text");
  if (ids->count >= (size_t)c->positions)
    FAIL(err, ERROR_INPUT,
         "the conversation has %zu tokens, and conversation and answer may have %d together; /undo takes the last "
         "exchange back, /reset begins anew%s",
         ids->count, c->positions, c->positions < c->session.config.max_positions ? "; --context N allows more" : "");
  return 0;
}

static int generate(struct chat *c, const struct token_list *ids, struct tree *t, struct generate_job *job,
                    struct error *err)
{
  struct generate_hooks hooks = {.after_token = after_token, .cancelled = cancelled, .arg = c};
  int64_t room = c->positions - (int64_t)ids->count;
  job->at = (struct rng_at){.purpose = RNG_GENERATE, .step = turns(c) - 1, .group = 1, .attempt = (uint32_t)c->retries};
  job->count = 1;
  job->seed = (uint64_t)c->seed;
  job->sampling = (struct sampling){.temperature = c->now.temperature, .top_p = c->now.top_p};
  job->max_new_tokens = (int32_t)(c->now.max_new_tokens < room ? c->now.max_new_tokens : room);
  TRY(tree_add_segment(t, -1, SEGMENT_PROMPT, (int32_t)ids->count, &job->segment, err));
  TRY(tree_append_ids(t, job->segment, ids->ids, (int32_t)ids->count, 0, err));
  token_decoder_start(&c->decoder, c->session.tokenizer, true);
  int rc = generator_run(c->generator, t, job, 1, 1, 0, &hooks, NULL, err);
  c->read = (int32_t)ids->count;
  c->kept = job->kept;
  return rc;
}

static int put_json_answer(struct chat *c, const char *text, size_t n, const struct segment *s, const char *finish,
                           struct error *err)
{
  struct text line = {0};
  text_puts(&line, "{\"text\": ");
  json_put_string(&line, text, n);
  text_puts(&line, ", \"ids\": [");
  for (int32_t i = 0; i < s->count; i++) text_printf(&line, i ? ", %d" : "%d", s->tokens[i].id);
  text_printf(&line, "], \"finish\": \"%s\"}", finish);
  int rc = output_line(c->output, &line, err);
  text_free(&line);
  return rc;
}

/* Ends the answer on the screen and keeps it in the conversation. */
static int keep_answer(struct chat *c, const struct segment *s, const char *finish, struct error *err)
{
  struct text text = {0};
  int32_t *ids = ARENA_NEW(c->arena, int32_t, (size_t)s->count, "chat", err);
  if (!ids) return err->code;
  for (int32_t i = 0; i < s->count; i++) ids[i] = s->tokens[i].id;
  tokenizer_decode(c->session.tokenizer, ids, (size_t)s->count, true, &text);
  const char *bytes = text.size ? text.bytes : "";
  int rc = text_finish(&text, err);
  token_decoder_flush(&c->decoder, &c->text);
  text_puts(&c->text, "\n");
  put_stream(c);
  if (!rc && c->cli->json) rc = put_json_answer(c, bytes, text.size, s, finish, err);
  json_t *content = rc ? NULL : json_stringn(bytes, text.size),
         *last = json_array_get(c->messages, json_array_size(c->messages) - 1);
  if (!rc && c->plain)
    rc = json_object_set_new(last, "completion", content) ? ERROR_RESOURCE : 0;
  else if (!rc)
    rc = json_array_append_new(c->messages, json_pack("{s:s, s:o}", "role", "assistant", "content", content))
             ? ERROR_RESOURCE
             : 0;
  text_free(&text);
  if (rc && !err->code) FAIL(err, ERROR_RESOURCE, "no memory for the conversation");
  return rc;
}

static void say_speed(const struct chat *c, const struct segment *s, size_t prompt, double seconds, const char *finish)
{
  const char *note = "";
  if (!strcmp(finish, "stopped")) note = "; stopped";
  if (!strcmp(finish, "length"))
    note = (int)prompt + s->count >= c->positions ? "; the context is full: /undo or /reset makes room"
                                                  : "; cut at the longest answer: /max N allows more";
  say_dim(c, "[%d tokens, %.1f tok/s; %d of %d positions%s]", s->count, s->count / seconds, (int)prompt + s->count,
          c->positions, note);
}

/* Answers the conversation, which ends with the user's message. */
static int answer(struct chat *c, struct error *err)
{
  struct tree *t;
  struct token_list ids = {0};
  int32_t leaf = -1;
  enum finish how = FINISH_NONE;
  struct generate_job job = {.leaf = &leaf, .finish = &how};
  double start = clock_seconds();
  chat_clear_interrupt();
  arena_reset(c->arena);
  int rc = tree_create(c->arena, &t, err);
  if (!rc) rc = make_prompt(c, &ids, err);
  if (!rc) rc = generate(c, &ids, t, &job, err);
  size_t prompt = ids.count;
  token_list_free(&ids);
  // an answer that was stopped stands as far as it came
  bool stopped = rc == ERROR_STOPPED && chat_interrupted() && !cli_stopped();
  if (stopped) error_clear(err);
  if (rc && !stopped) return rc;
  static const struct segment nothing;
  const struct segment *s = leaf >= 0 ? &t->segments[leaf] : &nothing;
  const char *finish = stopped ? "stopped" : how == FINISH_STOP ? "stop" : "length";
  TRY(keep_answer(c, s, finish, err));
  say_speed(c, s, prompt, clock_seconds() - start, finish);
  chat_clear_interrupt();
  return 0;
}

/* A conversation that cannot be answered loses its last message again. */
static int answer_or_complain(struct chat *c, struct error *err)
{
  int rc = answer(c, err);
  if (rc != ERROR_INPUT) return rc;
  complain(c, err);
  drop_last(c);
  return 0;
}

/* ---- commands -----------------------------------------------------------------------------------------------------
 */

static int do_help(struct chat *c, const char *rest, struct error *err);

static int do_reset(struct chat *c, const char *rest, struct error *err)
{
  (void)rest;
  say_dim(c, "the conversation is empty");
  return reset(c, err);
}

static int do_system(struct chat *c, const char *rest, struct error *err)
{
  TRY(set_system(c, rest, err));
  c->now.system = arena_strdup(c->cli->arena, rest, "chat", err);
  if (!c->now.system) return err->code;
  say_dim(c, *rest ? "the system prompt is set" : "there is no system prompt now");
  return 0;
}

static int set_number(const char *name, const char *rest, double low, double high, bool whole, double *out,
                      struct error *err)
{
  char *end, wanted[96];
  double x = strtod(rest, &end);
  bool is_whole = x >= -9e15 && x <= 9e15 && (double)(int64_t)x <= x && (double)(int64_t)x >= x;
  if (!*rest || *end || !(x >= low && x <= high) || (whole && !is_whole))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "found %s %s; expected %s", name, rest,
            number_wanted(whole, low, high, wanted, sizeof wanted));
  *out = x;
  return 0;
}

static int do_temperature(struct chat *c, const char *rest, struct error *err)
{
  if (!*rest) say_dim(c, "temperature %g", c->now.temperature);
  return !*rest ? 0 : set_number("/temperature", rest, 0, 100, false, &c->now.temperature, err);
}

static int do_max(struct chat *c, const char *rest, struct error *err)
{
  double n;
  if (!*rest) say_dim(c, "at most %" PRId64 " tokens an answer", c->now.max_new_tokens);
  if (!*rest) return 0;
  TRY(set_number("/max", rest, 1, 1e6, true, &n, err));
  c->now.max_new_tokens = (int64_t)n;
  return 0;
}

static int do_seed(struct chat *c, const char *rest, struct error *err)
{
  double n;
  if (!*rest) say_dim(c, "seed %" PRId64, c->seed);
  if (!*rest) return 0;
  TRY(set_number("/seed", rest, 0, 9e15, true, &n, err));
  c->seed = (int64_t)n;
  return 0;
}

/* {"messages": [...]}, or {"prompt", "completion"} lines: what `assay generate --in` and `assay sft` read. */
static int do_save(struct chat *c, const char *rest, struct error *err)
{
  struct text t = {0};
  struct file_writer *w;
  if (!*rest) FAIL_AT(err, ERROR_INPUT, NULL, 0, "/save", "found /save without a name; expected /save FILE");
  for (size_t i = 0; c->plain && i < json_array_size(c->messages); i++) {
    json_put_value(&t, json_array_get(c->messages, i));
    text_puts(&t, "\n");
  }
  if (!c->plain) {
    text_puts(&t, "{\"messages\":");
    json_put_value(&t, c->messages);
    text_puts(&t, "}\n");
  }
  int rc = text_finish(&t, err);
  if (!rc) rc = file_writer_open(c->arena, rest, &w, err);
  if (!rc) rc = file_writer_write(w, t.size ? t.bytes : "", t.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&t);
  if (!rc) say_dim(c, "saved to %s", rest);
  return rc;
}

/* What one line of a saved conversation may be: {role, content}; in plain completion {prompt, completion?}. */
static bool is_message(const struct chat *c, const json_t *m)
{
  const char *first = c->plain ? "prompt" : "role", *second = c->plain ? "completion" : "content";
  const json_t *text = json_object_get(m, second);
  return json_is_string(json_object_get(m, first)) && (json_is_string(text) || (c->plain && !text));
}

/* The conversation that the first line of a file holds; plain: all lines. */
static int read_conversation(struct chat *c, const char *file, json_t *messages, struct error *err)
{
  struct line_reader *r;
  char *line;
  size_t n;
  int number;
  TRY(line_reader_open(c->arena, file, &r, err));
  for (;;) {
    json_t *o;
    TRY(line_reader_next(r, &line, &n, &number, err));
    if (!line) return 0;
    TRY(json_parse(c->arena, line, n, file, number - 1, JSON_READ_PLAIN, &o, err));
    json_t *list = c->plain ? NULL : json_object_get(o, "messages");
    size_t count = c->plain ? 1 : json_array_size(list);
    for (size_t i = 0; i < count; i++) {
      const json_t *m = c->plain ? o : json_array_get(list, i);
      if (!is_message(c, m) || json_array_append_new(messages, json_deep_copy(m)))
        FAIL_AT(err, ERROR_INPUT, file, number, NULL,
                "found something else than a conversation; expected what /save writes");
    }
    if (!count) FAIL_AT(err, ERROR_INPUT, file, number, NULL, "found no messages; expected what /save writes");
    if (!c->plain) return 0;
  }
}

static int do_load(struct chat *c, const char *rest, struct error *err)
{
  if (!*rest) FAIL_AT(err, ERROR_INPUT, NULL, 0, "/load", "found /load without a name; expected /load FILE");
  json_t *messages = json_array();
  if (!messages) FAIL(err, ERROR_RESOURCE, "no memory for a conversation");
  arena_reset(c->arena);
  int rc = read_conversation(c, rest, messages, err);
  if (rc) {
    json_decref(messages);
    return rc;
  }
  json_decref(c->messages);
  c->messages = messages;
  c->retries = 0;
  say_dim(c, "%s: %" PRIu32 " turns; the next line goes on from there", rest, turns(c));
  return 0;
}

static int do_tokens(struct chat *c, const char *rest, struct error *err)
{
  struct token_list ids = {0};
  struct text t = {0};
  (void)rest;
  int rc = c->plain || !turns(c) ? 0 : session_prompt_ids(&c->session, NULL, c->messages, NULL, &ids, err);
  text_printf(&t, "%zu of %d positions; the last answer read %d tokens, %d of them kept from before\n", ids.count,
              c->positions, c->read, c->kept);
  token_list_free(&ids);
  if (!rc && !c->cli->json) rc = output_put(c->output, &t, err);
  text_free(&t);
  return rc;
}

static int do_undo(struct chat *c, const char *rest, struct error *err)
{
  (void)rest;
  if (!turns(c)) FAIL_AT(err, ERROR_INPUT, NULL, 0, "/undo", "nothing was said yet");
  if (last_is(c, "assistant")) drop_last(c);
  drop_last(c);
  say_dim(c, "the last exchange is taken back; %" PRIu32 " are left", turns(c));
  return 0;
}

static int do_retry(struct chat *c, const char *rest, struct error *err)
{
  (void)rest;
  if (!turns(c)) FAIL_AT(err, ERROR_INPUT, NULL, 0, "/retry", "nothing was said yet");
  if (last_is(c, "assistant")) drop_last(c);
  if (!(c->now.temperature > 0)) say_dim(c, "at temperature 0 the answer is the same again; try /temperature 0.7");
  c->retries++;
  return answer_or_complain(c, err);
}

/* The last message again: with TEXT in its place, or to be edited where it is typed. */
static int do_edit(struct chat *c, const char *rest, struct error *err)
{
  if (!turns(c)) FAIL_AT(err, ERROR_INPUT, NULL, 0, "/edit", "nothing was said yet");
  size_t last = json_array_size(c->messages) - (last_is(c, "assistant") ? 2 : 1);
  const json_t *message = json_array_get(c->messages, last);
  const char *text = json_string_value(json_object_get(message, c->plain ? "prompt" : "content"));
  if (!*rest && !chat_lines_offer(c->lines, text))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "/edit", "found no terminal to edit in; expected /edit TEXT");
  if (last_is(c, "assistant")) drop_last(c);
  drop_last(c);
  c->retries = 0;
  if (!*rest) return 0;
  TRY(add_message(c, "user", rest, strlen(rest), err));
  return answer_or_complain(c, err);
}

static int do_quit(struct chat *c, const char *rest, struct error *err)
{
  (void)rest;
  (void)err;
  c->over = true;
  return 0;
}

static const struct {
  const char *name, *argument, *help;
  int (*run)(struct chat *c, const char *rest, struct error *err);
} commands[] = {{"/help", "", "this list", do_help},
                {"/reset", "", "forget the conversation", do_reset},
                {"/undo", "", "take the last exchange back", do_undo},
                {"/retry", "", "another answer to the last message", do_retry},
                {"/edit", "[TEXT]", "the last message again, to be changed, or TEXT in its place", do_edit},
                {"/system", "TEXT", "set the system prompt; without TEXT: none", do_system},
                {"/temperature", "[T]", "0: greedy; without T: what it is", do_temperature},
                {"/max", "[N]", "longest answer, in tokens", do_max},
                {"/seed", "[N]", "of the random numbers", do_seed},
                {"/tokens", "", "how long the conversation is", do_tokens},
                {"/save", "FILE", "the conversation as JSON Lines", do_save},
                {"/load", "FILE", "go on with one that was saved", do_load},
                {"/quit", "", "leave; Ctrl-D too", do_quit}};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int do_help(struct chat *c, const char *rest, struct error *err)
{
  struct text t = {0};
  (void)rest;
  for (size_t i = 0; i < COMMANDS; i++) {
    char left[32];
    snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].argument);
    text_printf(&t, "%-16s %s\n", left, commands[i].help);
  }
  text_puts(
      &t,
      "A backslash at the end of a line goes on with the next, and lines between two of \"\"\" are one message; // at "
      "the start is one /. Ctrl-C stops an answer.\n");
  int rc = c->cli->json ? 0 : output_put(c->output, &t, err);
  text_free(&t);
  return rc;
}

static int run_command(struct chat *c, const char *line, struct error *err)
{
  const char *names[COMMANDS], *rest = line + strcspn(line, " \t");
  char name[64];
  snprintf(name, sizeof name, "%.*s", (int)(rest - line), line);
  rest += strspn(rest, " \t");
  for (size_t i = 0; i < COMMANDS; i++) {
    names[i] = commands[i].name;
    if (!strcmp(name, names[i])) return commands[i].run(c, rest, err);
  }
  const char *nearest = name_nearest(name, names, COMMANDS);
  FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "found %s; expected a command that /help lists%s%s%s", name,
          nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* ---- the loop -----------------------------------------------------------------------------------------------------
 */

static int take_line(struct chat *c, const char *line, struct error *err)
{
  if (!line[strspn(line, " \t\n")]) return 0;
  c->warned = false;
  if (line[0] == '/' && line[1] != '/') {
    int rc = run_command(c, line, err);
    if (rc == ERROR_STOPPED || rc == ERROR_BUG || !rc) return rc;
    complain(c, err);
    return 0;
  }
  if (line[0] == '/') line++;
  c->retries = 0;
  int rc = add_message(c, "user", line, strlen(line), err);
  if (rc == ERROR_INPUT) {
    complain(c, err);
    return 0;
  }
  return rc ? rc : answer_or_complain(c, err);
}

static int converse(struct chat *c, struct error *err)
{
  const char *line;
  enum chat_line_kind kind;
  while (!c->over) {
    STOP_IF_ASKED(err);
    TRY(chat_lines_next(c->lines, "> ", &line, &kind, err));
    STOP_IF_ASKED(err);
    if (kind == CHAT_LINE_TEXT) {
      TRY(take_line(c, line, err));
      continue;
    }
    if (c->terminal) fputc('\n', stderr);
    if (kind == CHAT_LINE_END || c->warned) return 0;
    say_dim(c, "Ctrl-C again or Ctrl-D leaves");
    c->warned = true;
    chat_clear_interrupt();
  }
  return 0;
}

static int open_model(struct chat *c, struct error *err)
{
  struct session *s = &c->session;
  struct session_options o = {.model = c->cli->arguments[0],
                              .threads = (int)c->cli->threads,
                              .type = cli_compute_type(c->cli),
                              .keep = cli_keep(c->cli),
                              .adapter = c->now.adapter};
  TRY(session_open(c->cli->arena, &o, s, err));
  c->plain = !s->template;
  c->positions = s->config.max_positions < c->now.context ? s->config.max_positions : (int)c->now.context;
  if (c->plain && c->now.system)
    FAIL_AT(err, ERROR_INPUT, s->source.path, 0, "--system",
            "has no chat template, so it knows no system prompt; expected one in tokenizer_config.json or "
            "chat_template.jinja; leave out --system for plain completion");
  struct budget budget;
  TRY(budget_load(c->cli, s, c->positions, &budget, err));
  struct generate_options g = {.slots = 1,
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = 1,
                               .max_path = c->positions,
                               .kv_block = KV_BLOCK,
                               .keep = KEEP};
  TRY(budget_blocks(&budget, s, generate_blocks_least(&g), &g, err));
  return generator_create(c->cli->arena, s->model, s->tokenizer, s->end_ids, s->end_id_count, &g, &c->generator, err);
}

static int start(struct chat *c, struct error *err)
{
  const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
  c->terminal = !c->cli->json && !c->cli->in && !c->cli->out && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  c->colour = term && strcmp(term, "dumb") != 0 && !(no_colour && *no_colour) && isatty(STDERR_FILENO);
  TRY(open_model(c, err));
  TRY(reset(c, err));
  TRY(output_open(c->cli, &c->output, err));
  TRY(chat_lines_open(c->cli->arena, c->terminal, c->cli->in, &c->lines, err));
  greet(c);
  TRY(converse(c, err));
  return output_close(c->output, err);
}

static int run(struct cli *cli, struct error *err)
{
  struct chat *c = ARENA_NEW(cli->arena, struct chat, 1, "chat", err);
  if (!c) return err->code;
  c->cli = cli;
  c->now = *(const struct settings *)cli->settings;
  c->seed = cli->seed;
  c->messages = json_array();
  c->arena = arena_create("answer", 0, err);
  if (!c->arena) return err->code;
  if (!c->messages) error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for a conversation");
  int rc = c->messages ? start(c, err) : err->code;
  json_decref(c->messages);
  text_free(&c->text);
  arena_destroy(c->arena);
  return rc ? rc : c->wrong && !c->terminal ? ERROR_INPUT : 0;
}

const struct command command_chat = {
    .name = "chat",
    .help = "A conversation with a model in the terminal",
    .arguments = "MODEL",
    .about =
        "Answers come as they are written. Ctrl-C stops the answer, not the program; Ctrl-C twice at the prompt, or "
        "Ctrl-D, leaves. /help lists what can be\n"
        "changed on the way: /reset /undo /retry /edit /system /temperature /max /seed /tokens /save /load. From a "
        "pipe "
        "each line is a message and its answer goes to stdout; with\n"
        "--json as {text, ids, finish}, finish one of stop, length, stopped. A model without a chat template is asked "
        "for plain completions: each line by itself.",
    .example = "echo '12+34=' | assay chat models/tiny --temperature 0",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run};
