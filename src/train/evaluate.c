/* Evaluation inside a run: problems that training never sees, answered by the policy as it is. The random numbers are
 * the same each time, so that two evaluations of one run are compared on the same draws. */
#include "train/evaluate_given.h"
#include "train/run.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "eval/estimators.h"
#include "eval/report.h"

#include <string.h>

enum { CHUNK = 64 /* problems at a time: bounds memory */, ENDLESS_COUNT = 256 };

/* ---- the sets --------------------------------------------------------------------------------------------------- */

static int add_problem(struct run *r, struct eval_set *set, const struct problem *p, struct error *err)
{
  struct token_list ids = {0};
  int rc = session_problem_ids(&r->session, p, r->template_variables, &ids, err);
  int64_t most = r->recipe->rollout.max_prompt_tokens, room = run_prompt_room(r);
  if (!rc && ids.count && (int64_t)ids.count <= (most < room ? most : room)) {
    int32_t *copy = ARENA_NEW(r->arena, int32_t, ids.count, "evaluation", err);
    if (copy) {
      memcpy(copy, ids.ids, ids.count * sizeof *copy);
      set->problems[set->count] = *p;
      set->ids[set->count] = copy;
      set->id_counts[set->count++] = (int32_t)ids.count;
    } else {
      rc = err->code;
    }
  }
  token_list_free(&ids);
  return rc;
}

static int open_set(struct run *r, const struct source *source, int64_t wanted, struct eval_set *set, struct error *err)
{
  uint64_t count = source_count(source), most = wanted ? (uint64_t)wanted : count ? count : ENDLESS_COUNT;
  if (!count || most < count) count = most;
  set->name = source_name(source);
  set->problems = ARENA_NEW(r->arena, struct problem, count, "evaluation", err);
  set->ids = ARENA_NEW(r->arena, int32_t *, count, "evaluation", err);
  set->id_counts = ARENA_NEW(r->arena, int32_t, count, "evaluation", err);
  if (!set->problems || !set->ids || !set->id_counts) return err->code;
  for (uint64_t i = 0; i < count; i++) {
    struct problem p;
    TRY(source_problem(source, r->arena, i, &p, err));
    TRY(add_problem(r, set, &p, err));
  }
  if (!set->count)
    FAIL(err, ERROR_INPUT,
         "evaluation data %s has no problem of at most rollout.max_prompt_tokens tokens; expected one", set->name);
  return 0;
}

int evaluate_open(struct run *r, struct error *err)
{
  struct source_list sources;
  size_t n = r->recipe->eval_data_count;
  if (!n) return 0;
  TRY(run_open_sources(r, r->recipe->eval_data, n, &sources, err));
  r->eval_sets = ARENA_NEW(r->arena, struct eval_set, n, "evaluation", err);
  if (!r->eval_sets) return err->code;
  r->eval_set_count = n;
  for (size_t i = 0; i < n; i++)
    TRY((r->recipe->kind == RECIPE_SFT ? evaluate_given_open : open_set)(r, sources.items[i], r->recipe->eval.problems,
                                                                         &r->eval_sets[i], err));
  return 0;
}

/* ---- one evaluation --------------------------------------------------------------------------------------------- */

struct answers {
  struct run *run;
  struct tree *tree;
  struct generate_job *jobs;
  const struct eval_set *set;
  const struct verifier_config **verifiers;
  int32_t first;       /* problem of job 0 */
  int32_t per_problem; /* jobs of a problem: samples come in jobs of at most the group's size */
  int64_t samples, done, total;
  const char **texts; /* [slots] answers */
  size_t *sizes;
  struct arena *arena;       /* of this evaluation */
  struct file_writer *lines; /* evaluations/STEP.jsonl.zst, NULL where the recipe keeps no rollouts */
  struct evaluation *seen;   /* what methods look at, NULL where none does */
  struct error err;
};

static size_t slot_of(const struct answers *w, int32_t job, int32_t rollout)
{
  return (size_t)(job / w->per_problem) * (size_t)w->samples + (size_t)(w->jobs[job].first_rollout + rollout);
}

static void finished(void *arg, int32_t job, int32_t rollout)
{
  struct answers *w = arg;
  const struct problem *p = &w->set->problems[w->first + job / w->per_problem];
  size_t slot = slot_of(w, job, rollout);
  char *text;
  size_t n;
  log_progress("evaluate", (double)++w->done, (double)w->total, "answers");
  if (w->err.code || collect_text(w->run, w->run->step_arena, w->tree, w->jobs[job].leaf[rollout], &text, &n, &w->err))
    return;
  w->texts[slot] = text;
  w->sizes[slot] = n;
  verify_queue_submit(w->run->verify, w->verifiers[w->first + job / w->per_problem], p, text, n, slot);
}

