/* links: model
 * The whole model's gradients in float64: against central differences, and of a tree against its sequences. */
#include "decoder_rig.h"

enum { PER_WEIGHT = 6 };
/* The five-point rule errs by STEP^4 = 1e-16 times a fifth derivative, and by the loss's rounding, 1e-14 / STEP =
 * 1e-10. */
#define STEP  1e-4
#define REL   1e-6
#define FLOOR 1e-8

static double *coefficients(struct arena *a, int32_t n, uint64_t seed)
{
  struct error err = {0};
  double *c = ARENA_NEW(a, double, (size_t)n, "coef", &err);
  CHECK(c != NULL);
  for (int32_t i = 0; i < n; i++) c[i] = noise(seed, (size_t)i);
  return c;
}

/* sum over targets of coef * logp + sum over rows of entropy_coef * entropy */
static double loss_of(struct run *r, const double *coef, const double *entropy_coef)
{
  double loss = 0;
  run_all(r, NULL, NULL);
  for (int32_t i = 0; i < r->f->tokens; i++) {
    if (!math_is_nan(r->logp[i])) loss += coef[i] * r->logp[i];
    if (!math_is_nan(r->entropy[i])) loss += entropy_coef[i] * r->entropy[i];
  }
  return loss;
}

struct probe {
  struct weight *w;
  size_t row, col;
  double *values; /* a row of the weight */
};

static double loss_at(struct run *r, const struct probe *p, double x, const double *coef, const double *entropy_coef)
{
  p->values[p->col] = x;
  weight_write(p->w, WEIGHT_MASTER, p->row, 1, p->values, HOST_F64);
  return loss_of(r, coef, entropy_coef);
}

/* dL/dw by the five-point rule: (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h, error of order h^4 */
static double numeric(struct run *r, const struct probe *p, const double *coef, const double *entropy_coef)
{
  weight_read(p->w, WEIGHT_MASTER, p->row, 1, p->values, HOST_F64);
  double x = p->values[p->col], h = STEP;
  double near = loss_at(r, p, x + h, coef, entropy_coef) - loss_at(r, p, x - h, coef, entropy_coef);
  double far = loss_at(r, p, x + 2 * h, coef, entropy_coef) - loss_at(r, p, x - 2 * h, coef, entropy_coef);
  p->values[p->col] = x;
  weight_write(p->w, WEIGHT_MASTER, p->row, 1, p->values, HOST_F64);
  return (8 * near - far) / (12 * h);
}

struct scene {
  struct decoder_rig rig;
  struct forest f;
  double *coef, *entropy_coef, *grad;
};

static void scene_open(struct scene *s, const struct variant *v, int32_t roots, uint64_t seed)
{
  CHECK(rig_open(&s->rig, "reference64", NULL, 1, &v->config));
  rig_gradients(s->rig.model);
  random_forest(&s->f, s->rig.arena, 4, v->config.vocab, roots, 6, seed);
  s->coef = coefficients(s->rig.arena, s->f.tokens, 100);
  s->entropy_coef = coefficients(s->rig.arena, s->f.tokens, 200);
}

/* Gradients of all weights, from zero, in fresh memory of the rig. */
static double *gradients(struct decoder_rig *rig, struct forest *f, struct run_options o, const double *coef,
                         const double *entropy_coef)
{
  struct run r;
  struct error err = {0};
  for (size_t i = 0; i < rig->model->trained_count; i++)
    device_ops(rig->device)->weight_zero_grad(rig->device, rig->model->trained[i]);
  o.train = true;
  run_open(&r, rig, f, o);
  run_all(&r, coef, entropy_coef);
  run_close(&r);
  double *g = ARENA_NEW(rig->arena, double, rig_read(rig->model, WEIGHT_GRAD, NULL), "gradient", &err);
  CHECK(g != NULL);
  rig_read(rig->model, WEIGHT_GRAD, g);
  return g;
}

/* The embedding's rows of tokens that occur, not of others: those have gradient 0 where the head is not tied. */
static size_t probed_row(const struct scene *s, const struct weight *w, int i)
{
  if (w == s->rig.model->embed) return (size_t)s->f.embed_ids[i % s->f.embed_count];
  struct rng_at at = {.purpose = RNG_TEST, .step = 3, .position = (uint32_t)i};
  return rng_below(9, &at, (uint32_t)weight_rows(w));
}

static double check_weight(struct scene *s, struct run *r, struct weight *w, const double *grad)
{
  double got[PER_WEIGHT], want[PER_WEIGHT], values[64], worst = 0;
  for (int i = 0; i < PER_WEIGHT; i++) {
    struct rng_at at = {.purpose = RNG_TEST, .step = 4, .position = (uint32_t)i};
    CHECK(weight_cols(w) <= 64);
    struct probe p = {w, probed_row(s, w, i), rng_below(9, &at, (uint32_t)weight_cols(w)), values};
    got[i] = grad[p.row * weight_cols(w) + p.col];
    want[i] = numeric(r, &p, s->coef, s->entropy_coef);
    double relative = math_abs(got[i] - want[i]) / (math_abs(want[i]) + FLOOR / REL);
    worst = relative > worst ? relative : worst;
  }
  const char *sentence = check_grad_at(got, want, PER_WEIGHT, REL, FLOOR);
  if (sentence) print_error("%s: ", weight_name(w));
  check_report(sentence, "gradient", __FILE__, __LINE__);
  // a coefficient that is off by 1 % would have been seen
  got[0] *= 1.01;
  for (int i = 1; i < PER_WEIGHT; i++) got[i] *= 1.01;
  CHECK(check_grad_at(got, want, PER_WEIGHT, REL, FLOOR) != NULL);
  return worst;
}

