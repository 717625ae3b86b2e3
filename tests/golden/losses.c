/* Worked numbers of the methods that change the loss: tests/golden/<method>.tsv, for those of the list below. */
#include <stdlib.h>
#include "core/file.h"
#include "unit/method_case.h"

enum { MOST = 64, FIELDS = 8 };
static const double DIGITS = 1e-6; /* the tables give six digits at least */

static const char *method;
static struct row {
  char *field[FIELDS];
  int fields;
} row;

/* Numbers by spaces; a "|" ends a response: its place goes to cuts. "x" is NaN. */
static int numbers(const char *text, double *out, int *cuts, int *cut_count)
{
  int n = 0, rows = 0;
  for (const char *at = text; *at;) {
    if (*at == ' ' || *at == 'x') {
      if (*at++ == 'x') out[n++] = __builtin_nan("");
    } else if (*at == '|') {
      if (cuts) cuts[rows++] = n;
      at++;
    } else {
      char *end;
      CHECK(n < MOST);
      out[n++] = strtod(at, &end);
      CHECK(end != at);
      at = end;
    }
  }
  if (cuts) {
    cuts[rows++] = n;
    *cut_count = rows;
  }
  return n;
}

/* "a=1 b=2" -> [{method: {a: 1, b: 2}}] */
static struct composed *open_method(void)
{
  char text[512];
  size_t n = (size_t)snprintf(text, sizeof text, "[{%s: {", method);
  for (const char *p = row.field[1]; *p; p++)
    n += (size_t)snprintf(text + n, sizeof text - n, *p == '=' ? ": " : *p == ' ' ? ", " : "%c", *p);
  snprintf(text + n, sizeof text - n, "}}]");
  struct composed *set = NULL;
  struct error err = {0};
  CHECK_OK(case_open(text, 1, &set, &err), &err);
  return set;
}

static void check_all(const double *got, const double *want, int n)
{
  for (int i = 0; i < n; i++) CHECK_CLOSE(got[i], want[i], DIGITS, "the table's digits");
}

/* One group; rewards NULL: 0. cuts: where each response ends. */
static struct step *responses(const int *cuts, int rows, const double *rewards)
{
  struct case_rollout rollouts[MOST] = {0};
  for (int i = 0; i < rows; i++)
    rollouts[i] = (struct case_rollout){0, i, rewards ? rewards[i] : 0, cuts[i] - (i ? cuts[i - 1] : 0)};
  return case_step(rollouts, (size_t)rows, NULL);
}

static void loss_row(void)
{
  double advantage[MOST], ratio[MOST], logp[MOST], want[MOST];
  int cuts[MOST], rows;
  struct error err = {0};
  struct composed_loss loss;
  int n = numbers(row.field[2], advantage, cuts, &rows);
  bool given = strcmp(row.field[4], "-") != 0;
  CHECK_INT(numbers(row.field[3], ratio, NULL, NULL), n);
  if (given) CHECK_INT(numbers(row.field[4], logp, NULL, NULL), n);
  CHECK_INT(numbers(row.field[5], want, NULL, NULL), n + 1);
  struct composed *set = open_method();
  struct step *s = responses(cuts, rows, NULL);
  memcpy(s->advantage, advantage, (size_t)n * sizeof *advantage);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int i = 0; i < n; i++) {
    if (given) m->old[i] = logp[i] - ratio[i];
    m->logp[i] = given ? logp[i] : m->old[i] + ratio[i];
  }
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], DIGITS, "the table's digits");
  check_all(loss.coef, want + 1, n);
}

static void advantage_row(void)
{
  double rewards[MOST], want[MOST];
  int cuts[MOST];
  struct error err = {0};
  int n = numbers(row.field[2], rewards, NULL, NULL);
  CHECK_INT(numbers(row.field[3], want, NULL, NULL), n);
  for (int i = 0; i < n; i++) cuts[i] = i + 1;
  struct composed *set = open_method();
  struct step *s = responses(cuts, n, rewards);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  for (int i = 0; i < n; i++) {
    CHECK(s->rollouts[i].kept == !math_is_nan(want[i]));
    if (!s->rollouts[i].kept) continue;
    double got = s->advantage[s->rollouts[i].path];
    CHECK_CLOSE(got, want[i], DIGITS, "the table's digits");
    if (want[i] == 0) CHECK(got == 0); /* exactly */
  }
}

