/* Worked numbers of published tables: tests/golden/<method>.tsv. */
#include "unit/method_case.h"

#include <stdlib.h>

#include "core/file.h"
#include "method/part_kl.h"

enum { MOST = 64 };
static const double SHEET = 1e-6; /* the tables give six digits */

static const char *table_method; /* whose table is read */

struct row {
  char *field[8];
  int fields;
};

/* Numbers by spaces; a "|" ends a row of the input: its place goes to cuts. */
static int numbers(const char *text, double *out, int *cuts, int *cut_count)
{
  int n = 0;
  if (cut_count) *cut_count = 0;
  for (const char *at = text; *at;) {
    if (*at == ' ') {
      at++;
    } else if (*at == '|') {
      if (cuts) cuts[(*cut_count)++] = n;
      at++;
    } else {
      char *end;
      CHECK(n < MOST);
      out[n++] = strtod(at, &end);
      CHECK(end != at);
      at = end;
    }
  }
  if (cuts) cuts[(*cut_count)++] = n;
  return n;
}

/* "a=1 b=2" -> [{method: {a: 1, b: 2}}] */
static struct composed *open_with(const char *method, const char *options)
{
  char text[512];
  size_t n = (size_t)snprintf(text, sizeof text, "[{%s: {", method);
  for (const char *p = options; *p; p++) {
    n += (size_t)snprintf(text + n, sizeof text - n, *p == '=' ? ": " : *p == ' ' ? ", " : "%c", *p);
  }
  snprintf(text + n, sizeof text - n, "}}]");
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_OK(case_open(text, 1, &set, &err), &err);
  return set;
}

static void check_all(const double *got, const double *want, int n)
{
  for (int i = 0; i < n; i++) CHECK_CLOSE(got[i], want[i], SHEET, "the sheet's digits");
}

/* A step of groups by "|"; lengths NULL: one token each. */
static struct step *groups_of(const char *rewards, const char *lengths, int *n)
{
  double reward[MOST], length[MOST];
  int cuts[MOST], groups, group = 0, first = 0;
  struct case_rollout rollouts[MOST] = {0};
  *n = numbers(rewards, reward, cuts, &groups);
  if (lengths) CHECK_INT(numbers(lengths, length, NULL, NULL), *n);
  for (int i = 0; i < *n; i++) {
    while (i >= cuts[group]) first = cuts[group++];
    rollouts[i] = (struct case_rollout){group, i - first, reward[i], lengths ? (int32_t)length[i] : 1};
  }
  return case_step(rollouts, (size_t)*n, NULL);
}

static void run_to_advantage(struct composed *set, struct step *s)
{
  struct error err = {0};
  CHECK_OK(compose_reward(set, s, &err), &err);
  CHECK_OK(step_gather(s, &err), &err);
  case_score(set, s);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
}

/* One number a rollout. */
static void advantage_row(const struct row *row)
{
  double want[MOST];
  int n;
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = groups_of(row->field[2], row->fields > 4 ? row->field[4] : NULL, &n);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), n);
  run_to_advantage(set, s);
  for (int i = 0; i < n; i++) {
    const struct rollout *r = &s->rollouts[i];
    for (int32_t p = r->path; p < r->path + r->path_count; p++) {
      if (want[i] == 0) CHECK(s->advantage[p] == 0); /* exactly */
      CHECK_CLOSE(s->advantage[p], want[i], SHEET, "the sheet's digits");
    }
  }
}

/* One number a token. */
static void credit_row(const struct row *row)
{
  double want[MOST];
  int n;
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = groups_of(row->field[2], row->field[3], &n);
  CHECK(row->fields > 4);
  CHECK_INT(numbers(row->field[4], want, NULL, NULL), s->path_count);
  run_to_advantage(set, s);
  check_all(s->advantage, want, s->path_count);
}

