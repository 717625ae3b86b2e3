/* links: train. Every stage that a method may have is reached by a test method: one that has all sixteen, in whole
   runs, with laws 1 to 3 upon it. Updates that go first do; the states behind given tokens are those of the rollouts;
   what nothing answers is refused. */
#include "law/run_case.h"

#include "method/method.h"
#include "train/prepare.h"

/* ---- the method ------------------------------------------------------------------------------------------------- */

#define OPTIONS(X)                                                                  \
  X(BOOL, early, 1, 0, 1, NULL, "the second update goes before the main one")       \
  X(INT, layer, -1, -100, 100, NULL, "whose states are asked for behind given ids") \
  X(ENUM, ask, 0, 0, 0, "nothing|embedding|environment", "what nobody answers")
struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int reached[STAGE_COUNT];
static char updates_seen[64]; /* a letter for each mini-batch: e early, m main */
static int states_seen;

enum { SELF_NEEDS = NEED_HIDDEN | NEED_LAST_STATE };

static int declare(const void *self, struct needs *out, struct error *err)
{
  const struct self *o = self;
  (void)err;
  out->flags = SELF_NEEDS;
  out->hidden_layers[out->hidden_count++] = (int32_t)o->layer;
  return 0;
}

static int prepare(struct method_call *c, struct preparation *out, struct error *err)
{
  (void)c;
  (void)err;
  reached[STAGE_prepare]++;
  CHECK(out->problem && json_array_size(out->items) == 1);
  return 0;
}

/* The proposed problems the other way round, and a further one. */
static int choose(struct method_call *c, struct selection *out, struct error *err)
{
  (void)c;
  reached[STAGE_select]++;
  CHECK(out->room >= out->count && out->history(out->arg, out->picks[0].problem).tried >= 0);
  for (int32_t i = 0; i < out->count / 2; i++) {
    struct pick first = out->picks[i];
    out->picks[i] = out->picks[out->count - 1 - i];
    out->picks[out->count - 1 - i] = first;
  }
  TRY(out->draw(out->arg, &out->picks[out->count - 1].problem, err));
  return 0;
}

static int guide(struct method_call *c, const struct step *s, struct guidance *out, struct error *err)
{
  (void)c;
  (void)s;
  (void)err;
  reached[STAGE_guide]++;
  CHECK(out->rollout_count > 0);
  return 0;
}

static int sample(struct method_call *c, const struct step *s, struct sample_row *out, struct error *err)
{
  (void)c;
  (void)s;
  (void)err;
  reached[STAGE_sample]++;
  out->params->temperature = 1.1f;
  return 0;
}

/* The states behind all tokens of each rollout, asked for as if they were somebody else's text: kept until the states
 * of the rollouts themselves are there. */
static const float *state_of[4096];

static int ask_states(struct method_call *c, const struct step *s, struct asking *a, struct error *err)
{
  const struct self *o = c->self;
  struct request *q;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    const struct segment *own = &s->tree->segments[r->leaf];
    int32_t *ids = ARENA_NEW(s->arena, int32_t, (size_t)own->count + 1, "test", err);
    if (!ids) return err->code;
    if (!own->count || r->attempt < s->wave) continue;
    for (int32_t k = 0; k < own->count; k++) ids[k] = own->tokens[k].id;
    TRY(ask(a, REQUEST_HIDDEN, "state", &q, err));
    q->segment = s->contexts[r->training].segment;
    q->ids = ids;
    q->id_count = own->count;
    q->layer = (int32_t)o->layer;
    q->rollout = s->order[i];
  }
  return 0;
}

static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  const struct self *o = c->self;
  struct request *q;
  reached[STAGE_reward]++;
  if (o->ask) return ask(&out->asking, o->ask == 1 ? REQUEST_EMBED : REQUEST_ENVIRONMENT, "more", &q, err);
  if (out->asking.round == 0) return ask_states(c, s, &out->asking, err);
  int32_t next = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    const struct segment *own = &s->tree->segments[r->leaf];
    TRY(reward_add(out, "length", true, s->order[i], own->count, err));
    if (!own->count || r->attempt < s->wave) continue;
    const struct answer *a = &out->asking.answers[next++];
    for (int32_t k = 0; k < own->count; k++) CHECK_BITS(&a->logp[k], &own->tokens[k].logp, sizeof(float));
    CHECK(a->state && a->width > 0);
    state_of[s->order[i]] = a->state;
  }
  CHECK_INT(next, out->asking.answer_count);
  return 0;
}

