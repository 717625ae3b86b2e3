/* links: train. What needs give, through a method of the test's own (its registry takes the place of
   src/method/table.c) that declares all of them: numbers that must agree with each other do, and no memory knob or
   thread moves a bit; of whole weights and of adapters. */
#include "law/run_case.h"

#include "core/math.h"
#include "method/part_divergence.h"

extern const struct method method_grpo;

/* ---- the method ------------------------------------------------------------------------------------------------- */

#define OPTIONS(X)                                                              \
  X(BOOL, second, 1, 0, 1, NULL, "the same prompt again is the second context") \
  X(BOOL, value, 1, 0, 1, NULL, "a value head")                                 \
  X(BOOL, backprop, 0, 0, 1, NULL, "its gradient reaches the weights")          \
  X(REAL, row, 0.1, 0, 10, NULL, "weight of the divergence from three others")  \
  X(INT, layer, 1, -100, 100, NULL, "whose output is asked for")                \
  X(REAL, ema, 0.5, 0, 1, NULL, "rate of the moving average; 0: none")          \
  X(BOOL, reset, 0, 0, 1, NULL, "the reference and AdamW begin anew each step") \
  X(STRING, frozen, 0, 0, 0, NULL, "a third policy")                            \
  X(INT, slot, 5, -1, 1000, NULL, "token behind the last")
struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int seen_updates, seen_moved, seen_slots; /* what a run came by */
static bool all_alike;                           /* policy, reference and the policy in its second context are one */

enum {
  ALL = NEED_HIDDEN | NEED_CURRENT_HIDDEN | NEED_LAST_STATE | NEED_TOKEN_STAT | NEED_GROUP_P | NEED_PROMPT_LOGP |
        NEED_REFERENCE_LOGP | NEED_ROW_TERM | NEED_SLOT | NEED_SECOND_CONTEXT | NEED_VALUE | NEED_ALWAYS | NEED_RESET
};

static int declare(const void *self, struct needs *out, struct error *err)
{
  const struct self *o = self;
  (void)err;
  out->flags = ALL;
  if (o->ema > 0) out->flags |= NEED_EMA;
  out->ema_rate = o->ema;
  if (o->frozen) out->flags |= NEED_POLICY;
  if (o->frozen) out->policies[out->policy_count++] = (struct policy_need){"frozen", o->frozen};
  out->hidden_layers[out->hidden_count++] = LAYER_LAST;
  out->hidden_layers[out->hidden_count++] = (int32_t)o->layer;
  out->prompt_states = 3;
  out->token_stats[out->token_stat_count++] = (struct token_stat){TOKEN_STAT_SUM_P2, 0};
  out->token_stats[out->token_stat_count++] = (struct token_stat){TOKEN_STAT_MAX_P, 0};
  out->token_stats[out->token_stat_count++] = (struct token_stat){TOKEN_STAT_MIN_P_LOGP, 0.2};
  out->token_stats[out->token_stat_count++] = (struct token_stat){TOKEN_STAT_MIN_P_MASS, 0.2};
  out->token_stats[out->token_stat_count++] = (struct token_stat){TOKEN_STAT_FLOOR_LOGP, 0};
  out->row_sources[out->row_source_count++] = (struct row_source){"reference", false};
  out->row_sources[out->row_source_count++] = (struct row_source){"policy", true};
  out->row_sources[out->row_source_count++] = (struct row_source){"policy", false};
  out->second_policies[0] = "policy";
  out->second_policies[1] = "reference";
  out->value = (struct value_need){.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .backprop = o->backprop};
  out->slot_token = (int32_t)o->slot;
  return 0;
}

static int second(struct method_call *c, const struct step *s, struct second *out, struct error *err)
{
  const struct self *o = c->self;
  for (int32_t i = 0; o->second && i < s->rollout_count; i++) {
    int32_t segment = s->contexts[s->rollouts[i].training].segment, n = tree_path_length(s->tree, segment);
    int32_t *ids = ARENA_NEW(c->scratch, int32_t, (size_t)n, "test", err);
    if (!ids) return err->code;
    tree_path_ids(s->tree, segment, ids);
    TRY(second_add_ids(out, s->rollouts[i].group, ids, n, &out->context[i], err));
  }
  return 0;
}

