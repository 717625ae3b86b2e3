/* How methods are put together, with a registry of the test's own (it takes the place of src/method/table.c). */
#include "unit/method_case.h"

/* ---- the registry: alpha and beta refine grpo, gamma refines alpha, the others say what is wrong with them in their
 * names ------------- */

extern const struct method method_grpo;

#define OPTIONS(X)                                             \
  X(REAL, factor, 1.5, 0, 10, NULL, "what it multiplies with") \
  X(INT, most, 3, 1, 9, NULL, "a whole number")                \
  X(BOOL, loud, 0, 0, 1, NULL, "a switch")                     \
  X(ENUM, form, 1, 0, 0, "small|large", "a word")              \
  X(STRING, note, 0, 0, 0, NULL, "a text")
#define STATE(X)                      \
  X(double, mean, , "a running mean") \
  X(int64_t, seen, [3], "counters")
struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field fields[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {{"mean", "1", "what was seen"}, {"other", "1", "never written"}};

static double pass; /* what a hook below writes */

static int alpha_advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  TRY(c->base->method->advantage(c->base, s, out, err));
  for (int32_t p = 0; p < s->path_count; p++) out->advantage[p] *= 2;
  return 0;
}

static int gamma_advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t p = 0; p < s->path_count; p++) out->advantage[p] = 10 + p;
  out->drop[s->order[1]] = true;
  return 0;
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  (void)err;
  for (int32_t p = 0; p < s->path_count; p++) out->factor[p] = p % 2 ? o->factor : 0;
  out->denominator = o->loud ? COUNT_KEPT : COUNT_ALL;
  return 0;
}

static int third_weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t p = 0; p < s->path_count; p++) out->factor[p] = pass;
  out->denominator = COUNT_FACTOR;
  return 0;
}

static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  struct self *o = c->self;
  (void)s;
  (void)err;
  o->mean = out->loss;
  o->seen[1]++;
  method_report(c, "mean", out->loss);
  return 0;
}

static int update_twice(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  (void)c;
  (void)err;
  out->items[out->count] = out->items[0];
  out->items[out->count].name = "again";
  if (pass > 0) out->items[out->count].factor = __builtin_nan("");
  out->count++;
  (void)s;
  return 0;
}

static int judge_declare(const void *self, struct needs *out, struct error *err)
{
  (void)self;
  (void)err;
  out->flags = NEED_EMBED;
  return 0;
}

static int declare_fails(const void *self, struct needs *out, struct error *err)
{
  (void)self;
  (void)out;
  FAIL(err, ERROR_INPUT, "factor and most contradict each other");
}

static int prepares(struct method_call *c, struct preparation *out, struct error *err)
{
  (void)c;
  (void)out;
  (void)err;
  return 0;
}

static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  (void)c;
  for (int32_t i = 0; i < s->rollout_count; i++) TRY(reward_add(out, "bonus", false, i, pass, err));
  return 0;
}

static int pull(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t i = 0; i < m->count; i++) out->loss[i] = out->coef[i] = 0.25;
  return 0;
}

/* A verifier's channel under a method's name, and a rewrite of it. */
static int clash(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  (void)c;
  (void)s;
  return reward_add(out, "reward", false, 0, 1, err);
}

static int noise(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  (void)c;
  for (int32_t i = 0; i < s->rollout_count; i++) TRY(reward_rewrite(out, "reward", i, 0.5, err));
  return pass > 0 ? reward_rewrite(out, "nothing", 0, 1, err) : 0;
}

static const char *const NOT_BETA[] = {"beta", NULL};
static const struct method alpha = {
    .name = "alpha", .base = "grpo", METHOD_OPTIONS(options), .advantage = alpha_advantage};
static const struct method beta = {
    .name = "beta", .base = "grpo", METHOD_OPTIONS(options), .advantage = alpha_advantage};
