#include "cli/eval_generate.h"

#include <string.h>

#include "core/log.h"
#include "data/source.h"
#include "reward/verify_queue.h"
#include "rollout/session.h"

enum {
  CHUNK_PROBLEMS = 64, /* worked on together: bounds memory */
  ENDLESS_PROBLEMS = 256,
  PREFILL_ROWS = 512,
  KV_BLOCK = 32,
  JUDGES = 2
};

/* One problem of the chunk. */
struct item {
  struct problem problem;
  const struct verifier_config *verifier;
  struct generate_job *job;
  const char **texts; /* [samples] */
  size_t *sizes;
};

struct evaluation {
  struct cli *cli;
  const struct eval_settings *settings;
  struct session session;
  struct source *source;
  struct verify_queue *judges;
  struct verifier_set *verifiers;
  struct output *output;
  struct attempt_list *attempts;
  struct arena *arena; /* of the chunk */
  struct tree *tree;
  struct item items[CHUNK_PROBLEMS];
  struct generate_job jobs[CHUNK_PROBLEMS];
  int32_t count, longest_prompt;
  struct verdict *verdicts; /* [count * samples] */
  uint64_t done, total, left_out;
  struct error failure; /* of a hook */
};

/* ---- problems to jobs -------------------------------------------------------------------------------------------- */

static int make_job(struct evaluation *e, const struct token_list *ids, uint64_t index, struct error *err)
{
  const struct eval_settings *s = e->settings;
  int64_t room = e->session.config.max_positions - (int64_t)ids->count;
  size_t samples = (size_t)s->samples;
  struct item *item = &e->items[e->count];
  int32_t segment;
  TRY(tree_add_segment(e->tree, -1, SEGMENT_PROMPT, (int32_t)ids->count, &segment, err));
  TRY(tree_append_ids(e->tree, segment, ids->ids, (int32_t)ids->count, 0, err));
  item->texts = ARENA_NEW(e->arena, const char *, samples, "eval", err);
  item->sizes = item->texts ? ARENA_NEW(e->arena, size_t, samples, "eval", err) : NULL;
  if (!item->sizes) return err->code;
  item->job = &e->jobs[e->count++];
  *item->job = (struct generate_job){.segment = segment,
                                     .count = (int32_t)s->samples,
                                     .at = {.purpose = RNG_EVAL, .group = (uint32_t)index},
                                     .seed = (uint64_t)e->cli->seed,
                                     .sampling = s->sampling,
                                     .max_new_tokens = (int32_t)(s->max_new_tokens < room ? s->max_new_tokens : room),
                                     .stop = &s->stop,
                                     .stop_count = s->stop ? 1 : 0,
                                     .leaf = ARENA_NEW(e->arena, int32_t, samples, "eval", err),
                                     .finish = ARENA_NEW(e->arena, enum finish, samples, "eval", err)};
  if ((int32_t)ids->count > e->longest_prompt) e->longest_prompt = (int32_t)ids->count;
  item->job->sampling.top_k = (int32_t)s->top_k;
  return item->job->leaf && item->job->finish ? 0 : err->code;
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
  if (!rc && (int64_t)ids.count >= e->session.config.max_positions)
    e->left_out++;
  else if (!rc)
    rc = make_job(e, &ids, index, err);
  token_list_free(&ids);
  return rc;
}

/* ---- answers to verdicts ----------------------------------------------------------------------------------------- */

/* The answer as text: special tokens left out, cut in front of a stop string. */
static int take_text(struct evaluation *e, const struct item *item, int32_t sample, struct error *err)
{
  const struct segment *s = &e->tree->segments[item->job->leaf[sample]];
  struct text t = {0};
  int32_t *ids = ARENA_NEW(e->arena, int32_t, (size_t)s->count, "eval", err);
  if (!ids) return err->code;
  for (int32_t i = 0; i < s->count; i++) ids[i] = s->tokens[i].id;
  tokenizer_decode(e->session.tokenizer, ids, (size_t)s->count, true, &t);
  int rc = text_finish(&t, err);
  if (!rc) {
    const char *bytes = t.bytes ? t.bytes : "";
    size_t n = generate_find_stop(bytes, t.size, item->job->stop, item->job->stop_count);
    item->texts[sample] = arena_strndup(e->arena, bytes, n, "eval", err);
    item->sizes[sample] = n;
    rc = item->texts[sample] ? 0 : err->code;
  }
  text_free(&t);
  return rc;
}