static bool cancelled(void *arg)
{
  struct answers *w = arg;
  return w->err.code || (w->run->stop && w->run->stop());
}

static int make_jobs(struct answers *w, int32_t problems, struct error *err)
{
  struct run *r = w->run;
  const struct recipe *recipe = r->recipe;
  int64_t most = recipe->rollout.group;
  int32_t jobs = problems * w->per_problem;
  w->jobs = ARENA_NEW(r->step_arena, struct generate_job, (size_t)jobs, "evaluation", err);
  if (!w->jobs) return err->code;
  for (int32_t j = 0; j < jobs; j++) {
    int32_t problem = w->first + j / w->per_problem, first = (int32_t)(j % w->per_problem * most);
    int64_t count = w->samples - first < most ? w->samples - first : most;
    int32_t segment;
    TRY(tree_add_segment(w->tree, -1, SEGMENT_PROMPT, w->set->id_counts[problem], &segment, err));
    TRY(tree_append_ids(w->tree, segment, w->set->ids[problem], w->set->id_counts[problem], 0, err));
    w->jobs[j] =
        (struct generate_job){.segment = segment,
                              .count = (int32_t)count,
                              .first_rollout = first,
                              .at = {.purpose = RNG_EVAL, .group = (uint32_t)problem},
                              .seed = (uint64_t)recipe->top.seed,
                              .sampling = {recipe->rollout.temperature, recipe->rollout.top_p, recipe->rollout.min_p,
                                           (int32_t)recipe->rollout.top_k},
                              .max_new_tokens = (int32_t)recipe->rollout.max_new_tokens,
                              .stop = recipe->rollout.stop.items,
                              .stop_count = recipe->rollout.stop.count,
                              .leaf = ARENA_NEW(r->step_arena, int32_t, (size_t)count, "evaluation", err),
                              .finish = ARENA_NEW(r->step_arena, enum finish, (size_t)count, "evaluation", err)};
    if (!w->jobs[j].leaf || !w->jobs[j].finish) return err->code;
  }
  return 0;
}

/* What the model read, for a person: the prompt, or the last message. */
static const char *asked(const struct problem *p)
{
  size_t n = json_array_size(p->messages);
  const char *last = n ? json_string_value(json_object_get(json_array_get(p->messages, n - 1), "content")) : NULL;
  return p->prompt ? p->prompt : last ? last : "";
}

static void put_answer(struct text *t, const struct answers *w, int32_t job, int32_t rollout, const struct verdict *v)
{
  const struct problem *p = &w->set->problems[w->first + job / w->per_problem];
  const struct generate_job *j = &w->jobs[job];
  size_t slot = slot_of(w, job, rollout);
  struct attempt attempt = {.problem = p->id,
                            .sample = j->first_rollout + rollout,
                            .reward = v->reward,
                            .correct = v->correct,
                            .readable = v->readable,
                            .extracted = v->extracted,
                            .reason = v->reason,
                            .tokens = w->tree->segments[j->leaf[rollout]].count,
                            .finish = j->finish[rollout] == FINISH_STOP ? "stop" : "length"};
  text_puts(t, "{");
  attempt_put_fields(t, &attempt);
  if (v->status == VERDICT_FAILED) text_puts(t, ", \"failed\": true");
  text_puts(t, ", \"set\": ");
  json_put_string(t, w->set->name, strlen(w->set->name));
  text_puts(t, ", \"prompt\": ");
  json_put_string(t, asked(p), strlen(asked(p)));
  text_puts(t, ", \"text\": ");
  json_put_string(t, w->texts[slot], w->sizes[slot]);
  text_puts(t, "}\n");
}

/* The chunk's answers as lines that `assay eval --from` reads. */
static int keep_answers(struct answers *w, int32_t problems, const struct verdict *verdicts, struct error *err)
{
  struct text t = {0};
  if (!w->lines) return 0;
  for (int32_t j = 0; j < problems * w->per_problem; j++)
    for (int32_t k = 0; k < w->jobs[j].count; k++) put_answer(&t, w, j, k, &verdicts[slot_of(w, j, k)]);
  int rc = text_finish(&t, err);
  if (!rc) rc = run_folder_add_lines(w->arena, w->lines, t.bytes ? t.bytes : "", t.size, err);
  text_free(&t);
  return rc;
}

