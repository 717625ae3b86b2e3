#include "cli/eval_generate.h"
#include "cli/budget.h"
#include "cli/eval_recipe.h"

#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "reward/verify_queue.h"

enum {
  CHUNK_PROBLEMS = 64, /* worked on together: bounds memory */
  ENDLESS_PROBLEMS = 256,
  PREFILL_ROWS = 512,
  KV_BLOCK = 32,
  JUDGES = 2
};

/* One problem of the chunk. Its jobs: the samples, then the greedy answer where that is asked for. */
struct item {
  struct problem problem;
  const struct verifier_config *verifier;
};

struct evaluation {
  struct cli *cli;
  const struct eval_settings *settings;
  struct session session;
  struct budget budget;
  struct source *source;
  uint32_t source_index;
  const char *data; /* the source's name in attempts */
  struct verify_queue *judges;
  struct verifier_set *verifiers;
  struct output *output;
  struct attempt_list *attempts;
  struct arena *arena; /* of the chunk */
  struct tree *tree;
  struct item items[CHUNK_PROBLEMS];
  struct generate_job jobs[2 * CHUNK_PROBLEMS];
  int32_t per_item; /* jobs */
  size_t answers;   /* of a problem */
  int32_t count, longest_prompt;
  /* [count * answers] */
  const char **texts;
  size_t *sizes;
  struct verdict *verdicts;
  uint64_t done, total, left_out;
  struct error failure; /* of a hook */
};

/* ---- problems to jobs -------------------------------------------------------------------------------------------- */

static int make_job(struct evaluation *e, const struct token_list *ids, uint64_t index, bool greedy, int32_t job,
                    struct error *err)
{
  const struct eval_settings *s = e->settings;
  int64_t room = e->session.config.max_positions - (int64_t)ids->count;
  int32_t count = greedy ? 1 : (int32_t)s->samples, segment;
  TRY(tree_add_segment(e->tree, -1, SEGMENT_PROMPT, (int32_t)ids->count, &segment, err));
  TRY(tree_append_ids(e->tree, segment, ids->ids, (int32_t)ids->count, 0, err));
  e->jobs[job] = (struct generate_job){.segment = segment,
                                       .count = count,
                                       .at = {.purpose = RNG_EVAL, .step = e->source_index, .group = (uint32_t)index},
                                       .seed = (uint64_t)e->cli->seed,
                                       .sampling = s->sampling,
                                       .max_new_tokens = (int32_t)(s->max_new_tokens < room ? s->max_new_tokens : room),
                                       .stop = s->stop,
                                       .stop_count = s->stop_count,
                                       .leaf = ARENA_NEW(e->arena, int32_t, (size_t)count, "eval", err),
                                       .finish = ARENA_NEW(e->arena, enum finish, (size_t)count, "eval", err)};
  if (greedy) e->jobs[job].sampling.temperature = 0;
  return e->jobs[job].leaf && e->jobs[job].finish ? 0 : err->code;
}

/* Problem `index` of the source; a prompt that fills the model's positions is left out and counted. */
static int add_problem(struct evaluation *e, uint64_t index, struct error *err)
{
  struct item *item = &e->items[e->count];
  struct token_list ids = {0};
  *item = (struct item){0};
  TRY(source_problem(e->source, e->arena, index, &item->problem, err));
  TRY(verifier_set_find(e->verifiers, &item->problem, &item->verifier, err));
  int rc = session_problem_ids(&e->session, &item->problem, NULL, &ids, err);
  if (!rc && !ids.count)
    rc = error_fail(err, ERROR_INPUT, item->problem.source, item->problem.line, "prompt",
                    "found a prompt of no tokens; expected text");
  if (!rc && (int64_t)ids.count >= e->session.config.max_positions) {
    e->left_out++;
  } else if (!rc) {
    for (int32_t k = 0; k < e->per_item && !rc; k++)
      rc = make_job(e, &ids, index, k > 0, e->count * e->per_item + k, err);
    if ((int32_t)ids.count > e->longest_prompt) e->longest_prompt = (int32_t)ids.count;
    e->count++;
  }
  token_list_free(&ids);
  return rc;
}