static const struct method bonus = {.name = "bonus", .reward = reward};
static const struct method clashes = {.name = "clashes", .reward = clash};
static const struct method noisy = {.name = "noisy", .reward = noise};
static const struct method declares = {.name = "declares", METHOD_OPTIONS(options), .declare = declare_fails};
static const struct method extras = {.name = "extras", .prepare = prepares};
static const struct method gamma_method = {
    .name = "gamma", .base = "alpha", METHOD_OPTIONS(options), .advantage = gamma_advantage};
static const struct method judged = {.name = "judged", .needs = NEED_EMBED, .declare = judge_declare};
static const struct method lonely = {.name = "lonely", .conflicts = NOT_BETA};
static const struct method masks = {.name = "masks",
                                    METHOD_OPTIONS(options),
                                    METHOD_STATE(fields),
                                    METHOD_METRICS(metrics),
                                    .weight = weight,
                                    .observe = observe};
static const struct method third = {.name = "third", .weight = third_weight};
static const struct method pulls = {.name = "pulls", .regularise = pull};
static const struct method pushes = {.name = "pushes", .regularise = pull};
static const struct method twice = {.name = "twice", .updates = update_twice};

#define METHODS                                                                                                       \
  &alpha, &beta, &bonus, &clashes, &declares, &extras, &gamma_method, &method_grpo, &judged, &lonely, &masks, &noisy, \
      &pulls, &pushes, &third, &twice
#include "own_methods.h"

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static const struct case_rollout FOUR[] = {{0, 0, 1, 2}, {0, 1, 0, 1}, {1, 0, 0, 3}, {1, 1, 1, 2}};

static const char *owner(const struct composed *set, enum method_stage stage)
{
  const struct method_call *c = compose_owner(set, stage);
  return c ? c->method->name : "nobody";
}

static void test_owners(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_OK(case_open("[grpo]", 1, &set, &err), &err);
  CHECK_STR(owner(set, STAGE_advantage), "grpo");
  CHECK_STR(owner(set, STAGE_objective), "grpo");
  CHECK_STR(owner(set, STAGE_weight), "nobody");
  /* A method brings its base, and takes the stages that it refines. */
  CHECK_OK(case_open("[alpha]", 1, &set, &err), &err);
  CHECK_INT(compose_members(set), 2);
  CHECK_STR(compose_member(set, 0)->method->name, "grpo");
  CHECK_STR(owner(set, STAGE_advantage), "alpha");
  CHECK_STR(owner(set, STAGE_shape), "grpo");
  /* The last of a chain of refinements owns, in whatever order they stand. */
  CHECK_OK(case_open("[gamma, grpo]", 1, &set, &err), &err);
  CHECK_INT(compose_members(set), 3);
  CHECK_STR(owner(set, STAGE_advantage), "gamma");
  CHECK_STR(compose_member(set, 2)->base->method->name, "alpha");
}

static void test_refusals(void **state)
{
  (void)state;
  static const struct {
    const char *methods, *part;
    int line;
  } CASES[] = {
      {"- alpha\n- beta", "alpha and beta both own the stage 'advantage'; one method must own it", 2},
      {"- masks", "nothing owns the stage 'shape'", 1},
      {"- grpo\n- lonely\n- beta", "lonely and beta do not go together", 2},
      {"- grpo\n- judged", "judged needs 'embed'", 2},
      {"- grpo\n- declares", "factor and most contradict each other", 2},
      {"- grpo\n- grpo", "stands twice, first in line 1", 2},
      {"- grop", "did you mean \"grpo\"", 1},
      {"- grpo:\n    clip_lo: 0.1", "did you mean \"clip_low\"", 2},
      {"- grpo:\n    clip_low: -1",
       "methods.grpo.clip_low: found \"-1\"; expected a number of at least 0, or .inf; change it", 2},
      {"- grpo:\n    clip_low: inf", "methods.grpo.clip_low: found \"inf\"; expected a number of at least 0, or .inf",
       2},
      {"- grpo:\n    clip_low: wide", "found \"wide\"; expected a number", 2},
      {"- grpo:\n    clip_low: .nan", "found \".nan\"; expected a number", 2},
      {"- grpo:\n    dialect: vrl", "one of verl|trl|openrlhf|rloo|dr_grpo", 2},
      {"- grpo:\n    kl_clamp: 3", "true or false", 2},
      {"- grpo: [1]", "are not a map", 1},
      {"- alpha:\n    most: 2.5", "expected a whole number from 1 to 9", 2},
      {"- alpha:\n    most: 10", "expected a whole number from 1 to 9", 2},
      {"- alpha:\n    note: [a]", "found \"a list\"; expected a string", 2},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    struct composed *set = NULL;
    struct error err = {0};
    int rc = case_open(CASES[i].methods, 1, &set, &err);
    CHECK_ERROR(rc, &err, ERROR_INPUT, CASES[i].part);
    CHECK_STR(err.file, "case.yaml");
    CHECK_INT(err.line, CASES[i].line);
  }
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_ERROR(compose_open(case_arena, NULL, 0, &(struct compose_options){0}, &set, &err), &err, ERROR_INPUT,
              "no method is named");
}

