/* Methods that choose or weigh tokens, through their hooks: the worked numbers of the papers with states and
 * probabilities put where a scoring pass puts them, and what happens where a formula has nothing to say. */
#include "unit/method_case.h"

#include "method/part_subspace.h"

static const double SHEET = 2e-6; /* six digits, and log-probabilities in f32 */

static struct composed *open_methods(const char *methods)
{
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_OK(case_open(methods, 1, &set, &err), &err);
  return set;
}

/* One group: rewards and numbers of tokens. */
static struct step *one_group(const double *rewards, const int32_t *tokens, int n)
{
  struct case_rollout rollouts[16] = {0};
  for (int i = 0; i < n; i++) rollouts[i] = (struct case_rollout){0, i, rewards[i], tokens[i]};
  return case_step(rollouts, (size_t)n, NULL);
}

static struct token_record *record(const struct step *s, int32_t p)
{
  return &s->tree->segments[s->path[p].segment].tokens[s->path[p].index];
}

/* One layer of states, a row each path token. */
static void put_states(struct states *states, int32_t **before, int32_t layer, const double *rows, int32_t count,
                       int32_t width)
{
  struct error err = {0};
  int32_t *layers = ARENA_NEW(case_arena, int32_t, 1, "test", &err);
  layers[0] = layer;
  *states = (struct states){.width = width, .layer_count = 1, .row_count = count, .layers = layers};
  states->rows = ARENA_NEW(case_arena, float, (size_t)(count * width), "test", &err);
  *before = ARENA_NEW(case_arena, int32_t, (size_t)count, "test", &err);
  for (int32_t i = 0; i < count * width; i++) states->rows[i] = (float)rows[i];
  for (int32_t i = 0; i < count; i++) (*before)[i] = i;
}

static double metric(const struct composed *set, const char *wanted)
{
  for (size_t i = 0; i < compose_metrics(set); i++) {
    const char *name;
    double value;
    compose_metric(set, i, &name, &value);
    if (!strcmp(name, wanted)) return value;
  }
  return __builtin_nan("");
}

static void check_list(const double *got, const double *want, int n)
{
  for (int i = 0; i < n; i++) CHECK_CLOSE(got[i], want[i], SHEET, "the sheet's digits");
}

/* ---- beyond_8020 --------------------------------------------------------------------------------------------------
 */

static const double ENTROPY[10] = {.01, .5, 1.2, .03, .9, .02, 2.0, .1, .05, .3};

static struct minibatch *forks(struct composed *set, double *loss)
{
  struct error err = {0};
  struct composed_loss out;
  struct step *s = one_group((const double[]){0, 0}, (const int32_t[]){7, 3}, 2);
  for (int32_t p = 0; p < 10; p++) {
    s->advantage[p] = p < 7 ? 1 : -1;
    record(s, p)->entropy = (float)ENTROPY[p];
  }
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int32_t p = 0; m->entropy && p < 10; p++) m->entropy[p] = ENTROPY[p];
  CHECK_OK(compose_weight_current(set, m, case_arena, &err), &err);
  CHECK_OK(compose_objective(set, m, case_arena, &out, &err), &err);
  *loss = out.loss;
  return m;
}

static void test_forks(void **state)
{
  (void)state;
  static const struct {
    const char *options;
    double loss;
  } CASES[] = {{"", -0.2}, {"denominator: kept", -1}, {"threshold: quantile", -0.2}, {"entropy: sampler", -0.2}};
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    char text[128];
    double loss;
    snprintf(text, sizeof text, "[{beyond_8020: {%s}}]", CASES[i].options);
    struct composed *set = open_methods(text);
    struct minibatch *m = forks(set, &loss);
    CHECK_CLOSE(loss, CASES[i].loss, 1e-12, "tenths");
    for (int32_t p = 0; p < 10; p++) CHECK(m->weight[p] == (p == 2 || p == 6));
    CHECK(metric(set, "beyond_8020/kept") == 0.2);
  }
  double loss;
  struct minibatch *m = forks(open_methods("[{beyond_8020: {side: bottom}}]"), &loss);
  for (int32_t p = 0; p < 10; p++) CHECK(m->weight[p] == (p != 2 && p != 6));
  m = forks(open_methods("[{beyond_8020: {side: bottom, rho: 1, denominator: kept}}]"), &loss);
  CHECK(loss == 0); /* nothing is kept */
}