static void overlong_row(void)
{
  double budget[MOST], lengths[MOST], want[MOST];
  int cuts[MOST], end = 0;
  struct error err = {0};
  CHECK_INT(numbers(row.field[2], budget, NULL, NULL), 1);
  int n = numbers(row.field[3], lengths, NULL, NULL);
  CHECK_INT(numbers(row.field[4], want, NULL, NULL), n);
  for (int i = 0; i < n; i++) cuts[i] = end += (int)lengths[i];
  struct composed *set = open_method();
  struct step *s = responses(cuts, n, NULL);
  s->max_new_tokens = (int32_t)budget[0];
  CHECK_OK(compose_shape(set, s, &err), &err);
  check_all(s->reward, want, n);
}

static void entropy_row(void)
{
  double entropy[MOST], term[MOST], want[MOST];
  int cuts[MOST], rows;
  struct error err = {0};
  struct composed_loss loss;
  int n = numbers(row.field[2], entropy, cuts, &rows);
  CHECK_INT(numbers(row.field[3], term, NULL, NULL), 1);
  CHECK_INT(numbers(row.field[4], want, NULL, NULL), n);
  struct composed *set = open_method();
  struct minibatch *m = case_minibatch(set, responses(cuts, rows, NULL), &err);
  for (int i = 0; i < n && m->entropy; i++) m->entropy[i] = entropy[i];
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.regulariser_loss, term[0], DIGITS, "the table's digits");
  for (int i = 0; i < n; i++)
    CHECK_CLOSE(loss.entropy_coef ? loss.entropy_coef[i] : 0, want[i], DIGITS, "the table's digits");
}

static void kept_row(void)
{
  double rewards[MOST], p[MOST], want[MOST], coef[MOST];
  int cuts[MOST], rows;
  struct error err = {0};
  struct composed_loss loss;
  int responses_given = numbers(row.field[2], rewards, NULL, NULL), n = numbers(row.field[3], p, cuts, &rows);
  CHECK_INT(responses_given, rows);
  CHECK_INT(numbers(row.field[4], want, NULL, NULL), 1);
  CHECK_INT(numbers(row.field[5], coef, NULL, NULL), n);
  struct composed *set = open_method();
  struct step *s = responses(cuts, rows, rewards);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int i = 0; i < n; i++) m->logp[i] = math_log(p[i]);
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], DIGITS, "the table's digits");
  check_all(loss.coef, coef, n);
}

/* Two responses of one token, the better one second in storage. */
static void pair_row(void)
{
  double in[MOST], want[MOST], coef[MOST];
  struct error err = {0};
  struct composed_loss loss;
  CHECK_INT(numbers(row.field[2], in, NULL, NULL), 4);
  CHECK_INT(numbers(row.field[3], want, NULL, NULL), 1);
  CHECK_INT(numbers(row.field[4], coef, NULL, NULL), 2);
  struct composed *set = open_method();
  struct step *s = responses((const int[]){1, 2}, 2, (const double[]){0, 1});
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int i = 0; i < 2; i++) {
    m->logp[1 - i] = in[2 * i];
    m->reference[1 - i] = in[2 * i + 1];
  }
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], DIGITS, "the table's digits");
  for (int i = 0; i < 2; i++) CHECK_CLOSE(loss.coef[1 - i], coef[i], DIGITS, "the table's digits");
}

