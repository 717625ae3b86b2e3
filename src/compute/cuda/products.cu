/* cuda/products: are the products of gemm_hopper.cu right on this device? What no test without the device can tell:
 * whether descriptors, copies and instructions are as read in their documents, and whether a step of an instruction adds
 * alike in every kernel. */
#include "compute/cuda/queue.h"

/* More than one tile each way, tails in all three lengths, and rows few enough for panels of their own. */
enum { ROWS = 140, FEW_ROWS = 5, OUTPUTS = 272, INPUTS = 200, MOST = OUTPUTS * INPUTS, FORMS = 3 };
enum { FORWARD, DX, DW };

struct trial {
  struct device *d;
  struct weight *w;
  struct buffer *x, *dy, *out;
  float *value[3], *want, *got; /* of x, dy and w; results */
};

/* Number i of an array: small and whole, or below 1 with more digits than bf16 has. */
static float number(uint32_t array, uint32_t i, bool whole)
{
  uint32_t h = (i + 1) * 2654435761u + array * 40503u;
  h = (h ^ h >> 15) * 2246822519u;
  h ^= h >> 13;
  return whole ? (float)((int)(h >> 28) - 8) : (float)((int)(h >> 8) - (1 << 23)) * 0x1p-23f;
}

static size_t count_of(int array)
{
  return array == 0 ? (size_t)ROWS * INPUTS : array == 1 ? (size_t)ROWS * OUTPUTS : (size_t)OUTPUTS * INPUTS;
}

static void trial_fill(struct trial *t, bool whole)
{
  for (int array = 0; array < 3; array++)
    for (size_t i = 0; i < count_of(array); i++) t->value[array][i] = number((uint32_t)array, (uint32_t)i, whole);
  const struct view x = {t->x, 0}, dy = {t->dy, 0};
  buffer_write(t->d, x, t->value[0], HOST_F32, count_of(0));
  buffer_write(t->d, dy, t->value[1], HOST_F32, count_of(1));
  weight_write(t->w, WEIGHT_MASTER, 0, OUTPUTS, t->value[2], HOST_F32);
}

/* The two backward ones twice, the second on top of the first. How many results there are. */
static size_t trial_run(struct trial *t, int form, int32_t rows, float *result)
{
  const struct backend_ops *ops = &t->d->ops;
  const struct view x = {t->x, 0}, dy = {t->dy, 0}, out = {t->out, 0};
  const size_t n = form == FORWARD ? (size_t)rows * OUTPUTS : form == DX ? (size_t)rows * INPUTS : (size_t)MOST;
  if (form == FORWARD) {
    ops->gemm(t->d, t->w, NULL, rows, x, out);
  } else if (form == DX) {
    ops->gemm_dx(t->d, t->w, rows, dy, out, false);
    ops->gemm_dx(t->d, t->w, rows, dy, out, true);
  } else {
    ops->weight_zero_grad(t->d, t->w);
    ops->gemm_dw(t->d, t->w, NULL, rows, dy, x);
    ops->gemm_dw(t->d, t->w, NULL, rows, dy, x);
    weight_read(t->w, WEIGHT_GRAD, 0, OUTPUTS, result, HOST_F32);
    return n;
  }
  buffer_read(t->d, out, result, HOST_F32, n);
  return n;
}

/* The same of whole numbers, by the host. */
static void trial_expect(struct trial *t, int form)
{
  const float *x = t->value[0], *dy = t->value[1], *w = t->value[2];
  memset(t->want, 0, MOST * sizeof *t->want);
  for (size_t m = 0; m < ROWS; m++)
    for (size_t n = 0; n < OUTPUTS; n++)
      for (size_t k = 0; k < INPUTS; k++) {
        if (form == FORWARD) t->want[m * OUTPUTS + n] += x[m * INPUTS + k] * w[n * INPUTS + k];
        if (form == DX) t->want[m * INPUTS + k] += 2 * (dy[m * OUTPUTS + n] * w[n * INPUTS + k]);
        if (form == DW) t->want[n * INPUTS + k] += 2 * (dy[m * OUTPUTS + n] * x[m * INPUTS + k]);
      }
}

/* By value where numbers are whole: a zero has no sign there. */
static bool results_same(const struct trial *t, size_t n, bool whole)
{
  if (!whole) return !memcmp(t->got, t->want, n * sizeof *t->want);
  for (size_t i = 0; i < n; i++)
    if (!(t->got[i] == t->want[i])) return false;
  return true;
}

/* Every kernel of the form: the host's sums, or one another's bits. */
static bool form_check(struct trial *t, int form, bool whole)
{
  struct cuda_device *c = cuda_of(t->d);
  bool same = true;
  c->wide_choice = 1;
  if (whole)
    trial_expect(t, form);
  else
    trial_run(t, form, ROWS, t->want);
  for (; same && c->wide_choice <= CUDA_NAME(wide_choices)(form); c->wide_choice++) {
    same = results_same(t, trial_run(t, form, ROWS, t->got), whole);
    if (same && form != DW) same = results_same(t, trial_run(t, form, FEW_ROWS, t->got), whole);
  }
  c->wide_choice = 0;
  return same;
}

static const char *trial_check(struct trial *t)
{
  static const char *const wrong[2][FORMS] = {
      {"the bits of y = x W^T depend on the kernel", "the bits of dx = dy W depend on the kernel",
       "the bits of dW = dy^T x depend on the kernel"},
      {"y = x W^T has wrong sums", "dx = dy W has wrong sums", "dW = dy^T x has wrong sums"}};
  for (int whole = 1; whole >= 0; whole--) {
    trial_fill(t, whole);
    for (int form = 0; form < FORMS; form++) {
      const bool right = form_check(t, form, whole);
      if (device_failed(t->d)) return "the device failed";
      if (!right) return wrong[whole][form];
    }
  }
  return NULL;
}

static int trial_make(struct trial *t, struct error *err)
{
  TRY(weight_create(t->d, WEIGHT_MATRIX, OUTPUTS, INPUTS, "trial", &t->w, err));
  TRY(weight_make_gradient(t->w, err));
  TRY(buffer_create(t->d, count_of(0), "trial", &t->x, err));
  TRY(buffer_create(t->d, count_of(1), "trial", &t->dy, err));
  TRY(buffer_create(t->d, count_of(1), "trial", &t->out, err));
  float *room = (float *)memory_alloc((size_t)MOST * 5, sizeof *room, "trial", err);
  if (!room) return ERROR_RESOURCE;
  for (int i = 0; i < 3; i++) t->value[i] = room + (size_t)MOST * (size_t)i;
  t->want = room + (size_t)MOST * 3;
  t->got = room + (size_t)MOST * 4;
  return 0;
}

const char *CUDA_NAME(products_check)(struct device *d)
{
  struct trial t;
  struct error err;
  memset(&t, 0, sizeof t);
  memset(&err, 0, sizeof err);
  t.d = d;
  const char *wrong = trial_make(&t, &err) ? "it has no room for them" : trial_check(&t);
  weight_destroy(t.w);
  buffer_destroy(t.x);
  buffer_destroy(t.dy);
  buffer_destroy(t.out);
  memory_free(t.value[0]);
  return wrong;
}