static void same(const float *a, const float *b, size_t n)
{
  CHECK(a && b);
  if (a != b) CHECK_BITS(a, b, n * sizeof *a);
}

static void check_token(const struct step *s, int32_t p)
{
  size_t width = (size_t)s->scores->of[0].states.width;
  double logp = (double)step_record(s, p)->logp, y = math_exp(logp);
  CHECK_BITS(&scores_logp(s, "policy")[p], &logp, 8);
  CHECK_BITS(&scores_second_logp(s, "policy")[p], &logp, 8);
  CHECK_BITS(&scores_second_logp(s, "reference")[p], &s->reference[p], 8);
  if (s->number == 0) CHECK_BITS(&s->reference[p], &logp, 8);
  double most = scores_stat(s, TOKEN_STAT_MAX_P, 0)[p], squares = scores_stat(s, TOKEN_STAT_SUM_P2, 0)[p];
  double mass = scores_stat(s, TOKEN_STAT_MIN_P_MASS, 0.2)[p], filtered = scores_stat(s, TOKEN_STAT_MIN_P_LOGP, 0.2)[p];
  CHECK(most > y - 1e-6 && most <= 1 && squares > most * most - 1e-9 && squares <= most + 1e-9);
  CHECK(mass > most - 1e-9 && mass < 1 + 1e-9);
  if (y >= 0.2001 * most) CHECK_CLOSE(filtered, logp - math_log(mass), 1e-5, "log-probabilities are of f32");
  if (y <= 0.1999 * most) CHECK(filtered < -1e30);
  CHECK_CLOSE(scores_stat(s, TOKEN_STAT_FLOOR_LOGP, 0)[p], logp, 1e-5, "nothing is filtered; f32 against f64");
  int32_t count, own = 0;
  const int32_t *ids = scores_group_ids(s, s->rollouts[s->path[p].rollout].group, &count);
  while (ids[own] != step_record(s, p)->id) own++;
  CHECK(own < count);
  CHECK_CLOSE((double)scores_group_p(s, p)[own], y, 1e-5, "f32 against f64");
  const struct rollout *r = &s->rollouts[s->path[p].rollout];
  if (p + 1 < r->path + r->path_count)
    same(scores_state(s, 1, p), scores_hidden(s, 1, p + 1), width);
  else
    same(scores_state(s, LAYER_LAST, p), scores_last(s, LAYER_LAST, s->path[p].rollout), width);
}

/* Who is the policy in this step, and who has stayed behind. */
static void check_policies(const struct self *o, const struct step *s)
{
  int differ[3] = {0};
  for (int32_t p = 0; p < s->path_count; p++) {
    double logp = (double)step_record(s, p)->logp;
    differ[0] += memcmp(&s->reference[p], &logp, 8) != 0;
    differ[1] += o->ema > 0 && memcmp(&scores_logp(s, "ema")[p], &logp, 8);
    differ[2] += o->frozen && memcmp(&scores_logp(s, "frozen")[p], &logp, 8);
  }
  CHECK((differ[0] == 0) == (s->number == 0 || o->reset));
  if (o->ema > 0) CHECK((differ[1] == 0) == (s->number == 0 || o->ema >= 1));
  if (o->frozen) CHECK(differ[2] > 0);
}