/* Scores of a chosen and a rejected response on their last tokens. */
static void score_row(void)
{
  double in[MOST], want[MOST];
  struct error err = {0};
  struct composed_loss loss;
  CHECK_INT(numbers(row.field[2], in, NULL, NULL), 2);
  CHECK_INT(numbers(row.field[3], want, NULL, NULL), 3);
  struct composed *set = open_method();
  struct step *s = responses((const int[]){1, 3}, 2, (const double[]){0, 1});
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  m->value[0] = in[1];
  m->value[1] = 7; /* not the last token: no score */
  m->value[2] = in[0];
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_CLOSE(loss.loss, want[0], DIGITS, "the table's digits");
  CHECK_CLOSE(loss.value_coef[2], want[1], DIGITS, "the table's digits");
  CHECK_CLOSE(loss.value_coef[0], want[2], DIGITS, "the table's digits");
  CHECK_CLOSE(loss.value_coef[1], 0, 0, "not a last token");
}

/* The term on one token's row, as the objective or the regulariser hands it to the trainer, over its scale. */
static void row_row(void)
{
  double p[MOST], q[MOST], want[MOST], gradient[MOST], got[MOST], scratch[2 * MOST];
  struct error err = {0};
  struct composed_loss loss;
  int v = numbers(row.field[2], p, NULL, NULL);
  CHECK_INT(numbers(row.field[3], q, NULL, NULL), v);
  CHECK_INT(numbers(row.field[4], want, NULL, NULL), 1);
  CHECK_INT(numbers(row.field[5], gradient, NULL, NULL), v);
  struct composed *set = open_method();
  struct step *s = responses((const int[]){1, 2}, 2, (const double[]){0, 1});
  s->second = (int32_t[]){0, 0};
  struct minibatch *m = case_minibatch(set, s, &err);
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  CHECK_INT(loss.row_count, 1);
  for (int i = 0; i < v; i++) {
    p[i] = math_log(p[i]);
    q[i] = math_log(q[i]);
  }
  const double *other[] = {q};
  const struct row_input in = {.vocab = v, .logp = p, .other = other, .scratch = scratch};
  const struct row_term *term = &loss.rows[0].term;
  CHECK_CLOSE(term->scale[0], !strcmp(method, "full_kl") ? 0.001 / 2 : 0.5, DIGITS, "the table's digits");
  CHECK_CLOSE(term->at(term->arg, &in, got), want[0], DIGITS, "the table's digits");
  check_all(got, gradient, v);
}

static const struct {
  const char *kind;
  int fields;
  void (*check)(void);
} KINDS[] = {{"tokens", 6, loss_row},     {"credit", 4, advantage_row}, {"overlong", 5, overlong_row},
             {"entropy", 5, entropy_row}, {"kept", 6, kept_row},        {"pair", 5, pair_row},
             {"row", 6, row_row},         {"score", 4, score_row}};

static int read_table(void)
{
  struct error err = {0};
  struct line_reader *reader;
  char *line, path[512];
  size_t size;
  int number, rows = 0;
  snprintf(path, sizeof path, ASSAY_SOURCE_DIR "/tests/golden/%s.tsv", method);
  CHECK_OK(line_reader_open(case_arena, path, &reader, &err), &err);
  for (;;) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) return rows;
    if (!size || *line == '#') continue;
    row.fields = 0;
    for (char *at = arena_strndup(case_arena, line, size, "golden", &err); at && row.fields < FIELDS;) {
      row.field[row.fields++] = at;
      at = strchr(at, '\t');
      if (at) *at++ = '\0';
    }
    size_t k = 0;
    while (k < sizeof KINDS / sizeof KINDS[0] && strcmp(KINDS[k].kind, row.field[0])) k++;
    CHECK(k < sizeof KINDS / sizeof KINDS[0]);
    print_message("%s:%d %s %s\n", path_base(path), number, row.field[0], row.field[1]);
    CHECK_INT(row.fields, KINDS[k].fields);
    KINDS[k].check();
    rows++;
  }
}

static void test_tables(void **state)
{
  static const char *const METHODS[] = {
      "cispo", "clip_cov",   "dapo",   "dpo",   "dppo",    "dr_grpo",      "entropy_bonus", "full_kl", "sdpo", "gmpo",
      "gspo",  "gspo_token", "kl_cov", "luspo", "psr_nsr", "reward_model", "rft",           "sapo",    "vespo"};
  (void)state;
  for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++) {
    method = METHODS[i];
    CHECK(read_table() >= 3);
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