static void check_option(const struct composed *set, size_t member, size_t option, const char *value, const char *from)
{
  struct text t = {0};
  struct error err = {0};
  const char *origin = NULL;
  CHECK_OK(compose_option_text(set, member, option, &t, &origin, &err), &err);
  CHECK_STR(t.bytes, value);
  CHECK_STR(origin, from);
  text_free(&t);
}

static void test_option_values(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_OK(
      case_open("[grpo,\n {masks: {factor: 2e-1, most: 9,\n loud: true, form: small, note: \"a b\"}}]", 1, &set, &err),
      &err);
  check_option(set, 1, 0, "0.2", "case.yaml:2");
  check_option(set, 1, 1, "9", "case.yaml:2");
  check_option(set, 1, 2, "true", "case.yaml:3");
  check_option(set, 1, 3, "small", "case.yaml:3");
  check_option(set, 1, 4, "\"a b\"", "case.yaml:3");
  check_option(set, 0, 0, "verl", "default");
  CHECK_OK(case_open("[grpo, masks]", 1, &set, &err), &err);
  check_option(set, 1, 0, "1.5", "default");
  check_option(set, 1, 3, "large", "default");
  check_option(set, 1, 4, "null", "default");
}

/* Whatever refines calls what it refines. */
static void test_base_call(void **state)
{
  (void)state;
  struct composed *plain = NULL, *doubled = NULL;
  struct error err = {0};
  struct step *a = case_step(FOUR, 4, NULL), *b = case_step(FOUR, 4, NULL);
  CHECK_OK(case_open("[{grpo: {dialect: dr_grpo}}]", 1, &plain, &err), &err);
  CHECK_OK(case_open("[alpha, {grpo: {dialect: dr_grpo}}]", 1, &doubled, &err), &err);
  CHECK_OK(compose_shape(plain, a, &err), &err);
  CHECK_OK(compose_shape(doubled, b, &err), &err);
  CHECK_OK(compose_advantage(plain, a, &err), &err);
  CHECK_OK(compose_advantage(doubled, b, &err), &err);
  for (int32_t p = 0; p < a->path_count; p++)
    CHECK_CLOSE(b->advantage[p], 2 * a->advantage[p], 0, "a factor of 2 is exact");
  CHECK_CLOSE(a->advantage[0], 0.5, 0, "1 - mean of 1 and 0");
}

/* A channel has one author; only a rewrite touches another's. */
static void test_channel_authors(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct step *s = case_step(FOUR, 4, NULL);
  CHECK_OK(case_open("[grpo, clashes]", 1, &set, &err), &err);
  CHECK_ERROR(compose_reward(set, s, &err), &err, ERROR_INPUT,
              "clashes adds the channel \"reward\", which a verifier has");
  error_clear(&err);
  pass = 0;
  CHECK_OK(case_open("[grpo, noisy]", 1, &set, &err), &err);
  CHECK_OK(compose_reward(set, s, &err), &err);
  CHECK_CLOSE(s->rollouts[2].channel[0], 0.5, 0, "rewritten");
  pass = 1;
  CHECK_ERROR(compose_reward(set, s, &err), &err, ERROR_INPUT, "which nobody has");
}

