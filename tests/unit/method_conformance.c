/* Every method of the registry, without knowing any: what DESIGN.md asks of all of them. Its gradients are those
   of method_gradients.c. */
#include "unit/method_outcome.h"

#include "core/settings.h"
#include "method/method_set.h"

static void same(const struct outcome *a, const struct outcome *b)
{
  CHECK_INT(a->batch->count, b->batch->count);
  size_t bytes = sizeof(double) * (size_t)a->batch->count;
  CHECK_BITS(a->step->advantage, b->step->advantage, bytes);
  CHECK_BITS(a->step->weight, b->step->weight, bytes);
  CHECK_BITS(a->loss.coef, b->loss.coef, bytes);
  CHECK_BITS(&a->loss.loss, &b->loss.loss, sizeof a->loss.loss);
}

/* Rollouts in another storage order keep their identities, and every bit. */
static void test_permuted(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    struct outcome straight, turned;
    struct case_rollout order[COUNT] = {0};
    run_default(method_at(i), "", STEP, COUNT, &straight);
    for (size_t shift = 1; shift < COUNT; shift++) {
      for (size_t k = 0; k < COUNT; k++) order[k] = STEP[(k * 5 + shift) % COUNT]; /* 5 and 9 have no common factor */
      run_default(method_at(i), "", order, COUNT, &turned);
      same(&straight, &turned);
    }
  }
}

/* An option as text at one of its ends, or NULL where there is no such end. */
static const char *option_end(const struct method_option *o, bool high, char *buf, size_t size)
{
  double x = high ? o->high : o->low;
  switch (o->type) {
    case METHOD_OPTION_REAL:
      if (math_is_finite(x))
        snprintf(buf, size, "%s: %.17g", o->name, x);
      else
        snprintf(buf, size, "%s: %s", o->name, x < 0 ? "-.inf" : ".inf");
      return buf;
    case METHOD_OPTION_INT:
      snprintf(buf, size, "%s: %.0f", o->name, x);
      return buf;
    case METHOD_OPTION_BOOL:
      snprintf(buf, size, "%s: %s", o->name, high ? "true" : "false");
      return buf;
    case METHOD_OPTION_ENUM: {
      const char *word = high && strrchr(o->text, '|') ? strrchr(o->text, '|') + 1 : o->text;
      snprintf(buf, size, "%s: %.*s", o->name, (int)strcspn(word, "|"), word);
      return buf;
    }
    case METHOD_OPTION_STRING:
      break;
  }
  return NULL;
}

static void test_option_ends(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    for (size_t o = 0; o < 2 * m->option_count; o++) {
      char text[128];
      struct outcome out;
      if (!option_end(&m->options[o / 2], o % 2, text, sizeof text)) continue;
      run_default(m, text, STEP, COUNT, &out);
      for (int32_t k = 0; k < out.batch->count; k++) CHECK(math_is_finite(out.loss.coef[k]));
      CHECK(math_is_finite(out.loss.loss));
    }
  }
}

/* Beyond its ends an option is refused, and so is a word in place of a number; the sentence names the bounds that there
 * are and no infinity as one of them. */
static void check_refused(const struct method *m, const struct method_option *o, const char *value)
{
  char text[256], expected[160], bounds[96];
  struct composed *set;
  struct error err = {0};
  bool low = math_is_finite(o->low), high = math_is_finite(o->high);
  snprintf(text, sizeof text, "[{%s: {%s: %s}}]", m->name, o->name, value);
  number_wanted(o->type == METHOD_OPTION_INT, o->low, o->high, bounds, sizeof bounds);
  snprintf(expected, sizeof expected, "methods.%s.%s: found \"%s\"; expected %s", m->name, o->name, value, bounds);
  CHECK_ERROR(case_open(text, 1, &set, &err), &err, ERROR_INPUT, expected);
  CHECK(!strstr(err.message, "from -inf") && !strstr(err.message, "to inf"));
  CHECK((strstr(err.message, "number from") != NULL) == (low && high));
  CHECK((strstr(err.message, "number of at least") != NULL) == (low && !high));
}

static void test_option_bounds(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    for (size_t k = 0; k < m->option_count; k++) {
      const struct method_option *o = &m->options[k];
      char value[64];
      if (o->type != METHOD_OPTION_REAL && o->type != METHOD_OPTION_INT) continue;
      check_refused(m, o, "inf"); /* a word: YAML's is .inf */
      snprintf(value, sizeof value, "%.17g", o->low - 1);
      if (math_is_finite(o->low)) check_refused(m, o, value);
      snprintf(value, sizeof value, "%.17g", o->high * 2 + 1);
      if (math_is_finite(o->high)) check_refused(m, o, value);
    }
  }
}

