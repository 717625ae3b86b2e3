/* links: train
 * Terms on whole rows and on hidden states, in float64 through the whole model, against central differences. */
#include "check.h"

#include "core/math.h"
#include "core/rng.h"
#include "method/part_divergence.h"
#include "train/rows.h"
#include "train/trainer.h"

#include <string.h>

static const struct model_config CONFIG = {.architecture = "LlamaForCausalLM",
                                           .layers = 2,
                                           .hidden = 16,
                                           .ffn = 24,
                                           .heads = 4,
                                           .kv_heads = 2,
                                           .head_dim = 4,
                                           .vocab = 70,
                                           .max_positions = 64,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .tied = false};
enum { PATHS = 5, LENGTH = 17, PROMPT = 3 };

struct scene {
  struct error err;
  struct arena *arena;
  struct device *device;
  struct model *model;
  struct trainer *trainer;
  struct batch *batch;
  struct tree *tree;
  int32_t *first;
  double *other; /* [targets, vocab] log-probabilities of another policy */
  double *scale; /* [targets] */
  double *value; /* [targets] what the last pass found */
  struct divergence_options divergence;
};

static double noise(uint32_t purpose, size_t i)
{
  const struct rng_at at = {.purpose = RNG_TEST, .step = purpose, .position = (uint32_t)i};
  return rng_uniform(7, &at) - 0.5;
}

/* A prompt with PATHS answers behind it, and their tokens. */
static void make_tree(struct scene *s, struct batch_path *paths)
{
  int32_t root;
  CHECK_OK(tree_create(s->arena, &s->tree, &s->err), &s->err);
  CHECK_OK(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, PROMPT, &root, &s->err), &s->err);
  for (int32_t i = 0; i < PROMPT; i++) {
    int32_t id = 11 * i + 1;
    CHECK_OK(tree_append_ids(s->tree, root, &id, 1, 0, &s->err), &s->err);
  }
  for (int32_t p = 0; p < PATHS; p++) {
    CHECK_OK(tree_add_segment(s->tree, root, SEGMENT_OWN, LENGTH, &paths[p].leaf, &s->err), &s->err);
    for (int32_t i = 0; i < LENGTH - p; i++) {
      int32_t id = (7 * i + 13 * p + i * p) % CONFIG.vocab;
      CHECK_OK(tree_append_ids(s->tree, paths[p].leaf, &id, 1, TOKEN_OWN, &s->err), &s->err);
    }
  }
}

static void look(void *arg, int32_t item, int32_t place, const double *logp, double *gradient, double *scratch)
{
  struct scene *s = arg;
  size_t vocab = (size_t)CONFIG.vocab;
  double work[2 * 70];
  (void)place;
  s->value[item] = divergence_row(logp, s->other + (size_t)item * vocab, CONFIG.vocab, &s->divergence, scratch, work);
  for (size_t v = 0; gradient && v < vocab; v++) gradient[v] += s->scale[item] * scratch[v];
}

