/* links: train. Whole runs of test methods that use every stage: waves, guided contexts, sampling, probes, further
   verdicts, forced segments with a loss of their own, masks, replay, resets, evaluations. Law 1 is checked in each run,
   laws 2 and 3 by hashes: no knob moves a bit, and a stop and a resume change nothing. */
#include "law/run_case.h"

#include "core/math.h"
#include "method/method_replay.h"
#include "method/part_span.h"

/* ---- the methods --------------------------------------------------------------------------------------------------
 */

/* What the hooks saw, over the runs of one test. */
static struct {
  int waves, dropped, guided, rows, hot, probes, appeals, scored, extras, replayed, spans, records, weights, resets;
} seen;

struct self {
  int64_t steps;
};
static const struct state_field fields[] = {{"steps", offsetof(struct self, steps), sizeof(int64_t), "steps seen"}};

/* Drops the first group of each wave, draws a problem for it, and makes one attempt more of the last group. */
static int refill(struct method_call *c, const struct step *s, struct revision *out, struct error *err)
{
  (void)c;
  int32_t first = -1, last = -1;
  for (int32_t g = 0; g < s->group_count; g++) {
    if (!s->groups[g].count) continue;
    if (first < 0) first = g;
    last = g;
  }
  CHECK(first >= 0);
  seen.waves++;
  if (out->last) return 0;
  CHECK(out->rollouts_left > 0);
  revise_drop_group(out, first);
  seen.dropped++;
  if (last != first) TRY(revise_again(out, last, -1, 1, err));
  TRY(revise_draw(out, NULL, s->groups[first].count, err));
  TRY(revise_draw(out, NULL, 1000000, err)); /* more than the budget holds: left out */
  CHECK_INT(out->refused, 1000000);
  return 0;
}

/* Every second rollout reads a hint and is trained without it. */
static int hint(struct method_call *c, const struct step *s, struct guidance *out, struct error *err)
{
  for (int32_t i = 0; i < out->rollout_count; i++) {
    int32_t r = out->rollouts[i], group = s->rollouts[r].group, context;
    if (s->rollouts[r].ordinal % 2 == 0) continue;
    const struct context_source text = {.prompt = "1+1=2!"};
    TRY(method_add_context(c, out->step, group, "hint", &text, &context, err));
    TRY(guide_set(out, r, context, s->groups[group].context, err));
    seen.guided++;
  }
  return 0;
}

static int anneal(struct method_call *c, const struct step *s, struct sample_row *out, struct error *err)
{
  (void)c;
  (void)s;
  (void)err;
  CHECK(out->entropy > 0);
  seen.rows++;
  out->params->temperature = out->generated < 2 ? 1.2f : out->entropy > 4 ? 0.9f : 1.1f;
  seen.hot += out->generated == 0;
  return 0;
}

/* A greedy answer for each group, a second verdict on its first rollout, and a forced token behind every answer. */
static const int32_t SLOT[] = {5};
static int probe(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  struct asking *a = &out->asking;
  struct request *q;
  (void)c;
  if (a->round == 0) {
    for (int32_t g = 0; g < s->group_count; g++) {
      if (!s->groups[g].count || s->rollouts[s->order[s->groups[g].first]].attempt < s->wave) continue;
      TRY(ask(a, REQUEST_GENERATE, "greedy", &q, err));
      q->group = g;
      q->sampling.temperature = 0;
      TRY(ask(a, REQUEST_JUDGE, "appeal", &q, err));
      q->rollout = s->order[s->groups[g].first];
      q->verifier = "number";
    }
    return 0;
  }
  for (int32_t i = 0; i < a->answer_count; i++) {
    if (a->answers[i].verdict) seen.appeals++;
    if (!a->answers[i].rollouts) continue;
    const struct rollout *p = &s->rollouts[a->answers[i].rollouts[0]];
    CHECK_STR(p->probe, "greedy");
    CHECK(!p->kept && p->leaf >= 0 && p->verdict.reason);
    seen.probes++;
    for (int32_t k = 0; k < s->groups[p->group].count; k++)
      TRY(reward_add(out, "greedy", true, s->order[s->groups[p->group].first + k], p->verdict.reward, err));
  }
  return 0;
}