/* With kl_reward of the given weight and k1 per token, rows by "|". */
static void kl_credit_row(const struct row *row)
{
  double want[MOST], k1[MOST], reward[MOST];
  int cuts[MOST], rows, tokens = numbers(row->field[3], k1, cuts, &rows);
  struct case_rollout rollouts[MOST] = {0};
  char text[512];
  struct error err = {0};
  struct composed *set = NULL;
  snprintf(text, sizeof text, "[{%s: {}}, {kl_reward: {coef: %s}}]", table_method, row->field[1]);
  if (!strcmp(table_method, "kl_reward")) snprintf(text, sizeof text, "[{kl_reward: {coef: %s}}]", row->field[1]);
  CHECK_OK(case_open(text, 1, &set, &err), &err);
  CHECK_INT(numbers(row->field[2], reward, NULL, NULL), rows);
  CHECK_INT(numbers(row->field[4], want, NULL, NULL), tokens);
  for (int i = 0; i < rows; i++) rollouts[i] = (struct case_rollout){0, i, reward[i], cuts[i] - (i ? cuts[i - 1] : 0)};
  struct step *s = case_step(rollouts, (size_t)rows, NULL);
  case_score(set, s);
  double *reference = case_numbers(s, 0, 0, 0);
  for (int p = 0; p < tokens; p++) reference[p] = (double)step_record(s, p)->logp - k1[p];
  s->reference = reference;
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  check_all(s->advantage, want, tokens);
}

/* Rewards on the last tokens and the critic's values, rollouts by "|": advantages and returns of the tokens. */
static void gae_row(const struct row *row)
{
  double reward[MOST], value[MOST], want[MOST], returns[MOST];
  int cuts[MOST], rows, tokens = numbers(row->field[3], value, cuts, &rows);
  struct case_rollout rollouts[MOST] = {0};
  struct composed *set = open_with(table_method, row->field[1]);
  struct error err = {0};
  CHECK_INT(numbers(row->field[2], reward, NULL, NULL), rows);
  CHECK_INT(numbers(row->field[4], want, NULL, NULL), tokens);
  CHECK_INT(numbers(row->field[5], returns, NULL, NULL), tokens);
  for (int i = 0; i < rows; i++) rollouts[i] = (struct case_rollout){0, i, reward[i], cuts[i] - (i ? cuts[i - 1] : 0)};
  struct step *s = case_step(rollouts, (size_t)rows, NULL);
  case_score(set, s);
  memcpy(s->value, value, (size_t)tokens * sizeof *value);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  check_all(s->advantage, want, tokens);
  check_all(s->value_target, returns, tokens);
}

/* One token's value now, before, and return: the critic's loss and its derivative. */
static void value_row(const struct row *row)
{
  double in[MOST], want[MOST];
  struct error err = {0};
  struct composed_loss loss;
  CHECK_INT(numbers(row->field[2], in, NULL, NULL), 3);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 2);
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = case_step(&(struct case_rollout){0, 0, 0, 1}, 1, NULL);
  s->value = case_numbers(s, in[1], 0, 0);
  s->value_target = case_numbers(s, in[2], 0, 0);
  struct minibatch *m = case_minibatch(set, s, &err);
  m->value[0] = in[0];
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.regulariser_loss, want[0], SHEET, "the sheet's digits");
  CHECK_CLOSE(loss.value_coef[0], want[1], SHEET, "the sheet's digits");
}

/* Rewards, lengths, then pi of each token and sum_v pi_v^2 before it: one number a token. */
static void token_baseline_row(const struct row *row)
{
  double pi[MOST], want[MOST], squared[MOST];
  int n;
  struct composed *set = open_with(table_method, row->field[1]);
  struct error err = {0};
  struct step *s = groups_of(row->field[2], row->field[3], &n);
  CHECK_INT(numbers(row->field[4], pi, NULL, NULL), s->path_count);
  CHECK_INT(numbers(row->field[5], squared, NULL, NULL), s->path_count);
  CHECK_INT(numbers(row->field[6], want, NULL, NULL), s->path_count);
  for (int32_t p = 0; p < s->path_count; p++)
    s->tree->segments[s->path[p].segment].tokens[s->path[p].index].logp = (float)math_log(pi[p]);
  case_score(set, s);
  memcpy(s->scores->stat[0], squared, (size_t)s->path_count * sizeof *squared);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  check_all(s->advantage, want, s->path_count);
}

static void controller_row(const struct row *row)
{
  double in[MOST], want[MOST];
  CHECK_INT(numbers(row->field[2], in, NULL, NULL), 5);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 1);
  CHECK_CLOSE(kl_controlled(in[0], in[1], in[2], in[3], in[4]), want[0], SHEET, "the sheet's digits");
}

/* Factors of a response's tokens from rho = trainer over sampler: those of weight and weight_current, and who counts.
 */
