/* What a run came to, for a person and as JSON: accuracies before and after with their intervals, answers that changed,
 * the learning curve, where the time went, what was made, what to try next. */
#include "train/run.h"

#include "core/file.h"
#include "core/live.h"
#include "core/math.h"
#include "train/chart.h"

#include <inttypes.h>
#include <string.h>

/* ---- answers before and after ------------------------------------------------------------------------------------ */

enum { EXAMPLES = 3 };

struct example {
  const char *prompt, *before, *after; /* texts of the two evaluations' answers to one problem */
  bool right_before, right_after;
  int interest; /* 4: turned right, 3: right in both, 2: still wrong, 1: turned wrong, 0: no example */
};

static int read_object(struct line_reader *r, struct arena *a, json_t **out, struct error *err)
{
  char *line;
  size_t n;
  int number;
  *out = NULL;
  TRY(line_reader_next(r, &line, &n, &number, err));
  return line ? json_parse(a, line, n, "evaluation", number - 1, JSON_READ_PLAIN, out, err) : 0;
}

static const char *member(const json_t *o, const char *key)
{
  const char *s = json_string_value(json_object_get(o, key));
  return s ? s : "";
}

/* The same line of two evaluations; false where they are not about the same problem. */
static bool compare(const json_t *first, const json_t *last, struct example *out)
{
  if (strcmp(member(first, "problem"), member(last, "problem"))) return false;
  *out = (struct example){.prompt = member(first, "prompt"),
                          .before = member(first, "text"),
                          .after = member(last, "text"),
                          .right_before = json_is_true(json_object_get(first, "correct")),
                          .right_after = json_is_true(json_object_get(last, "correct"))};
  out->interest = out->right_after ? (out->right_before ? 3 : 4) : (out->right_before ? 1 : 2);
  return true;
}

static int copy_example(struct arena *a, struct example *e, struct error *err)
{
  e->prompt = arena_strdup(a, e->prompt, "summary", err);
  e->before = arena_strdup(a, e->before, "summary", err);
  e->after = arena_strdup(a, e->after, "summary", err);
  return e->prompt && e->before && e->after ? 0 : err->code;
}

static char *answers_path(const struct run *r, struct arena *a, int64_t step, struct error *err)
{
  return arena_printf(a, "summary", err, "%s/evaluations/%06" PRId64 ".jsonl.zst", r->folder->path, step);
}

/* Reads the first and the last evaluation of the first set side by side: of each third of its answers the most
 * interesting one, the first among equals. None where one of the two was not kept. */
static int find_examples(struct run *r, struct arena *a, struct example kept[EXAMPLES], struct error *err)
{
  const struct ledger_result *first = ledger_first(r->ledger, 0), *last = ledger_last(r->ledger, 0);
  struct line_reader *readers[2];
  if (!first || first == last || !r->eval_set_count) return 0;
  char *paths[2] = {answers_path(r, a, first->step, err), answers_path(r, a, last->step, err)};
  if (!paths[0] || !paths[1]) return err->code;
  if (!file_exists(paths[0]) || !file_exists(paths[1])) return 0;
  for (int i = 0; i < 2; i++) TRY(line_reader_open(a, paths[i], &readers[i], err));
  const int64_t count = r->eval_sets[0].count * r->recipe->eval.samples;
  for (int64_t line = 0; line < count; line++) {
    json_t *before, *after;
    struct example e, *best = &kept[line * EXAMPLES / count];
    arena_reset(r->step_arena);
    TRY(read_object(readers[0], r->step_arena, &before, err));
    TRY(read_object(readers[1], r->step_arena, &after, err));
    if (!before || !after || !compare(before, after, &e)) return 0;
    if (e.interest <= best->interest) continue;
    TRY(copy_example(a, &e, err));
    *best = e;
  }
  return 0;
}

/* White space as single spaces, other control characters as '?'. */
static void flatten(struct text *line, const char *s)
{
  for (; *s; s++) {
    const bool space = *s == ' ' || (*s >= '\t' && *s <= '\r');
    const unsigned char c = (unsigned char)*s;
    if (space && (!line->size || line->bytes[line->size - 1] == ' ')) continue;
    text_add(line, space ? " " : c < 32 || c == 127 ? "?" : s, 1);
  }
}

/* A text in one line of at most `width`; of one that is too long the end: answers stand there. */
static void put_one_line(struct text *t, const char *s, size_t width, bool utf8)
{
  struct text line = {0};
  size_t at = 0;
  flatten(&line, s);
  const char *bytes = line.bytes ? line.bytes : "";
  if (live_width(bytes, line.size) > width)
    while (live_width(bytes + at, line.size - at) > width - 3 || (bytes[at] & 0xc0) == 0x80) at++;
  if (at) text_puts(t, utf8 ? "\u2026 " : "...");
  text_add(t, bytes + at, line.size - at);
  text_free(&line);
}