static int32_t slot_of[4096];
static int slots(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  struct asking *a = &out->asking;
  struct request *q;
  (void)c;
  for (int32_t i = 0; a->round == 0 && i < s->kept; i++) {
    TRY(ask(a, REQUEST_SCORE, "slot", &q, err));
    q->segment = s->rollouts[s->order[i]].leaf;
    q->ids = SLOT;
    q->id_count = 1;
  }
  for (int32_t i = 0; i < a->answer_count; i++) {
    CHECK(a->answers[i].logp[0] < 0);
    slot_of[s->order[i]] = a->answers[i].segment;
    seen.scored++;
  }
  return 0;
}

/* (logp - 1)^2 / n of the slots of the mini-batch. */
static int pull_slots(struct method_call *c, const struct minibatch *m, struct auxiliary *out, struct error *err)
{
  (void)c;
  for (int32_t i = 0; !out->scored && i < m->rollout_count; i++)
    TRY(extra_add(out, m->rollouts[i], slot_of[m->rollouts[i]], 0, 1, err));
  for (int32_t i = 0; out->scored && i < out->count; i++) {
    double d = out->sequences[i].logp[0] + 1;
    CHECK(math_is_finite(d));
    out->loss += d * d / out->count;
    out->sequences[i].coef[0] = 2 * d / out->count;
    seen.extras++;
  }
  return 0;
}

/* The shorter half of the rollouts now, the rest three steps later. */
static int recompose(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  struct update *u;
  struct step *batch;
  bool *now = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "test", err);
  if (!now) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    now[r] = s->rollouts[r].ordinal % 2 == 0;
    if (!now[r]) TRY(replay_push(c->replay, s, r, err));
  }
  out->items[0].rollouts = now;
  int32_t n = replay_count(c->replay);
  if (s->number % 2 == 0) return 0;
  bool *which = ARENA_NEW(s->arena, bool, (size_t)n, "test", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < n; i++) which[i] = replay_at(c->replay, i)->step < s->number;
  TRY(replay_take(c->replay, out, which, &batch, err));
  CHECK(batch->kept > 0 && batch->path_count > 0);
  TRY(updates_add(out, "replay", &u, err));
  u->batch = batch;
  u->lr = 0.5;
  u->factor = 0.7;
  u->regularised = false;
  u->old = s->number == 1 ? OLD_RECORD : OLD_SCORED;
  seen.replayed += batch->kept;
  replay_remove(c->replay, which);
  return 0;
}

/* Tokens that the present policy finds less likely than one of 64 count half. */
static int unlikely(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  (void)c;
  (void)err;
  out->denominator = COUNT_FACTOR;
  for (int32_t i = 0; i < m->count; i++) out->factor[i] = m->logp[i] < -4.16 ? 0.5 : 1;
  seen.weights++;
  return 0;
}

static int reset(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  struct self *o = c->self;
  (void)err;
  o->steps++;
  out->reset_reference = s->number == 1;
  out->reset_optimiser = s->number == 1;
  seen.resets += s->number == 1;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *r = &s->rollouts[i];
    if (!r->token_byte || r->probe) continue;
    struct span all = span_tokens(r, 0, r->text_size, SPAN_INSIDE);
    CHECK(all.end <= r->response && all.begin <= all.end);
    CHECK_INT(r->token_byte[r->response], (int32_t)r->text_size);
    seen.spans++;
  }
  return 0;
}

static const struct metric evaluated[] = {{"tokens", "tokens", "mean"}};
static int look(struct method_call *c, struct evaluation *out, struct error *err)
{
  double sum = 0;
  (void)err;
  for (int32_t i = 0; i < out->count; i++) {
    CHECK(out->records[i].text && out->records[i].problem && out->records[i].verdict);
    sum += out->records[i].tokens;
  }
  CHECK(out->count > 0);
  seen.records += out->count;
  method_report(c, "tokens", sum / out->count);
  return 0;
}

#define NEEDS_OF(name, bits, more)                                        \
  static int name(const void *self, struct needs *out, struct error *err) \
  {                                                                       \
    (void)self;                                                           \
    (void)err;                                                            \
    out->flags = (bits);                                                  \
    more;                                                                 \
    return 0;                                                             \
  }