/* Equal rewards, all wrong among them, whatever the value: a method that compares rollouts must see exactly nothing.
 * Who sees something all the same, and what: */
static const struct {
  const char *method;
  bool credit; /* advantages; else the loss alone */
  const char *reason;
} ABSOLUTE[] = {{"entropy_bonus", false, "the entropy of every token"},
                {"kl_cov", false, "the covariance is 0 everywhere, and the first token of it pays"},
                {"kl_reward", true, "every token pays for its distance to the reference"},
                {"optimal_token_baseline", true, "the end of the longest response has nothing to be compared with"},
                {"pgbc_pgfc", true, "pgfc has no baseline but the rate of false negatives"},
                {"ppo", true, "a critic's values, not the other rollouts"},
                {"progrpo", true, "right answers that are less likely than their group, where all are right"},
                {"psr_nsr", true, "right and wrong answers count each for itself"},
                {"rapo", false, "a term on whole rows, against the reference"},
                {"remax", true, "the greedy answer, not the other rollouts"},
                {"reward_noise", true, "verdicts that it turned over"},
                {"rft", true, "every right answer counts"},
                {"sft", true, "every example counts"}};
enum { ABSOLUTE_COUNT = sizeof ABSOLUTE / sizeof ABSOLUTE[0] };

/* Beside the defaults of every method: settings by which something else is compared, or compared otherwise. */
static const char *const COMPARING[][2] = {{"grpo", "dialect: verl"},
                                           {"grpo", "dialect: trl"},
                                           {"grpo", "dialect: openrlhf"},
                                           {"grpo", "dialect: rloo"},
                                           {"grpo", "dialect: dr_grpo"},
                                           {"grpo", "scale_rewards: batch"},
                                           {"grpo", "scale_rewards: none"},
                                           {"gdpo", "dialect: trl"},
                                           {"passk_training", "estimator: best"},
                                           {"reinforce_pp", "whiten: openrlhf"},
                                           {"rloo", "dialect: trl, normalise: true"},
                                           {"canon", "metric: length, beta: 0"},
                                           {"prerl_dsrl", "warmup_only: false, positive_pretrain: true"},
                                           {"pgbc_pgfc", "mode: pgbc"},
                                           {"resrl", "length_start: 2, length_max: 2, end_scale: 1"}};
enum { COMPARING_COUNT = sizeof COMPARING / sizeof COMPARING[0] };

static int is_absolute(const char *method)
{
  for (int i = 0; i < ABSOLUTE_COUNT; i++)
    if (ABSOLUTE[i].method && !strcmp(ABSOLUTE[i].method, method)) return i;
  return -1;
}

static bool all_zero(const double *x, int32_t n)
{
  for (int32_t i = 0; i < n; i++)
    if (x[i] < 0 || x[i] > 0 || math_is_nan(x[i])) return false;
  return true;
}

/* Whether credit, and whether the loss is exactly 0. A method may take rewards of 0 and 1 alone. */
static void run_equal(const struct method *m, const char *options, double reward, bool *credit, bool *loss)
{
  struct case_rollout equal[COUNT];
  struct outcome out;
  struct composed *set;
  struct error err = {0};
  memcpy(equal, STEP, sizeof equal);
  for (size_t k = 0; k < COUNT; k++) equal[k].reward = reward;
  open_one(m, options, 1, &set);
  *credit = *loss = true;
  if (run(set, case_step(equal, COUNT, NULL), &out, &err)) {
    CHECK(reward < 0 || (reward > 0 && reward < 1) || reward > 1);
    CHECK_ERROR(err.code, &err, ERROR_INPUT, m->name);
    return;
  }
  *credit = all_zero(out.step->advantage, out.step->path_count);
  *loss = all_zero(out.loss.coef, out.batch->count) && all_zero(&out.loss.loss, 1);
}