static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  const struct self *o = c->self;
  (void)s;
  (void)err;
  out->reset_reference = out->reset_optimiser = o->reset;
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  check_policies(c->self, s);
  TRY(c->base->method->advantage(c->base, s, out, err));
  for (int32_t p = 0; p < s->path_count; p++) {
    out->value_target[p] = p % 3 - 0.5;
    check_token(s, p);
  }
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    const struct segment *prompt = &s->tree->segments[s->contexts[r->training].segment];
    int32_t count;
    const double *logp = scores_prompt_logp(s, r->training, &count);
    CHECK_INT(count, prompt->count - 1);
    for (int32_t k = 0; k < count; k++) CHECK(logp[k] < 0 && math_is_finite(logp[k]));
    same(scores_prompt_hidden(s, 1, r->training, prompt->count - 1), scores_hidden(s, 1, r->path),
         (size_t)s->scores->of[0].states.width);
    CHECK(!scores_prompt_hidden(s, 1, r->training, prompt->count - 4));
    CHECK(math_is_nan(s->slot_logp[s->order[i]]) == (s->scores->slot[s->order[i]] < 0));
    seen_slots += s->scores->slot[s->order[i]] >= 0;
  }
  return 0;
}

/* The mean of three divergences; on the weights that all share they are 0. */
static double divergence(const void *arg, const struct row_input *in, double *gradient)
{
  const struct divergence_options o = {.alpha = 0.5};
  double sum = 0, *part = in->scratch;
  double work[256];
  (void)arg;
  CHECK(in->vocab <= 128);
  for (int q = 0; q < 3; q++) {
    if (!in->other[q]) continue;
    sum += divergence_row(in->logp, in->other[q], in->vocab, &o, part, work);
    for (int32_t v = 0; v < in->vocab; v++) gradient[v] += part[v];
  }
  if (all_alike) CHECK_CLOSE(sum, 0, 1e-12, "each is the same row: f64 rounding");
  return sum;
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double *scale = ARENA_NEW(out->arena, double, (size_t)m->count, "test", err);
  if (!scale) return err->code;
  bool first = m->epoch == 0 && m->index == 0;
  seen_updates++;
  all_alike = first && m->step->number == 0;
  for (int32_t i = 0; i < m->count; i++) {
    scale[i] = o->row / m->count;
    const float *now = minibatch_hidden(m, LAYER_LAST, i), *old = scores_hidden(m->step, LAYER_LAST, m->token[i]);
    if (first) {
      same(now, old, (size_t)m->hidden->width);
      CHECK_BITS(&m->value[i], &m->value_old[i], 8);
      if (o->second) CHECK_BITS(&m->second_logp[i], &m->logp[i], 8);
    } else {
      seen_moved += memcmp(now, old, (size_t)m->hidden->width * sizeof *now) != 0;
      if (o->second) CHECK_BITS(&m->second_logp[i], &m->logp[i], 8);
    }
    double error = m->value[i] - m->value_target[i];
    out->loss[i] += o->value ? 0.5 * error * error / m->count : 0;
    out->value_coef[i] = o->value ? error / m->count : 0;
    if (o->second) out->second_coef[i] = 1e-3 / m->count;
  }
  for (int32_t i = 0; i < m->rollout_count; i++)
    if (!math_is_nan(m->slot_logp[i])) out->slot_coef[i] = 1e-3;
  out->row = (struct row_term){.scale = scale, .at = divergence};
  return 0;
}

static const struct method probe = {.name = "probe",
                                    .base = "grpo",
                                    .needs = ALL | NEED_EMA | NEED_POLICY,
                                    METHOD_OPTIONS(options),
                                    .declare = declare,
                                    .second = second,
                                    .advantage = advantage,
                                    .regularise = regularise,
                                    .observe = observe};

#define METHODS &method_grpo, &probe
#include "own_methods.h"

/* ---- runs ------------------------------------------------------------------------------------------------------- */

static const char RECIPE[] =
    "data: [{task: addition, digits: 1, format: plain}]\n"
    "rollout: {problems: 3, group: 6, max_new_tokens: 12, max_prompt_tokens: 16}\n"
    "train: {steps: 2, lr: 1.0e-3, minibatches: 2, epochs: 1}\n"
    "save: {every: 1, keep: 2}\n"
    "seed: 5\n";

static struct result run_it(const char *name, const char *methods, const char *const *overrides, size_t count,
                            int threads, bool resume)
{
  const struct run_case c = {.name = name,
                             .methods = methods,
                             .recipe = RECIPE,
                             .overrides = overrides,
                             .count = count,
                             .threads = threads,
                             .resume = resume};
  return run_case(&c);
}