NEEDS_OF(need_probes, NEED_GENERATE | NEED_JUDGE, out->probes = 1)
NEEDS_OF(need_replay, NEED_REPLAY, out->replay_tokens = 100000)
NEEDS_OF(need_reset, NEED_RESET | NEED_REFERENCE_LOGP | NEED_SPANS, (void)0)
NEEDS_OF(need_entropy, NEED_SAMPLE_ENTROPY, (void)0)
NEEDS_OF(need_field, NEED_FIELDS, out->fields[0] = "rubric:object")

extern const struct method method_grpo;
static const struct method method_anneals = {
    .name = "anneals", .needs = NEED_SAMPLE_ENTROPY, .declare = need_entropy, .sample = anneal};
static const struct method method_fielded = {.name = "fielded", .needs = NEED_FIELDS, .declare = need_field};
static const struct method method_hints = {.name = "hints", .guide = hint};
static const struct method method_hints_too = {.name = "hints_too", .guide = hint};
static const struct method method_looks = {.name = "looks", METHOD_METRICS(evaluated), .evaluate = look};
static const struct method method_probes = {
    .name = "probes", .needs = NEED_GENERATE | NEED_JUDGE, .declare = need_probes, .reward = probe};
static const struct method method_recomposes = {
    .name = "recomposes", .needs = NEED_REPLAY, .declare = need_replay, .updates = recompose};
static const struct method method_refills = {.name = "refills", .revise = refill};
static const struct method method_resets = {.name = "resets",
                                            .needs = NEED_RESET | NEED_REFERENCE_LOGP | NEED_SPANS,
                                            .self_size = sizeof(struct self),
                                            METHOD_STATE(fields),
                                            .declare = need_reset,
                                            .observe = reset};
static const struct method method_slotted = {.name = "slotted", .reward = slots, .extra = pull_slots};
static const struct method method_weighs = {.name = "weighs", .weight_current = unlikely};

#define METHODS                                                                                                    \
  &method_anneals, &method_fielded, &method_grpo, &method_hints, &method_hints_too, &method_looks, &method_probes, \
      &method_recomposes, &method_refills, &method_resets, &method_slotted, &method_weighs
#include "own_methods.h"

/* ---- runs ---------------------------------------------------------------------------------------------------------
 */

static const char RECIPE[] =
    "data: [{task: addition, digits: 1, format: plain, held_out: 0.2}]\n"
    "rollout: {problems: 4, group: 8, max_new_tokens: 20, max_prompt_tokens: 16, max_attempts: 3}\n"
    "train: {steps: 3, lr: 1.0e-3, minibatches: 2}\n"
    "save: {every: 2, keep: 2}\n"
    "seed: 5\n";

static struct result run_it(const char *name, const char *methods, const char *const *overrides, size_t count,
                            int threads, bool resume, bool (*stop)(void))
{
  const struct run_case c = {.name = name,
                             .methods = methods,
                             .recipe = RECIPE,
                             .overrides = overrides,
                             .count = count,
                             .threads = threads,
                             .resume = resume,
                             .stop = stop};
  return run_case(&c);
}

static int stop_after;
static bool stop_now(void)
{
  return stop_after-- <= 0;
}

/* The same two hashes whatever the knobs, and through stops; the methods' hashes differ from GRPO's. */
static void check_laws(const char *name, const char *methods, const char *plain, bool stops)
{
  static const char *const knobs[][3] = {{"compute.micro_batch=512", "compute.slots=3", "compute.kv_block=4"},
                                         {"compute.recompute=true", "compute.slots=1", "compute.vocab_chunk=32"}};
  char run[64];
  struct result first = run_it(name, methods, NULL, 0, 1, false, NULL);
  CHECK_OK(first.rc, &first.err);
  if (plain && !strcmp(first.weights, plain)) check_report("the weights are those of GRPO", name, __FILE__, __LINE__);
  for (size_t i = 0; i < 2; i++) {
    snprintf(run, sizeof run, "%s-%zu", name, i);
    struct result r = run_it(run, methods, knobs[i], 3, 2 + (int)i, false, NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK_STR(r.weights, first.weights);
    CHECK_STR(r.state, first.state);
  }
  if (!stops) return;
  struct result r = {.rc = ERROR_STOPPED};
  snprintf(run, sizeof run, "%s-stopped", name);
  for (int turn = 0; r.rc == ERROR_STOPPED; turn++) {
    stop_after = 40 + 80 * turn;
    r = run_it(run, methods, NULL, 0, 1 + turn % 2, turn > 0, stop_now);
    CHECK(turn < 60);
  }
  CHECK_OK(r.rc, &r.err);
  CHECK_STR(r.weights, first.weights);
  CHECK_STR(r.state, first.state);
}

static char plain[65];

static void test_each_stage(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    int *counter;
  } cases[] = {{"refills", &seen.waves}, {"hints", &seen.guided},        {"anneals", &seen.rows},
               {"probes", &seen.probes}, {"recomposes", &seen.replayed}, {"slotted", &seen.extras},
               {"weighs", &seen.weights}};
  struct result r = run_it("plain", "[grpo]", NULL, 0, 1, false, NULL);
  CHECK_OK(r.rc, &r.err);
  memcpy(plain, r.weights, sizeof plain);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char methods[64];
    memset(&seen, 0, sizeof seen);
    snprintf(methods, sizeof methods, "[grpo, %s]", cases[i].name);
    check_laws(cases[i].name, methods, strcmp(cases[i].name, "probes") ? plain : NULL,
               cases[i].counter == &seen.guided || cases[i].counter == &seen.replayed);
    CHECK(*cases[i].counter > 0);
  }
  CHECK(seen.weights > 0);
}