static void test_equal_rewards(void **state)
{
  (void)state;
  static const double VALUES[] = {0, 1, 1.4, 0.1, -3.3, 1e-300, 1e300};
  bool seen[ABSOLUTE_COUNT] = {false};
  for (size_t i = 0; i < method_count() + COMPARING_COUNT; i++) {
    bool listed = i >= method_count();
    const struct method *m = listed ? method_find(COMPARING[i - method_count()][0]) : method_at(i);
    const char *options = listed ? COMPARING[i - method_count()][1] : "";
    int absolute = is_absolute(m->name);
    for (size_t v = 0; v < sizeof VALUES / sizeof VALUES[0]; v++) {
      bool credit, loss;
      run_equal(m, options, VALUES[v], &credit, &loss);
      bool excused = absolute >= 0 && (credit || ABSOLUTE[absolute].credit);
      if (!(credit && loss) && !excused)
        fail_msg("%s {%s}, all rewards %g: expected exactly 0 of %s", m->name, options, VALUES[v],
                 credit ? "its loss" : "its advantages");
      if (absolute >= 0) seen[absolute] = seen[absolute] || !(credit && loss);
    }
  }
  for (int i = 0; i < ABSOLUTE_COUNT; i++)
    if (ABSOLUTE[i].method && !seen[i])
      fail_msg("%s sees nothing in equal rewards; take it out of ABSOLUTE", ABSOLUTE[i].method);
}

static void test_small_steps(void **state)
{
  (void)state;
  static const struct case_rollout ONE[] = {{0, 0, 1, 2}}, EMPTY[] = {{0, 0, 1, 0}, {0, 1, 0, 3}},
                                   SILENT[] = {{0, 0, 1, 0}, {0, 1, 0, 0}};
  for (size_t i = 0; i < method_count(); i++) {
    struct outcome out;
    run_default(method_at(i), "", ONE, 1, &out); /* a group of one */
    CHECK(math_is_finite(out.loss.loss));
    run_default(method_at(i), "", EMPTY, 2, &out); /* an empty response */
    CHECK(math_is_finite(out.loss.loss));
    CHECK_INT(out.batch->count, 3);
    CHECK_INT(out.batch->rollout_count, 2);
    run_default(method_at(i), "", SILENT, 2, &out); /* nothing to train on */
    CHECK(out.loss.loss == 0);
    CHECK_INT(out.batch->count, 0);
  }
}

static void test_bad_numbers(void **state)
{
  (void)state;
  struct error err = {0};
  const struct problem p = {.id = "p7"};
  /* A verdict that is no number does not become one. */
  struct step *s = case_step(STEP, COUNT, &p);
  const struct verdict bad = {.status = VERDICT_OK, .reward = __builtin_nan(""), .reason = "given"};
  CHECK_ERROR(step_set_verdict(s, 4, &bad, &err), &err, ERROR_INPUT,
              "channel \"reward\" of problem p7, rollout 0.1 is NaN");
  error_clear(&err);
  for (int sign = -1; sign <= 1; sign += 2) {
    const struct verdict infinite = {.status = VERDICT_OK, .reward = sign * __builtin_inf(), .reason = "given"};
    CHECK_ERROR(step_set_verdict(s, 4, &infinite, &err), &err, ERROR_INPUT,
                "channel \"reward\" of problem p7, rollout 0.1 is infinite");
    error_clear(&err);
  }
  for (size_t i = 0; i < method_count(); i++) {
    /* Nor does a log-probability. */
    struct composed *set;
    struct outcome out;
    open_one(method_at(i), "", 1, &set);
    CHECK_OK(run(set, case_step(STEP, COUNT, &p), &out, &err), &err);
    out.batch->logp[2] = __builtin_nan("");
    for (int32_t k = 0; out.batch->value && k < out.batch->count; k++) out.batch->value[k] = __builtin_nan("");
    CHECK_ERROR(compose_objective(set, out.batch, case_arena, &out.loss, &err), &err, ERROR_INPUT,
                "problem p7, rollout ");
    CHECK(strstr(err.message, method_at(i)->name) ||
          strstr(err.message, compose_owner(set, STAGE_objective)->method->name));
    error_clear(&err);
  }
}

/* Save, load and go on is going on. */
static void test_save_load(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    struct composed *going, *resumed;
    struct error err = {0};
    struct outcome a, b;
    struct text saved = {0};
    struct observation seen = {.loss = 0.5, .solved = 0.5};
    open_one(method_at(i), "", 1, &going);
    open_one(method_at(i), "", 1, &resumed);
    CHECK_OK(run(going, case_step(STEP, COUNT, NULL), &a, &err), &err);
    CHECK_OK(compose_observe(going, a.step, &seen, &err), &err);
    CHECK_OK(compose_save(going, &saved, &err), &err);
    CHECK_OK(compose_restore(resumed, saved.bytes, saved.size, &err), &err);
    CHECK_OK(run(going, case_step(STEP, COUNT, NULL), &a, &err), &err);
    CHECK_OK(run(resumed, case_step(STEP, COUNT, NULL), &b, &err), &err);
    same(&a, &b);
    text_free(&saved);
  }
}