static float gated(const struct composed *set, float entropy)
{
  const struct method_call *who;
  struct sample_params params = {.temperature = 0.9f};
  struct sample_row row = {.entropy = entropy, .params = &params};
  struct error err = {0};
  CHECK_INT((int)compose_contributors(set, STAGE_sample, &who, 1), 1);
  CHECK_OK(who->method->sample((struct method_call *)(uintptr_t)who, NULL, &row, &err), &err);
  return params.temperature;
}

static void test_gate(void **state)
{
  (void)state;
  CHECK(gated(open_methods("[beyond_8020]"), 5) == 0.9f); /* off */
  struct composed *set = open_methods("[{beyond_8020: {gate: 0.5, gate_high: 2, gate_low: 0.5}}]");
  CHECK(compose_needs(set)->flags & NEED_SAMPLE_ENTROPY);
  CHECK(gated(set, 0.5f) == 0.5f && gated(set, 0.51f) == 2);
}

/* ---- canon --------------------------------------------------------------------------------------------------------
 */

static void test_canon(void **state)
{
  (void)state;
  static const double REWARDS[] = {1, 0, 1, 1, 0, 0};
  static const int32_t LENGTHS[] = {6, 2, 5, 8, 10, 4};
  static const struct {
    const char *options;
    double want[6];
  } CASES[] = {
      {"metric: length", {2. / 3, -2. / 3, 1. / 3, 2. / 3, -1. / 3, -2. / 3}},
      {"metric: length, mu: 0", {1. / 3, -1. / 3, 2. / 3, 1. / 3, -2. / 3, -1. / 3}},
      {"metric: length, alpha: 0.88", {.546667, -.586667, .413333, .546667, -.333333, -.586667}},
      {"metric: length, mu: 0.5", {.5, -.5, .5, .5, -.5, -.5}},
      /* the mean reward of the step is 0.5: mu is 0.5 */
      {"schedule: accuracy_intra_first", {.5, -.5, .5, .5, -.5, -.5}},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    char text[128];
    struct error err = {0};
    snprintf(text, sizeof text, "[{canon: {%s}}]", CASES[i].options);
    struct composed *set = open_methods(text);
    struct step *s = one_group(REWARDS, LENGTHS, 6);
    CHECK_OK(compose_shape(set, s, &err), &err);
    CHECK_OK(compose_advantage(set, s, &err), &err);
    for (int r = 0; r < 6; r++)
      CHECK_CLOSE(s->advantage[s->rollouts[r].path], CASES[i].want[r], SHEET, "the sheet's digits");
  }
}

/* mu 0.5 in groups of even size is Dr.GRPO, bit for bit, whatever the rewards. */
static void test_canon_is_dr_grpo(void **state)
{
  (void)state;
  static const double REWARDS[] = {0.1, 0.7, -1.3, 0.2, 0.9, 0.3};
  static const int32_t LENGTHS[] = {3, 1, 2, 5, 4, 6};
  struct step *s[2];
  for (int i = 0; i < 2; i++) {
    struct error err = {0};
    struct composed *set = open_methods(i ? "[{grpo: {dialect: dr_grpo}}]" : "[{canon: {mu: 0.5}}]");
    s[i] = one_group(REWARDS, LENGTHS, 6);
    CHECK_OK(compose_shape(set, s[i], &err), &err);
    CHECK_OK(compose_advantage(set, s[i], &err), &err);
  }
  CHECK_BITS(s[0]->advantage, s[1]->advantage, sizeof(double) * (size_t)s[0]->path_count);
}

static void test_canon_refuses(void **state)
{
  (void)state;
  struct composed *set;
  struct error err = {0};
  CHECK_ERROR(case_open("[{canon: {schedule: cosine_intra_first, mu: 0.3}}]", 1, &set, &err), &err, ERROR_INPUT,
              "a schedule sets mu");
  error_clear(&err);
  CHECK_ERROR(case_open("[{canon: {schedule: cosine_intra_first, total: 31, warmup: 30}}]", 1, &set, &err), &err,
              ERROR_INPUT, "a cycle has at least one step");
  error_clear(&err);
  CHECK_ERROR(case_open("[canon, progrpo]", 1, &set, &err), &err, ERROR_INPUT, "advantage");
}

/* ---- progrpo ------------------------------------------------------------------------------------------------------
 */

