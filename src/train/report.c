/* What a step leaves behind: one line of metrics, one line a rollout. */
#include "train/run.h"

#include "core/log.h"
#include "core/math.h"
#include "core/pool.h"
#include "train/chart.h"
#include "train/events.h"

#include <inttypes.h>
#include <string.h>

/* ---- metrics --------------------------------------------------------------------------------------------------------
 */

/* Mean and standard deviation (n - 1) of a channel over the kept rollouts, in canonical order. */
static void channel_mean(const struct step *s, int channel, double *mean, double *std)
{
  double sum = 0, squares = 0, value;
  int64_t n = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    if (!step_get_channel(s, s->order[i], channel, &value)) continue;
    sum += value;
    n++;
  }
  *mean = n ? sum / (double)n : (double)__builtin_nanf("");
  for (int32_t i = 0; i < s->kept; i++)
    if (step_get_channel(s, s->order[i], channel, &value)) squares += (value - *mean) * (value - *mean);
  *std = n > 1 ? math_sqrt(squares / (double)(n - 1)) : 0;
}

static void report_rewards(struct metrics *m, const struct step *s)
{
  double mean, std;
  channel_mean(s, 0, &mean, &std);
  metrics_set(m, "reward/mean", mean);
  metrics_set(m, "reward/std", std);
  for (int32_t c = 1; c < s->channel_count; c++) {
    char name[64];
    channel_mean(s, c, &mean, &std);
    snprintf(name, sizeof name, "reward/%.50s", s->channel_names[c]);
    metrics_set(m, name, mean);
  }
}

static void report_groups(struct metrics *m, const struct step *s)
{
  int64_t solved = 0, judged = 0, mixed = 0, right = 0, wrong = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    int64_t n = 0, of = 0; /* a rollout whose verifier failed is neither right nor wrong */
    for (int32_t i = 0; i < s->groups[g].count; i++) {
      const struct rollout *o = &s->rollouts[s->order[s->groups[g].first + i]];
      if (o->status != ROLLOUT_OK) continue;
      n += o->verdict.correct;
      of++;
    }
    solved += n;
    judged += of;
    right += of && n == of;
    mixed += n && n < of;
    wrong += of && !n;
  }
  metrics_set(m, "solved", judged ? (double)solved / (double)judged : 0);
  metrics_set_int(m, "groups/mixed", mixed);
  metrics_set_int(m, "groups/all_right", right);
  metrics_set_int(m, "groups/all_wrong", wrong);
}

static void report_lengths(struct metrics *m, const struct step *s)
{
  int64_t tokens = 0, longest = 0, stop = 0, length = 0, attempts = 0, probed = 0;
  double entropy = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct segment *leaf = &s->tree->segments[s->rollouts[i].leaf];
    if (s->rollouts[i].probe) {
      probed += leaf->count;
      continue;
    }
    attempts++;
    tokens += leaf->count;
    if (leaf->count > longest) longest = leaf->count;
    stop += s->rollouts[i].finish == FINISH_STOP;
    length += s->rollouts[i].finish == FINISH_LENGTH;
    for (int32_t k = 0; k < leaf->count; k++) entropy += (double)leaf->tokens[k].entropy;
  }
  double n = attempts ? (double)attempts : 1;
  metrics_set(m, "length/mean", (double)tokens / n);
  metrics_set_int(m, "length/max", longest);
  metrics_set(m, "finish/stop", (double)stop / n);
  metrics_set(m, "finish/length", (double)length / n);
  metrics_set(m, "entropy", tokens ? entropy / (double)tokens : 0);
  metrics_set_int(m, "tokens/generated", tokens + probed);
  metrics_set(m, "tok_s/generate", (double)(tokens + probed) / metrics_get(m, "seconds/generate"));
}

