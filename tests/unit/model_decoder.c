/* The decoder's workspace and manners: bytes as announced, no allocation in a pass, hidden states, what sampling
 * writes, frozen weights, gradients that outlive a pass, and a sentence for everything that cannot be done. Its numbers
 * are checked in parity/models, grad/decoder and law/forward. */
#include "decoder_rig.h"

#include "core/fault.h"

static const struct model_config *const llama = &variants[0].config;

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t bytes_of(const char *tag)
{
  struct memory_tag rows[512];
  size_t n = memory_report(rows, 512);
  for (size_t i = 0; i < n && i < 512; i++)
    if (!strcmp(rows[i].tag, tag)) return rows[i].bytes;
  return 0;
}

/* What a buffer costs beside its reals: the handle. */
static size_t handle_bytes(struct device *d)
{
  struct error err = {0};
  struct buffer *b;
  CHECK_OK(buffer_create(d, 1, "handle", &b, &err), &err);
  size_t bytes = bytes_of("handle") - device_real_size(d);
  buffer_destroy(b);
  CHECK_INT(bytes_of("handle"), 0);
  return bytes;
}

static void test_bytes_are_those_of_the_counters(void **state)
{
  (void)state;
  static const char *const kinds[] = {"cpu", "reference64"};
  for (int v = 0; v < VARIANTS; v++) {
    for (int i = 0; i < 16; i++) {
      struct decoder_rig rig;
      struct decoder *d;
      struct decoder_gradients *g;
      struct error err = {0};
      const struct model_config *c = &variants[v].config;
      struct decoder_options o = {.max_rows = 1 + 37 * i,
                                  .max_head_rows = 5 * i,
                                  .max_pairs = 11 * i,
                                  .train = i & 1,
                                  .recompute = i & 2,
                                  .sample = i & 4,
                                  .vocab_chunk = i & 8 ? 32 : 0};
      CHECK(rig_open(&rig, kinds[i % 2], NULL, 1, c));
      size_t real = device_real_size(rig.device), handle = handle_bytes(rig.device);
      CHECK_OK(decoder_create(rig.arena, rig.model, &o, &d, &err), &err);
      CHECK_INT(bytes_of("decoder") - handle, decoder_bytes(c, &o, real));
      CHECK_OK(decoder_gradients_create(rig.arena, rig.model, 7, 1 + i, &g, &err), &err);
      CHECK_INT(bytes_of("decoder gradients") - handle, decoder_gradients_bytes(c, 7, 1 + i, real));
      rig_close(&rig);
      CHECK_INT(bytes_of("decoder"), 0);
      CHECK_INT(bytes_of("decoder gradients"), 0);
    }
  }
}

/* Recomputation keeps one layer instead of all; one that does not train keeps none. */
static void test_knobs_lower_bytes(void **state)
{
  (void)state;
  struct model_config c = *llama;
  c.layers = 20;
  struct decoder_options o = {.max_rows = 512, .max_head_rows = 512, .max_pairs = 512, .train = true};
  size_t all = decoder_bytes(&c, &o, 4);
  o.recompute = true;
  size_t some = decoder_bytes(&c, &o, 4);
  o.train = o.recompute = false;
  size_t none = decoder_bytes(&c, &o, 4);
  CHECK(some * 4 < all);
  CHECK(none * 2 < some);
  o.vocab_chunk = 32;
  CHECK(decoder_bytes(&c, &o, 4) < none);
}

static void test_no_allocation_in_a_pass(void **state)
{
  (void)state;
  for (int v = 0; v < VARIANTS; v++) {
    struct decoder_rig rig;
    struct forest f;
    struct run r;
    struct error err = {0};
    struct piece order[FOREST_BRANCHES];
    struct sample_params params[512];
    struct sample_result out[512];
    int32_t ids[512];
    float logp[512];
    CHECK(rig_open(&rig, "cpu", NULL, 2, &variants[v].config));
    rig_gradients(rig.model);
    random_forest(&f, rig.arena, 8, variants[v].config.vocab, 2, 9, 3);
    CHECK(f.tokens <= 512);
    run_open(&r, &rig, &f, (struct run_options){.train = true, .recompute = v % 2, .sample = true});
    pass_build(&f, &r.pass, order, forest_post_order(&f, order));
    const struct pass *p = &r.pass;
    for (int32_t i = 0; i < p->head.count; i++)
      params[i] = (struct sample_params){.temperature = 1, .top_p = 0.9f, .forced = -1, .uniform = 0.5};
    struct decoder_backward_input in = {&p->head, 1, r.pair, r.row_coef, p->kv_slot, p->embed_slot, NULL};
    uint64_t before = memory_allocations();
    int rc = decoder_forward(r.d, &p->rows, r.kv, &p->head, true, &err);
    rc += decoder_score(r.d, 1, &p->head, r.pair, r.row, &err);
    rc += decoder_sample(r.d, 1, &p->head, params, out, &err);
    rc += decoder_top(r.d, 1, &p->head, 1, ids, logp, &err);
    rc += decoder_backward(r.d, &p->rows, r.kv, &in, r.g, &err);
    decoder_gradients_clear_slots(r.g, 0, f.tokens);
    rc += decoder_gradients_join(r.g, rig.model, f.embed_ids, f.embed_count, &err);
    uint64_t after = memory_allocations();
    CHECK_OK(rc, &err);
    CHECK_INT(after - before, 0);
    run_close(&r);
    rig_close(&rig);
  }
}

