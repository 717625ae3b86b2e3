/* Devices, buffers, weights and KV: what opens, what is refused and how, and that data comes back as it went in. */
#include "compute_fixture.h"

#include "core/fault.h"

static void test_open_names(void **state)
{
  struct error err = {0};
  struct device *d = NULL;
  (void)state;
  CHECK_ERROR(device_open(&(struct device_options){.kind = "cuda", .threads = 1}, &d, &err), &err, ERROR_INPUT,
              "write device: cpu");
  error_clear(&err);
  CHECK_ERROR(device_open(&(struct device_options){.kind = "tpu", .threads = 1}, &d, &err), &err, ERROR_INPUT,
              "found device \"tpu\"; expected cpu");
  error_clear(&err);
  CHECK_ERROR(device_open(&(struct device_options){.kind = "cpu", .isa = "sse9", .threads = 1}, &d, &err), &err,
              ERROR_INPUT, ISA_COUNT == 2 ? "expected auto, ref or neon" : "expected auto, ref, avx2, avx512 or amx");
  CHECK_STR(err.key, "isa");
  error_clear(&err);
  CHECK_ERROR(device_open(&(struct device_options){.kind = "reference64", .isa = "avx2", .threads = 1}, &d, &err), &err,
              ERROR_INPUT, "expected ref");
  error_clear(&err);
  CHECK_ERROR(device_open(&(struct device_options){.kind = "cpu", .threads = -1}, &d, &err), &err, ERROR_INPUT,
              "found -1 threads");
  CHECK(d == NULL);
}

static void test_open_kinds(void **state)
{
  struct rig rig;
  (void)state;
  CHECK(rig_open(&rig, "cpu", "ref", 3));
  CHECK_STR(device_isa(rig.d), "ref");
  CHECK_INT(device_real_size(rig.d), 4);
  CHECK_INT(device_threads(rig.d), 3);
  CHECK(device_scratch_bytes(rig.d) > 0);
  rig_close(&rig);
  CHECK(rig_open(&rig, "reference64", NULL, 0));
  CHECK_INT(device_real_size(rig.d), 8);
  CHECK_INT(device_threads(rig.d), cores_available());
  rig_close(&rig);
}

/* Every slot of the table is a function, whatever the instruction set. */
static void test_slots(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 1)) continue;
    CHECK_STR(device_isa(rig.d), isa_names[i]);
    void (*slots[sizeof(struct backend_ops) / sizeof(void (*)(void))])(void);
    memcpy(slots, rig.ops, sizeof slots);
    for (size_t j = 0; j < sizeof slots / sizeof slots[0]; j++) CHECK(slots[j] != NULL);
    rig_close(&rig);
  }
}

static void test_buffers(void **state)
{
  (void)state;
  for (int wide = 0; wide < 2; wide++) {
    struct rig rig;
    CHECK(rig_open(&rig, wide ? "reference64" : "cpu", "ref", 1));
    struct view v = rig_zeros(&rig, 10);
    float f[3] = {1.5f, -0.0f, 3e-45f}, back[3];
    double wide_back[10];
    buffer_write(rig.d, view_at(v, 4), f, HOST_F32, 3);
    buffer_read(rig.d, view_at(v, 4), back, HOST_F32, 3);
    CHECK_BITS(back, f, sizeof f);
    buffer_read(rig.d, v, wide_back, HOST_F64, 10);
    CHECK(wide_back[3] == 0 && wide_back[7] == 0 && wide_back[4] == 1.5);
    double tenth = 0.1;
    buffer_write(rig.d, v, &tenth, HOST_F64, 1);
    buffer_read(rig.d, v, wide_back, HOST_F64, 1);
    CHECK(wide_back[0] == (wide ? 0.1 : (double)0.1f));
    rig_close(&rig);
  }
}

/* Logical rows come back as written for any shape, and neighbours are left alone. */
static void test_weights(void **state)
{
  static const size_t shapes[][2] = {{1, 1}, {15, 3}, {16, 4}, {17, 5}, {49, 1}, {33, 20}};
  (void)state;
  for (int wide = 0; wide < 2; wide++) {
    struct rig rig;
    CHECK(rig_open(&rig, wide ? "reference64" : "cpu", "ref", 1));
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
      size_t n = shapes[s][0], k = shapes[s][1];
      double *x = rig_noise(&rig, s, n * k, 1);
      struct weight *w = rig_weight(&rig, n, k, x);
      CHECK_BITS(rig_part(&rig, w, WEIGHT_MASTER), x, n * k * sizeof *x);
      CHECK_INT(weight_rows(w), n);
      CHECK_INT(weight_cols(w), k);
      double *row = rig_noise(&rig, 100 + s, k, 1);
      weight_write(w, WEIGHT_MOMENT2, n - 1, 1, row, HOST_F64);
      weight_write(w, WEIGHT_MASTER, n / 2, 1, row, HOST_F64);
      memcpy(x + n / 2 * k, row, k * sizeof *x);
      CHECK_BITS(rig_part(&rig, w, WEIGHT_MASTER), x, n * k * sizeof *x);
      float *narrow = (float *)rig_host(&rig, k);
      weight_read(w, WEIGHT_MOMENT2, n - 1, 1, narrow, HOST_F32);
      for (size_t i = 0; i < k; i++) CHECK(narrow[i] == (float)row[i]);
      for (size_t i = 0; i < n * k; i++) CHECK(rig_part(&rig, w, WEIGHT_GRAD)[i] == 0);
    }
    CHECK_INT(weight_part_bytes(WEIGHT_MATRIX, 17, 5, 4), 32 * 5 * 4);
    CHECK_INT(weight_part_bytes(WEIGHT_VECTOR, 17, 99, 8), 32 * 8);
    rig_close(&rig);
  }
}