static void run_progrpo(const char *methods, const double *rewards, const double *want)
{
  static const double LOGP[4][10] = {{-.05, -.01, -1.2, -.02, -2.3, -.1, -.03, -.7, -.01, -.02},
                                     {-.01, -.01, -.1, -.02, -.2, -.05, -.03, -.02, -.01, -.02},
                                     {-.3, -.2, -1, -.9, -2, -.4, -.1, -1.5, -.2, -.1},
                                     {-.02, -.02, -.02, -.02, -.02, -.02, -.02, -.02, -.5, -.4}};
  struct error err = {0};
  struct composed *set = open_methods(methods);
  struct step *s = one_group(rewards, (const int32_t[]){10, 10, 10, 10}, 4);
  for (int32_t p = 0; p < 40; p++) record(s, p)->logp = (float)LOGP[p / 10][p % 10];
  case_score(set, s);
  if (s->scores->prompts) s->scores->prompts[0].logp[0] = -0.9;
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  for (int32_t p = 0; p < 40; p++) CHECK_CLOSE(s->advantage[p], want[p / 10], SHEET, "the sheet's digits");
}

static void test_progrpo(void **state)
{
  (void)state;
  static const double MIXED[] = {1, 1, 1, 0}, RIGHT[] = {1, 1, 1, 1}, WRONG[] = {0, 0, 0, 0};
  static const double NOTHING[] = {0, 0, 0, 0}, ALL[] = {.069839, -.136241, .069839, -.069318};
  static const double TERMS[] = {.569838, .363758, .569838, -1.569315};
  static const double ONLY[] = {.569838, .363758, .569838, -1.499997};
  run_progrpo("[progrpo]", MIXED, TERMS);
  run_progrpo("[{progrpo: {correct_only: true}}]", MIXED, ONLY);
  run_progrpo("[progrpo]", RIGHT, ALL);
  run_progrpo("[{progrpo: {include_all_correct: false}}]", RIGHT, NOTHING);
  run_progrpo("[progrpo]", WRONG, NOTHING);
  CHECK(!(compose_needs(open_methods("[{progrpo: {prompt: off}}]"))->flags & NEED_PROMPT_LOGP));
}

/* ---- delta --------------------------------------------------------------------------------------------------------
 */

static struct step *discriminated(struct composed *set, const double *advantage)
{
  static const double P[] = {.9, .4, .9, .5}, HIDDEN[] = {1, 0, .8, .6, 1, .1, -.2, .9};
  struct error err = {0};
  struct step *s = one_group((const double[]){1, 1, 0, 0}, (const int32_t[]){1, 1, 1, 1}, 4);
  for (int32_t p = 0; p < 4; p++) {
    record(s, p)->logp = (float)math_log(P[p]);
    s->advantage[p] = advantage[p];
  }
  case_score(set, s);
  put_states(&s->scores->of[0].states, &s->scores->of[0].before, LAYER_LAST, HIDDEN, 4, 2);
  CHECK_OK(compose_weight(set, s, &err), &err);
  return s;
}

static void test_delta(void **state)
{
  (void)state;
  static const double A[] = {1, 1, -1, -1}, NONE[4] = {0}, WANT[] = {.905581, 1.075346, .938585, 1.080489};
  static const double RAW[] = {.983978, 1.168439, 1.019838, 1.174027};
  struct composed *set = open_methods("[delta]");
  check_list(discriminated(set, A)->weight, WANT, 4);
  CHECK_CLOSE(metric(set, "delta/gamma_positive"), 0.0922, SHEET, "the sheet's digits");
  struct step *s = discriminated(open_methods("[{delta: {normaliser: minibatch}}]"), A);
  check_list(s->weight, RAW, 4);
  check_list(s->counted, RAW, 4);
  s = discriminated(open_methods("[delta]"), NONE);
  for (int32_t p = 0; p < 4; p++) CHECK_CLOSE(s->weight[p], 1, 1e-15, "0.8 times 4 over 3.2");
  s = discriminated(open_methods("[{delta: {lam_min: 0, lam_max: 0}}]"), A);
  for (int32_t p = 0; p < 4; p++) CHECK(s->weight[p] == 0); /* no weight at all is no division by 0 */
}

/* ---- thr ----------------------------------------------------------------------------------------------------------
 */