/* Tokens of the rollouts that an update takes. */
static int32_t taken_tokens(const struct step *s, const struct update *u)
{
  int32_t n = 0;
  for (int32_t i = 0; i < s->kept; i++)
    if (!u->rollouts || u->rollouts[s->order[i]]) n += s->rollouts[s->order[i]].path_count;
  return n;
}

/* A step cut into mini-batches trains every token once; a mini-batch's denominators are its own. */
static void test_minibatches(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    struct composed *set;
    struct outcome out;
    struct error err = {0};
    struct update_list list;
    open_one(method_at(i), "", GROUPS, &set);
    CHECK_OK(run(set, case_step(STEP, COUNT, NULL), &out, &err), &err);
    CHECK_OK(compose_updates(set, out.step, &list, &err), &err);
    int32_t tokens = 0;
    for (int32_t k = 0; k < GROUPS; k++) {
      CHECK_OK(compose_minibatch(set, out.step, &list.items[0], 0, k, case_arena, &out.batch, &err), &err);
      move(out.batch);
      case_current(set, out.batch);
      CHECK_OK(compose_weight_current(set, out.batch, case_arena, &err), &err);
      CHECK_OK(compose_objective(set, out.batch, case_arena, &out.loss, &err), &err);
      CHECK(math_is_finite(out.loss.loss));
      tokens += out.batch->count;
    }
    CHECK(tokens > 0);
    CHECK_INT(tokens, taken_tokens(out.step, &list.items[0]));
  }
}

/* "a=1 b=2" as options of a recipe. */
static void neutral_options(const char *neutral, char *out, size_t size)
{
  size_t n = 0;
  for (const char *p = neutral; *p; p++)
    n += (size_t)snprintf(out + n, size - n, *p == '=' ? ": " : *p == ' ' ? ", " : "%c", *p);
}

/* The setting that turns a method off leaves its base, bit for bit. */
static void test_neutral(void **state)
{
  (void)state;
  int compared = 0;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    struct outcome off, base;
    char options[256];
    if (!m->base || !m->neutral) continue;
    neutral_options(m->neutral, options, sizeof options);
    run_default(m, options, STEP, COUNT, &off);
    run_default(method_find(m->base), "", STEP, COUNT, &base);
    same(&off, &base);
    CHECK_BITS(off.batch->weight, base.batch->weight, sizeof(double) * (size_t)base.batch->count);
    compared++;
  }
  CHECK(compared >= 5);
}

/* ---- hard inputs ------------------------------------------------------------------------------------------------ */

/* Options at their ends on steps in which there is nothing to compare, or nothing at all. */
static void test_option_ends_on_small_steps(void **state)
{
  (void)state;
  static const struct case_rollout ONE[] = {{0, 0, 1, 2}}, EMPTY[] = {{0, 0, 1, 0}, {0, 1, 0, 3}},
                                   WRONG[] = {{0, 0, 0, 2}, {0, 1, 0, 3}, {1, 0, 0, 1}, {1, 1, 0, 4}};
  static const struct {
    const struct case_rollout *rollouts;
    size_t count;
  } steps[] = {{ONE, 1}, {EMPTY, 2}, {WRONG, 4}};
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    for (size_t o = 0; o < 2 * m->option_count; o++) {
      char text[128];
      if (!option_end(&m->options[o / 2], o % 2, text, sizeof text)) continue;
      for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        struct arena_mark mark = arena_mark(case_arena);
        struct outcome out;
        run_default(m, text, steps[s].rollouts, steps[s].count, &out);
        CHECK(math_is_finite(out.loss.loss));
        for (int32_t k = 0; k < out.batch->count; k++) CHECK(math_is_finite(out.loss.coef[k]));
        arena_release(case_arena, mark);
      }
    }
  }
}

/* Rewards whose differences and squares are infinite: a method gives finite coefficients all the same, or ends the step
 * with a sentence that names method, problem and rollout. */
