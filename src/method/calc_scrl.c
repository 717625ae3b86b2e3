/* Subproblem curriculum (arXiv 2605.22074): part_curriculum.h. */
#include <string.h>

#include "method/calc.h"
#include "method/part_curriculum.h"
#include "method/part_group.h"
#include "method/part_rows.h"

struct scrl_case {
  struct calc_rows rows;
  int32_t k;
  bool correction, unbiased;
  double eps;
  const double *curriculum, *valid; /* [rows] 1 or 0 */
  struct calc_grid verdict;         /* [rows][K or more] */
  struct calc_matrix block;         /* [rows][tokens] 1 .. K, 0: none */
  double *raw, *reward, *position;  /* [rows][k] */
  double *progress, *original;      /* [rows] */
  double *advantage;                /* [tokens] */
  int32_t informative;              /* groups and positions with an advantage */
};

static int flags(struct calc_case *c, const char *key, size_t rows, const double **out, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, key, err), &m, err));
  if (m.rows[0].count != rows)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found %zu numbers; expected one for each of %zu rows", m.rows[0].count,
            rows);
  *out = m.rows[0].at;
  return 0;
}

static int open_case(struct calc_case *c, struct scrl_case *x, struct error *err)
{
  int64_t k;
  TRY(calc_rows_open(c, &x->rows, err));
  size_t n = (size_t)x->rows.rows;
  TRY(calc_int(c, "k", 4, &k, err));
  TRY(calc_grid(c, "verdicts", &x->verdict, err));
  if (k < 1 || k > CURRICULUM_MOST || x->verdict.rows != n || x->verdict.width < (size_t)k)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "k", "found k %lld and %zu rows of %zu verdicts; expected 1 to %d for each",
            (long long)k, x->verdict.rows, x->verdict.width, CURRICULUM_MOST);
  x->k = (int32_t)k;
  x->correction = calc_flag(c, "correction", true);
  x->unbiased = strcmp(calc_text(c, "std", "sample"), "population") != 0;
  TRY(calc_real(c, "eps", 1e-6, &x->eps, err));
  TRY(flags(c, "curriculum", n, &x->curriculum, err));
  TRY(flags(c, "valid", n, &x->valid, err));
  TRY(calc_matrix(c, calc_need(c, "block", err), &x->block, err));
  x->raw = ARENA_NEW(c->arena, double, n *(size_t)(3 * k + 2), "calc", err);
  x->advantage = ARENA_NEW(c->arena, double, (size_t)x->rows.count + 1, "calc", err);
  if (!x->raw || !x->advantage) return err->code;
  x->reward = x->raw + n * (size_t)k;
  x->position = x->reward + n * (size_t)k;
  x->progress = x->position + n * (size_t)k;
  x->original = x->progress + n;
  return 0;
}

/* Verdicts behind the gate of the tags, and the prefix that counts. */
static void correct(struct scrl_case *x)
{
  for (int32_t i = 0; i < x->rows.rows; i++) {
    double *raw = x->raw + i * x->k, *reward = x->reward + i * x->k;
    bool judged = x->valid[i] > 0 && x->curriculum[i] > 0;
    for (int32_t j = 0; j < x->k; j++) raw[j] = judged ? x->verdict.at[(size_t)i * x->verdict.width + (size_t)j] : 0;
    int32_t solved = curriculum_progress(raw, x->k);
    x->progress[i] = solved;
    for (int32_t j = 0; j < x->k; j++) reward[j] = j < solved || !x->correction ? raw[j] : 0;
  }
}

/* One half of a group: its rows' values to advantages. Returns whether any is not 0. */
static bool normalise(const struct scrl_case *x, const int32_t *rows, int32_t n, const double *value, double *advantage,
                      int32_t stride, double *scratch)
{
  bool any = false;
  for (int32_t i = 0; i < n; i++) scratch[i] = value[rows[i] * stride];
  group_normalised(scratch, n, x->unbiased, x->eps, scratch + n);
  for (int32_t i = 0; i < n; i++) {
    advantage[rows[i] * stride] = scratch[n + i];
    any = any || scratch[n + i] < 0 || scratch[n + i] > 0;
  }
  return any;
}