static struct step *influence(struct composed *set, const double *rewards)
{
  static const double LOGITS[4][3] = {{1, 0, -1}, {0, .5, 0}, {.8, .2, -1}, {0, .5, 0}};
  static const double HIDDEN[] = {1, 0, .5, .5, .9, .1, .4, .6};
  static const int32_t ID[] = {0, 1, 0, 2};
  struct error err = {0};
  struct step *s = one_group(rewards, (const int32_t[]){2, 2}, 2);
  for (int32_t p = 0; p < 4; p++) record(s, p)->id = ID[p];
  case_score(set, s);
  put_states(&s->scores->of[0].states, &s->scores->of[0].before, LAYER_LAST, HIDDEN, 4, 2);
  for (int32_t p = 0; p < 4; p++) {
    double sum = 0;
    for (int k = 0; k < 3; k++) sum += math_exp(LOGITS[p][k]);
    for (int k = 0; k < 3; k++) s->scores->group_p[p][k] = (float)(math_exp(LOGITS[p][k]) / sum);
  }
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  return s;
}

static void test_thr(void **state)
{
  (void)state;
  static const double MIXED[] = {1, 0}, RIGHT[] = {1, 1};
  static const double EXPLOIT[] = {0, 1.1, 0, 1.1}, EXPLORE[] = {0, .9, 0, .9}, TILT[] = {1.1, 1.1, .9, 1.1};
  struct composed *set = open_methods("[thr]");
  check_list(influence(set, MIXED)->weight, EXPLOIT, 4);
  CHECK_CLOSE(metric(set, "thr/tau"), .051046, SHEET, "the sheet's digits");
  CHECK(metric(set, "thr/kept") == 0.5);
  check_list(influence(open_methods("[{thr: {p: -0.1}}]"), MIXED)->weight, EXPLORE, 4);
  check_list(influence(open_methods("[{thr: {mask: false}}]"), MIXED)->weight, TILT, 4);
  CHECK(influence(open_methods("[{thr: {denominator: kept}}]"), MIXED)->tokens == 2);
  CHECK(influence(open_methods("[thr]"), MIXED)->tokens == 4);
  /* Right throughout: left alone. */
  set = open_methods("[thr]");
  struct step *s = influence(set, RIGHT);
  for (int32_t p = 0; p < 4; p++) CHECK(s->weight[p] == 1);
  CHECK(metric(set, "thr/weighed") == 0);
}

/* ---- resrl --------------------------------------------------------------------------------------------------------
 */

static struct minibatch *residuals(struct composed *set, int32_t right_tokens)
{
  static const double HIDDEN[] = {2, 0, 1, 0, 1.5, .5, 1, 0, 2.5, -.5, 1, .2, 2, .2, .8,  0,   2, .1,
                                  1, 0, 0, 2, 0,   1,  1, 1, 1,   0,   0, 0,  2, 1,  2.2, -.2, 1, .1};
  struct error err = {0};
  const int32_t tokens[] = {right_tokens, 5};
  struct step *s = one_group((const double[]){1, 0}, tokens, 2);
  CHECK_OK(compose_shape(set, s, &err), &err);
  case_score(set, s);
  struct minibatch *m = case_minibatch(set, s, &err);
  struct states *states = ARENA_NEW(case_arena, struct states, 1, "test", &err);
  int32_t *before;
  put_states(states, &before, CASE_BLOCKS - 1, HIDDEN + 4 * (4 - right_tokens), right_tokens + 5, 4);
  m->hidden = states;
  m->before = before;
  CHECK_OK(compose_weight_current(set, m, case_arena, &err), &err);
  return m;
}

static void test_resrl(void **state)
{
  (void)state;
  static const double WANT[] = {.1, .1, .1, .1, .1, 1, .161051, .914772, .100054};
  struct composed *set = open_methods("[{resrl: {rank: 1}}]");
  check_list(residuals(set, 4)->weight, WANT, 9);
  CHECK(metric(set, "resrl/groups") == 1);
  /* Three right tokens are too few: the wrong ones keep weight 1. */
  struct minibatch *m = residuals(open_methods("[{resrl: {rank: 1}}]"), 3);
  for (int32_t i = 0; i < 8; i++) CHECK(m->weight[i] == (i < 3 ? 0.1 : 1));
  /* A subspace that holds everything tells nothing apart. */
  m = residuals(open_methods("[{resrl: {min_tokens: 1, rank: 64, q_low: 0.9, q_high: 0.1}}]"), 4);
  for (int32_t i = 4; i < 9; i++) CHECK_CLOSE(m->weight[i], 0.55, 1e-15, "(1 + 0.1) / 2");
  /* One right token, no direction: the same draw, the same bits. */
  m = residuals(open_methods("[{resrl: {min_tokens: 1, max_tokens: 2}}]"), 4);
  struct minibatch *again = residuals(open_methods("[{resrl: {min_tokens: 1, max_tokens: 2}}]"), 4);
  CHECK_BITS(m->weight, again->weight, 9 * sizeof(double));
}