/* ---- answers to verdicts ----------------------------------------------------------------------------------------- */

/* Where an answer's text and verdict stand: a problem's samples, then its greedy answer. */
static size_t slot_of(const struct evaluation *e, int32_t job, int32_t sample)
{
  size_t within = job % e->per_item ? (size_t)e->settings->samples : (size_t)sample;
  return (size_t)(job / e->per_item) * e->answers + within;
}

/* The answer as text: special tokens left out, cut in front of a stop string. */
static int take_text(struct evaluation *e, const struct generate_job *job, int32_t sample, size_t slot,
                     struct error *err)
{
  const struct segment *s = &e->tree->segments[job->leaf[sample]];
  struct text t = {0};
  int32_t *ids = ARENA_NEW(e->arena, int32_t, (size_t)s->count, "eval", err);
  if (!ids) return err->code;
  for (int32_t i = 0; i < s->count; i++) ids[i] = s->tokens[i].id;
  tokenizer_decode(e->session.tokenizer, ids, (size_t)s->count, true, &t);
  int rc = text_finish(&t, err);
  if (!rc) {
    const char *bytes = t.bytes ? t.bytes : "";
    e->sizes[slot] = generate_find_stop(bytes, t.size, job->stop, job->stop_count);
    e->texts[slot] = arena_strndup(e->cli->arena, bytes, e->sizes[slot], "eval", err);
    rc = e->texts[slot] ? 0 : err->code;
  }
  text_free(&t);
  return rc;
}

static void finished(void *arg, int32_t job, int32_t sample)
{
  struct evaluation *e = arg;
  const struct item *item = &e->items[job / e->per_item];
  size_t slot = slot_of(e, job, sample);
  log_progress("evaluating", (double)++e->done, (double)e->total, "answers");
  if (e->failure.code || take_text(e, &e->jobs[job], sample, slot, &e->failure)) return;
  verify_queue_submit(e->judges, item->verifier, &item->problem, e->texts[slot], e->sizes[slot], slot);
}

static bool cancelled(void *arg)
{
  const struct evaluation *e = arg;
  return e->failure.code || cli_stopped();
}

static int run_jobs(struct evaluation *e, struct error *err)
{
  const struct eval_settings *s = e->settings;
  struct generate_hooks hooks = {.finished = finished, .cancelled = cancelled, .arg = e};
  size_t answers = (size_t)e->count * e->answers;
  int64_t longest = e->longest_prompt + s->max_new_tokens;
  int most = e->session.config.max_positions;
  struct generate_options o = {.slots = (int)((int64_t)answers < s->slots ? (int64_t)answers : s->slots),
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = (int)s->samples,
                               .max_path = longest < most ? (int)longest : most,
                               .kv_block = KV_BLOCK};
  struct generator *generator;
  const int wanted = generate_blocks(&o, e->longest_prompt, o.max_path - e->longest_prompt);
  TRY(budget_blocks(&e->budget, &e->session, wanted, &o, err));
  TRY(generator_create(e->arena, e->session.model, e->session.tokenizer, e->session.end_ids, e->session.end_id_count,
                       &o, &generator, err));
  e->verdicts = ARENA_NEW(e->arena, struct verdict, answers, "eval", err);
  e->texts = e->verdicts ? ARENA_NEW(e->arena, const char *, answers, "eval", err) : NULL;
  e->sizes = e->texts ? ARENA_NEW(e->arena, size_t, answers, "eval", err) : NULL;
  if (!e->sizes) return err->code;
  verify_queue_start(e->judges, e->verdicts, answers);
  int rc =
      generator_run(generator, e->tree, e->jobs, e->count * e->per_item, s->sampling.temperature, 0, &hooks, NULL, err);
  struct error judged = {0};
  int judge_rc = verify_queue_wait(e->judges, &judged);
  if (!e->failure.code && !judge_rc) return rc;
  *err = e->failure.code ? e->failure : judged;
  return err->code;
}