static void test_enormous_rewards(void **state)
{
  (void)state;
  const struct problem p = {.id = "p7"};
  int refused = 0;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    struct case_rollout rollouts[COUNT];
    struct composed *set;
    struct outcome out;
    struct error err = {0};
    memcpy(rollouts, STEP, sizeof rollouts);
    rollouts[3].reward = -1.7e308;
    rollouts[4].reward = 1.7e308;
    open_one(m, "", 1, &set);
    int rc = run(set, case_step(rollouts, COUNT, &p), &out, &err);
    if (rc) {
      CHECK_ERROR(rc, &err, ERROR_INPUT, "for problem p7, rollout 0.");
      CHECK(strstr(err.message, m->name) || (m->base && strstr(err.message, m->base)));
      error_clear(&err);
      refused++;
      continue;
    }
    CHECK(math_is_finite(out.loss.loss));
    for (int32_t k = 0; k < out.batch->count; k++) CHECK(math_is_finite(out.loss.coef[k]));
  }
  CHECK(refused > 0);
}

/* Probabilities that round to 1 or to 0, on both sides of the ratio. */
static void test_extreme_probabilities(void **state)
{
  (void)state;
  static const double LOGP[] = {0, -1e-9, -104, -700, -3e4};
  enum { CASES = sizeof LOGP / sizeof LOGP[0] };
  for (size_t i = 0; i < method_count(); i++) {
    for (int32_t turn = 0; turn < CASES * CASES; turn++) {
      struct arena_mark mark = arena_mark(case_arena);
      struct composed *set;
      struct outcome out;
      struct error err = {0};
      open_one(method_at(i), "", 1, &set);
      CHECK_OK(run(set, case_step(STEP, COUNT, NULL), &out, &err), &err);
      for (int32_t k = 0; k < out.batch->count; k++) {
        out.batch->logp[k] = LOGP[(k + turn) % CASES];
        out.batch->old[k] = LOGP[(k * 3 + turn / CASES) % CASES];
        if (out.batch->reference) out.batch->reference[k] = LOGP[(k * 2 + turn) % CASES];
        if (out.batch->entropy) out.batch->entropy[k] = k % 2 ? 0 : 11;
      }
      CHECK_OK(compose_objective(set, out.batch, case_arena, &out.loss, &err), &err);
      for (int32_t k = 0; k < out.batch->count; k++) CHECK(math_is_finite(out.loss.coef[k]));
      arena_release(case_arena, mark);
    }
  }
}

/* ---- every pair ------------------------------------------------------------------------------------------------- */

static const char FIELDS[] = /* those that methods read */
    "{\"subproblems\": [{\"ground_truth\": \"1\"}, {\"ground_truth\": \"1\"}, {\"ground_truth\": \"1\"}, "
    "{\"ground_truth\": \"2\"}]}";

/* The stages before the first verdict. */
static int run_before(struct composed *set, struct step *s, struct error *err)
{
  struct pick picks[4] = {{&CASE_DRAWN, 3}, {&CASE_DRAWN, 3}};
  struct selection chosen = {
      .total = 10, .picks = picks, .count = 2, .room = 4, .draw = case_draw, .history = case_no_history};
  struct sample_params params = {.temperature = 1, .top_p = 1};
  struct sample_row row = {.entropy = 1, .params = &params};
  int32_t rollouts[COUNT];
  for (int32_t i = 0; i < COUNT; i++) rollouts[i] = i;
  TRY(compose_select(set, &chosen, err));
  TRY(compose_guide(set, s, rollouts, COUNT, err));
  return compose_sample(set, s, &row, err);
}

static int run_update(struct composed *set, struct step *s, const struct update *u, struct error *err)
{
  for (int32_t k = 0; k < u->epochs * u->minibatches; k++) {
    struct outcome out;
    TRY(compose_minibatch(set, s, u, k / u->minibatches, k % u->minibatches, case_arena, &out.batch, err));
    move(out.batch);
    case_current(set, out.batch);
    TRY(compose_weight_current(set, out.batch, case_arena, err));
    TRY(compose_objective(set, out.batch, case_arena, &out.loss, err));
    CHECK(math_is_finite(out.loss.loss));
    for (int32_t i = 0; i < out.batch->count; i++) CHECK(math_is_finite(out.loss.coef[i]));
  }
  return 0;
}