static void put_example(struct text *t, const struct example *e, int columns, bool utf8)
{
  const size_t width = (size_t)(columns > 110 ? 110 : columns);
  text_puts(t, "  ");
  put_one_line(t, e->prompt, width - 6, utf8);
  text_printf(t, "\n    before  %s  ", e->right_before ? "right" : "wrong");
  put_one_line(t, e->before, width - 24, utf8);
  text_printf(t, "\n    after   %s  ", e->right_after ? "right" : "wrong");
  put_one_line(t, e->after, width - 24, utf8);
  text_puts(t, "\n");
}

static int put_examples(struct run *r, struct text *t, int columns, bool utf8, struct error *err)
{
  struct example kept[EXAMPLES] = {0};
  int turned = 0, count = 0;
  struct arena *a = arena_create("summary", 0, err);
  if (!a) return err->code;
  int rc = find_examples(r, a, kept, err);
  for (int i = 0; i < EXAMPLES; i++) {
    count += kept[i].interest > 0;
    turned += kept[i].interest == 4;
  }
  if (!rc && count) text_printf(t, "\nAnswers to %d of the problems, as sampled in the two evaluations:\n", count);
  for (int i = 0; !rc && i < EXAMPLES; i++)
    if (kept[i].interest) put_example(t, &kept[i], columns, utf8);
  if (!rc && count && !turned) text_puts(t, "  (no answer of the first set turned from wrong to right)\n");
  arena_destroy(a);
  return rc;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void put_result(struct text *t, const char *name, const char *when, const struct ledger_result *e)
{
  text_printf(t, "  %-24.24s %-7s %5.1f %%  (95 %%: %.1f to %.1f)  step %" PRId64 "\n", name, when, 100 * e->accuracy,
              100 * e->low, 100 * e->high, e->step);
}

static void put_accuracies(const struct run *r, struct text *t)
{
  const struct ledger *l = r->ledger;
  if (l->set_count) text_puts(t, "\n");
  for (int i = 0; i < l->set_count; i++) {
    const struct ledger_result *first = ledger_first(l, i), *last = ledger_last(l, i);
    char name[96];
    int count = (size_t)i < r->eval_set_count ? r->eval_sets[i].count : 0;
    snprintf(name, sizeof name, "%s, %d problems", l->sets[i], count);
    put_result(t, name, last == first ? "is" : "before", first);
    if (last != first) put_result(t, "", "after", last);
  }
  if (l->set_count && r->best_step >= 0) {
    text_printf(t, "  %-24s %-7s %5.1f %%  step %" PRId64 "%s\n", "", "best", 100 * r->best, r->best_step,
                r->best_step ? ": checkpoints/best" : ", before training");
  }
}

static double all_seconds(const struct run *r)
{
  const struct ledger *l = r->ledger;
  return l->steps_seconds + l->evaluate_seconds + l->save_seconds + r->save_seconds;
}

static void put_time(const struct run *r, struct text *t)
{
  const struct ledger *l = r->ledger;
  const double total = all_seconds(r);
  const struct {
    const char *what;
    double seconds;
  } parts[] = {{"generate", l->generate_seconds},
               {"verify", l->verify_seconds},
               {"train", l->train_seconds},
               {"save", l->save_seconds + r->save_seconds},
               {"evaluate", l->evaluate_seconds}};
  const char *before = ": ";
  text_puts(t, "  time      ");
  chart_put_duration(t, total);
  for (size_t i = l->sft ? 2 : 0; total > 0 && i < (l->sft ? 4 : 5); i++) {
    text_printf(t, "%s%s %.0f", before, parts[i].what, 100 * parts[i].seconds / total);
    before = ", ";
  }
  text_puts(t, " %\n");
}

static void put_totals(const struct run *r, struct text *t)
{
  const struct ledger *l = r->ledger;
  put_time(r, t);
  text_puts(t, "  tokens    ");
  if (!l->sft) {
    chart_put_count(t, l->generated);
    text_puts(t, " generated, ");
  }
  chart_put_count(t, l->trained);
  text_printf(t, " trained\n  memory    %.0f MiB at the peak\n", l->peak_mib);
  if (!l->sft) {
    text_puts(t, "  mismatch  ");
    chart_put_count(t, l->mismatch);
    text_puts(t, " of ");
    chart_put_count(t, l->mismatch_of);
    text_puts(t, " tokens between sampler and trainer\n");
  }
  text_printf(t, "  weights   %s\n  state     %s\n", r->weights_hash, r->state_hash);
}

static void put_files(const struct run *r, struct text *t)
{
  const char *folder = r->folder->path;
  text_printf(t, "  run       %s\n  curve     %s/curve.svg\n", folder, folder);
  if (r->best_step > 0) text_printf(t, "  best      %s/checkpoints/best, step %" PRId64 "\n", folder, r->best_step);
}

/* ---- what to try next -------------------------------------------------------------------------------------------- */

/* Can stand between quotes on a line of a shell. */
static bool is_plain(const char *s)
{
  size_t n = strlen(s);
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] < 32 || s[i] == '\'' || (unsigned char)s[i] >= 127) return false;
  return n > 0 && n <= 60;
}