static int revise(struct method_call *c, const struct step *s, struct revision *out, struct error *err)
{
  (void)c;
  (void)s;
  (void)err;
  reached[STAGE_revise]++;
  CHECK(out->last); /* rollout.max_attempts is 1 */
  return 0;
}

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  reached[STAGE_shape]++;
  TRY(c->base->method->shape(c->base, s, out, err));
  for (int32_t i = 0; i < s->kept; i++) out->reward[s->order[i]] += 0.01 * s->rollouts[s->order[i]].ordinal;
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  reached[STAGE_advantage]++;
  size_t width = (size_t)s->scores->of[0].states.width;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (!r->path_count) continue;
    CHECK_BITS(state_of[s->order[i]], scores_last(s, (int32_t)o->layer, s->order[i]), width * sizeof(float));
    states_seen++;
  }
  return c->base->method->advantage(c->base, s, out, err);
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  (void)c;
  (void)err;
  reached[STAGE_weight]++;
  out->denominator = COUNT_FACTOR;
  for (int32_t p = 0; p < s->path_count; p++) out->factor[p] = p % 2 ? 0.5 : 1;
  return 0;
}

static void note(char letter)
{
  size_t n = strlen(updates_seen);
  if (n + 1 < sizeof updates_seen) updates_seen[n] = letter;
}

static int early_loss(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  (void)c;
  (void)err;
  note('e');
  for (int32_t i = 0; i < m->count; i++) {
    out->loss[i] = -1e-3 * m->logp[i];
    out->coef[i] = -1e-3;
  }
  return 0;
}

/* The first half of each group once more, by a loss of the method's own. */
static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  struct update *u;
  bool *half = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "test", err);
  if (!half) return err->code;
  reached[STAGE_updates]++;
  for (int32_t i = 0; i < s->kept; i++) half[s->order[i]] = s->rollouts[s->order[i]].ordinal < 4;
  TRY(updates_add(out, "early", &u, err));
  u->first = o->early;
  u->rollouts = half;
  u->loss = early_loss;
  u->objective = out->call;
  u->regularised = false;
  u->minibatches = 1;
  return 0;
}

static int weight_current(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  (void)c;
  (void)err;
  reached[STAGE_weight_current]++;
  for (int32_t i = 0; i < m->count; i++) out->factor[i] = m->logp[i] < -4 ? 0.5 : 1;
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  reached[STAGE_objective]++;
  note('m');
  return c->base->method->objective(c->base, m, out, err);
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  (void)c;
  (void)err;
  reached[STAGE_regularise]++;
  CHECK_STR(m->update->name, "main");
  for (int32_t i = 0; i < m->count; i++) out->coef[i] += 1e-4;
  return 0;
}

static int extra(struct method_call *c, const struct minibatch *m, struct auxiliary *out, struct error *err)
{
  (void)c;
  (void)m;
  (void)err;
  reached[STAGE_extra]++;
  CHECK_INT(out->count, 0);
  return 0;
}

static int evaluate(struct method_call *c, struct evaluation *out, struct error *err)
{
  (void)c;
  (void)err;
  reached[STAGE_evaluate]++;
  CHECK(out->count > 0);
  return 0;
}

static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  (void)c;
  (void)s;
  (void)err;
  reached[STAGE_observe]++;
  CHECK(out->grad_norm > 0);
  return 0;
}

extern const struct method method_grpo;
static const struct method method_whole = {.name = "whole",
                                           .base = "grpo",
                                           .needs = SELF_NEEDS,
                                           METHOD_OPTIONS(options),
                                           .declare = declare,
                                           .prepare = prepare,
                                           .select = choose,
                                           .guide = guide,
                                           .sample = sample,
                                           .reward = reward,
                                           .revise = revise,
                                           .shape = shape,
                                           .advantage = advantage,
                                           .weight = weight,
                                           .updates = updates,
                                           .weight_current = weight_current,
                                           .objective = objective,
                                           .regularise = regularise,
                                           .extra = extra,
                                           .evaluate = evaluate,
                                           .observe = observe};
#define METHODS &method_grpo, &method_whole
#include "own_methods.h"

/* ---- runs ------------------------------------------------------------------------------------------------------- */