#ifdef ASSAY_HOSTILE
/* Creating a workspace while the n-th allocation or device call fails: a sentence, and nothing left behind. */
static void test_creation_without_memory(void **state)
{
  (void)state;
  static const enum fault_kind kinds[] = {FAULT_ALLOC, FAULT_DEVICE};
  const struct decoder_options o = {.max_rows = 9, .max_head_rows = 9, .max_pairs = 9, .train = true};
  for (int k = 0; k < 2; k++) {
    int rc = ERROR_RESOURCE, failures = 0;
    for (long n = 1; rc; n++) {
      struct decoder_rig rig;
      struct decoder *d;
      struct decoder_gradients *g;
      struct error err = {0};
      CHECK(rig_open(&rig, "cpu", NULL, 1, llama));
      fault_set(kinds[k], n);
      rc = decoder_create(rig.arena, rig.model, &o, &d, &err);
      if (!rc) rc = decoder_gradients_create(rig.arena, rig.model, 5, 5, &g, &err);
      fault_set(kinds[k], 0);
      if (rc) CHECK_ERROR(rc, &err, ERROR_RESOURCE, " ");
      failures += rc != 0;
      rig_close(&rig);
      CHECK_INT(bytes_of("decoder"), 0);
      CHECK_INT(bytes_of("decoder gradients"), 0);
    }
    CHECK(failures >= 2);
  }
}
#endif

/* ---- what comes out -------------------------------------------------------------------------- */

/* A forced token's record, and the most likely tokens, are the scorer's. */
static void test_sample_and_top_agree_with_score(void **state)
{
  (void)state;
  struct decoder_rig rig;
  struct forest f;
  struct run r;
  struct error err = {0};
  enum { V = 77, N = 40 };
  struct sample_params params[N];
  struct sample_result out[N];
  int32_t ids[N * V];
  float logp[N * V], forced[N], scored[N], entropy[N], row_entropy[N];
  CHECK(rig_open(&rig, "cpu", NULL, 2, llama));
  forest_open(&f, rig.arena, 8);
  random_branch(&f, -1, N, V, 4);
  run_open(&r, &rig, &f, (struct run_options){.sample = true, .temperature = 0.6});
  run_forward(&r, &(struct piece){0, 0, N}, 1, false);
  const struct head_rows *head = &r.pass.head;
  CHECK_INT(head->count, N - 1);
  for (int32_t i = 0; i < head->count; i++)
    params[i] = (struct sample_params){.temperature = 1, .forced = head->pair_target[i]};
  CHECK_OK(decoder_sample(r.d, 0.6, head, params, out, &err), &err);
  CHECK_OK(decoder_top(r.d, 0.6, head, V, ids, logp, &err), &err);
  for (int32_t i = 0; i < head->count; i++) {
    CHECK_INT(out[i].id, head->pair_target[i]);
    forced[i] = out[i].logp;
    entropy[i] = out[i].entropy;
    scored[i] = (float)r.logp[i + 1];
    row_entropy[i] = (float)r.entropy[i];
    int32_t rank = 0;
    while (rank < V && ids[i * V + rank] != head->pair_target[i]) rank++;
    CHECK(rank < V);
    CHECK_BITS_F32(&logp[i * V + rank], &scored[i], 1);
    for (int32_t k = 1; k < V; k++) CHECK(logp[i * V + k] <= logp[i * V + k - 1]);
  }
  CHECK_BITS_F32(forced, scored, N - 1);
  CHECK_BITS_F32(entropy, row_entropy, N - 1);
  run_close(&r);
  rig_close(&rig);
}