/* A dropped rollout leaves path, denominators and its group; what was written for the others stays theirs. */
static void test_drop(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct step *s = case_step(FOUR, 4, NULL);
  CHECK_OK(case_open("[gamma]", 1, &set, &err), &err);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  CHECK_INT(s->kept, 3);
  CHECK_INT(s->path_count, 7);
  CHECK_CLOSE(s->tokens, 7, 0, "a count");
  CHECK_INT(s->groups[0].count, 1);
  static const double WANT[] = {10, 11, 13, 14, 15, 16, 17};
  for (int i = 0; i < 7; i++) CHECK_CLOSE(s->advantage[i], WANT[i], 0, "copied");
  CHECK_CLOSE(s->reward[s->order[2]], 1, 0, "copied");
}

static void test_weights(void **state)
{
  (void)state;
  struct composed *set = NULL, *turned = NULL;
  struct error err = {0};
  struct step *s = case_step(FOUR, 4, NULL), *t = case_step(FOUR, 4, NULL);
  pass = 0.3;
  CHECK_OK(case_open("[grpo, {masks: {factor: 0.7, loud: true}}, third]", 1, &set, &err), &err);
  CHECK_OK(case_open("[third, {masks: {factor: 0.7, loud: true}}, grpo]", 1, &turned, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  CHECK_OK(compose_weight(turned, t, &err), &err);
  CHECK_BITS(s->weight, t->weight, sizeof(double) * (size_t)s->path_count);
  CHECK_BITS(s->counted, t->counted, sizeof(double) * (size_t)s->path_count);
  CHECK_CLOSE(s->weight[1], 0.7 * 0.3, 0, "one product");
  CHECK(s->weight[0] == 0 && s->counted[0] == 0);
  CHECK_CLOSE(s->counted[1], 0.3, 0, "kept, times the factor");
  CHECK_CLOSE(s->tokens, 4 * 0.3, 1e-15, "sum of four");
  CHECK_INT(s->sequences, 3); /* rollout 0.1 has one token, which is masked */
  pass = -1;
  CHECK_ERROR(compose_weight(set, s, &err), &err, ERROR_INPUT, "a factor is >= 0");
  error_clear(&err);
  pass = __builtin_nan("");
  CHECK_ERROR(compose_weight(set, s, &err), &err, ERROR_INPUT, "third gives NaN in stage 'weight'");
}

/* Masked tokens and rollouts leave the denominators: losses of p at path token p, of which 1 | - | 3, 5 | 7 count. */
static void test_denominators(void **state)
{
  (void)state;
  static const struct {
    const char *mode;
    double loss;
  } CASES[] = {{"token_mean", (1.0 + 3 + 5 + 7) / 4},
               {"seq_mean_token_mean", (1.0 + (3.0 + 5) / 2 + 7) / 3},
               {"seq_mean_token_sum", (1.0 + 3 + 5 + 7) / 3},
               {"constant, constant: 5", (1.0 + 3 + 5 + 7) / 15}};
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    char text[128];
    struct composed *set = NULL;
    struct composed_loss loss;
    struct error err = {0};
    struct step *s = case_step(FOUR, 4, NULL);
    snprintf(text, sizeof text, "[{grpo: {aggregation: %s}}, {masks: {factor: 1, loud: true}}]", CASES[i].mode);
    CHECK_OK(case_open(text, 1, &set, &err), &err);
    CHECK_OK(compose_weight(set, s, &err), &err);
    for (int32_t p = 0; p < s->path_count; p++) s->advantage[p] = -p;
    CHECK_OK(compose_objective(set, case_minibatch(set, s, &err), case_arena, &loss, &err), &err);
    CHECK_CLOSE(loss.loss, CASES[i].loss, 1e-14, "sums of eight");
  }
}

/* Regularisers add up; the factor of an update is the policy loss's alone. */
static void test_regularisers(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct composed_loss loss;
  struct error err = {0};
  struct step *s = case_step(FOUR, 4, NULL);
  CHECK_OK(case_open("[pushes, grpo, pulls]", 1, &set, &err), &err);
  for (int32_t p = 0; p < s->path_count; p++) s->advantage[p] = -3;
  struct minibatch *m = case_minibatch(set, s, &err);
  struct update doubled = *m->update;
  doubled.factor = 2;
  m->update = &doubled;
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.policy_loss, 6, 1e-14, "a mean of eight");
  CHECK_CLOSE(loss.regulariser_loss, 8 * 0.5, 0, "exact");
  CHECK_CLOSE(loss.loss, 10, 1e-14, "a mean of eight");
  CHECK_CLOSE(loss.coef[3], 6.0 / 8 + 0.5, 1e-15, "one sum");
}