static const char RECIPE[] =
    "data: [{task: addition, digits: 1, format: plain}]\n"
    "eval: {data: [{task: addition, digits: 1, format: plain}], every: 2, problems: 2, samples: 1}\n"
    "rollout: {problems: 3, group: 8, max_new_tokens: 12, max_prompt_tokens: 16}\n"
    "train: {steps: 2, lr: 1.0e-3, minibatches: 2}\n"
    "save: {every: 1, keep: 2}\n"
    "seed: 5\n";

static struct result run_it(const char *name, const char *methods, const char *const *overrides, size_t count,
                            int threads)
{
  const struct run_case c = {
      .name = name, .methods = methods, .recipe = RECIPE, .overrides = overrides, .count = count, .threads = threads};
  return run_case(&c);
}

static void prepare_data(void)
{
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char data[96], recipe[96], out[96], text[128];
  struct file_writer *w;
  struct prepare_result result;
  snprintf(data, sizeof data, "%s/data.jsonl", folder);
  snprintf(recipe, sizeof recipe, "%s/prepare.yaml", folder);
  snprintf(out, sizeof out, "%s/out.jsonl", folder);
  CHECK_OK(file_writer_open(a, data, &w, &err), &err);
  CHECK_OK(file_writer_printf(w, &err, "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n"), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
  snprintf(text, sizeof text, "data: [{path: %s, verifier: number}]\n", data);
  const struct run_case c = {.methods = "[whole]", .recipe = text};
  write_recipe(a, recipe, &c);
  const struct prepare_options o = {.recipe = recipe, .out = out, .seed = -1};
  CHECK_OK(prepare_run(a, &o, &result, &err), &err);
  CHECK_INT(result.written, 1);
  arena_destroy(a);
}

static void test_every_stage(void **state)
{
  (void)state;
  static const char *const knobs[] = {"compute.micro_batch=512", "compute.slots=3", "compute.kv_block=4",
                                      "compute.recompute=true", "compute.vocab_chunk=32"};
  static const char *const bf16[] = {"compute.type=bf16"};
  prepare_data();
  struct result first = run_it("first", "[whole]", NULL, 0, 1);
  CHECK_OK(first.rc, &first.err);
  for (enum method_stage s = 0; s < STAGE_COUNT; s++)
    if (!reached[s]) fail_msg("no test method reached the stage %s", method_stage_name(s));
  CHECK(states_seen > 0);
  struct result knobbed = run_it("knobbed", "[whole]", knobs, 5, 3);
  CHECK_OK(knobbed.rc, &knobbed.err);
  CHECK_STR(knobbed.weights, first.weights);
  CHECK_STR(knobbed.state, first.state);
  struct result plain = run_it("plain", "[grpo]", NULL, 0, 1);
  CHECK_OK(plain.rc, &plain.err);
  CHECK(strcmp(plain.weights, first.weights) != 0);
  struct result half = run_it("half", "[whole]", bf16, 1, 2); /* states behind given ids are the rollouts' there, too */
  CHECK_OK(half.rc, &half.err);
}

static void test_first_goes_first(void **state)
{
  (void)state;
  memset(updates_seen, 0, sizeof updates_seen);
  struct result early = run_it("early", "[whole]", NULL, 0, 1);
  CHECK_OK(early.rc, &early.err);
  CHECK_STR(updates_seen, "emmemm");
  memset(updates_seen, 0, sizeof updates_seen);
  struct result late = run_it("late", "[{whole: {early: false}}]", NULL, 0, 1);
  CHECK_OK(late.rc, &late.err);
  CHECK_STR(updates_seen, "mmemme");
  CHECK(strcmp(early.weights, late.weights) != 0);
}

static void test_states_of_any_layer(void **state)
{
  (void)state;
  static const char *const methods[] = {"[{whole: {layer: 0}}]", "[{whole: {layer: 1}}]", "[{whole: {layer: -2}}]"};
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    char name[16];
    snprintf(name, sizeof name, "layer%zu", i);
    struct result r = run_it(name, methods[i], NULL, 0, 2);
    CHECK_OK(r.rc, &r.err);
  }
}

static void test_refusals(void **state)
{
  (void)state;
  struct result r = run_it("embedding", "[{whole: {ask: embedding}}]", NULL, 0, 1);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "whole asks for an embedding, which nothing here gives");
  error_clear(&r.err);
  r = run_it("environment", "[{whole: {ask: environment}}]", NULL, 0, 1);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "what is answered: generate, score, hidden, judge");
  error_clear(&r.err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_stage), cmocka_unit_test(test_first_goes_first),
                                     cmocka_unit_test(test_states_of_any_layer), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