/* Recomputing or not, kept or not: the same layer inputs, the same final states, layer by layer. */
static void test_hidden_states(void **state)
{
  (void)state;
  struct decoder_rig rig;
  struct forest f;
  struct run r;
  struct error err = {0};
  enum { N = 30, C = 24 };
  static float want[N * C], got[N * C], before[N * C];
  CHECK(rig_open(&rig, "cpu", NULL, 2, llama));
  forest_open(&f, rig.arena, 8);
  random_branch(&f, -1, N, 77, 4);
  const struct piece all = {0, 0, N};
  run_open(&r, &rig, &f, (struct run_options){0});
  run_forward(&r, &all, 1, false);
  CHECK_OK(decoder_hidden(r.d, -1, want, HOST_F32, &err), &err);
  CHECK_ERROR(decoder_hidden(r.d, 0, got, HOST_F32, &err), &err, ERROR_BUG, "are not held");
  error_clear(&err);
  run_close(&r);
  for (int recompute = 0; recompute < 2; recompute++) {
    run_open(&r, &rig, &f, (struct run_options){.train = true, .recompute = recompute});
    run_forward(&r, &all, 1, true);
    CHECK_OK(decoder_hidden(r.d, -1, got, HOST_F32, &err), &err);
    CHECK_BITS_F32(got, want, N * C);
    CHECK_OK(decoder_hidden(r.d, 0, before, HOST_F32, &err), &err);
    for (int32_t i = 0; i < N; i++) {
      float row[C];
      weight_read(rig.model->embed, WEIGHT_MASTER, (size_t)f.branch[0].ids[i], 1, row, HOST_F32);
      CHECK_BITS_F32(before + i * C, row, C);
    }
    for (int layer = 1; layer <= llama->layers; layer++) {
      CHECK_OK(decoder_hidden(r.d, layer, got, HOST_F32, &err), &err);
      CHECK(memcmp(got, before, sizeof got) != 0);
      memcpy(before, got, sizeof got);
    }
    CHECK_ERROR(decoder_hidden(r.d, llama->layers + 1, got, HOST_F32, &err), &err, ERROR_BUG, "0 to 2");
    error_clear(&err);
    run_close(&r);
  }
  rig_close(&rig);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static double *all_gradients(struct decoder_rig *rig)
{
  struct error err = {0};
  double *g = ARENA_NEW(rig->arena, double, rig_read(rig->model, WEIGHT_MASTER, NULL), "test", &err);
  CHECK(g != NULL);
  rig_read(rig->model, WEIGHT_GRAD, g);
  return g;
}

static void ones(double *x, int32_t n)
{
  for (int32_t i = 0; i < n; i++) x[i] = 1;
}

/* A second mini-batch starts clean: what outlived the first one's passes is gone after its join. And a backward scores
 * by itself where nobody did. */
static void test_second_minibatch_starts_clean(void **state)
{
  (void)state;
  for (int v = 0; v < VARIANTS; v++) {
    struct decoder_rig rig;
    struct forest f;
    struct run r;
    struct error err = {0};
    CHECK(rig_open(&rig, "cpu", NULL, 2, &variants[v].config));
    rig_gradients(rig.model);
    random_forest(&f, rig.arena, 8, variants[v].config.vocab, 2, 9, 3);
    run_open(&r, &rig, &f, (struct run_options){.train = true, .micro_rows = 10});
    double *coef = run_reals(&r, (size_t)f.tokens);
    ones(coef, f.tokens);
    run_all(&r, coef, NULL);
    double *first = all_gradients(&rig);
    for (size_t i = 0; i < rig.model->trained_count; i++)
      device_ops(rig.device)->weight_zero_grad(rig.device, rig.model->trained[i]);
    run_all(&r, coef, NULL);
    size_t n = rig_read(rig.model, WEIGHT_MASTER, NULL);
    CHECK_BITS(all_gradients(&rig), first, n * sizeof(double));
    // without decoder_score in between, in one pass
    for (size_t i = 0; i < rig.model->trained_count; i++)
      device_ops(rig.device)->weight_zero_grad(rig.device, rig.model->trained[i]);
    struct piece order[FOREST_BRANCHES];
    pass_build(&f, &r.pass, order, forest_post_order(&f, order));
    CHECK_OK(decoder_forward(r.d, &r.pass.rows, r.kv, &r.pass.head, true, &err), &err);
    decoder_gradients_clear_slots(r.g, 0, f.tokens);
    run_backward(&r, coef, NULL);
    CHECK_OK(decoder_gradients_join(r.g, rig.model, f.embed_ids, f.embed_count, &err), &err);
    CHECK_BITS(all_gradients(&rig), first, n * sizeof(double));
    run_close(&r);
    rig_close(&rig);
  }
}

/* Weights without a gradient part are left out; the others' gradients are what they are with all of them. */
static void test_frozen_weights_are_left_out(void **state)
{
  (void)state;
  struct error err = {0};
  for (int v = 0; v < VARIANTS; v++) {
    double *want[64] = {0};
    for (int frozen = 0; frozen < 2; frozen++) {
      struct decoder_rig rig;
      struct forest f;
      struct run r;
      struct arena *a = arena_create("test", 0, &err);
      CHECK(rig_open(&rig, "cpu", NULL, 2, &variants[v].config));
      CHECK(rig.model->trained_count <= 64);
      for (size_t i = 0; i < rig.model->trained_count; i++)
        if (!frozen || i % 3 == 1) CHECK_OK(weight_make_gradient(rig.model->trained[i], &err), &err);
      random_forest(&f, rig.arena, 8, variants[v].config.vocab, 2, 9, 3);
      run_open(&r, &rig, &f, (struct run_options){.train = true});
      double *coef = run_reals(&r, (size_t)f.tokens);
      ones(coef, f.tokens);
      run_all(&r, coef, NULL);
      for (size_t i = 0; i < rig.model->trained_count; i++) {
        const struct weight *w = rig.model->trained[i];
        size_t n = weight_rows(w) * weight_cols(w);
        if (frozen && i % 3 != 1) continue;
        double *g = frozen ? ARENA_NEW(a, double, n, "test", &err) : memory_alloc(n, sizeof(double), "test", &err);
        CHECK(g != NULL);
        weight_read(w, WEIGHT_GRAD, 0, weight_rows(w), g, HOST_F64);
        if (frozen)
          CHECK_BITS(g, want[i], n * sizeof(double));
        else
          want[i] = g;
      }
      run_close(&r);
      rig_close(&rig);
      arena_destroy(a);
    }
    for (int i = 0; i < 64; i++) memory_free(want[i]);
  }
}

/* ---- what cannot be done --------------------------------------------------------------------- */

struct bad {
  struct decoder_rig rig;
  struct forest f;
  struct run r;
};

static void bad_open(struct bad *b, struct run_options o)
{
  CHECK(rig_open(&b->rig, "cpu", NULL, 1, llama));
  forest_open(&b->f, b->rig.arena, 8);
  random_branch(&b->f, -1, 10, 77, 4);
  run_open(&b->r, &b->rig, &b->f, o);
  pass_build(&b->f, &b->r.pass, &(struct piece){0, 0, 10}, 1);
}

static void bad_close(struct bad *b)
{
  run_close(&b->r);
  rig_close(&b->rig);
}

static void check_forward_fails(struct bad *b, int code, const char *part)
{
  struct error err = {0};
  CHECK_ERROR(decoder_forward(b->r.d, &b->r.pass.rows, b->r.kv, &b->r.pass.head, false, &err), &err, code, part);
}

static void test_rows_that_do_not_fit(void **state)
{
  (void)state;
  struct bad b;
  bad_open(&b, (struct run_options){0});
  struct pass *p = &b.r.pass, good = *p;
  int32_t token[11] = {1, 2, 3, 77, 5}, position[11] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 256}, target[10] = {0};
  p->rows.token = token;
  check_forward_fails(&b, ERROR_INPUT, "found token 77 at position 3; expected 0 to 76");
  token[3] = -1;
  check_forward_fails(&b, ERROR_INPUT, "found token -1 at position 3");
  *p = good;
  p->rows.position = position;
  check_forward_fails(&b, ERROR_INPUT, "position 256; expected 0 to 255");
  position[9] = 8;
  check_forward_fails(&b, ERROR_BUG, "do not cover");
  *p = good;
  p->rows.count = 11;
  check_forward_fails(&b, ERROR_BUG, "at most 10");
  *p = good;
  p->head.pair_target = target;
  target[8] = 77;
  check_forward_fails(&b, ERROR_INPUT, "found token 77, whose log-probability is wanted");
  *p = good;
  const int32_t row[9] = {0, 1, 1};
  p->head.row = row;
  check_forward_fails(&b, ERROR_BUG, "ascending rows");
  *p = good;
  p->head.count = 11;
  check_forward_fails(&b, ERROR_BUG, "11 rows and 9 pairs");
  bad_close(&b);
}

