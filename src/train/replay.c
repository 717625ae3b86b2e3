#include "train/replay.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "train/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct record {
  json_t *line;
  struct replayed *result;
};

struct replay {
  struct arena *arena;
  const struct replay_options *options;
  struct replay_result *result;
  const char *recipe, *rollouts; /* files */
  const char *checkpoint;        /* folder to set out from; NULL: the start model */
  int64_t oldest;                /* step of the oldest checkpoint; -1: there is none */
  struct record *records;        /* [result->count] */
  json_t **metrics;              /* [step + 1] */
};

/* ---- what the folder holds --------------------------------------------------------------------------------------- */

/* The step that a name begins with ("000012", "000012.jsonl.zst"), -1: none. */
static int64_t step_of_name(const char *name, const char *suffix)
{
  char *end;
  if (*name < '0' || *name > '9') return -1;
  int64_t step = strtoll(name, &end, 10);
  return strcmp(end, suffix) ? -1 : step;
}

/* "1-12, 20": the steps that have a record. */
static void put_steps(struct text *t, const struct replay *r)
{
  char *path = path_join(r->arena, r->options->run, "rollouts", NULL), **names;
  size_t count = 0;
  int64_t first = -1, last = -1;
  if (!path || !file_is_folder(path) || file_list(r->arena, path, &names, &count, NULL)) count = 0;
  for (size_t i = 0; i <= count; i++) {
    int64_t step = i < count ? step_of_name(names[i], ".jsonl.zst") : INT64_MAX;
    if (step < 0) continue;
    if (first >= 0 && step != last + 1) {
      text_printf(t, "%s%" PRId64, t->size ? ", " : "", first);
      if (last > first) text_printf(t, "-%" PRId64, last);
      first = -1;
    }
    if (first < 0) first = step;
    last = step;
  }
  if (!t->size) text_puts(t, "none");
}

static int check_run(struct replay *r, struct error *err)
{
  const struct replay_options *o = r->options;
  struct text steps = {0};
  r->recipe = path_join(r->arena, o->run, "recipe.yaml", err);
  r->rollouts = arena_printf(r->arena, "replay", err, "%s/rollouts/%06" PRId64 ".jsonl.zst", o->run, o->step);
  if (!r->recipe || !r->rollouts) return err->code;
  if (!file_exists(r->recipe))
    FAIL_AT(err, ERROR_INPUT, o->run, 0, NULL,
            "holds no run (no recipe.yaml); expected the folder of a run that `assay train` made");
  if (file_exists(r->rollouts)) return 0;
  put_steps(&steps, r);
  error_fail(err, ERROR_INPUT, o->run, 0, "--step",
             "has no record of the rollouts of step %" PRId64
             "; expected one of %s (a run with save.rollouts: none keeps no records, one of sft has none)",
             o->step, steps.bytes ? steps.bytes : "none");
  text_free(&steps);
  return err->code;
}

