/* links: method. Small networks of methods: derivatives, learning, and going on from what was saved. */
#include "check.h"

#include "core/math.h"
#include "method/part_network.h"

static struct arena *arena;
static struct error err;
static const struct rng_at AT = {.purpose = RNG_TEST};

static struct network *made(int32_t inputs, int32_t hidden)
{
  struct network *n;
  CHECK_OK(network_create(arena, inputs, hidden, 3, &AT, &n, &err), &err);
  return n;
}

static void test_derivatives(void **state)
{
  (void)state;
  static const double x[4] = {0.3, -1.2, 0.7, 2};
  for (int32_t hidden = 0; hidden < 6; hidden += 5) {
    struct network *n = made(4, hidden);
    double got[64], want[64], h = 1e-4;
    CHECK_INT(n->count, hidden ? 31 : 5);
    if (!hidden) CHECK_CLOSE(network_at(n, x), 0, 0.0, "a linear one begins at 0");
    network_add(n, x, 1.5);
    network_add(n, x, 0.5);
    for (int32_t i = 0; i < n->count; i++) {
      double w = n->w[i];
      got[i] = n->gradient[i];
      n->w[i] = w + h;
      double up = network_at(n, x);
      n->w[i] = w - h;
      want[i] = 2 * (up - network_at(n, x)) / (2 * h);
      n->w[i] = w;
    }
    CHECK_GRAD(got, want, (size_t)n->count, 1e-6, 1e-7);
  }
}

/* XOR, which no linear one can learn. */
static double train(struct network *n, int steps)
{
  static const double X[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, Y[4] = {0, 1, 1, 0};
  const struct network_options o = {.lr = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
  double loss = 0;
  for (int step = 0; step < steps; step++) {
    loss = 0;
    for (int i = 0; i < 4; i++) {
      double error = network_at(n, X[i]) - Y[i];
      network_add(n, X[i], error);
      loss += 0.5 * error * error;
    }
    CHECK_OK(network_update(n, &o, &err), &err);
  }
  return loss;
}

static void test_learning(void **state)
{
  (void)state;
  CHECK(train(made(2, 8), 400) < 1e-3);
  CHECK(train(made(2, 0), 400) > 0.4);
}

static void test_going_on(void **state)
{
  (void)state;
  struct network *whole = made(2, 3), *half = made(2, 3), *rest = made(2, 3), *other = made(2, 4);
  struct text saved = {0};
  double nan[2] = {0, (double)__builtin_nanf("")};
  const struct network_options o = {.lr = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
  train(whole, 20);
  train(half, 10);
  network_save(half, &saved);
  CHECK_OK(network_load(rest, saved.bytes, saved.size, &err), &err);
  train(rest, 10);
  CHECK_BITS(rest->w, whole->w, (size_t)whole->count * sizeof(double));
  CHECK_ERROR(network_load(other, saved.bytes, saved.size, &err), &err, ERROR_INPUT, "for 17 parameters");
  error_clear(&err);
  text_free(&saved);
  network_add(rest, nan, 1);
  CHECK_ERROR(network_update(rest, &o, &err), &err, ERROR_INPUT, "is not finite");
  error_clear(&err);
  CHECK_BITS(rest->w, whole->w, (size_t)whole->count * sizeof(double));
}

int main(void)
{
  arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_derivatives), cmocka_unit_test(test_learning),
                                     cmocka_unit_test(test_going_on)};
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return rc;
}
