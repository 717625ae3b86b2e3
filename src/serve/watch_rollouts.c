#include "serve/watch_rollouts.h"

#include "core/cursor.h"
#include "serve/watch_index.h"

#include <inttypes.h>
#include <string.h>

/* ---- a step's lines ---------------------------------------------------------------------------------------------- */

/* What is made of a line; *stop ends the walk. The line lives in the run's scratch until take returns. */
typedef int take_line_fn(void *arg, const char *line, size_t n, bool *stop, struct error *err);

static int walk(struct watch_run *r, struct arena *a, int64_t step, take_line_fn *take, void *arg, struct error *err)
{
  struct line_reader *reader;
  TRY(watch_run_lines(r, a, "rollouts", step, &reader, err));
  for (bool stop = false; !stop;) {
    char *line;
    size_t n;
    int number;
    TRY(line_reader_next(reader, &line, &n, &number, err));
    if (!line) break;
    struct arena_mark mark = arena_mark(r->scratch);
    int rc = take(arg, line, n, &stop, err);
    arena_release(r->scratch, mark);
    if (rc) return error_context(err, "step %" PRId64 ", line %d", step, number), rc;
  }
  return 0;
}

/* The same with an arena of its own for the file. */
static int walk_step(struct watch_run *r, int64_t step, take_line_fn *take, void *arg, struct error *err)
{
  struct arena *a = arena_create("watch", 0, err);
  if (!a) return err->code;
  arena_reset(r->scratch);
  int rc = walk(r, a, step, take, arg, err);
  arena_destroy(a);
  return rc;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

struct listing {
  struct watch_run *run;
  struct text lines, problems;
  uint64_t last; /* key of the line before */
  int64_t count, listed, damaged;
};

/* The first n bytes, or fewer: no character is cut. */
static size_t whole_characters(const char *s, size_t n, size_t most)
{
  if (n <= most) return n;
  while (most && ((unsigned char)s[most] & 0xc0) == 0x80) most--;
  return most;
}

static void list_problem(struct listing *g, const struct watch_line *l)
{
  struct text prompt = {0};
  const struct problem_history *h = problems_get(g->run->problems, l->key);
  text_printf(&g->problems, "%s\"%016" PRIx64 "\":[", g->problems.size ? "," : "", l->key);
  json_put_string(&g->problems, l->problem, strlen(l->problem));
  text_puts(&g->problems, ",");
  if (!h || !h->text) watch_prompt_text(g->run, l, &prompt);
  const char *text = h && h->text ? h->text : prompt.size ? prompt.bytes : "";
  json_put_string(&g->problems, text, strlen(text));
  text_puts(&g->problems, "]");
  text_free(&prompt);
}

static int list_line(void *arg, const char *line, size_t n, bool *stop, struct error *err)
{
  struct listing *g = arg;
  struct watch_line l;
  struct error failure = {0};
  (void)stop;
  if (++g->count > ROLLOUTS_LISTED) return 0;
  int rc = watch_line_skim(g->run->scratch, line, n, &l, &failure);
  if (rc && rc != ERROR_INPUT) *err = failure;
  if (rc) return ++g->damaged, rc == ERROR_INPUT ? 0 : rc;
  if (!g->listed || l.key != g->last) list_problem(g, &l);
  g->last = l.key;
  text_printf(&g->lines, "%s[\"%016" PRIx64 "\",%" PRId64 ",%" PRId64 ",%" PRId64 ",", g->listed++ ? "," : "", l.key,
              l.group, l.attempt, l.rollout);
  json_put_f64(&g->lines, l.reward);
  text_printf(&g->lines, ",%d,%" PRId64 ",", l.verdict, l.tokens);
  json_put_string(&g->lines, l.finish, strlen(l.finish));
  text_puts(&g->lines, ",");
  json_put_string(&g->lines, l.text, whole_characters(l.text, l.text_size, ROLLOUT_EXCERPT));
  text_puts(&g->lines, l.counts ? ",true]" : ",false]");
  return 0;
}

/* The steps with rollouts that stand before and behind this one, null where there is none. */
static void put_neighbours(const struct watch_steps *s, int64_t step, struct text *out)
{
  int64_t before = -1, behind = -1;
  for (size_t i = 0; i < s->count; i++) {
    if (s->items[i] < step) before = s->items[i];
    if (s->items[i] > step && behind < 0) behind = s->items[i];
  }
  text_printf(out, before < 0 ? ",\"before\":null" : ",\"before\":%" PRId64, before);
  text_printf(out, behind < 0 ? ",\"behind\":null" : ",\"behind\":%" PRId64, behind);
}

int rollouts_put_list(struct watch_run *r, int64_t step, struct text *out, struct error *err)
{
  struct listing g = {.run = r};
  step = watch_steps_nearest(&r->rollouts, step);
  int rc = walk_step(r, step, list_line, &g, err);
  if (!rc) rc = text_finish(&g.lines, err);
  if (!rc) rc = text_finish(&g.problems, err);
  if (!rc) {
    text_printf(out, "{\"step\":%" PRId64 ",\"of\":%" PRId64 ",\"damaged\":%" PRId64, step, g.count, g.damaged);
    put_neighbours(&r->rollouts, step, out);
    text_puts(out, ",\"problems\":{");
    text_puts(out, g.problems.size ? g.problems.bytes : "");
    text_puts(out, "},\"lines\":[");
    text_puts(out, g.lines.size ? g.lines.bytes : "");
    text_puts(out, "]}");
  }
  text_free(&g.lines);
  text_free(&g.problems);
  return rc;
}

/* ---- a group ----------------------------------------------------------------------------------------------------- */

void rollouts_put_piece(const struct tokenizer *t, int32_t id, struct text *out)
{
  struct token_text s = {"", 0};
  if (t && id >= 0) s = tokenizer_text_of_id(t, id);
  if (!s.size) {
    text_printf(out, "{\"id\":%" PRId32 "}", id);
  } else if (tokenizer_is_special(t, id)) {
    text_puts(out, "{\"special\":");
    json_put_string(out, s.bytes, s.size);
    text_puts(out, "}");
  } else if (utf8_valid_prefix(s.bytes, s.size) == s.size) {
    json_put_string(out, s.bytes, s.size);
  } else {
    text_puts(out, "{\"bytes\":\"");
    for (size_t i = 0; i < s.size; i++) text_printf(out, i ? " %02X" : "%02X", (unsigned)(uint8_t)s.bytes[i]);
    text_puts(out, "\"}");
  }
}

struct grouping {
  struct watch_run *run;
  uint64_t key;
  struct text *out;
  int64_t step, count, given;
};

static int32_t id_at(const json_t *ids, int64_t i)
{
  int64_t id = json_integer_value(json_array_get(ids, (size_t)i));
  return id < 0 || id > INT32_MAX ? -1 : (int32_t)id;
}

static void put_pieces(struct grouping *g, const char *name, const json_t *ids, int64_t from, int64_t to)
{
  text_printf(g->out, "\"%s\":[", name);
  for (int64_t i = from; i < to; i++) {
    if (i > from) text_puts(g->out, ",");
    rollouts_put_piece(g->run->tokenizer, id_at(ids, i), g->out);
  }
  text_puts(g->out, "]");
}

/* The first `most` numbers of a list, rounded to f32, which is what they are. */
static void put_numbers(struct text *t, const char *name, const json_t *list, int64_t most)
{
  text_printf(t, ",\"%s\":[", name);
  for (int64_t i = 0; i < most && i < (int64_t)json_array_size(list); i++) {
    const json_t *x = json_array_get(list, (size_t)i);
    if (i) text_puts(t, ",");
    if (json_is_number(x))
      json_put_f32(t, (float)json_number_value(x));
    else
      text_puts(t, "null");
  }
  text_puts(t, "]");
}

static void put_field(struct text *t, const json_t *o, const char *name)
{
  const json_t *v = json_object_get(o, name);
  if (!v) return;
  text_printf(t, ",\"%s\":", name);
  json_put_value(t, v);
}

static void put_rollout(struct grouping *g, const struct watch_line *l, int64_t tokens)
{
  static const char *const fields[] = {"reward", "channels", "text", "finish", "verdict", "probe", "kept", "context"};
  const json_t *o = l->object, *ids = json_object_get(o, "ids"), *advantage = json_object_get(o, "advantage");
  const json_t *logp = json_object_get(o, "logp"), *behaviour = json_object_get(o, "logp_behaviour");
  text_printf(g->out, "{\"group\":%" PRId64 ",\"attempt\":%" PRId64 ",\"rollout\":%" PRId64 ",\"tokens\":%" PRId64 ",",
              l->group, l->attempt, l->rollout, l->tokens);
  put_pieces(g, "pieces", ids, l->from, l->from + tokens);
  text_puts(g->out, ",\"ids\":[");
  for (int64_t i = 0; i < tokens; i++) text_printf(g->out, i ? ",%" PRId32 : "%" PRId32, id_at(ids, l->from + i));
  text_puts(g->out, "]");
  put_numbers(g->out, "logp", logp, tokens);
  if (behaviour && !json_equal(logp, behaviour)) put_numbers(g->out, "behaviour", behaviour, tokens);
  put_numbers(g->out, "entropy", json_object_get(o, "entropy"), tokens);
  // one number for all tokens; or a list over the path's tokens, of which the answer's are the last
  if (json_is_array(advantage)) {
    int64_t skip = (int64_t)json_array_size(advantage) - l->tokens;
    text_printf(g->out, ",\"advantage_skip\":%" PRId64, skip > 0 ? skip : 0);
    put_numbers(g->out, "advantage", advantage, tokens + (skip > 0 ? skip : 0));
  } else {
    put_field(g->out, o, "advantage");
  }
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) put_field(g->out, o, fields[i]);
  text_puts(g->out, "}");
}