static void test_calls_out_of_order(void **state)
{
  (void)state;
  struct bad b;
  struct error err = {0};
  float hidden[240], logp[10];
  int32_t ids[10];
  bad_open(&b, (struct run_options){.train = true});
  struct pass *p = &b.r.pass;
  double coef[10] = {0};
  struct decoder_backward_input in = {&p->head, 1, coef, NULL, p->kv_slot, p->embed_slot, NULL};
  CHECK_ERROR(decoder_hidden(b.r.d, -1, hidden, HOST_F32, &err), &err, ERROR_BUG, "are not held");
  error_clear(&err);
  CHECK_ERROR(decoder_score(b.r.d, 1, &p->head, NULL, NULL, &err), &err, ERROR_BUG, "asked for 9 rows; expected the 0");
  error_clear(&err);
  CHECK_OK(decoder_forward(b.r.d, &p->rows, b.r.kv, &p->head, false, &err), &err);
  CHECK_ERROR(decoder_top(b.r.d, 1, &p->head, 1, ids, logp, &err), &err, ERROR_BUG, "options.sample");
  error_clear(&err);
  CHECK_ERROR(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err, ERROR_BUG, "kept activations");
  error_clear(&err);
  CHECK_OK(decoder_forward(b.r.d, &p->rows, b.r.kv, &p->head, true, &err), &err);
  int32_t slot[10] = {11};
  in.kv_slot = slot;
  CHECK_ERROR(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err, ERROR_BUG, "KV slot 11");
  error_clear(&err);
  in.kv_slot = p->kv_slot;
  struct rows_span span = {0, 9, 0};
  p->rows.spans = &span;
  CHECK_ERROR(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err, ERROR_BUG,
              "gradient slots for 9 positions; expected 10");
  error_clear(&err);
  span = (struct rows_span){0, 12, 0};
  CHECK_ERROR(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err, ERROR_BUG, "span of 12 positions");
  error_clear(&err);
  span.count = 10;
  CHECK_OK(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err);
  // the activations are used up
  CHECK_ERROR(decoder_backward(b.r.d, &p->rows, b.r.kv, &in, b.r.g, &err), &err, ERROR_BUG, "kept activations");
  bad_close(&b);
}