static void test_refusals(void **state)
{
  struct rig rig;
  struct error err = {0};
  struct kv *kv = NULL;
  struct weight *w = NULL;
  (void)state;
  CHECK(rig_open(&rig, "cpu", "ref", 1));
  CHECK_ERROR(kv_create(rig.d, &(struct kv_shape){1, 1, 16, 24, 4}, &kv, &err), &err, ERROR_INPUT, "KV block of 24");
  error_clear(&err);
  CHECK_ERROR(kv_create(rig.d, &(struct kv_shape){1, 1, 16, 1, 4}, &kv, &err), &err, ERROR_INPUT, "power of two");
  error_clear(&err);
  CHECK_ERROR(kv_create(rig.d, &(struct kv_shape){0, 1, 16, 32, 4}, &kv, &err), &err, ERROR_INPUT, "at least 1");
  error_clear(&err);
  CHECK_ERROR(kv_create(rig.d, &(struct kv_shape){1000000, 1000000, 1000000, 32, 1000000}, &kv, &err), &err,
              ERROR_RESOURCE, "lower slots");
  error_clear(&err);
  CHECK_ERROR(weight_create(rig.d, WEIGHT_MATRIX, 0, 4, "layer.w", &w, &err), &err, ERROR_INPUT, "0 x 4");
  CHECK_STR(err.key, "layer.w");
  error_clear(&err);
  CHECK_ERROR(weight_create(rig.d, WEIGHT_MATRIX, SIZE_MAX / 4, 1024, "layer.w", &w, &err), &err, ERROR_INPUT,
              "fits in memory");
  CHECK(kv == NULL && w == NULL);
  CHECK_INT(kv_block_bytes(&(struct kv_shape){2, 3, 20, 4, 9}, 4), 2 * 2 * 3 * 20 * 4 * 4);
  rig_close(&rig);
}

#ifdef ASSAY_HOSTILE
/* Each device call and each allocation of a small set-up fails once; nothing is left behind, and in the end it works.
 */
static int set_up(struct error *err)
{
  struct device *d = NULL;
  struct weight *w = NULL;
  struct buffer *b = NULL;
  struct kv *kv = NULL;
  int rc = device_open(&(struct device_options){.kind = "cpu", .isa = "ref", .threads = 1}, &d, err);
  if (!rc) rc = weight_create(d, WEIGHT_MATRIX, 17, 3, "w", &w, err);
  if (!rc) rc = weight_make_trainable(w, err);
  if (!rc) rc = buffer_create(d, 10, "b", &b, err);
  if (!rc) rc = kv_create(d, &(struct kv_shape){1, 1, 4, 2, 2}, &kv, err);
  kv_destroy(kv);
  buffer_destroy(b);
  weight_destroy(w);
  device_close(d);
  return rc;
}

static void test_faults(void **state)
{
  static const enum fault_kind kinds[] = {FAULT_DEVICE, FAULT_ALLOC};
  (void)state;
  for (int i = 0; i < 2; i++) {
    size_t before = memory_total();
    long countdown = 1;
    for (;; countdown++) {
      struct error err = {0};
      fault_set(kinds[i], countdown);
      int rc = set_up(&err);
      fault_set(kinds[i], 0);
      CHECK_INT(memory_total(), before);
      if (rc == 0) break;
      CHECK_INT(rc, ERROR_RESOURCE);
      CHECK_INT(err.code, ERROR_RESOURCE);
      CHECK(countdown < 100);
    }
    CHECK(countdown > 6);
  }
}
#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open_names), cmocka_unit_test(test_open_kinds), cmocka_unit_test(test_slots),
      cmocka_unit_test(test_buffers),    cmocka_unit_test(test_weights),    cmocka_unit_test(test_refusals),
#ifdef ASSAY_HOSTILE
      cmocka_unit_test(test_faults),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