/* One record of the evaluation, for methods: it outlives the chunk. */
static int add_record(struct answers *w, int32_t job, int32_t rollout, const struct verdict *v,
                      struct evaluation_record *out, struct error *err)
{
  const struct generate_job *j = &w->jobs[job];
  size_t slot = slot_of(w, job, rollout);
  struct verdict *copy = ARENA_NEW(w->arena, struct verdict, 1, "evaluation", err);
  *out = (struct evaluation_record){.set = w->set->name,
                                    .problem = &w->set->problems[w->first + job / w->per_problem],
                                    .sample = j->first_rollout + rollout,
                                    .text = arena_strndup(w->arena, w->texts[slot], w->sizes[slot], "evaluation", err),
                                    .n = w->sizes[slot],
                                    .tokens = w->tree->segments[j->leaf[rollout]].count,
                                    .finish = j->finish[rollout],
                                    .verdict = copy};
  if (!copy || !out->text) return err->code;
  *copy = *v;
  copy->channel_count = 0;
  copy->more = NULL;
  if (v->extracted && !(copy->extracted = arena_strdup(w->arena, v->extracted, "evaluation", err))) return err->code;
  return v->reason && !(copy->reason = arena_strdup(w->arena, v->reason, "evaluation", err)) ? err->code : 0;
}

static int add_records(struct answers *w, int32_t problems, const struct verdict *verdicts, struct error *err)
{
  struct evaluation *seen = w->seen;
  if (!seen) return 0;
  for (int32_t j = 0; j < problems * w->per_problem; j++)
    for (int32_t k = 0; k < w->jobs[j].count; k++)
      TRY(add_record(w, j, k, &verdicts[slot_of(w, j, k)], &seen->records[seen->count++], err));
  return 0;
}

/* Answers of one problem. One whose verifier failed is neither right nor wrong. */
struct tally {
  int32_t right, judged;
};

/* Answers problems first .. first+problems-1; tally[problem] is added to. */
static int answer_chunk(struct answers *w, int32_t problems, struct tally *tally, struct error *err)
{
  struct run *r = w->run;
  struct generate_hooks hooks = {.finished = finished, .cancelled = cancelled, .arg = w};
  size_t slots = (size_t)problems * (size_t)w->samples;
  arena_reset(r->step_arena);
  TRY(tree_create(r->step_arena, &w->tree, err));
  TRY(make_jobs(w, problems, err));
  struct verdict *verdicts = ARENA_NEW(r->step_arena, struct verdict, slots, "evaluation", err);
  w->texts = ARENA_NEW(r->step_arena, const char *, slots, "evaluation", err);
  w->sizes = ARENA_NEW(r->step_arena, size_t, slots, "evaluation", err);
  if (!verdicts || !w->texts || !w->sizes) return err->code;
  verify_queue_start(r->verify, verdicts, slots);
  int rc = generator_run(r->generator, w->tree, w->jobs, problems * w->per_problem, r->recipe->train.temperature,
                         r->trainer->weight_version, &hooks, NULL, err);
  struct error waited = {0};
  int wait_rc = verify_queue_wait(r->verify, &waited);
  if (w->err.code)
    *err = w->err;
  else if (!rc && wait_rc)
    *err = waited;
  TRY(w->err.code ? w->err.code : rc ? rc : wait_rc);
  for (size_t i = 0; i < slots; i++) {
    struct tally *t = &tally[(size_t)w->first + i / (size_t)w->samples];
    t->right += verdicts[i].status == VERDICT_OK && verdicts[i].correct;
    t->judged += verdicts[i].status == VERDICT_OK;
  }
  TRY(add_records(w, problems, verdicts, err));
  return keep_answers(w, problems, verdicts, err);
}

/* 95 % interval of the accuracy; samples of one problem are not independent. */
static int interval(struct run *r, const struct tally *tally, int32_t problems, struct eval_result *out,
                    struct error *err)
{
  double *rates = ARENA_NEW(r->step_arena, double, (size_t)problems, "evaluation", err);
  int64_t judged = 0;
  size_t n = 0;
  if (!rates) return err->code;
  for (int32_t i = 0; i < problems; i++) {
    if (!tally[i].judged) continue;
    rates[n++] = (double)tally[i].right / (double)tally[i].judged;
    judged += tally[i].judged;
  }
  eval_wilson(out->accuracy, eval_effective_trials(rates, n, judged), &out->low, &out->high);
  return 0;
}