/* The newest checkpoint from which the step is still ahead. */
static int find_start(struct replay *r, struct error *err)
{
  char *all = path_join(r->arena, r->options->run, "checkpoints", err), **names;
  size_t count;
  if (!all) return err->code;
  if (!file_is_folder(all)) return 0;
  TRY(file_list(r->arena, all, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    int64_t step = step_of_name(names[i], "");
    if (step >= 0 && (r->oldest < 0 || step < r->oldest)) r->oldest = step;
    if (step <= r->result->start || step >= r->options->step) continue;
    r->result->start = step;
    r->checkpoint = path_join(r->arena, all, names[i], err);
    if (!r->checkpoint) return err->code;
  }
  return 0;
}

/* Without a checkpoint the start model must still be there. */
static int check_start(struct replay *r, struct error *err)
{
  struct recipe *recipe;
  TRY(recipe_read(r->arena, r->recipe, RECIPE_TRAIN, r->options->overrides, r->options->override_count, &recipe, err));
  const char *model = recipe->top.model ? recipe->top.model : "";
  if (!strncmp(model, "random:", 7)) model += 7;
  if (r->checkpoint || file_exists(model)) return 0;
  char can[64] = "no step can be replayed";
  if (r->oldest >= 0) snprintf(can, sizeof can, "steps from %" PRId64 " on can be replayed", r->oldest + 1);
  FAIL_AT(err, ERROR_RESOURCE, r->options->run, 0, "--step",
          "no checkpoint before step %" PRId64
          " is left, and the model that the run started from, %s, is not there; expected one of them; %s; for others "
          "bring the model back, or run this where the run was started",
          r->options->step, model, can);
}

/* ---- records ------------------------------------------------------------------------------------------------------
 */

static const char *text_of(const json_t *line, const char *name)
{
  const char *s = json_string_value(json_object_get(line, name));
  return s ? s : "";
}

static int64_t number_of(const json_t *line, const char *name)
{
  return json_integer_value(json_object_get(line, name));
}

/* Says what there is: the ids of the step's problems, or the rollouts of this one. */
static int not_recorded(const struct replay *r, json_t *const *lines, size_t count, struct error *err)
{
  enum { MOST = 8 };
  const struct replay_options *o = r->options;
  struct text there = {0};
  const char *last = "";
  bool known = false;
  int64_t distinct = 0, most = -1;
  for (size_t i = 0; i < count; i++) {
    const char *problem = text_of(lines[i], "problem");
    if (!strcmp(problem, o->problem)) {
      known = true;
      if (number_of(lines[i], "rollout") > most) most = number_of(lines[i], "rollout");
    }
    if (!strcmp(problem, last)) continue;
    if (distinct++ < MOST) text_printf(&there, "%s%s", there.size ? ", " : "", problem);
    last = problem;
  }
  if (known)
    error_fail(err, ERROR_INPUT, r->rollouts, 0, "--rollout",
               "found --rollout %" PRId64 "; problem %s has rollouts 0 to %" PRId64, o->rollout, o->problem, most);
  else
    error_fail(err, ERROR_INPUT, r->rollouts, 0, "--problem",
               "has no problem \"%s\"; expected one of the %" PRId64 " of step %" PRId64 ": %s%s", o->problem, distinct,
               o->step, there.bytes ? there.bytes : "none", distinct > MOST ? ", ..." : "");
  text_free(&there);
  return err->code;
}

static bool wanted(const struct replay_options *o, const json_t *line)
{
  if (o->problem && strcmp(o->problem, text_of(line, "problem")) != 0) return false;
  return o->rollout < 0 || o->rollout == number_of(line, "rollout");
}

/* The lines of the step's record, grown in the arena by doubling. */
static int read_lines(struct replay *r, json_t ***out, size_t *count, struct error *err)
{
  struct line_reader *reader;
  json_t **lines = NULL;
  size_t n = 0, room = 0, size;
  TRY(line_reader_open(r->arena, r->rollouts, &reader, err));
  for (;;) {
    char *bytes;
    int number;
    TRY(line_reader_next(reader, &bytes, &size, &number, err));
    if (!bytes) break;
    if (n == room) {
      json_t **more = ARENA_NEW(r->arena, json_t *, room = room ? 2 * room : 64, "replay", err);
      if (!more) return err->code;
      if (n) memcpy(more, lines, n * sizeof *lines);
      lines = more;
    }
    TRY(json_parse(r->arena, bytes, size, r->rollouts, number - 1, JSON_READ_UNIQUE, &lines[n++], err));
  }
  *out = lines;
  *count = n;
  return 0;
}

static int read_records(struct replay *r, struct error *err)
{
  json_t **lines;
  size_t count;
  TRY(read_lines(r, &lines, &count, err));
  r->records = ARENA_NEW(r->arena, struct record, count, "replay", err);
  r->result->rollouts = ARENA_NEW(r->arena, struct replayed, count, "replay", err);
  if (!r->records || !r->result->rollouts) return err->code;
  for (size_t i = 0; i < count; i++) {
    if (!wanted(r->options, lines[i])) continue;
    struct replayed *p = &r->result->rollouts[r->result->count];
    *p = (struct replayed){.problem = text_of(lines[i], "problem"),
                           .text = "",
                           .group = number_of(lines[i], "group"),
                           .attempt = number_of(lines[i], "attempt"),
                           .rollout = number_of(lines[i], "rollout"),
                           .probe = text_of(lines[i], "probe"),
                           .token = -1};
    r->records[r->result->count++] = (struct record){lines[i], p};
  }
  if (r->result->count) return 0;
  if (r->options->problem) return not_recorded(r, lines, count, err);
  FAIL_AT(err, ERROR_INPUT, r->rollouts, 0, "--rollout", "has no rollout %" PRId64 " of any problem",
          r->options->rollout);
}

/* ---- what the run said of the steps between ------------------------------------------------------------------------
 */

static int read_metrics(struct replay *r, struct error *err)
{
  int64_t last = r->options->step;
  struct line_reader *reader;
  char *path = path_join(r->arena, r->options->run, "metrics.jsonl", err);
  r->metrics = ARENA_NEW(r->arena, json_t *, (size_t)last + 1, "replay", err);
  if (!path || !r->metrics) return err->code;
  if (!file_exists(path)) return 0;
  TRY(line_reader_open(r->arena, path, &reader, err));
  for (;;) {
    char *bytes;
    size_t size;
    int number;
    json_t *line;
    TRY(line_reader_next(reader, &bytes, &size, &number, err));
    if (!bytes) return 0;
    // the last line of a run that is going on, or was killed, may be cut short
    if (json_parse(r->arena, bytes, size, path, number - 1, JSON_READ_PLAIN, &line, NULL)) continue;
    int64_t step = number_of(line, "step");
    if (step > 0 && step <= last) r->metrics[step] = line;
  }
}

static void estimate(struct replay *r)
{
  struct replay_result *out = r->result;
  int64_t step = r->options->step;
  char from[64] = "the start model", steps[96] = "", time[64] = "unknown (no metrics.jsonl)";
  for (int64_t i = out->start + 1; i <= step; i++) {
    double s = json_number_value(json_object_get(r->metrics[i], i < step ? "time_s" : "seconds/generate"));
    out->seconds = r->metrics[i] ? out->seconds + s : (double)__builtin_nanf("");
  }
  if (r->checkpoint) snprintf(from, sizeof from, "checkpoint %" PRId64, out->start);
  if (step - out->start > 1)
    snprintf(steps, sizeof steps, "trains %" PRId64 " step%s again, ", step - out->start - 1,
             step - out->start > 2 ? "s" : "");
  if (!math_is_nan(out->seconds)) snprintf(time, sizeof time, "about %.3g s, as the run took", out->seconds);
  log_info("from %s: %sgenerates step %" PRId64 "; time %s", from, steps, step, time);
}

/* A step that trains otherwise than it did explains every difference after it. */
static void compare_training(const struct replay *r, const struct run *run)
{
  static const char *const names[] = {"lr", "loss", "grad_norm"};
  const json_t *was = run->step <= r->options->step ? r->metrics[run->step] : NULL;
  for (size_t i = 0; was && i < sizeof names / sizeof *names; i++) {
    const json_t *value = json_object_get(was, names[i]);
    double now = metrics_get(&run->metrics, names[i]), then = json_number_value(value);
    if (!json_is_number(value) || (now <= then && now >= then)) continue;
    log_warn("step %" PRId64 " does not train as it did: %s was %.9g, now %.9g; %s", run->step, names[i], then, now,
             i ? "the start model, the data or the program has changed since"
               : "give train.steps=N as it was then, if --resume changed it since");
    return;
  }
}

/* ---- comparing ----------------------------------------------------------------------------------------------------
 */

static const char *json_of(struct arena *a, const json_t *v)
{
  struct text t = {0};
  if (!v) return "absent";
  json_put_value(&t, v);
  const char *s = text_finish(&t, NULL) ? NULL : arena_strndup(a, t.bytes, t.size, "replay", NULL);
  text_free(&t);
  return s ? s : "?";
}

/* Numbers are the shortest decimals that read back to the same bits, so equal text is equal bits. */
static bool same(struct replay *r, struct replayed *p, const char *field, int64_t token, const json_t *was,
                 const json_t *now)
{
  struct arena_mark mark = arena_mark(r->arena);
  const char *recorded = json_of(r->arena, was), *made = json_of(r->arena, now);
  if (!strcmp(recorded, made)) {
    arena_release(r->arena, mark);
    return true;
  }
  *p = (struct replayed){.problem = p->problem,
                         .text = p->text,
                         .group = p->group,
                         .attempt = p->attempt,
                         .rollout = p->rollout,
                         .probe = p->probe,
                         .tokens = p->tokens,
                         .field = field,
                         .token = token,
                         .recorded = recorded,
                         .now = made};
  return false;
}

static bool same_tokens(struct replay *r, struct replayed *p, const json_t *was, const json_t *now)
{
  static const char *const lists[] = {"logp", "logp_behaviour", "entropy"};
  const json_t *ids[] = {json_object_get(was, "ids"), json_object_get(now, "ids")};
  size_t from = (size_t)number_of(now, "from"), count[] = {json_array_size(ids[0]), json_array_size(ids[1])};
  size_t most = count[0] > count[1] ? count[0] : count[1];
  for (size_t i = 0; i < most; i++) {
    bool prompt = i < from;
    int64_t token = prompt ? -1 : (int64_t)(i - from);
    if (!same(r, p, prompt ? "ids (prompt)" : "ids", token, json_array_get(ids[0], i), json_array_get(ids[1], i)))
      return false;
    for (size_t k = 0; !prompt && k < sizeof lists / sizeof *lists; k++)
      if (!same(r, p, lists[k], token, json_array_get(json_object_get(was, lists[k]), i - from),
                json_array_get(json_object_get(now, lists[k]), i - from)))
        return false;
  }
  return true;
}

static void compare(struct replay *r, struct replayed *p, const json_t *was, const json_t *now)
{
  static const char *const fields[] = {"finish", "text", "verdict", "channels", "reward", "advantage"};
  p->tokens = (int64_t)json_array_size(json_object_get(now, "ids")) - number_of(now, "from");
  p->text = text_of(now, "text");
  if (!same(r, p, "problem", -1, json_object_get(was, "problem"), json_object_get(now, "problem"))) return;
  if (!same(r, p, "from", -1, json_object_get(was, "from"), json_object_get(now, "from"))) return;
  if (!same_tokens(r, p, was, now)) return;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (!same(r, p, fields[i], -1, json_object_get(was, fields[i]), json_object_get(now, fields[i]))) return;
}

static int32_t find_rollout(const struct step *s, const struct replayed *p)
{
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    if (s->groups[o->group].ordinal == p->group && o->attempt == p->attempt && o->ordinal == p->rollout &&
        !strcmp(o->probe ? o->probe : "", p->probe))
      return i;
  }
  return -1;
}