/* ---- attempts ---------------------------------------------------------------------------------------------------- */

static int keep(struct evaluation *e, const char *s, const char **out, struct error *err)
{
  *out = s ? arena_strdup(e->cli->arena, s, "eval", err) : NULL;
  return s && !*out ? err->code : 0;
}

static void add_records(const struct segment *leaf, struct attempt *t)
{
  for (int32_t i = 0; i < leaf->count; i++) {
    t->entropy += (double)leaf->tokens[i].entropy;
    t->logp += (double)leaf->tokens[i].logp;
  }
  t->tokens = leaf->count;
  t->recorded = leaf->count > 0;
  if (leaf->count) t->entropy /= leaf->count;
}

/* The verifier's settings as a JSON object of texts. */
static int keep_settings(struct evaluation *e, const struct problem *p, struct attempt *t, struct error *err)
{
  struct text out = {0};
  if (!p->verifier_setting_count) return 0;
  for (size_t i = 0; i < p->verifier_setting_count; i++) {
    const struct setting_given *s = &p->verifier_settings[i];
    text_puts(&out, i ? ", " : "{");
    json_put_string(&out, s->key, strlen(s->key));
    text_puts(&out, ": ");
    json_put_string(&out, s->text, strlen(s->text));
  }
  text_puts(&out, "}");
  int rc = text_finish(&out, err);
  if (!rc) rc = keep(e, out.bytes, &t->settings, err);
  text_free(&out);
  return rc;
}

/* What the problem tells of itself; its whole line goes with the first attempt. */
static int add_problem_members(struct evaluation *e, const struct problem *p, bool first, struct attempt *t,
                               struct error *err)
{
  struct text fields = {0};
  t->data = e->data;
  TRY(keep(e, p->id, &t->problem, err));
  TRY(keep(e, p->verifier, &t->verifier, err));
  TRY(keep(e, p->answer, &t->answer, err));
  TRY(keep_settings(e, p, t, err));
  if (e->settings->by)
    TRY(problem_value_text(e->cli->arena, json_object_get(p->fields, e->settings->by), &t->domain, err));
  if (!first || !e->output) return 0;
  json_put_value(&fields, p->fields);
  int rc = text_finish(&fields, err);
  if (!rc) rc = keep(e, fields.bytes, &t->fields, err);
  text_free(&fields);
  return rc;
}