/* Cheap enough to look at every line of a step: the problem's id stands at its head. */
static bool is_of_problem(struct grouping *g, const char *line, size_t n)
{
  struct watch_line l;
  struct error failure = {0};
  return watch_line_skim(g->run->scratch, line, n, &l, &failure) == 0 && l.key == g->key;
}

static int group_line(void *arg, const char *line, size_t n, bool *stop, struct error *err)
{
  struct grouping *g = arg;
  struct watch_line l;
  (void)stop;
  if (!is_of_problem(g, line, n)) return 0;
  if (++g->count > ROLLOUTS_GROUP) return 0;
  TRY(watch_line_read(g->run->scratch, line, n, &l, err));
  if (g->count == 1) {
    text_printf(g->out, "{\"step\":%" PRId64 ",\"problem\":\"%016" PRIx64 "\",\"id\":", g->step, g->key);
    json_put_string(g->out, l.problem, strlen(l.problem));
    text_puts(g->out, ",");
    int64_t first = l.from > ROLLOUT_TOKENS ? l.from - ROLLOUT_TOKENS : 0;
    put_pieces(g, "prompt", json_object_get(l.object, "ids"), first, l.from);
    text_puts(g->out, ",\"rollouts\":[");
  } else {
    text_puts(g->out, ",");
  }
  put_rollout(g, &l, l.tokens > ROLLOUT_TOKENS ? ROLLOUT_TOKENS : l.tokens);
  return 0;
}