static void test_channels(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct step *s = case_step(FOUR, 4, NULL);
  const struct combine_term both[] = {{"reward", 1}, {"bonus", 2}};
  CHECK_OK(case_open("[grpo, bonus]", 1, &set, &err), &err);
  s->combine = both;
  s->combine_count = 2;
  CHECK_ERROR(compose_shape(set, s, &err), &err, ERROR_INPUT, "reward.combine names the channel \"bonus\"");
  error_clear(&err);
  pass = 0.25;
  CHECK_OK(compose_reward(set, s, &err), &err);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_CLOSE(s->reward[0], 1.5, 0, "1 + 2 * 0.25");
  pass = __builtin_nan("");
  CHECK_ERROR(compose_reward(set, s, &err), &err, ERROR_INPUT, "channel \"bonus\" of problem");
}

static void test_updates(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct update_list list;
  struct step *s = case_step(FOUR, 4, NULL);
  CHECK_OK(case_open("[grpo, twice]", 2, &set, &err), &err);
  pass = 0;
  CHECK_OK(compose_updates(set, s, &list, &err), &err);
  CHECK_INT(list.count, 2);
  CHECK_STR(list.items[0].name, "main");
  CHECK_INT(list.items[0].minibatches, 2);
  pass = 1;
  CHECK_ERROR(compose_updates(set, s, &list, &err), &err, ERROR_INPUT, "twice gives update \"again\" the factor nan");
}

/* Mini-batches cut the step at groups; together they are the step. */
static void test_minibatches(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct update_list list;
  struct step *s = case_step(FOUR, 4, NULL);
  for (int32_t of = 1; of <= 3; of++) {
    int32_t tokens = 0, rollouts = 0;
    CHECK_OK(case_open("[grpo]", of, &set, &err), &err);
    CHECK_OK(compose_updates(set, s, &list, &err), &err);
    for (int32_t i = 0; i < of; i++) {
      struct minibatch *m;
      CHECK_OK(compose_minibatch(set, s, &list.items[0], 0, i, case_arena, &m, &err), &err);
      for (int32_t k = 0; k < m->count; k++) CHECK_INT(m->token[k], tokens + k);
      tokens += m->count;
      rollouts += m->rollout_count;
      if (of == 2) CHECK_INT(m->count, i ? 5 : 3);
      if (m->count) CHECK_CLOSE(m->old[0], (double)step_record(s, m->token[0])->logp, 0, "the record");
    }
    CHECK_INT(tokens, 8);
    CHECK_INT(rollouts, 4);
  }
}