/* Returns through *solved whether a rollout of the original prompt is right. */
static int credit_group(struct calc_case *c, struct scrl_case *x, int32_t g, bool *solved, struct error *err)
{
  const struct calc_rows *b = &x->rows;
  int32_t all = b->group_first[g + 1] - b->group_first[g], n = 0, m = 0;
  int32_t *half = ARENA_NEW(c->arena, int32_t, 2 * (size_t)all + 1, "calc", err);
  double *scratch = ARENA_NEW(c->arena, double, 2 * (size_t)all + 1, "calc", err);
  if (!half || !scratch) return err->code;
  for (int32_t i = 0; i < all; i++) {
    int32_t row = b->member[b->group_first[g] + i];
    if (x->curriculum[row] > 0)
      half[n++] = row;
    else
      half[all + m++] = row;
    *solved = *solved || (x->curriculum[row] <= 0 && b->reward[row] > 0);
  }
  for (int32_t j = 0; j < x->k && n; j++)
    x->informative += normalise(x, half, n, x->reward + j, x->position + j, x->k, scratch) && n > 1;
  if (m) normalise(x, half + all, m, b->reward, x->original, 1, scratch);
  return 0;
}

static void spread(struct scrl_case *x)
{
  const struct calc_rows *b = &x->rows;
  for (int32_t t = 0; t < b->count; t++) {
    int32_t i = b->row[t];
    double block = x->block.rows[i].at[b->at[t]];
    bool in = x->valid[i] > 0 && block >= 1 && block <= x->k;
    if (!(x->curriculum[i] > 0))
      x->advantage[t] = x->original[i];
    else
      x->advantage[t] = in ? x->position[i * x->k + (int32_t)block - 1] : 0;
  }
}