static void scene_open(struct scene *s, int micro_rows)
{
  struct device_options d = {.kind = "reference64", .threads = 2};
  struct batch_path paths[PATHS] = {0};
  s->arena = arena_create("test", 0, &s->err);
  CHECK_OK(device_open(&d, &s->device, &s->err), &s->err);
  CHECK_OK(model_create(s->arena, s->device, &CONFIG, 64, &s->model, &s->err), &s->err);
  CHECK_OK(model_randomise(s->model, 3, &s->err), &s->err);
  CHECK_OK(model_make_trainable(s->model, &s->err), &s->err);
  for (size_t i = 0; i < s->model->weight_count; i++) { /* larger than a start, so that rows differ */
    struct weight *w = s->model->weights[i];
    for (size_t r = 0; r < weight_rows(w); r++) {
      double row[70];
      weight_read(w, WEIGHT_MASTER, r, 1, row, HOST_F64);
      for (size_t c = 0; c < weight_cols(w); c++) row[c] += noise(20 + (uint32_t)i, r * 100 + c);
      weight_write(w, WEIGHT_MASTER, r, 1, row, HOST_F64);
    }
  }
  struct trainer_options o = {.micro_rows = micro_rows,
                              .max_path = 64,
                              .max_leaves = PATHS,
                              .max_prompt = 20,
                              .max_new = 40,
                              .kv_block = 4,
                              .vocab_chunk = 32,
                              .train = true,
                              .rows = true};
  CHECK_OK(trainer_create(s->arena, s->model, &o, &s->trainer, &s->err), &s->err);
  make_tree(s, paths);
  CHECK_OK(trainer_batch(s->trainer, s->arena, s->tree, paths, PATHS, &s->batch, &s->err), &s->err);
  size_t n = (size_t)s->batch->target_count, vocab = (size_t)CONFIG.vocab;
  s->first = ARENA_NEW(s->arena, int32_t, n + 1, "test", &s->err);
  s->other = ARENA_NEW(s->arena, double, n *vocab, "test", &s->err);
  s->scale = ARENA_NEW(s->arena, double, n, "test", &s->err);
  s->value = ARENA_NEW(s->arena, double, n, "test", &s->err);
  CHECK(s->first && s->other && s->scale && s->value);
  for (size_t t = 0; t < n; t++) { /* an item for every second wanted target */
    s->first[t + 1] = s->first[t] + (s->batch->wanted[t] && t % 2);
    s->scale[t] = noise(1, t);
    for (size_t v = 0; v < vocab; v++) s->other[t * vocab + v] = 3 * noise(2, t * vocab + v);
    rows_log_softmax(s->other + t * vocab, vocab);
  }
}

static void scene_close(struct scene *s)
{
  arena_destroy(s->arena);
  device_close(s->device);
}

enum { TEMPERATURE_TENTHS = 8 };

static double loss_of(struct scene *s)
{
  struct trainer_rows rows = {.first = s->first, .arg = s, .at = look};
  struct trainer_reading reading = {.rows = &rows};
  double sum = 0;
  CHECK_OK(trainer_read(s->trainer, s->arena, s->batch, TEMPERATURE_TENTHS / 10.0, &reading, &s->err), &s->err);
  for (int32_t i = 0; i < s->first[s->batch->target_count]; i++) sum += s->scale[i] * s->value[i];
  return sum;
}

/* sum over targets of coef * (state before it . direction) */
static double state_loss(struct scene *s)
{
  struct arena_mark mark = arena_mark(s->arena);
  int32_t n = s->batch->target_count, layer = -1, count = 0,
          *state = ARENA_NEW(s->arena, int32_t, (size_t)n, "test", &s->err);
  CHECK(state != NULL);
  for (int32_t t = 0; t < n; t++) state[t] = count++;
  float *states = ARENA_NEW(s->arena, float, (size_t)n *(size_t)CONFIG.hidden, "test", &s->err);
  struct trainer_reading reading = {
      .layer_count = 1, .layers = &layer, .state = state, .state_count = count, .states = states};
  CHECK_OK(trainer_read(s->trainer, s->arena, s->batch, 0.8, &reading, &s->err), &s->err);
  double sum = 0;
  for (int32_t p = 1; p <= PATHS; p++)
    for (int32_t i = 0; i < s->tree->segments[p].count; i++) {
      int32_t target = batch_target(s->batch, p, i), before = i ? target - 1 : batch_target(s->batch, 0, PROMPT - 1);
      for (int32_t c = 0; c < CONFIG.hidden; c++)
        sum += noise(5, (size_t)target) * noise(6, (size_t)c) *
               (double)states[(size_t)before * (size_t)CONFIG.hidden + (size_t)c];
    }
  arena_release(s->arena, mark);
  return sum;
}

static double *zeros(struct scene *s)
{
  double *x = ARENA_NEW(s->arena, double, (size_t)s->batch->target_count, "test", &s->err);
  CHECK(x != NULL);
  return x;
}

static void clear(struct scene *s)
{
  for (size_t i = 0; i < s->model->weight_count; i++)
    device_ops(s->device)->weight_zero_grad(s->device, s->model->weights[i]);
}