static int evaluate_set(struct run *r, const struct eval_set *set, struct arena *a, struct file_writer *lines,
                        struct evaluation *seen, struct eval_result *out, struct error *err)
{
  struct answers w = {.run = r,
                      .set = set,
                      .samples = r->recipe->eval.samples,
                      .total = (int64_t)set->count * r->recipe->eval.samples,
                      .arena = a,
                      .lines = lines,
                      .seen = seen};
  int64_t sum = 0, solved = 0, judged = 0;
  log_progress("evaluate", 0, (double)w.total, "answers");
  w.per_problem = (int32_t)((w.samples + r->recipe->rollout.group - 1) / r->recipe->rollout.group);
  struct tally *tally = memory_alloc((size_t)set->count, sizeof *tally, "evaluation", err);
  w.verifiers = memory_alloc((size_t)set->count, sizeof *w.verifiers, "evaluation", err);
  int rc = tally && w.verifiers ? 0 : err->code;
  for (int32_t i = 0; !rc && i < set->count; i++)
    rc = verifier_set_find(r->verifiers, &set->problems[i], &w.verifiers[i], err);
  for (w.first = 0; !rc && w.first < set->count; w.first += CHUNK)
    rc = answer_chunk(&w, set->count - w.first < CHUNK ? set->count - w.first : CHUNK, tally, err);
  for (int32_t i = 0; !rc && i < set->count; i++) {
    sum += tally[i].right;
    judged += tally[i].judged;
    solved += tally[i].right > 0;
  }
  if (judged < w.total && !rc)
    log_warn("evaluation %s: %lld of %lld answers have no verdict (their verifier failed) and are left out", set->name,
             (long long)(w.total - judged), (long long)w.total);
  if (!rc && !judged)
    rc = error_fail(err, ERROR_RESOURCE, NULL, 0, "eval.data",
                    "no answer to %s has a verdict: its verifier failed every time; see the reasons in the log",
                    set->name);
  if (!rc) {
    *out = (struct eval_result){.accuracy = (double)sum / (double)judged, .pass = (double)solved / set->count};
    rc = interval(w.run, tally, set->count, out, err);
  }
  memory_free(tally);
  memory_free((void *)w.verifiers);
  return rc;
}

static void report(struct run *r, const struct eval_set *set, const struct eval_result *e)
{
  char name[64];
  const char *base = strncmp(set->name, "task:", 5) ? path_base(set->name) : set->name + 5;
  int n = (int)strcspn(base, ".");
  const struct {
    const char *what;
    double value;
  } rows[] = {{"accuracy", e->accuracy}, {"low", e->low}, {"high", e->high}, {"pass@k", e->pass}};
  for (size_t i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "eval/%.*s/%s", n > 40 ? 40 : n, base, rows[i].what);
    metrics_set(&r->metrics, name, rows[i].value);
  }
  char times[32] = "";
  if (r->recipe->eval.samples > 1) snprintf(times, sizeof times, " x %lld", (long long)r->recipe->eval.samples);
  log_info("evaluation %.*s, step %lld: %.1f %% (95 %%: %.1f to %.1f), %d problems%s", n, base, (long long)r->step,
           100 * e->accuracy, 100 * e->low, 100 * e->high, set->count, times);
}

/* Room for all records, where a method looks at them; else *out is NULL. */
static int open_evaluation(struct run *r, struct arena *a, struct evaluation **out, struct error *err)
{
  size_t count = 0;
  *out = NULL;
  if (!compose_contributors(r->methods, STAGE_evaluate, NULL, 0)) return 0;
  for (size_t i = 0; i < r->eval_set_count; i++)
    count += (size_t)r->eval_sets[i].count * (size_t)r->recipe->eval.samples;
  struct evaluation *seen = ARENA_NEW(a, struct evaluation, 1, "evaluation", err);
  if (!seen) return err->code;
  seen->step = r->step;
  seen->records = ARENA_NEW(a, struct evaluation_record, count, "evaluation", err);
  *out = seen;
  return seen->records ? 0 : err->code;
}

/* Every set; the mean of their accuracies. */
static int evaluate_sets(struct run *r, struct arena *a, double *mean, struct error *err)
{
  struct file_writer *lines = NULL;
  struct evaluation *seen;
  double sum = 0;
  TRY(open_evaluation(r, a, &seen, err));
  TRY(collect_begin_verdicts(r, r->step, true, err));
  if (r->recipe->save.rollouts == RECIPE_ROLLOUTS_ALL)
    TRY(run_folder_open_lines(r->folder, a, "evaluations", r->step, &lines, err));
  for (size_t i = 0; i < r->eval_set_count; i++) {
    struct eval_result e;
    TRY(evaluate_set(r, &r->eval_sets[i], a, lines, seen, &e, err));
    log_progress_end();
    report(r, &r->eval_sets[i], &e);
    sum += e.accuracy;
  }
  *mean = sum / (double)r->eval_set_count;
  if (seen) TRY(compose_evaluate(r->methods, seen, err));
  if (seen) report_methods(r);
  return lines ? file_writer_commit(lines, err) : 0;
}

int evaluate_run(struct run *r, struct error *err)
{
  double mean = 0, start = clock_seconds();
  if (r->recipe->kind == RECIPE_SFT) {
    TRY(evaluate_given_run(r, &mean, err));
  } else {
    struct arena *a = arena_create("evaluation", 0, err);
    if (!a) return err->code;
    int rc = evaluate_sets(r, a, &mean, err);
    arena_destroy(a);
    TRY(rc);
  }
  metrics_set(&r->metrics, "seconds/evaluate", clock_seconds() - start);
  if (math_is_nan(r->best) || mean > r->best) {
    r->best = mean;
    r->best_step = r->step;
  }
  return 0;
}