static int put_loss(struct calc_case *c, struct scrl_case *x, struct error *err)
{
  double loss, kl, weight, *coef = ARENA_NEW(c->arena, double, (size_t)x->rows.count + 1, "calc", err);
  if (!coef) return err->code;
  struct calc_loss l = {.advantage = x->advantage, .bounds = {.dual = __builtin_inf()}};
  l.aggregation = strcmp(calc_text(c, "denominator", "batch"), "group") ? "token-mean" : "group-token-mean";
  TRY(calc_real(c, "low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "kl_coef", 0, &weight, err));
  TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  TRY(calc_rows_kl(c, &x->rows, "token-mean", weight, &kl, coef, err));
  calc_put(c->outputs, "policy_loss", loss);
  calc_put(c->outputs, "kl", kl);
  calc_put(c->outputs, "loss", loss + weight * kl);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct scrl_case x = {0};
  double histogram[CURRICULUM_MOST + 1] = {0};
  TRY(open_case(c, &x, err));
  size_t n = (size_t)x.rows.rows, k = (size_t)x.k;
  int32_t solved = 0;
  correct(&x);
  for (int32_t g = 0; g < x.rows.group_count; g++) {
    bool any = false;
    TRY(credit_group(c, &x, g, &any, err));
    solved += any;
  }
  for (size_t i = 0; i < n; i++) histogram[(int)x.progress[i]] += x.curriculum[i] > 0;
  spread(&x);
  json_object_set_new(c->outputs, "raw", calc_grid_json(x.raw, n, k));
  json_object_set_new(c->outputs, "progress", calc_list(x.progress, n));
  json_object_set_new(c->outputs, "rewards_position", calc_grid_json(x.reward, n, k));
  json_object_set_new(c->outputs, "advantages_position", calc_grid_json(x.position, n, k));
  json_object_set_new(c->outputs, "advantages_original", calc_list(x.original, n));
  json_object_set_new(c->outputs, "advantages", calc_rows_matrix(&x.rows, x.advantage));
  json_object_set_new(c->outputs, "progress_histogram", calc_list(histogram, k + 1));
  calc_put(c->outputs, "tokens", x.rows.count);
  calc_put(c->outputs, "solvable_ratio", x.rows.group_count ? (double)solved / x.rows.group_count : 0);
  calc_put(c->outputs, "informative_positions", x.informative);
  return put_loss(c, &x, err);
}

/* ---- tables: what is asked stands in args, or in the rows of the table itself -------------------------------------
 */

static const char *text_of(const json_t *row, const char *key, size_t *size)
{
  const json_t *v = json_object_get(row, key);
  *size = json_string_length(v);
  return json_is_string(v) ? json_string_value(v) : "";
}

static int parse(struct calc_case *c, int32_t k, const json_t *row, json_t *out, struct error *err)
{
  struct curriculum_block b[CURRICULUM_MOST] = {0};
  size_t size, from, to;
  const char *text = text_of(row, "text", &size);
  bool valid = curriculum_blocks(text, size, k, b);
  json_t *spans = json_array(), *answers = json_array();
  (void)c;
  (void)err;
  for (int32_t j = 0; valid && j < k; j++) {
    bool found = curriculum_boxed(text, b[j].begin, b[j].end, &from, &to);
    json_array_append_new(spans, json_pack("[I,I]", (json_int_t)b[j].begin, (json_int_t)b[j].end));
    json_array_append_new(answers, found ? json_stringn(text + from, to - from) : json_null());
  }
  json_object_set_new(out, "valid", json_boolean(valid));
  json_object_set_new(out, "spans", spans);
  json_object_set_new(out, "answers", answers);
  return 0;
}

/* Blocks of tokens that are given as texts. */
static int token_blocks(struct calc_case *c, int32_t k, const json_t *row, json_t *out, struct error *err)
{
  const json_t *tokens = json_object_get(row, "tokens"), *piece;
  struct curriculum_block b[CURRICULUM_MOST] = {0};
  struct text text = {0};
  size_t i, count = json_array_size(tokens);
  struct rollout r = {.response = (int32_t)count};
  double *number = ARENA_NEW(c->arena, double, count + 1, "calc", err);
  r.token_byte = ARENA_NEW(c->arena, int32_t, count + 1, "calc", err);
  if (!number || !r.token_byte) return err->code;
  json_array_foreach(tokens, i, piece)
  {
    r.token_byte[i] = (int32_t)text.size;
    text_add(&text, json_is_string(piece) ? json_string_value(piece) : "", json_string_length(piece));
  }
  r.token_byte[count] = (int32_t)text.size;
  bool valid = curriculum_blocks(text.bytes ? text.bytes : "", text.size, k, b);
  int rc = text_finish(&text, err);
  text_free(&text);
  for (int closing = 0; closing < 2; closing++) {
    for (i = 0; i < count; i++) number[i] = 0;
    for (int32_t j = 0; valid && j < k; j++) {
      struct span s = curriculum_tokens(&r, &b[j], closing);
      for (int32_t t = s.begin; t < s.end; t++)
        if (r.token_byte[t] < r.token_byte[t + 1]) number[t] = j + 1;
    }
    json_object_set_new(out, closing ? "block_with_closing_tag" : "block", calc_list(number, count));
  }
  return rc;
}

static int filter(struct calc_case *c, int32_t k, const json_t *row, json_t *out, struct error *err)
{
  size_t size, unused;
  const char *text = text_of(row, "text", &size), *answer = text_of(row, "answer", &unused);
  (void)err;
  enum curriculum_verdict v = curriculum_read(c->arena, text, size, k, answer, NULL);
  json_object_set_new(out, "verdict", json_string(curriculum_verdict_words(v)));
  return 0;
}

static const json_t *asked(const struct calc_case *c, const char *key)
{
  const json_t *v = json_object_get(c->args, key);
  return v ? v : json_object_get(c->stated, key);
}

static int table(struct calc_case *c, int (*of)(struct calc_case *, int32_t, const json_t *, json_t *, struct error *),
                 struct error *err)
{
  const json_t *rows = asked(c, "rows"), *row;
  json_t *list = json_array();
  int64_t k;
  size_t i;
  json_object_set_new(c->outputs, "rows", list);
  TRY(calc_int(c, "k", 4, &k, err));
  if (k < 1 || k > CURRICULUM_MOST || !json_array_size(rows))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rows", "found %zu rows and k %lld; expected rows, and 1 to %d subproblems",
            json_array_size(rows), (long long)k, CURRICULUM_MOST);
  json_array_foreach(rows, i, row)
  {
    json_t *out = json_object(), *v;
    static const char *const ASKED[] = {"text", "tokens", "answer"};
    json_array_append_new(list, out);
    for (size_t key = 0; key < sizeof ASKED / sizeof *ASKED; key++)
      if ((v = json_object_get(row, ASKED[key]))) json_object_set(out, ASKED[key], v);
    TRY(of(c, (int32_t)k, row, out, err));
  }
  return 0;
}

static int informative(struct calc_case *c, struct error *err)
{
  struct calc_matrix n, p;
  if (!asked(c, "n") || !asked(c, "p"))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "n", "found no n and p; expected two lists of one length");
  TRY(calc_matrix(c, asked(c, "n"), &n, err));
  TRY(calc_matrix(c, asked(c, "p"), &p, err));
  json_t *list = json_array();
  for (size_t i = 0; i < n.rows[0].count && i < p.rows[0].count; i++)
    json_array_append_new(list, calc_number(curriculum_informative((int64_t)n.rows[0].at[i], p.rows[0].at[i])));
  json_object_set_new(c->outputs, "n", calc_list(n.rows[0].at, n.rows[0].count));
  json_object_set_new(c->outputs, "p", calc_list(p.rows[0].at, p.rows[0].count));
  json_object_set_new(c->outputs, "probability", list);
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (c->inputs) return update(c, err);
  if (calc_is(c, "parse")) return table(c, parse, err);
  if (calc_is(c, "token_blocks")) return table(c, token_blocks, err);
  return calc_is(c, "curriculum_filter") ? table(c, filter, err) : informative(c, err);
}

const struct calc calc_scrl = {
    .function = "scrl",
    .help = "credit per subproblem of a response, and what its tags and the offline filter accept",
    .compute = compute,
};