static void test_options_and_kv_that_do_not_fit(void **state)
{
  (void)state;
  struct bad b;
  struct error err = {0};
  struct decoder *d;
  struct kv *other;
  bad_open(&b, (struct run_options){.sample = true});
  struct decoder_options o = {.max_rows = 1, .vocab_chunk = 40};
  CHECK_ERROR(decoder_create(b.rig.arena, b.rig.model, &o, &d, &err), &err, ERROR_INPUT,
              "chunk of 40; expected a multiple of 32");
  error_clear(&err);
  struct kv_shape shape = {1, 2, 8, 8, 2};
  CHECK_OK(kv_create(b.rig.device, &shape, &other, &err), &err);
  struct pass *p = &b.r.pass;
  CHECK_ERROR(decoder_forward(b.r.d, &p->rows, other, NULL, false, &err), &err, ERROR_BUG, "KV of 1 layers");
  error_clear(&err);
  kv_destroy(other);
  int32_t ids[10 * 77];
  float logp[10 * 77];
  CHECK_OK(decoder_forward(b.r.d, &p->rows, b.r.kv, &p->head, false, &err), &err);
  CHECK_ERROR(decoder_top(b.r.d, 1, &p->head, 78, ids, logp, &err), &err, ERROR_INPUT, "expected 1 to 77");
  bad_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
#ifdef ASSAY_HOSTILE
      cmocka_unit_test(test_creation_without_memory),
#endif
      cmocka_unit_test(test_bytes_are_those_of_the_counters),
      cmocka_unit_test(test_knobs_lower_bytes),
      cmocka_unit_test(test_no_allocation_in_a_pass),
      cmocka_unit_test(test_sample_and_top_agree_with_score),
      cmocka_unit_test(test_hidden_states),
      cmocka_unit_test(test_second_minibatch_starts_clean),
      cmocka_unit_test(test_frozen_weights_are_left_out),
      cmocka_unit_test(test_rows_that_do_not_fit),
      cmocka_unit_test(test_calls_out_of_order),
      cmocka_unit_test(test_options_and_kv_that_do_not_fit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