static void test_resrl_lengths(void **state)
{
  (void)state;
  struct error err = {0};
  struct composed *set = open_methods("[{resrl: {length_start: 2, length_max: 6, end_scale: 0.6}}]");
  static const int32_t TOKENS[] = {2, 4, 6, 9, 9};
  static const double WANT[] = {1, .8, .6, .6, -1};
  struct step *s = one_group((const double[]){1, 1, 1, 1, -1}, TOKENS, 5);
  CHECK_OK(compose_shape(set, s, &err), &err);
  check_list(s->reward, WANT, 5);
}

/* Beyond the size of the complete decomposition the iteration finds the same subspace. */
static void test_subspace_sizes(void **state)
{
  (void)state;
  enum { ROWS = 300, WIDTH = 200, RANK = 3 };
  struct error err = {0};
  struct subspace big, small;
  double *x = ARENA_NEW(case_arena, double, ROWS *WIDTH, "test", &err);
  double *y = ARENA_NEW(case_arena, double, ROWS * 150, "test", &err);
  double probe[WIDTH];
  for (int i = 0; i < ROWS; i++) {
    for (int k = 0; k < WIDTH; k++) {
      x[i * WIDTH + k] = math_sin(0.1 * i) * math_cos(k) + 0.5 * math_cos(0.37 * i) * (k % 5) +
                         0.2 * (i % 7) * (k % 3) + 1e-4 * math_sin(i * k);
      if (k < 150) y[i * 150 + k] = x[i * WIDTH + k];
    }
  }
  CHECK_OK(subspace_fit(x, ROWS, WIDTH, RANK, 4, case_arena, &big, &err), &err);
  CHECK_OK(subspace_fit(y, ROWS, 150, RANK, 4, case_arena, &small, &err), &err);
  CHECK_INT(big.energy_count, RANK + 16);
  CHECK_INT(small.energy_count, 150);
  /* Rows lie in the subspace up to their noise of 1e-4; a direction outside does not. */
  for (int k = 0; k < WIDTH; k++) probe[k] = x[17 * WIDTH + k] + big.mean[k];
  CHECK(subspace_distance(&big, probe) < 1e-7);
  for (int k = 0; k < 150; k++) probe[k] = y[17 * 150 + k] + small.mean[k];
  CHECK(subspace_distance(&small, probe) < 1e-7);
  for (int k = 0; k < WIDTH; k++) probe[k] = k == 11;
  CHECK(subspace_distance(&big, probe) > 1e-3);
}

/* ---- lp_reg -------------------------------------------------------------------------------------------------------
 */

static struct minibatch *rare(struct composed *set, const double *logq)
{
  struct error err = {0};
  struct step *s = one_group((const double[]){0, 1}, (const int32_t[]){4, 2}, 2);
  case_score(set, s);
  for (int32_t p = 0; p < 6; p++) {
    s->advantage[p] = p < 4 ? -1 : 1;
    s->scores->stat[0][p] = logq[p];
  }
  return case_minibatch(set, s, &err);
}