static void report_update(struct run *r, const struct update_result *u)
{
  struct metrics *m = &r->metrics;
  const struct trainer_counts *c = &r->trainer->counts;
  metrics_set(m, "loss", u->loss);
  metrics_set(m, "kl", u->kl);
  metrics_set(m, "clip", u->clip);
  metrics_set(m, "ratio/min", u->ratio_min);
  metrics_set(m, "ratio/max", u->ratio_max);
  metrics_set(m, "grad_norm", u->grad_norm);
  metrics_set_int(m, "tokens/trained", u->tokens_trained);
  metrics_set_int(m, "rows/forward", (int64_t)c->rows_forward);
  metrics_set_int(m, "rows/backward", (int64_t)c->rows_backward);
  metrics_set_int(m, "rows/recomputed", (int64_t)c->rows_recomputed);
  metrics_set_int(m, "rows/padding", (int64_t)c->rows_padding);
  metrics_set(m, "tok_s/train", (double)c->rows_forward / metrics_get(m, "seconds/train"));
  metrics_set_int(m, "mismatch", u->mismatch);
  metrics_set_int(m, "mismatch/of", u->mismatch_of);
  metrics_set_int(m, "mismatch/skipped/stale", u->skipped_stale);
  metrics_set_int(m, "mismatch/skipped/context", u->skipped_context);
  metrics_set_int(m, "mismatch/skipped/imported", u->skipped_imported);
}

/* Second contexts that did not fit train nothing: counted, and said once. */
static void report_second(struct run *r, const struct step *s)
{
  if (!(compose_needs(r->methods)->flags & NEED_SECOND_CONTEXT)) return;
  metrics_set_int(&r->metrics, "scores/second_too_long", s->second_too_long);
  if (!s->second_too_long || r->second_warned) return;
  r->second_warned = true;
  log_warn("step %lld: %" PRId32
           " second contexts, or rollouts behind them, are too long and scored nowhere; expected at most "
           "%lld tokens (rollout.max_prompt_tokens) and an answer; raise it, or shorten the method's prompt; metric "
           "scores/second_too_long counts on",
           (long long)r->step, s->second_too_long, (long long)r->recipe->rollout.max_prompt_tokens);
}

void report_methods(struct run *r)
{
  for (size_t i = 0; i < compose_metrics(r->methods); i++) {
    const char *name;
    double value;
    compose_metric(r->methods, i, &name, &value);
    metrics_set(&r->metrics, name, value);
  }
  compose_clear_metrics(r->methods);
}

int report_step(struct run *r, const struct step *s, const struct update_result *u, struct error *err)
{
  (void)err;
  struct metrics *m = &r->metrics;
  metrics_set_int(m, "step", r->step);
  if (r->recipe->kind == RECIPE_TRAIN) {
    report_rewards(m, s);
    report_groups(m, s);
    report_lengths(m, s);
    report_second(r, s);
  }
  report_update(r, u);
  metrics_set(m, "seconds/save", r->save_seconds);
  r->save_seconds = 0;
  metrics_set_int(m, "memory/peak_mib", (int64_t)(memory_resident_peak() >> 20));
  return 0;
}

/* What a person wants to see of a step: every line is in log.txt, and elsewhere than on a terminal the first, the last,
 * those with an evaluation, and one every 10 s. */
static void say(struct run *r)
{
  enum { SECONDS = 10 };
  const struct metrics *m = &r->metrics;
  double now = clock_seconds();
  bool due = r->step == 1 || r->step == r->recipe->train.steps || now - r->said >= SECONDS ||
             !math_is_nan(metrics_get(m, "seconds/evaluate"));
  if (due) r->said = now;
  if (r->recipe->kind == RECIPE_SFT)
    log_detail(due, "step %3lld/%lld  loss %.4f  grad %.3g  lr %.3g  %.0f tok/s  %.2f s", (long long)r->step,
               (long long)r->recipe->train.steps, metrics_get(m, "loss"), metrics_get(m, "grad_norm"),
               metrics_get(m, "lr"), metrics_get(m, "tok_s/train"), metrics_get(m, "time_s"));
  else
    log_detail(due,
               "step %3lld/%lld  solved %5.1f %%  reward %.3f  entropy %.3f  length %.1f  grad %.3g  %.0f tok/s  "
               "%.2f s  mismatch %.0f of %.0f",
               (long long)r->step, (long long)r->recipe->train.steps, 100 * metrics_get(m, "solved"),
               metrics_get(m, "reward/mean"), metrics_get(m, "entropy"), metrics_get(m, "length/mean"),
               metrics_get(m, "grad_norm"), metrics_get(m, "tok_s/generate"), metrics_get(m, "time_s"),
               metrics_get(m, "mismatch"), metrics_get(m, "mismatch/of"));
}