/* A prompt of the run's own, held out if it evaluates; NULL where it has none that fits on a line. */
static const char *find_prompt(struct run *r, struct error *err)
{
  uint64_t position = stream_position(r->stream);
  struct problem p;
  if (r->eval_set_count) {
    p = r->eval_sets[0].problems[0];
  } else {
    if (stream_next(r->stream, r->step_arena, &p, err)) return NULL;
    stream_seek(r->stream, position);
  }
  return p.prompt && is_plain(p.prompt) ? p.prompt : NULL;
}

static int put_commands(struct run *r, const char *program, struct text *t, struct error *err)
{
  const char *folder = r->folder->path, *verb = r->recipe->kind == RECIPE_SFT ? "sft" : "train";
  const char *prompt = find_prompt(r, err);
  if (err->code) return err->code;
  text_puts(t, "\nTry next:\n");
  if (r->session.model->score) /* writes no text */
    text_printf(t, "  echo '{\"prompt\": \"%s\", \"response\": \"...\"}' | %s verify reward_model model=%s\n",
                prompt && !strpbrk(prompt, "\"\\") ? prompt : "...", program, folder);
  else if (prompt)
    text_printf(t, "  %s generate %s '%s' --temperature 0\n", program, folder, prompt);
  else
    text_printf(t, "  %s chat %s\n", program, folder);
  text_printf(t, "  %s watch %s\n", program, folder);
  if (r->recipe->kind == RECIPE_TRAIN)
    text_printf(t, "  %s replay %s --step %" PRId64 "\n", program, folder, r->step);
  else
    text_printf(t, "  tensorboard --logdir %s\n", folder);
  if (!(r->recipe->train.passes > 0)) /* which set the steps */
    text_printf(t, "  %s %s %s train.steps=%" PRId64 " --run %s --resume\n", program, verb, r->recipe->file,
                2 * r->recipe->train.steps, folder);
  return 0;
}

int run_summary(struct run *r, const char *program, int columns, bool utf8, struct text *out, struct error *err)
{
  text_printf(out, "\n%" PRId64 " steps of %s are done.\n", r->step, r->recipe->file);
  put_accuracies(r, out);
  TRY(put_examples(r, out, columns, utf8, err));
  if (r->ledger->point_count) {
    const char *what = r->ledger->sft ? "Loss while training" : "Solved while training";
    text_printf(out, "\n%s%s\n", what, !r->ledger->result_count ? "" : utf8 ? ", \u25cf: evaluated" : ", o: evaluated");
    chart_put_text(out, r->ledger, columns > 90 ? 90 : columns, utf8);
  }
  text_puts(out, "\n");
  put_totals(r, out);
  put_files(r, out);
  TRY(put_commands(r, program, out, err));
  return text_finish(out, err);
}

/* ---- as JSON ----------------------------------------------------------------------------------------------------- */

static void put_field(struct text *t, const char *name, const char *value)
{
  text_printf(t, ", \"%s\": ", name);
  json_put_string(t, value, strlen(value));
}

static void put_real(struct text *t, const char *name, double value)
{
  text_printf(t, ", \"%s\": ", name);
  json_put_f64(t, value);
}

static void put_result_json(struct text *t, const char *name, const struct ledger_result *e)
{
  text_printf(t, ", \"%s\": {\"step\": %" PRId64, name, e->step);
  put_real(t, "accuracy", e->accuracy);
  put_real(t, "low", e->low);
  put_real(t, "high", e->high);
  text_puts(t, "}");
}

int run_summary_json(struct run *r, struct text *out, struct error *err)
{
  const struct ledger *l = r->ledger;
  text_printf(out, "{\"summary\": {\"steps\": %" PRId64, r->step);
  put_field(out, "run", r->folder->path);
  put_field(out, "recipe", r->recipe->file);
  put_field(out, "model", r->recipe->top.model);
  text_puts(out, ", \"evaluations\": [");
  for (int i = 0; i < l->set_count; i++) {
    text_puts(out, i ? ", {\"name\": " : "{\"name\": ");
    json_put_string(out, l->sets[i], strlen(l->sets[i]));
    put_result_json(out, "before", ledger_first(l, i));
    put_result_json(out, "after", ledger_last(l, i));
    text_puts(out, "}");
  }
  text_printf(out, "], \"best_step\": %" PRId64, r->best_step);
  put_real(out, "best", r->best);
  put_real(out, "seconds", all_seconds(r));
  put_real(out, "seconds_generate", l->generate_seconds);
  put_real(out, "seconds_verify", l->verify_seconds);
  put_real(out, "seconds_train", l->train_seconds);
  put_real(out, "seconds_save", l->save_seconds + r->save_seconds);
  put_real(out, "seconds_evaluate", l->evaluate_seconds);
  text_printf(out, ", \"tokens_generated\": %" PRId64 ", \"tokens_trained\": %" PRId64, l->generated, l->trained);
  text_printf(out, ", \"mismatch\": %" PRId64 ", \"mismatch_of\": %" PRId64, l->mismatch, l->mismatch_of);
  put_real(out, "peak_mib", l->peak_mib);
  put_field(out, "weights", r->weights_hash);
  put_field(out, "state", r->state_hash);
  text_puts(out, "}}");
  return text_finish(out, err);
}