static void differentiate(struct scene *s, const double *state_coef, const double *direction, bool rows_too)
{
  struct trainer_rows rows = {.first = s->first, .arg = s, .at = look};
  struct trainer_gradient in = {
      .coef = zeros(s), .rows = rows_too ? &rows : NULL, .state_coef = state_coef, .direction = direction};
  clear(s);
  CHECK_OK(trainer_differentiate(s->trainer, s->arena, s->batch, TEMPERATURE_TENTHS / 10.0, &in, NULL, NULL, &s->err),
           &s->err);
}

static double at(struct scene *s, struct weight *w, size_t row, size_t col, double x, double (*loss)(struct scene *))
{
  double values[70];
  weight_read(w, WEIGHT_MASTER, row, 1, values, HOST_F64);
  values[col] = x;
  weight_write(w, WEIGHT_MASTER, row, 1, values, HOST_F64);
  return loss(s);
}

/* Five-point differences at four elements of every weight. */
static void check_weights(struct scene *s, double (*loss)(struct scene *), double h, double rel, double floor)
{
  for (size_t i = 0; i < s->model->weight_count; i++) {
    struct weight *w = s->model->weights[i];
    if (w == s->model->head && loss == state_loss) continue; /* no state depends on it */
    double got[4], want[4];
    for (size_t k = 0; k < 4; k++) {
      double row[70];
      size_t r = w == s->model->embed ? 11 * (k % PROMPT) + 1 : (5 * k + i) % weight_rows(w),
             c = (3 * k) % weight_cols(w);
      weight_read(w, WEIGHT_GRAD, r, 1, row, HOST_F64);
      got[k] = row[c];
      weight_read(w, WEIGHT_MASTER, r, 1, row, HOST_F64);
      double x = row[c];
      double near = at(s, w, r, c, x + h, loss) - at(s, w, r, c, x - h, loss);
      double far = at(s, w, r, c, x + 2 * h, loss) - at(s, w, r, c, x - 2 * h, loss);
      want[k] = (8 * near - far) / (12 * h);
      at(s, w, r, c, x, loss);
    }
    const char *sentence = check_grad_at(got, want, 4, rel, floor);
    if (sentence) print_error("%s: ", weight_name(w));
    check_report(sentence, "gradient", __FILE__, __LINE__);
    for (size_t k = 0; k < 4; k++) got[k] *= 1.05; /* what is off by 5 % would have been seen, if there is anything */
    double most = 0;
    for (size_t k = 0; k < 4; k++) most = math_abs(want[k]) > most ? math_abs(want[k]) : most;
    if (most > 100 * floor) CHECK(check_grad_at(got, want, 4, rel, floor) != NULL);
  }
}

/* KL both ways, the mixture between, and the student's likeliest tokens with a tail. */
static void test_divergences(void **state)
{
  (void)state;
  static const struct divergence_options KINDS[] = {{0, 0, false}, {1, 0, false}, {0.3, 0, false}, {1, 5, true}};
  struct scene s = {0};
  scene_open(&s, 512);
  for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
    s.divergence = KINDS[i];
    differentiate(&s, NULL, NULL, true);
    /* the rule errs by h^4 = 1e-16 times a fifth derivative, and by the loss's rounding, 1e-14 / h = 1e-10 */
    check_weights(&s, loss_of, 1e-4, 1e-5, 1e-8);
  }
  scene_close(&s);
}

static void test_states(void **state)
{
  (void)state;
  struct scene s = {0};
  double direction[16], *coef;
  scene_open(&s, 512);
  coef = zeros(&s);
  for (int32_t t = 0; t < s.batch->target_count; t++) coef[t] = noise(5, (size_t)t);
  for (size_t c = 0; c < 16; c++) direction[c] = noise(6, c);
  differentiate(&s, coef, direction, false);
  /* states are handed out as f32: 80 tokens of 16 numbers near 1 give errors near 1e-6, divided by h = 1e-2 */
  check_weights(&s, state_loss, 1e-2, 2e-3, 3e-4);
  scene_close(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_divergences), cmocka_unit_test(test_states)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