int report_write(struct run *r, struct error *err)
{
  struct text line = {0};
  metrics_write_line(&r->metrics, &line);
  int rc = text_finish(&line, err);
  if (!rc) rc = run_folder_append_metrics(r->folder, line.bytes, line.size, err);
  text_free(&line);
  if (!rc) rc = events_append(r->events, &r->metrics, err);
  if (!rc) rc = ledger_add(r->ledger, &r->metrics, err);
  if (!rc) r->reported = r->metrics;
  if (!rc && !math_is_nan(metrics_get(&r->metrics, "time_s"))) say(r);
  return rc || !r->watch.reported ? rc : r->watch.reported(r->watch.arg, &r->metrics, err);
}

/* The title holds nothing that differs between two runs with the same numbers. */
int report_curve(struct run *r, struct error *err)
{
  struct arena_mark mark = arena_mark(r->arena);
  struct text svg = {0}, title = {0};
  struct file_writer *w;
  const struct ledger_result *first = ledger_first(r->ledger, 0), *last = ledger_last(r->ledger, 0);
  char *path = path_join(r->arena, r->folder->path, "curve.svg", err);
  text_printf(&title, "%s, %s", path_base(r->recipe->file), path_base(r->recipe->top.model));
  if (first && last != first)
    text_printf(&title, ": %s %.1f %% to %.1f %%", r->ledger->sets[0], 100 * first->accuracy, 100 * last->accuracy);
  chart_put_svg(&svg, r->ledger, title.bytes ? title.bytes : "");
  int rc = path ? text_finish(&svg, err) : err->code;
  if (!rc) rc = file_writer_open(r->arena, path, &w, err);
  if (!rc) rc = file_writer_write(w, svg.bytes, svg.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&svg);
  text_free(&title);
  arena_release(r->arena, mark);
  return rc;
}

/* ---- rollouts --------------------------------------------------------------------------------------------------- */

static void put_records(struct text *t, const char *name, const struct segment *s, int which)
{
  text_printf(t, ",\"%s\":[", name);
  for (int32_t i = 0; i < s->count; i++) {
    const struct token_record *k = &s->tokens[i];
    if (i) text_puts(t, ",");
    json_put_f32(t, which == 0 ? k->logp : which == 1 ? k->logp_behaviour : k->entropy);
  }
  text_puts(t, "]");
}

static void put_channels(struct text *t, const struct step *s, int32_t rollout)
{
  double value;
  bool first = true;
  text_puts(t, ",\"channels\":{");
  for (int32_t c = 0; c < s->channel_count; c++) {
    if (!step_get_channel(s, rollout, c, &value)) continue;
    text_puts(t, first ? "" : ",");
    json_put_string(t, s->channel_names[c], strlen(s->channel_names[c]));
    text_puts(t, ":");
    json_put_f64(t, value);
    first = false;
  }
  text_puts(t, "}");
}