static void weights_row(const struct row *row)
{
  double rho[MOST], want[MOST], counted[MOST];
  int cuts[MOST], rows, n = numbers(row->field[2], rho, cuts, &rows);
  struct case_rollout rollouts[MOST] = {0};
  struct error err = {0};
  CHECK(row->fields > 4);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), n);
  CHECK_INT(numbers(row->field[4], counted, NULL, NULL), n);
  struct composed *set = open_with(table_method, row->field[1]);
  for (int i = 0; i < rows; i++) rollouts[i] = (struct case_rollout){0, i, 0, cuts[i] - (i ? cuts[i - 1] : 0)};
  struct step *s = case_step(rollouts, (size_t)rows, NULL);
  for (int p = 0; p < n; p++) {
    struct token_record *t = &s->tree->segments[s->path[p].segment].tokens[s->path[p].index];
    t->logp = (float)math_log(rho[p]);
    t->logp_behaviour = 0;
  }
  CHECK_OK(compose_weight(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  CHECK_OK(compose_weight_current(set, m, case_arena, &err), &err);
  for (int p = 0; p < n; p++) {
    /* log rho is kept in f32 */
    CHECK_CLOSE(m->weight[p], want[p], 2e-6, "a log-ratio in f32");
    CHECK(m->counted[p] == counted[p]);
  }
}

/* A, then the log-ratios of one response: the loss and every token's derivative. */
static void response_row(const struct row *row)
{
  double in[MOST], want[MOST];
  struct error err = {0};
  struct composed_loss loss;
  int n = numbers(row->field[2], in, NULL, NULL) - 1;
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), n + 1);
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = case_step(&(struct case_rollout){0, 0, 0, n}, 1, NULL);
  for (int p = 0; p < n; p++) s->advantage[p] = in[0];
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int p = 0; p < n; p++) m->logp[p] = m->old[p] + in[p + 1];
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], SHEET, "the sheet's digits");
  check_all(loss.coef, want + 1, n);
}

static void loss_row(const struct row *row)
{
  double in[MOST], want[MOST], got[2];
  struct error err = {0};
  struct composed_loss loss;
  CHECK_INT(numbers(row->field[2], in, NULL, NULL), 2);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 2);
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = case_step(&(struct case_rollout){0, 0, 0, 1}, 1, NULL);
  s->advantage[0] = in[0];
  struct minibatch *m = case_minibatch(set, s, &err);
  m->logp[0] = m->old[0] + math_log(in[1]);
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  got[0] = loss.loss;
  got[1] = loss.coef[0];
  check_all(got, want, 2);
}

static void kl_row(const struct row *row)
{
  double in[MOST], want[MOST];
  CHECK_INT(numbers(row->field[2], in, NULL, NULL), 2);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 2);
  enum kl_type type = !strcmp(row->field[1], "k1") ? KL_K1 : !strcmp(row->field[1], "k2") ? KL_K2 : KL_K3;
  struct kl_value k = kl_estimate(type, in[0], in[1], true);
  CHECK_CLOSE(k.value, want[0], SHEET, "the sheet's digits");
  CHECK_CLOSE(k.coef, want[1], SHEET, "the sheet's digits");
}

/* A step whose rollouts have so many tokens; cuts: where each ends. */
static struct step *ragged(const int *cuts, int rows)
{
  struct case_rollout rollouts[MOST] = {0};
  for (int i = 0; i < rows; i++) rollouts[i] = (struct case_rollout){0, i, 0, cuts[i] - (i ? cuts[i - 1] : 0)};
  return case_step(rollouts, (size_t)rows, NULL);
}

/* With a ratio of 1, L = -A: given losses are given advantages. */
static void aggregate_row(const struct row *row)
{
  double in[MOST], want[MOST];
  int cuts[MOST], rows;
  char options[256];
  struct error err = {0};
  struct composed_loss loss;
  int n = numbers(row->field[2], in, cuts, &rows);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 1);
  bool constant = !strncmp(row->field[1], "constant", 8);
  snprintf(options, sizeof options, "aggregation=%s%s", constant ? "constant " : row->field[1],
           constant ? row->field[1] : "");
  struct composed *set = open_with(table_method, options);
  struct step *s = ragged(cuts, rows);
  for (int i = 0; i < n; i++) s->advantage[i] = -in[i];
  struct minibatch *m = case_minibatch(set, s, &err);
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], SHEET, "the sheet's digits");
}