static void test_all_together(void **state)
{
  (void)state;
  memset(&seen, 0, sizeof seen);
  check_laws("all", "[{grpo: {kl_coef: 0.1}}, refills, anneals, probes, slotted, weighs, resets]", plain, true);
  CHECK(seen.waves && seen.dropped && seen.rows && seen.probes && seen.appeals && seen.scored && seen.extras);
  CHECK(seen.weights && seen.resets && seen.spans && seen.hot);
}

/* Probes ask for nothing that moves the weights. */
static void test_probes_shift_nobody(void **state)
{
  (void)state;
  struct result r = run_it("probed", "[grpo, probes]", NULL, 0, 1, false, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK_STR(r.weights, plain);
}

/* A reference that was set anew is in the checkpoint: check_laws of all together resumes behind it. Without a second
 * moment the optimiser's first step is another. */
static void test_resets_matter(void **state)
{
  (void)state;
  struct result with = run_it("reset", "[{grpo: {kl_coef: 0.1}}, resets]", NULL, 0, 1, false, NULL),
                without = run_it("unreset", "[{grpo: {kl_coef: 0.1}}]", NULL, 0, 1, false, NULL);
  CHECK_OK(with.rc, &with.err);
  CHECK_OK(without.rc, &without.err);
  CHECK(strcmp(with.weights, without.weights) != 0);
}

static void test_evaluations(void **state)
{
  (void)state;
  static const char *const overrides[] = {
      "eval={data: [{task: addition, digits: 1, format: plain}], every: 2, problems: 4, samples: 2}"};
  memset(&seen, 0, sizeof seen);
  struct result r = run_it("looked", "[grpo, looks]", overrides, 1, 1, false, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK_INT(seen.records, 3 * 4 * 2); /* before the first step, after the second and the last */
  CHECK_STR(r.weights, plain);
}

static void test_refusals(void **state)
{
  (void)state;
  struct result r = run_it("fields", "[grpo, fielded]", NULL, 0, 2, false, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "lacks the field \"rubric\", of type object");
  r = run_it("two", "[grpo, hints, hints_too]", NULL, 0, 2, false, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "hints and hints_too both set the context of");
  r = run_it("again", "[grpo, hints, recomposes]", NULL, 0, 2, false, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "cannot be kept for replay");
  const char *budget[] = {"rollout.max_tokens=100"};
  r = run_it("budget", "[grpo, refills]", budget, 1, 2, false, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "rollout.max_tokens: 100 tokens do not hold the 32 rollouts");
  const char *one[] = {"rollout.max_attempts=1"};
  memset(&seen, 0, sizeof seen);
  r = run_it("one-wave", "[grpo, refills]", one, 1, 1, false, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK_STR(r.weights, plain); /* the only wave is the last: nothing was dropped */
  CHECK_INT(seen.dropped, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_stage),          cmocka_unit_test(test_all_together),
                                     cmocka_unit_test(test_probes_shift_nobody), cmocka_unit_test(test_resets_matter),
                                     cmocka_unit_test(test_evaluations),         cmocka_unit_test(test_refusals)};
  int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
  lora = LORA;
  return failed + cmocka_run_group_tests_name("lora", tests, make_folder, remove_folder);
}