/* One number where all tokens of the rollout have the same advantage, a list where they differ. */
static void put_advantage(struct text *t, const struct step *s, const struct rollout *o)
{
  bool same = true;
  for (int32_t i = 1; i < o->path_count; i++) same = same && s->advantage[o->path + i] == s->advantage[o->path];
  text_puts(t, ",\"advantage\":");
  if (!o->path_count)
    text_puts(t, "0");
  else if (same)
    json_put_f64(t, s->advantage[o->path]);
  for (int32_t i = 0; !same && i < o->path_count; i++) {
    text_puts(t, i ? "," : "[");
    json_put_f64(t, s->advantage[o->path + i]);
  }
  if (!same) text_puts(t, "]");
}

static const char *finish_name(enum finish f)
{
  return f == FINISH_STOP ? "stop" : f == FINISH_LENGTH ? "length" : "none";
}

int report_rollout(struct run *r, struct text *t, const struct step *s, int32_t rollout, struct error *err)
{
  const struct rollout *o = &s->rollouts[rollout];
  const struct segment *leaf = &s->tree->segments[o->leaf];
  const struct verdict *v = &o->verdict;
  const char *id = s->groups[o->group].problem->id;
  char *text;
  size_t n;
  int32_t length = tree_path_length(s->tree, o->leaf);
  int32_t *ids = ARENA_NEW(s->arena, int32_t, (size_t)length, "report", err);
  if (!ids) return err->code;
  tree_path_ids(s->tree, o->leaf, ids);
  TRY(collect_text(r, s->arena, s->tree, o->leaf, &text, &n, err));
  text_printf(t, "{\"step\":%" PRId64 ",\"problem\":", r->step);
  json_put_string(t, id, strlen(id));
  text_printf(t, ",\"group\":%" PRId32 ",\"attempt\":%" PRId32 ",\"rollout\":%" PRId32 ",\"ids\":[",
              s->groups[o->group].ordinal, o->attempt, o->ordinal);
  for (int32_t i = 0; i < length; i++) text_printf(t, i ? ",%" PRId32 : "%" PRId32, ids[i]);
  text_printf(t, "],\"from\":%" PRId32, leaf->start);
  put_records(t, "logp", leaf, 0);
  put_records(t, "logp_behaviour", leaf, 1);
  put_records(t, "entropy", leaf, 2);
  text_puts(t, ",\"reward\":");
  json_put_f64(t, s->reward[rollout]);
  put_channels(t, s, rollout);
  put_advantage(t, s, o);
  text_puts(t, ",\"text\":");
  json_put_string(t, text, n);
  text_printf(t, ",\"finish\":\"%s\",\"verdict\":{\"reward\":", finish_name(o->finish));
  json_put_f64(t, v->reward);
  text_printf(t, ",\"correct\":%s,\"extracted\":", v->correct ? "true" : "false");
  if (v->extracted)
    json_put_string(t, v->extracted, strlen(v->extracted));
  else
    text_puts(t, "null");
  text_puts(t, ",\"reason\":");
  json_put_string(t, v->reason ? v->reason : "", v->reason ? strlen(v->reason) : 0);
  text_puts(t, v->status == VERDICT_FAILED ? ",\"failed\":true}" : "}");
  // what is said of ordinary, kept rollouts stays as short as it was
  if (o->probe) {
    text_puts(t, ",\"probe\":");
    json_put_string(t, o->probe, strlen(o->probe));
  } else if (!o->kept) {
    text_puts(t, ",\"kept\":false");
  }
  if (o->generating != s->groups[o->group].context) {
    text_puts(t, ",\"context\":");
    json_put_string(t, s->contexts[o->generating].kind, strlen(s->contexts[o->generating].kind));
  }
  text_puts(t, "}\n");
  return 0;
}

int report_rollouts(struct run *r, const struct step *s, struct error *err)
{
  struct text t = {0};
  int rc = 0;
  for (int32_t i = 0; !rc && i < s->rollout_count; i++) rc = report_rollout(r, &t, s, i, err);
  if (!rc) rc = text_finish(&t, err);
  if (!rc) rc = run_folder_write_rollouts(r->folder, r->step, t.bytes ? t.bytes : "", t.size, err);
  text_free(&t);
  return rc;
}