static void sft_row(const struct row *row)
{
  double in[MOST], want[MOST], coef[MOST];
  int cuts[MOST], rows;
  struct error err = {0};
  struct composed_loss loss;
  int n = numbers(row->field[2], in, cuts, &rows);
  CHECK_INT(numbers(row->field[3], want, NULL, NULL), 1);
  CHECK_INT(numbers(row->field[4], coef, NULL, NULL), n);
  struct composed *set = open_with(table_method, row->field[1]);
  struct step *s = ragged(cuts, rows);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int i = 0; i < n; i++) m->logp[i] = math_log(in[i]);
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], SHEET, "the sheet's digits");
  check_all(loss.coef, coef, n);
}

static const struct {
  const char *kind;
  void (*check)(const struct row *row);
} KINDS[] = {{"advantage", advantage_row},          {"loss", loss_row},       {"kl", kl_row},
             {"aggregate", aggregate_row},          {"sft", sft_row},         {"credit", credit_row},
             {"kl_credit", kl_credit_row},          {"weights", weights_row}, {"response", response_row},
             {"controller", controller_row},        {"gae", gae_row},         {"value", value_row},
             {"token_baseline", token_baseline_row}};

/* Kinds of rows that losses.c reads. */
static bool is_loss_row(const char *kind)
{
  static const char *const kinds[] = {"tokens", "credit", "overlong", "entropy", "kept", "pair", "row"};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (!strcmp(kinds[i], kind)) return true;
  return false;
}

static int read_table(const char *path)
{
  struct error err = {0};
  struct line_reader *reader;
  char *line;
  size_t size;
  int number, rows = 0;
  CHECK_OK(line_reader_open(case_arena, path, &reader, &err), &err);
  for (;;) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) return rows;
    if (!size || *line == '#') continue;
    rows += !strncmp(line, "calc\t", 5); /* calc_golden.c reads those */
    if (!strncmp(line, "calc\t", 5)) continue;
    struct row row = {0};
    char *copy = arena_strndup(case_arena, line, size, "golden", &err);
    for (char *at = copy; at && row.fields < 8;) {
      row.field[row.fields++] = at;
      at = strchr(at, '\t');
      if (at) *at++ = '\0';
    }
    CHECK(row.fields >= 4);
    rows++;
    if (is_loss_row(row.field[0])) continue;
    size_t k = 0;
    while (k < sizeof KINDS / sizeof KINDS[0] && strcmp(KINDS[k].kind, row.field[0])) k++;
    CHECK(k < sizeof KINDS / sizeof KINDS[0]);
    print_message("%s:%d %s %s\n", path_base(path), number, row.field[0], row.field[1]);
    KINDS[k].check(&row);
  }
}

/* The tables of this form; losses.c and calc_golden.c read the others. */
static const char *const TABLES[] = {"gdpo",
                                     "gpg",
                                     "grpo",
                                     "kl_reward",
                                     "opo",
                                     "optimal_token_baseline",
                                     "passk_training",
                                     "ppo",
                                     "reinforce",
                                     "reinforce_pp",
                                     "reinforce_pp_baseline",
                                     "remax",
                                     "rloo",
                                     "rollout_correction",
                                     "sft"};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

static void test_tables(void **state)
{
  (void)state;
  int rows = 0;
  for (int i = 0; i < TABLE_COUNT; i++) {
    char path[512];
    table_method = TABLES[i];
    CHECK(method_find(table_method) != NULL);
    snprintf(path, sizeof path, ASSAY_SOURCE_DIR "/tests/golden/%s.tsv", table_method);
    int own = read_table(path);
    CHECK(own >= 3);
    rows += own;
  }
  print_message("%d rows of %d methods\n", rows, (int)TABLE_COUNT);
}

/* Every method of the registry has its golden rows. */
static void test_all_have_tables(void **state)
{
  (void)state;
  CHECK(method_count() >= TABLE_COUNT);
  for (size_t i = 0; i < method_count(); i++) {
    char path[512];
    snprintf(path, sizeof path, ASSAY_SOURCE_DIR "/tests/golden/%s.tsv", method_at(i)->name);
    if (!file_exists(path)) print_message("%s is not there\n", path);
    CHECK(file_exists(path));
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_all_have_tables)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