static int compare_all(struct replay *r, struct run *run, const struct step *s, struct error *err)
{
  for (size_t i = 0; i < r->result->count; i++) {
    struct record *record = &r->records[i];
    int32_t index = find_rollout(s, record->result);
    json_t *now = NULL;
    struct text line = {0};
    int rc = index < 0 ? 0 : report_rollout(run, &line, s, index, err);
    if (!rc) rc = text_finish(&line, err);
    if (!rc && index >= 0) rc = json_parse(r->arena, line.bytes, line.size, "replay", 0, JSON_READ_PLAIN, &now, err);
    text_free(&line);
    TRY(rc);
    compare(r, record->result, record->line, now);
    r->result->differing += record->result->field != NULL;
  }
  return 0;
}

/* ---- the replay ---------------------------------------------------------------------------------------------------
 */

static int run_forward(struct replay *r, struct run *run, struct error *err)
{
  struct step *s;
  int64_t last = r->options->step;
  while (run->step < last - 1) {
    if (r->options->stop && r->options->stop()) FAIL(err, ERROR_STOPPED, "stopped by a signal");
    log_progress("training again", (double)(run->step - r->result->start), (double)(last - 1 - r->result->start),
                 "steps");
    TRY(run_step(run, err));
    compare_training(r, run);
  }
  log_progress_end();
  TRY(run_sample(run, &s, err));
  run->step++;
  return compare_all(r, run, s, err);
}

int replay_run(struct arena *a, const struct replay_options *o, struct replay_result *out, struct error *err)
{
  struct replay r = {.arena = a, .options = o, .result = out, .oldest = -1};
  struct run *run;
  size_t n = o->override_count;
  const char **overrides = ARENA_NEW(a, const char *, n + 1, "replay", err);
  if (!overrides) return err->code;
  for (size_t i = 0; i < n; i++) overrides[i] = o->overrides[i];
  overrides[n] = "save.rollouts=none";  // steps that are trained again leave no record
  *out = (struct replay_result){0};
  TRY(check_run(&r, err));
  TRY(read_records(&r, err));
  TRY(find_start(&r, err));
  TRY(check_start(&r, err));
  TRY(read_metrics(&r, err));
  estimate(&r);
  struct run_options options = {.recipe = r.recipe,
                                .overrides = overrides,
                                .override_count = n + 1,
                                .replay = true,
                                .checkpoint = r.checkpoint,
                                .threads = o->threads,
                                .memory = o->memory,
                                .seed = -1,
                                .stop = o->stop};
  TRY(run_open(a, &options, &run, err));
  return run_forward(&r, run, err);
}