static void finished(void *arg, int32_t job, int32_t sample)
{
  struct evaluation *e = arg;
  const struct item *item = &e->items[job];
  log_progress("evaluating", (double)++e->done, (double)e->total, "answers");
  if (e->failure.code || take_text(e, item, sample, &e->failure)) return;
  verify_queue_submit(e->judges, item->verifier, &item->problem, item->texts[sample], item->sizes[sample],
                      (size_t)job * (size_t)e->settings->samples + (size_t)sample);
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
  int64_t answers = e->count * s->samples, longest = e->longest_prompt + s->max_new_tokens;
  int most = e->session.config.max_positions;
  struct generate_options o = {.slots = (int)(answers < s->slots ? answers : s->slots),
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = (int)s->samples,
                               .max_path = longest < most ? (int)longest : most,
                               .kv_block = KV_BLOCK};
  struct generator *generator;
  o.kv_blocks = generate_blocks(&o, e->longest_prompt, o.max_path - e->longest_prompt);
  TRY(generator_create(e->arena, e->session.model, e->session.tokenizer, e->session.end_ids, e->session.end_id_count,
                       &o, &generator, err));
  e->verdicts = ARENA_NEW(e->arena, struct verdict, (size_t)answers, "eval", err);
  if (!e->verdicts) return err->code;
  verify_queue_start(e->judges, e->verdicts, (size_t)answers);
  int rc = generator_run(generator, e->tree, e->jobs, e->count, s->sampling.temperature, 0, &hooks, NULL, err);
  struct error judged = {0};
  int judge_rc = verify_queue_wait(e->judges, &judged);
  if (!e->failure.code && !judge_rc) return rc;
  *err = e->failure.code ? e->failure : judged;
  return err->code;
}

static int put_attempt(struct evaluation *e, const struct item *item, int32_t sample, const struct verdict *v,
                       struct error *err)
{
  struct text t = {0};
  struct attempt attempt = {.problem = arena_strdup(e->cli->arena, item->problem.id, "eval", err),
                            .sample = sample,
                            .reward = v->reward,
                            .correct = v->correct,
                            .readable = v->readable,
                            .tokens = e->tree->segments[item->job->leaf[sample]].count,
                            .finish = item->job->finish[sample] == FINISH_STOP ? "stop" : "length"};
  if (v->extracted) attempt.extracted = arena_strdup(e->cli->arena, v->extracted, "eval", err);
  if (!attempt.problem || (v->extracted && !attempt.extracted)) return err->code;
  text_puts(&t, "{");
  attempt_put_fields(&t, &attempt);
  text_puts(&t, ", \"reason\": ");
  json_put_string(&t, v->reason, strlen(v->reason));
  text_puts(&t, ", \"text\": ");
  json_put_string(&t, item->texts[sample], item->sizes[sample]);
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
  for (int32_t i = 0; i < e->count; i++)
    for (int32_t k = 0; k < e->settings->samples; k++)
      TRY(put_attempt(e, &e->items[i], k, &e->verdicts[i * e->settings->samples + k], err));
  return 0;
}

static int open_source(struct evaluation *e, uint64_t *count, struct error *err)
{
  const struct eval_settings *s = e->settings;
  struct source_options o;
  TRY(source_options_from_text(e->cli->arena, s->data, SPLIT_HELD_OUT, &o, err));
  if (s->verifier) o.verifier = s->verifier;
  if (s->verifier && !verifier_find(s->verifier, err)) return err->code;
  o.system = s->system;
  o.suffix = s->suffix;
  TRY(source_open(e->cli->arena, &o, 0, (uint64_t)e->cli->seed, &e->source, err));
  uint64_t all = source_count(e->source), wanted = (uint64_t)s->problems;
  *count = wanted ? wanted : all ? all : ENDLESS_PROBLEMS;
  if (all && *count > all) *count = all;
  return 0;
}

int eval_generate(struct cli *c, const char *model, const struct eval_settings *s, struct output *output,
                  struct attempt_list *out, struct error *err)
{
  struct evaluation *e = ARENA_NEW(c->arena, struct evaluation, 1, "eval", err);
  uint64_t count;
  if (!e) return err->code;
  *e = (struct evaluation){.cli = c, .settings = s, .output = output, .attempts = out};
  TRY(verifier_set_create(c->arena, 0, &e->verifiers, err));
  TRY(open_source(e, &count, err));
  e->total = count * (uint64_t)s->samples;
  TRY(session_open(c->arena, &(struct session_options){.model = model, .threads = (int)c->threads}, &e->session, err));
  TRY(session_load(&e->session, 0, err));
  TRY(verify_queue_create(c->arena, &(struct verify_queue_options){.workers = JUDGES}, &e->judges, err));
  e->arena = arena_create("eval", 0, err);
  int rc = e->arena ? 0 : err->code;
  for (uint64_t first = 0; first < count && !rc; first += CHUNK_PROBLEMS) {
    rc = run_chunk(e, first, count - first < CHUNK_PROBLEMS ? count - first : CHUNK_PROBLEMS, err);
    arena_reset(e->arena);
  }
  arena_destroy(e->arena);
  log_progress_end();
  if (e->left_out)
    log_warn("%llu prompts fill all of the model's positions and were left out", (unsigned long long)e->left_out);
  if (!rc && !out->count)
    FAIL_AT(err, ERROR_INPUT, s->data, 0, NULL, "found no problem whose prompt fits the model; expected at least one");
  return rc;
}