static void test_central_differences(void **state)
{
  (void)state;
  for (int v = 0; v < VARIANTS; v++) {
    struct scene s;
    struct run r;
    double worst = 0;
    scene_open(&s, &variants[v], 2, 40 + (uint64_t)v);
    const struct run_options options = {.temperature = 0.7, .recompute = v % 2, .micro_rows = v % 3 ? 9 : 0};
    double *grad = gradients(&s.rig, &s.f, options, s.coef, s.entropy_coef);
    run_open(&r, &s.rig, &s.f, (struct run_options){.temperature = 0.7});
    size_t at = 0;
    for (size_t i = 0; i < s.rig.model->trained_count; i++) {
      struct weight *w = s.rig.model->trained[i];
      double off = check_weight(&s, &r, w, grad + at);
      worst = off > worst ? off : worst;
      at += weight_rows(w) * weight_cols(w);
    }
    print_message("%s: %d branches, %d tokens, %zu weights, worst relative difference %.1e\n", variants[v].name,
                  s.f.count, s.f.tokens, s.rig.model->trained_count, worst);
    run_close(&r);
    rig_close(&s.rig);
  }
}

/* One coefficient with the wrong sign among all: the comparison above must see it. */
static void test_wrong_coefficient_is_seen(void **state)
{
  (void)state;
  struct scene s;
  struct run r;
  scene_open(&s, &variants[0], 2, 40);
  int32_t target = s.f.branch[s.f.count - 1].number;  // the first token of a leaf
  s.coef[target] = -s.coef[target];
  double *grad = gradients(&s.rig, &s.f, (struct run_options){0}, s.coef, s.entropy_coef), got[PER_WEIGHT],
         want[PER_WEIGHT], values[64];
  s.coef[target] = -s.coef[target];
  run_open(&r, &s.rig, &s.f, (struct run_options){0});
  size_t at = 0;
  for (size_t i = 0; i < s.rig.model->trained_count;
       at += weight_rows(s.rig.model->trained[i]) * weight_cols(s.rig.model->trained[i]), i++) {
    struct weight *w = s.rig.model->trained[i];
    if (w == s.rig.model->embed) continue;  // a token that is not on this path may have been probed
    for (int k = 0; k < PER_WEIGHT; k++) {
      struct probe p = {w, (size_t)k % weight_rows(w), (size_t)k % weight_cols(w), values};
      got[k] = grad[at + p.row * weight_cols(w) + p.col];
      want[k] = numeric(&r, &p, s.coef, s.entropy_coef);
    }
    CHECK(check_grad_at(got, want, PER_WEIGHT, REL, FLOOR) != NULL);
  }
  run_close(&r);
  rig_close(&s.rig);
}

/* A path's coefficients on a tree's numbers: of path token i. */
static int32_t number_on_path(const struct forest *f, int32_t leaf, int32_t i)
{
  int32_t b = leaf;
  while (i < f->branch[b].start) b = f->branch[b].parent;
  return f->branch[b].number + i - f->branch[b].start;
}

/* Every path has coefficients of its own; a token of the tree has the sum over its paths. */
static void test_tree_is_sum_of_sequences(void **state)
{
  (void)state;
  for (int v = 0; v < VARIANTS; v++) {
    struct scene s;
    struct forest paths;
    scene_open(&s, &variants[v], 3, 60 + (uint64_t)v);
    forest_open(&paths, s.rig.arena, 4);
    int32_t leaf[FOREST_BRANCHES];
    for (int32_t b = 0; b < s.f.count; b++)
      if (forest_is_leaf(&s.f, b)) leaf[forest_add_path(&paths, &s.f, b)] = b;
    CHECK(paths.tokens > s.f.tokens);
    double *coef = coefficients(s.rig.arena, paths.tokens, 300),
           *entropy_coef = coefficients(s.rig.arena, paths.tokens, 400);
    for (int32_t i = 0; i < s.f.tokens; i++) s.coef[i] = s.entropy_coef[i] = 0;
    for (int32_t p = 0; p < paths.count; p++) {
      for (int32_t i = 0; i < paths.branch[p].count; i++) {
        s.coef[number_on_path(&s.f, leaf[p], i)] += coef[paths.branch[p].number + i];
        if (i + 1 < paths.branch[p].count)
          s.entropy_coef[number_on_path(&s.f, leaf[p], i)] += entropy_coef[paths.branch[p].number + i];
      }
    }
    double *tree = gradients(&s.rig, &s.f, (struct run_options){.micro_rows = 11}, s.coef, s.entropy_coef);
    double *separate = gradients(&s.rig, &paths, (struct run_options){0}, coef, entropy_coef), worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < s.rig.model->trained_count; i++) {
      size_t n = weight_rows(s.rig.model->trained[i]) * weight_cols(s.rig.model->trained[i]);
      double largest = 0;
      for (size_t k = 0; k < n; k++)
        largest = math_abs(separate[at + k]) > largest ? math_abs(separate[at + k]) : largest;
      CHECK(largest > 1e-3);
      for (size_t k = 0; k < n; k++) {
        double off = math_abs(tree[at + k] - separate[at + k]) / largest;
        CHECK_CLOSE(off, 0, 1e-12, "sums of some hundred f64 terms in another order, relative to the tensor's largest");
        worst = off > worst ? off : worst;
      }
      at += n;
    }
    print_message("%s: tree of %d tokens against %d sequences of %d: %.1e of the largest\n", variants[v].name,
                  s.f.tokens, paths.count, paths.tokens, worst);
    rig_close(&s.rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_central_differences),
                                     cmocka_unit_test(test_wrong_coefficient_is_seen),
                                     cmocka_unit_test(test_tree_is_sum_of_sequences)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