static void test_state(void **state)
{
  (void)state;
  struct composed *set = NULL, *other = NULL, *fewer = NULL;
  struct error err = {0};
  struct text saved = {0}, again = {0};
  struct step *s = case_step(FOUR, 4, NULL);
  struct observation seen = {.loss = 0.125};
  CHECK_OK(case_open("[grpo, masks]", 1, &set, &err), &err);
  CHECK_OK(case_open("[{masks: {factor: 9}}, grpo]", 1, &other, &err), &err);
  CHECK_OK(case_open("[grpo]", 1, &fewer, &err), &err);
  CHECK_INT(compose_metrics(set), 0);
  CHECK_OK(compose_observe(set, s, &seen, &err), &err);
  /* Metrics that were written, and no others. */
  const char *name;
  double value;
  CHECK_INT(compose_metrics(set), 1);
  compose_metric(set, 0, &name, &value);
  CHECK_STR(name, "masks/mean");
  CHECK_CLOSE(value, 0.125, 0, "given");
  compose_clear_metrics(set);
  CHECK_INT(compose_metrics(set), 0);
  /* State goes over, options stay. */
  CHECK_OK(compose_save(set, &saved, &err), &err);
  CHECK_OK(compose_restore(other, saved.bytes, saved.size, &err), &err);
  const struct self *self = compose_member(other, 0)->self;
  CHECK_CLOSE(self->mean, 0.125, 0, "copied");
  CHECK_INT(self->seen[1], 1);
  CHECK_CLOSE(self->factor, 9, 0, "an option");
  CHECK_OK(compose_save(other, &again, &err), &err);
  CHECK_INT(again.size, saved.size);
  CHECK_BITS(again.bytes, saved.bytes, saved.size);
  /* Other methods, and every shortened blob, are errors. */
  CHECK_ERROR(compose_restore(fewer, saved.bytes, saved.size, &err), &err, ERROR_INPUT,
              "state of 2 methods, the recipe has 1");
  for (size_t n = 0; n < saved.size; n++) {
    struct error cut = {0};
    CHECK(compose_restore(other, saved.bytes, n, &cut) == ERROR_INPUT);
  }
  text_add(&saved, "x", 1);
  error_clear(&err);
  CHECK_ERROR(compose_restore(other, saved.bytes, saved.size, &err), &err, ERROR_INPUT, "1 bytes stand behind");
  text_free(&saved);
  text_free(&again);
}

static void test_streams(void **state)
{
  (void)state;
  const struct method_call a = {.method = &alpha}, b = {.method = &beta};
  struct rng_at x = method_rng(&a, 3, 1, 0, 2, 4), y = method_rng(&b, 3, 1, 0, 2, 4),
                again = method_rng(&a, 3, 1, 0, 2, 4);
  CHECK(x.purpose >= RNG_METHOD && x.purpose != y.purpose);
  CHECK_BITS(&x, &again, sizeof x);
  CHECK_INT(x.position, 4);
}

static void test_describe(void **state)
{
  (void)state;
  struct composed *set = NULL;
  struct error err = {0};
  struct text t = {0};
  CHECK_OK(case_open("[{grpo: {kl_coef: 0.1}}, masks]", 2, &set, &err), &err);
  CHECK_OK(compose_describe(set, &t, &err), &err);
  CHECK(strstr(t.bytes, "advantage   owner    grpo") != NULL);
  CHECK(strstr(t.bytes, "weight      product  masks") != NULL);
  CHECK(strstr(t.bytes, "reference_logp") != NULL);
  CHECK(strstr(t.bytes, "# case.yaml:1") != NULL);
  text_clear(&t);
  for (size_t i = 0; i < method_count(); i++) {
    if (!method_at(i)->title) continue;
    CHECK_OK(method_describe(method_at(i), &t, &err), &err);
    CHECK_OK(method_json(method_at(i), &t, &err), &err);
  }
  text_free(&t);
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_owners),
                                     cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_option_values),
                                     cmocka_unit_test(test_base_call),
                                     cmocka_unit_test(test_drop),
                                     cmocka_unit_test(test_weights),
                                     cmocka_unit_test(test_channels),
                                     cmocka_unit_test(test_updates),
                                     cmocka_unit_test(test_minibatches),
                                     cmocka_unit_test(test_state),
                                     cmocka_unit_test(test_channel_authors),
                                     cmocka_unit_test(test_denominators),
                                     cmocka_unit_test(test_regularisers),
                                     cmocka_unit_test(test_streams),
                                     cmocka_unit_test(test_describe)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