static void test_lp_reg(void **state)
{
  (void)state;
  static const double LOGQ[] = {-.1, -__builtin_inf(), -.3, -.1, -.1, -.1};
  struct error err = {0};
  struct composed_loss out;
  struct composed *set = open_methods("[{lp_reg: {rho: 0.75}}]");
  struct minibatch *m = rare(set, LOGQ);
  /* Of the tokens with A < 0 the three lowest are 3, 2, 1; the filter took 1. */
  for (int32_t i = 0; i < 6; i++) m->old[i] = m->logp[i] = -1 - 0.1 * i;
  CHECK_OK(compose_objective(set, m, case_arena, &out, &err), &err);
  double k2 = math_exp(.9) - .9 - 1, k3 = math_exp(1.2) - 1.2 - 1;
  CHECK_CLOSE(out.loss, (4 - 2 + k2 + k3) / 6, 1e-12, "a few roundings");
  CHECK_CLOSE(out.coef[2], (1 - (math_exp(.9) - 1)) / 6, 1e-12, "a few roundings");
  CHECK_CLOSE(out.coef[1], 1. / 6, 1e-12, "not gated");
  CHECK_CLOSE(metric(set, "lp_reg/gated"), 2. / 6, 1e-12, "two of six");
  /* 1 % of four tokens: nothing is low. */
  set = open_methods("[lp_reg]");
  m = rare(set, LOGQ);
  CHECK_OK(compose_objective(set, m, case_arena, &out, &err), &err);
  CHECK(metric(set, "lp_reg/gated") == 0);
  /* Without regulariser and clip: the importance-weighted loss of grpo without its clips, bit for bit. */
  struct composed_loss plain;
  set = open_methods("[{lp_reg: {beta: 0, ratio_max: .inf}}]");
  struct composed *base = open_methods("[{grpo: {clip_low: .inf, clip_high: .inf, clip_dual: .inf}}]");
  m = rare(set, LOGQ);
  for (int32_t i = 0; i < 6; i++) m->logp[i] = m->old[i] + 0.3 * (i - 2);
  CHECK_OK(compose_objective(set, m, case_arena, &out, &err), &err);
  CHECK_OK(compose_objective(base, m, case_arena, &plain, &err), &err);
  CHECK_BITS(out.coef, plain.coef, 6 * sizeof(double));
  CHECK_BITS(&out.loss, &plain.loss, sizeof out.loss);
}

/* KL(q || p) over the vocabulary: the sheet's value, and its gradient by central differences. */
static double full_at(const struct composed_row *row, const double *z, const double *frozen, double *gradient)
{
  double logp[5], scratch[10], sum = 0;
  for (int v = 0; v < 5; v++) sum += math_exp(z[v]);
  for (int v = 0; v < 5; v++) logp[v] = z[v] - math_log(sum);
  const double *const other[] = {frozen};
  const struct row_input in = {.vocab = 5, .target = 3, .logp = logp, .other = other, .scratch = scratch};
  return row->term.at(row->term.arg, &in, gradient);
}

static void test_lp_reg_full(void **state)
{
  (void)state;
  static const double LOGQ[] = {-.1, -.1, -.1, -.1, -.1, -.1}, OLD[] = {.70, .20, .06, .03, .01};
  static const double NEW[] = {.75, .18, .05, .012, .008}, DZ[] = {.042929, -.022020, -.010606, -.018303, .008000};
  struct error err = {0};
  struct composed_loss out;
  struct composed *set = open_methods("[{lp_reg: {estimator: full, rho: 0.75}}]");
  struct minibatch *m = rare(set, LOGQ);
  for (int32_t i = 0; i < 6; i++) m->old[i] = m->logp[i] = -1 - 0.1 * i;
  CHECK_OK(compose_objective(set, m, case_arena, &out, &err), &err);
  CHECK_INT(out.row_count, 1);
  CHECK(out.rows[0].term.scale[0] == 0 && out.rows[0].term.scale[4] == 0);
  CHECK_CLOSE(out.rows[0].term.scale[3], 1. / 6, 1e-15, "beta over six tokens");
  double z[5], frozen[5], gradient[5], unused[5];
  for (int v = 0; v < 5; v++) {
    z[v] = math_log(NEW[v]);
    frozen[v] = math_log(OLD[v]);
  }
  CHECK_CLOSE(full_at(&out.rows[0], z, frozen, gradient), .021369, SHEET, "the sheet's digits");
  check_list(gradient, DZ, 5);
  for (int v = 0; v < 5; v++) {
    double up[5], down[5];
    memcpy(up, z, sizeof z);
    memcpy(down, z, sizeof z);
    up[v] += 1e-5;
    down[v] -= 1e-5;
    double slope = (full_at(&out.rows[0], up, frozen, unused) - full_at(&out.rows[0], down, frozen, unused)) / 2e-5;
    CHECK_CLOSE(slope, gradient[v], 1e-9, "h^2 of the third derivative");
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_forks),          cmocka_unit_test(test_gate),
                                     cmocka_unit_test(test_canon),          cmocka_unit_test(test_canon_is_dr_grpo),
                                     cmocka_unit_test(test_canon_refuses),  cmocka_unit_test(test_progrpo),
                                     cmocka_unit_test(test_delta),          cmocka_unit_test(test_thr),
                                     cmocka_unit_test(test_resrl),          cmocka_unit_test(test_resrl_lengths),
                                     cmocka_unit_test(test_subspace_sizes), cmocka_unit_test(test_lp_reg),
                                     cmocka_unit_test(test_lp_reg_full)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