static void test_no_knob_moves_a_bit(void **state)
{
  (void)state;
  static const char *const overrides[] = {"compute.micro_batch=512", "compute.vocab_chunk=32", "compute.slots=2",
                                          "compute.kv_block=4", "compute.recompute=true"};
  seen_updates = seen_moved = seen_slots = 0;
  struct result a = run_it("a", "[probe]", NULL, 0, 2, false);
  CHECK_OK(a.rc, &a.err);
  CHECK(seen_updates == 4 && seen_moved > 0 && seen_slots > 0);
  struct result b = run_it("b", "[probe]", overrides, 5, 1, false);
  CHECK_OK(b.rc, &b.err);
  CHECK_STR(b.weights, a.weights);
  CHECK_STR(b.state, a.state);
}

static void test_nor_in_bf16(void **state)
{
  (void)state;
  static const char *const overrides[] = {"compute.type=bf16", "compute.micro_batch=512", "compute.vocab_chunk=32",
                                          "compute.slots=2"};
  struct result a = run_it("k", "[probe]", overrides, 1, 2, false);
  CHECK_OK(a.rc, &a.err);
  struct result b = run_it("l", "[probe]", overrides, 4, 1, false);
  CHECK_OK(b.rc, &b.err);
  CHECK_STR(b.weights, a.weights);
  CHECK_STR(b.state, a.state);
}

/* Each part moves the weights, or leaves them: a value head that is detached does. */
static void test_parts_matter(void **state)
{
  (void)state;
  struct result all = run_it("c", "[probe]", NULL, 0, 2, false);
  struct result no_value = run_it("d", "[{probe: {value: false}}]", NULL, 0, 2, false);
  struct result backprop = run_it("e", "[{probe: {backprop: true}}]", NULL, 0, 2, false);
  struct result no_rows = run_it("f", "[{probe: {row: 0}}]", NULL, 0, 2, false);
  CHECK_OK(all.rc, &all.err);
  CHECK_OK(no_value.rc, &no_value.err);
  CHECK_OK(backprop.rc, &backprop.err);
  CHECK_OK(no_rows.rc, &no_rows.err);
  CHECK_STR(no_value.weights, all.weights);
  CHECK(strcmp(backprop.weights, all.weights));
  CHECK(strcmp(no_rows.weights, all.weights));
}

/* A run that stopped after its first step goes on with the value head, the moving average and the reference that it
 * had. A frozen policy is a checkpoint of another run. */
static void test_resume(void **state)
{
  (void)state;
  static const char *const one[] = {"train.steps=1"};
  static const char *const settings[] = {"ema: 0.25", "ema: 1, reset: true"};
  for (int i = 0; i < 2; i++) {
    char whole_name[8], half_name[8], methods[192];
    snprintf(whole_name, sizeof whole_name, "g%d", i);
    snprintf(half_name, sizeof half_name, "h%d", i);
    if (*lora)  // an adapter's checkpoint names a base, and that of these runs is in no file
      snprintf(methods, sizeof methods, "[{probe: {%s}}]", settings[i]);
    else
      snprintf(methods, sizeof methods, "[{probe: {%s, frozen: %s/a/checkpoints/000002}}]", settings[i], folder);
    struct result whole = run_it(whole_name, methods, NULL, 0, 2, false);
    CHECK_OK(whole.rc, &whole.err);
    struct result half = run_it(half_name, methods, one, 1, 2, false);
    CHECK_OK(half.rc, &half.err);
    struct result rest = run_it(half_name, methods, NULL, 0, 2, true);
    CHECK_OK(rest.rc, &rest.err);
    CHECK_STR(rest.weights, whole.weights);
    CHECK_STR(rest.state, whole.state);
  }
}