static int put_attempt(struct evaluation *e, int32_t job, int32_t sample, struct error *err)
{
  const struct item *item = &e->items[job / e->per_item];
  const struct generate_job *j = &e->jobs[job];
  size_t slot = slot_of(e, job, sample);
  const struct verdict *v = &e->verdicts[slot];
  struct text t = {0};
  struct attempt attempt = {.sample = sample,
                            .greedy = j->sampling.temperature <= 0,
                            .seeded = true,
                            .seed = e->cli->seed,
                            .reward = v->reward,
                            .correct = v->correct,
                            .readable = v->readable,
                            .failed = v->status != VERDICT_OK,
                            .finish = j->finish[sample] == FINISH_STOP ? "stop" : "length",
                            .text = e->texts[slot],
                            .text_size = e->sizes[slot]};
  TRY(add_problem_members(e, &item->problem, slot % e->answers == 0, &attempt, err));
  TRY(keep(e, v->extracted, &attempt.extracted, err));
  TRY(keep(e, v->reason, &attempt.reason, err));
  add_records(&e->tree->segments[j->leaf[sample]], &attempt);
  text_puts(&t, "{");
  attempt_put_fields(&t, &attempt);
  text_puts(&t, "}");
  int rc = e->output ? output_line(e->output, &t, err) : 0;
  text_free(&t);
  return rc ? rc : attempt_list_add(e->cli->arena, e->attempts, &attempt, err);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int run_chunk(struct evaluation *e, uint64_t first, uint64_t count, struct error *err)
{
  e->count = e->longest_prompt = 0;
  TRY(tree_create(e->arena, &e->tree, err));
  for (uint64_t i = first; i < first + count; i++) TRY(add_problem(e, i, err));
  if (!e->count) return 0;
  TRY(run_jobs(e, err));
  for (int32_t j = 0; j < e->count * e->per_item; j++)
    for (int32_t k = 0; k < e->jobs[j].count; k++) TRY(put_attempt(e, j, k, err));
  return 0;
}

static uint64_t problems_of(const struct eval_settings *s, const struct source *source)
{
  uint64_t all = source_count(source), wanted = (uint64_t)s->problems;
  uint64_t count = wanted ? wanted : all ? all : ENDLESS_PROBLEMS;
  return all && count > all ? all : count;
}

/* The name of a file, or task:NAME,key=value,... */
static int name_data(struct evaluation *e, const struct source_options *o, struct error *err)
{
  struct text t = {0};
  if (o->path) return keep(e, path_base(o->path), &e->data, err);
  text_printf(&t, "task:%s", o->task);
  for (size_t i = 0; i < o->setting_count; i++) text_printf(&t, ",%s=%s", o->settings[i].key, o->settings[i].text);
  int rc = text_finish(&t, err);
  if (!rc) rc = keep(e, t.bytes, &e->data, err);
  text_free(&t);
  return rc;
}

static int run_source(struct evaluation *e, struct source *source, uint32_t index, struct error *err)
{
  uint64_t count = problems_of(e->settings, source);
  int rc = name_data(e, &e->settings->data[index], err);
  e->source = source;
  e->source_index = index;
  for (uint64_t first = 0; first < count && !rc; first += CHUNK_PROBLEMS) {
    rc = run_chunk(e, first, count - first < CHUNK_PROBLEMS ? count - first : CHUNK_PROBLEMS, err);
    arena_reset(e->arena);
  }
  return rc;
}

static int open_sources(struct evaluation *e, struct source **sources, struct error *err)
{
  const struct eval_settings *s = e->settings;
  for (size_t i = 0; i < s->data_count; i++) {
    TRY(source_open(e->cli->arena, &s->data[i], (int)i, (uint64_t)e->cli->seed, &sources[i], err));
    e->total += problems_of(s, sources[i]) * e->answers;
  }
  return 0;
}

int eval_generate(struct cli *c, const char *model, const struct eval_settings *s, struct output *output,
                  struct attempt_list *out, struct error *err)
{
  struct evaluation *e = ARENA_NEW(c->arena, struct evaluation, 1, "eval", err);
  struct source **sources = e ? ARENA_NEW(c->arena, struct source *, s->data_count, "eval", err) : NULL;
  if (!sources) return err->code;
  *e = (struct evaluation){.cli = c,
                           .settings = s,
                           .output = output,
                           .attempts = out,
                           .per_item = s->greedy ? 2 : 1,
                           .answers = (size_t)s->samples + s->greedy};
  TRY(verifier_set_create(c->arena, 0, &e->verifiers, err));
  TRY(open_sources(e, sources, err));
  struct session_options o = {.model = model,
                              .threads = (int)c->threads,
                              .type = cli_compute_type(c),
                              .keep = cli_keep(c),
                              .adapter = ((const struct eval_given *)c->settings)->adapter};
  TRY(session_open(c->arena, &o, &e->session, err));
  TRY(budget_load(c, &e->session, 0, &e->budget, err));
  TRY(verify_queue_create(c->arena, &(struct verify_queue_options){.workers = JUDGES}, &e->judges, err));
  e->arena = arena_create("eval", 0, err);
  int rc = e->arena ? 0 : err->code;
  for (size_t i = 0; i < s->data_count && !rc; i++) rc = run_source(e, sources[i], (uint32_t)i, err);
  arena_destroy(e->arena);
  log_progress_end();
  if (e->left_out)
    log_warn("%llu prompts fill all of the model's positions and were left out", (unsigned long long)e->left_out);
  if (!rc && !out->count)
    FAIL_AT(err, ERROR_INPUT, source_name(sources[0]), 0, NULL,
            "found no problem whose prompt fits the model; expected at least one");
  return rc;
}