/* A small step through every stage, the state saved and restored behind it. */
static int run_whole(struct composed *set, struct composed *fresh, struct error *err)
{
  struct step *s = case_step(STEP, COUNT, &CASE_DRAWN);
  const struct second_renderer renderer = {.render = case_render};
  struct update_list list;
  TRY(run_before(set, s, err));
  TRY(compose_reward(set, s, err));
  bool drop[COUNT] = {false};
  struct revision revised = {.last = true, .drop = drop};
  TRY(compose_revise(set, s, &revised, err));
  TRY(step_gather(s, err));
  TRY(compose_second(set, s, &renderer, err));
  case_score(set, s);
  TRY(compose_shape(set, s, err));
  TRY(compose_advantage(set, s, err));
  TRY(compose_weight(set, s, err));
  TRY(compose_updates(set, s, &list, err));
  for (int32_t i = 0; i < list.count; i++)
    if (list.items[i].on && list.items[i].batch == s) TRY(run_update(set, s, &list.items[i], err));
  struct observation seen = {.loss = 0.5, .kl = 0.1, .entropy = 1, .grad_norm = 1, .solved = 0.5};
  TRY(compose_observe(set, s, &seen, err));
  struct evaluation none = {.records = NULL};
  TRY(compose_evaluate(set, &none, err));
  struct text saved = {0};
  int rc = compose_save(set, &saved, err);
  if (!rc) rc = compose_restore(fresh, saved.bytes, saved.size, err);
  text_free(&saved);
  return rc;
}

/* Every ordered pair, since chains run in the recipe's order: a step through every stage, or one sentence that names
 * both. */
static void test_pairs(void **state)
{
  (void)state;
  int resolved = 0, refused = 0;
  json_t *fields;
  struct error none = {0};
  CHECK_OK(json_parse(case_arena, FIELDS, strlen(FIELDS), "fields", 0, 0, &fields, &none), &none);
  CASE_DRAWN.fields = fields;
  for (size_t i = 0; i < method_count() * method_count(); i++) {
    const struct method *a = method_at(i / method_count()), *b = method_at(i % method_count());
    struct arena_mark mark = arena_mark(case_arena);
    struct composed *set, *fresh;
    struct error err = {0};
    char text[128];
    if (a == b) continue;
    snprintf(text, sizeof text, "[%s, %s]", a->name, b->name);
    if (case_open(text, 2, &set, &err)) {
      CHECK_INT(err.code, ERROR_INPUT);
      if (!strstr(err.message, a->name) || !strstr(err.message, b->name) || strchr(err.message, '\n'))
        fail_msg("%s: expected one sentence that names both: %s", text, err.message);
      refused++;
    } else {
      CHECK_OK(case_open(text, 2, &fresh, &err), &err);
      if (run_whole(set, fresh, &err)) fail_msg("%s: %s", text, err.message);
      resolved++;
    }
    arena_release(case_arena, mark);
  }
  CHECK(resolved > refused && refused > 0);
}

/* The row itself: what docs, help and the recipe checker are made of. */
static void test_rows(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    CHECK(i == 0 || strcmp(method_at(i - 1)->name, m->name) < 0);
    CHECK(m->title && m->paper && m->number >= 0 && m->number <= 69);
    CHECK(!m->base || method_find(m->base));
    CHECK(m->base || !m->neutral); /* some methods have no setting that turns them off */
    for (size_t o = 0; o < m->option_count; o++) {
      CHECK(m->options[o].help && !strchr(m->options[o].help, '\n'));
      CHECK(m->options[o].low <= m->options[o].high);
      CHECK(m->options[o].at < m->self_size);
      bool ranged = m->options[o].type == METHOD_OPTION_REAL || m->options[o].type == METHOD_OPTION_INT;
      if (ranged) CHECK(m->options[o].fallback >= m->options[o].low && m->options[o].fallback <= m->options[o].high);
    }
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_permuted),
                                     cmocka_unit_test(test_option_ends),
                                     cmocka_unit_test(test_option_bounds),
                                     cmocka_unit_test(test_equal_rewards),
                                     cmocka_unit_test(test_small_steps),
                                     cmocka_unit_test(test_bad_numbers),
                                     cmocka_unit_test(test_save_load),
                                     cmocka_unit_test(test_minibatches),
                                     cmocka_unit_test(test_neutral),
                                     cmocka_unit_test(test_option_ends_on_small_steps),
                                     cmocka_unit_test(test_enormous_rewards),
                                     cmocka_unit_test(test_extreme_probabilities),
                                     cmocka_unit_test(test_pairs)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