static void test_refusals(void **state)
{
  (void)state;
  struct result layer = run_it("i", "[{probe: {layer: 3}}]", NULL, 0, 2, false);
  CHECK_ERROR(layer.rc, &layer.err, ERROR_INPUT, "asks for the hidden states of layer 3; the model has 2");
  char begun[80];
  snprintf(begun, sizeof begun, "%s/i", folder);
  CHECK(!file_exists(begun)); /* before anything was generated or written */
  error_clear(&layer.err);
  struct result slot = run_it("j", "[{probe: {slot: 64}}]", NULL, 0, 2, false);
  CHECK_ERROR(slot.rc, &slot.err, ERROR_INPUT, "wants token 64 scored behind each answer; expected 0 to 63");
  error_clear(&slot.err);
}

/* Every pass and every part says who asks for it; the parts are the peak. */
static void check_price_json(struct arena *a, const struct recipe *r, const struct needs *n)
{
  struct error err = {0};
  struct text t = {0};
  text_puts(&t, "{");
  CHECK_OK(run_price_json(a, r, n, &(struct price_lengths){0}, &t, &err), &err);
  text_puts(&t, "}");
  CHECK_OK(text_finish(&t, &err), &err);
  json_t *found = json_loads(t.bytes, 0, NULL);
  if (!found) fail_msg("no JSON: %s", t.bytes);
  const json_t *forwards = json_object_get(found, "forwards"), *memory = json_object_get(found, "memory");
  const json_t *passes = json_object_get(forwards, "passes"), *parts = json_object_get(memory, "parts"), *item;
  json_int_t bytes = 0, asked = 0;
  size_t i;
  CHECK_INT(json_array_size(passes), 5);
  CHECK_INT(json_integer_value(json_object_get(forwards, "later_minibatches")), 1);
  json_array_foreach(passes, i, item) CHECK(json_array_size(json_object_get(item, "needs")) > 0);
  json_array_foreach(parts, i, item)
  {
    bytes += json_integer_value(json_object_get(item, "bytes"));
    asked += json_array_size(json_object_get(item, "needs")) > 0;
  }
  CHECK_INT(bytes, json_integer_value(json_object_get(memory, "peak_bytes")));
  CHECK(asked >= 6 && asked < (json_int_t)json_array_size(parts)); /* reference, average, rows, states, scores, head */
  json_decref(found);
  text_free(&t);
}

/* What `assay methods --resolve` says of it, without weights. */
static void test_price(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  struct recipe *r;
  struct composed *set;
  struct text t = {0};
  char path[128];
  snprintf(path, sizeof path, "%s/recipe.yaml", folder);
  CHECK_OK(recipe_read(a, path, RECIPE_TRAIN, NULL, 0, &r, &err), &err);
  const struct method_choice choice = {.name = "probe"};
  const struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 2};
  CHECK_OK(compose_open(a, &choice, 1, &o, &set, &err), &err);
  CHECK_OK(run_price(a, r, compose_needs(set), &(struct price_lengths){0}, &t, &err), &err);
  CHECK_OK(text_finish(&t, &err), &err);
  static const char *const words[] = {("extra forwards a step: 5 over the own tokens (policy, policy in second "
                                       "contexts, reference, reference in second "
                                       "contexts, ema), 1 over later"),
                                      "reference: weights and workspace",
                                      "moving average: weights",
                                      "whole rows of logits",
                                      "hidden states",
                                      "value head",
                                      "peak "};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (!strstr(t.bytes, words[i])) fail_msg("found %s; expected \"%s\" in it", t.bytes, words[i]);
  text_free(&t);
  check_price_json(a, r, compose_needs(set));
  arena_destroy(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_knob_moves_a_bit),
                                     cmocka_unit_test(test_nor_in_bf16),
                                     cmocka_unit_test(test_parts_matter),
                                     cmocka_unit_test(test_resume),
                                     cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_price)};
  const struct CMUnitTest again[] = {cmocka_unit_test(test_no_knob_moves_a_bit), cmocka_unit_test(test_nor_in_bf16),
                                     cmocka_unit_test(test_parts_matter), cmocka_unit_test(test_resume)};
  int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
  lora = LORA;
  return failed + cmocka_run_group_tests_name("lora", again, make_folder, remove_folder);
}