int rollouts_put_group(struct watch_run *r, int64_t step, uint64_t key, struct text *out, struct error *err)
{
  struct grouping g = {.run = r, .key = key, .out = out, .step = step};
  TRY(walk_step(r, step, group_line, &g, err));
  if (!g.count) FAIL(err, ERROR_INPUT, "step %" PRId64 " has no answers to this problem", step);
  text_printf(out, "],\"of\":%" PRId64 "}", g.count);
  return 0;
}

/* ---- one rollout ------------------------------------------------------------------------------------------------- */

struct finding {
  struct grouping group;
  int64_t attempt, rollout, from;
  struct token_list *ids;
  bool found;
};

static int find_line(void *arg, const char *line, size_t n, bool *stop, struct error *err)
{
  struct finding *f = arg;
  struct watch_line l;
  if (!is_of_problem(&f->group, line, n)) return 0;
  TRY(watch_line_read(f->group.run->scratch, line, n, &l, err));
  if (l.attempt != f->attempt || l.rollout != f->rollout) return 0;
  const json_t *ids = json_object_get(l.object, "ids");
  for (size_t i = 0; i < json_array_size(ids); i++) TRY(token_list_push(f->ids, id_at(ids, (int64_t)i), err));
  f->from = l.from;
  *stop = f->found = true;
  return 0;
}

int rollouts_find(struct watch_run *r, int64_t step, uint64_t key, int64_t attempt, int64_t rollout,
                  struct token_list *ids, int64_t *from, struct error *err)
{
  struct finding f = {.group = {.run = r, .key = key}, .attempt = attempt, .rollout = rollout, .ids = ids};
  TRY(walk_step(r, step, find_line, &f, err));
  *from = f.from;
  if (!f.found) FAIL(err, ERROR_INPUT, "step %" PRId64 " has no such rollout", step);
  return 0;
}
