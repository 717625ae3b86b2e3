/* The sampler against one that sorts; its frequencies against the filtered distribution; its record against head_score.
 */
#include "compute_fixture.h"

#include <stdlib.h>

enum { MAX_V = 400 };

/* A device with logits as they are: hidden is 1, W is [V, 1]. */
struct scene {
  struct rig rig;
  size_t vocab;
  double *logit;
  struct weight *w;
};

static bool scene_open(struct scene *s, const char *isa, int threads, uint64_t seed, size_t vocab, double step)
{
  if (!rig_open(&s->rig, "cpu", isa, threads)) return false;
  s->vocab = vocab;
  s->logit = rig_noise(&s->rig, seed, vocab, 5);
  for (size_t v = 0; v < vocab && step > 0; v++) s->logit[v] = step * (double)(int)(s->logit[v] / step); /* ties */
  s->w = rig_weight(&s->rig, vocab, 1, s->logit);
  return true;
}

static void scene_draw(struct scene *s, double record, int32_t count, const struct sample_params *params,
                       struct sample_result *out)
{
  double *ones = rig_host(&s->rig, (size_t)count);
  for (int32_t i = 0; i < count; i++) ones[i] = 1;
  struct view h = rig_view(&s->rig, ones, (size_t)count), scratch = rig_zeros(&s->rig, (size_t)count * s->vocab);
  s->rig.ops->head_sample(s->rig.d, s->w, record, count, h, scratch, params, out);
}

/* ---- a sampler that sorts ---- */

struct sorted {
  float s, e;
  int32_t id;
};

static int by_order(const void *a, const void *b)
{
  const struct sorted *x = a, *y = b;
  if (x->s != y->s) return x->s > y->s ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
  const struct sorted *x = a, *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

/* What the filters keep, by id; returns how many. */
static size_t keep_sorted(const struct scene *s, double record, const struct sample_params *p,
                          struct sorted kept[MAX_V])
{
  bool same = p->temperature == (float)record;
  float inv = (float)(1 / (same ? record : (double)p->temperature)), top = -1e30f;
  size_t n = s->vocab;
  for (size_t v = 0; v < n; v++) {
    kept[v] = (struct sorted){(float)s->logit[v] * inv, 0, (int32_t)v};
    top = kept[v].s > top ? kept[v].s : top;
  }
  for (size_t v = 0; v < n; v++) kept[v].e = math_expf(kept[v].s - top);
  qsort(kept, n, sizeof *kept, by_order);
  if (p->top_k > 0 && (size_t)p->top_k < n) n = (size_t)p->top_k;
  if (p->top_p < 1) {
    uint64_t all = 0, sum = 0;
    size_t keep = 0;
    for (size_t i = 0; i < n; i++) all += (uint64_t)((double)kept[i].e * 1099511627776.0);
    while (keep < n && (keep == 0 || (double)sum < (double)p->top_p * (double)all))
      sum += (uint64_t)((double)kept[keep++].e * 1099511627776.0);
    n = keep;
  }
  size_t left = 0;
  for (size_t i = 0; i < n; i++)
    if (!(p->min_p > 0) || kept[i].e >= p->min_p) kept[left++] = kept[i];
  qsort(kept, left, sizeof *kept, by_id);
  return left;
}

static int32_t draw_sorted(const struct sorted *kept, size_t n, double uniform, double *p)
{
  double total = 0, sum = 0;
  for (size_t i = 0; i < n; i++) total += (double)kept[i].e;
  for (size_t i = 0; i < n; i++) {
    sum += (double)kept[i].e;
    *p = (double)kept[i].e / total;
    if (sum > uniform * total) return kept[i].id;
  }
  return -1;
}

static const struct sample_params settings[] = {
    {1, 1, 0, 0, -1, 0, NULL, NULL, 0},           {0.7f, 1, 0, 0, -1, 0, NULL, NULL, 0},
    {1, 0.9f, 0, 0, -1, 0, NULL, NULL, 0},        {1, 1, 0.05f, 0, -1, 0, NULL, NULL, 0},
    {1, 1, 0, 5, -1, 0, NULL, NULL, 0},           {1.3f, 0.8f, 0, 7, -1, 0, NULL, NULL, 0},
    {0.5f, 0.5f, 0.2f, 40, -1, 0, NULL, NULL, 0}, {1, 0, 0, 0, -1, 0, NULL, NULL, 0},
    {2, 0.999f, 0.01f, 0, -1, 0, NULL, NULL, 0},  {1, 1, 1, 0, -1, 0, NULL, NULL, 0},
    {1, 1, 0, 1, -1, 0, NULL, NULL, 0},           {0.01f, 0.3f, 0, 3, -1, 0, NULL, NULL, 0},
    {1, 2, -1, -3, -1, 0, NULL, NULL, 0},         {1, 1, 0, 100000, -1, 0, NULL, NULL, 0},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static void check_setting(struct scene *s, double record, const struct sample_params *setting, uint64_t seed)
{
  enum { DRAWS = 24 };
  struct sample_params params[DRAWS];
  struct sample_result out[DRAWS];
  static struct sorted kept[MAX_V];
  for (size_t i = 0; i < DRAWS; i++) {
    params[i] = *setting;
    params[i].uniform = i == 0 ? 0 : i == 1 ? 1 - 0x1p-53 : (noise_at(seed, i) + 1) / 2;
  }
  scene_draw(s, record, DRAWS, params, out);
  for (size_t i = 0; i < DRAWS; i++) {
    size_t n = keep_sorted(s, record, params + i, kept);
    double p = 0;
    int32_t want = draw_sorted(kept, n, params[i].uniform, &p);
    CHECK(n > 0);
    if (want >= 0) CHECK_INT(out[i].id, want);
    CHECK(out[i].id >= 0 && (size_t)out[i].id < s->vocab);
    CHECK_CLOSE(out[i].logp_behaviour, math_log(p), 2e-5,
                "a log of f64 rounded to f32; where it is logp itself, z and l err by 1e-5");
    CHECK(out[i].logp <= 0 && out[i].entropy >= 0);
  }
}

static void test_sorted(void **state)
{
  static const size_t vocab[] = {1, 2, 31, 33, 400};
  static const double ties[] = {0, 0.5, 2};
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int v = 0; v < 5; v++)
      for (int t = 0; t < 3; t++) {
        struct scene s;
        if (!scene_open(&s, isa_names[isa], 2, (uint64_t)(v * 3 + t), vocab[v], ties[t])) continue;
        for (size_t i = 0; i < SETTINGS; i++) {
          check_setting(&s, 1, settings + i, i + 100);
          check_setting(&s, (double)0.7f, settings + i, i + 200);
        }
        rig_close(&s.rig);
      }
}

/* Ties by hand: logits 1 2 2 2 0. */
static void test_ties(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[isa], 1)) continue;
    struct scene s = {.rig = rig, .vocab = 5, .logit = (double[]){1, 2, 2, 2, 0}};
    s.w = rig_weight(&s.rig, 5, 1, s.logit);
    const double end = 1 - 0x1p-53;
    const struct sample_params p[] = {{1, 1, 0, 2, -1, 0, NULL, NULL, 0},   {1, 1, 0, 2, -1, end, NULL, NULL, 0},
                                      {1, 1, 1, 0, -1, 0, NULL, NULL, 0},   {1, 1, 1, 0, -1, end, NULL, NULL, 0},
                                      {0, 1, 0, 0, -1, end, NULL, NULL, 0}, {1, 0.1f, 0, 0, -1, end, NULL, NULL, 0},
                                      {0, 1, 0, 0, 4, 0.5, NULL, NULL, 0},  {1, 0.5f, 0, 3, -1, end, NULL, NULL, 0}};
    const int32_t want[] = {1, 2, 1, 3, 1, 1, 4, 2};
    struct sample_result out[8];
    scene_draw(&s, 1, 8, p, out);
    for (int i = 0; i < 8; i++) CHECK_INT(out[i].id, want[i]);
    CHECK_CLOSE(out[0].logp_behaviour, -math_log(2), 1e-7, "one rounding to f32");
    CHECK_CLOSE(out[2].logp_behaviour, -math_log(3), 1e-7, "one rounding to f32");
    CHECK(out[4].logp_behaviour == 0 && out[5].logp_behaviour == 0 && out[6].logp_behaviour == 0);
    CHECK(out[4].logp < 0 && out[6].logp < out[4].logp);
    rig_close(&s.rig);
  }
}

/* -0 and +0 are a tie: at temperature 2 the smallest negative number underflows to -0. */
static void test_zeros(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[isa], 1)) continue;
    struct scene s = {.rig = rig, .vocab = 4, .logit = (double[]){-1, -0x1.1p-126, 0, -0x1.1p-126}};
    s.w = rig_weight(&s.rig, 4, 1, s.logit);
    const struct sample_params p[] = {{0, 1, 0, 0, -1, 0, NULL, NULL, 0},
                                      {2, 1, 0, 1, -1, 0.9, NULL, NULL, 0},
                                      {2, 0.1f, 0, 0, -1, 0.9, NULL, NULL, 0},
                                      {2, 1, 0, 2, -1, 0.9, NULL, NULL, 0}};
    const int32_t want[] = {1, 1, 1, 2};
    struct sample_result out[4];
    scene_draw(&s, 2, 4, p, out);
    for (int i = 0; i < 4; i++) CHECK_INT(out[i].id, want[i]);
    rig_close(&s.rig);
  }
}

/* The record is head_score's, bit for bit; a draw without filters at that temperature has it as its behaviour too. */
static void test_record(void **state)
{
  enum { COUNT = 9, C = 40, V = 203 };
  static const double temperatures[] = {1, 0.7, 1.5};
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int t = 0; t < 3; t++) {
      struct rig rig;
      if (!rig_open(&rig, "cpu", isa_names[isa], 3)) continue;
      struct weight *w = rig_weight(&rig, V, C, rig_noise(&rig, 1, V * C, 1));
      struct view h = rig_view(&rig, rig_noise(&rig, 2, COUNT * C, 2), COUNT * C), scratch = rig_zeros(&rig, COUNT * V),
                  stat = rig_zeros(&rig, COUNT * 3), logp = rig_zeros(&rig, COUNT), entropy = rig_zeros(&rig, COUNT);
      struct sample_params params[COUNT];
      struct sample_result out[COUNT], alone;
      int32_t row[COUNT], target[COUNT];
      for (int32_t i = 0; i < COUNT; i++) {
        params[i] = i < 5 ? (struct sample_params){(float)temperatures[t], 1, 0, 0, -1, 0.1 + 0.17 * i, NULL, NULL, 0}
                          : settings[i];
        if (i == 8) params[i].forced = 77;
        if (i >= 5) params[i].uniform = 0.4;
      }
      rig.ops->head_sample(rig.d, w, temperatures[t], COUNT, h, scratch, params, out);
      for (int32_t i = 0; i < COUNT; i++) row[i] = i, target[i] = out[i].id;
      struct head_rows rows = {COUNT, row, COUNT, row, target};
      rig.ops->head_score(rig.d, w, 1 / temperatures[t], &rows, h, 64, scratch, stat, logp, entropy);
      float want_logp[COUNT], want_entropy[COUNT];
      buffer_read(rig.d, logp, want_logp, HOST_F32, COUNT);
      buffer_read(rig.d, entropy, want_entropy, HOST_F32, COUNT);
      for (int32_t i = 0; i < COUNT; i++) {
        CHECK_BITS(&out[i].logp, want_logp + i, sizeof(float));
        CHECK_BITS(&out[i].entropy, want_entropy + i, sizeof(float));
        if (i < 5) CHECK_BITS(&out[i].logp_behaviour, want_logp + i, sizeof(float));
        rig.ops->head_sample(rig.d, w, temperatures[t], 1, view_at(h, (size_t)i * C), scratch, params + i, &alone);
        CHECK_BITS(&alone, out + i, sizeof alone);
      }
      CHECK_INT(out[8].id, 77);
      CHECK(out[8].logp_behaviour == 0);
      rig_close(&rig);
    }
}

/* Frequencies: chi-square of 24,000 draws with keyed uniforms against the filtered softmax in f64. */
static void check_frequencies(struct scene *s, const struct sample_params *setting, uint64_t seed)
{
  enum { BATCH = 2000, BATCHES = 12 };
  static struct sample_params params[BATCH];
  static struct sample_result out[BATCH];
  static struct sorted kept[MAX_V];
  double count[MAX_V] = {0}, chi = 0, total = 0;
  size_t n = keep_sorted(s, 1, setting, kept), cells = 0;
  for (size_t b = 0; b < BATCHES; b++) {
    for (size_t i = 0; i < BATCH; i++) {
      struct rng_at at = {.purpose = RNG_TEST, .step = (uint32_t)b, .position = (uint32_t)i};
      params[i] = *setting;
      params[i].uniform = rng_uniform(seed, &at);
    }
    scene_draw(s, 1, BATCH, params, out);
    for (size_t i = 0; i < BATCH; i++) count[out[i].id]++;
  }
  for (size_t i = 0; i < n; i++) total += math_exp(s->logit[kept[i].id] / (double)setting->temperature);
  for (size_t i = 0; i < n; i++) {
    double want = BATCH * BATCHES * math_exp(s->logit[kept[i].id] / (double)setting->temperature) / total;
    double off = count[kept[i].id] - want;
    count[kept[i].id] = 0;
    if (want < 5) continue; /* too few for the approximation */
    chi += off * off / want;
    cells++;
  }
  for (size_t v = 0; v < s->vocab; v++) CHECK(count[v] == 0); /* nothing outside of what is kept */
  CHECK(cells > 1);
  /* mean cells - 1, variance 2 (cells - 1): five standard deviations and some for the skew */
  CHECK(chi < (double)(cells - 1) + 5 * math_sqrt(2 * (double)(cells - 1)) + 5);
}

static void test_frequencies(void **state)
{
  static const int chosen[] = {0, 1, 2, 3, 4, 5, 8};
  struct scene s;
  (void)state;
  for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
    CHECK(scene_open(&s, NULL, 2, 7, 24, 0));
    for (size_t v = 0; v < s.vocab; v++) s.logit[v] /= 2;
    weight_write(s.w, WEIGHT_MASTER, 0, s.vocab, s.logit, HOST_F64);
    check_frequencies(&s, settings + chosen[i], 1000 + i);
    rig_close(&s.rig);
  }
}

/* A mask draws what it would draw were the other logits far below, and the record is still of the whole distribution.
 */
static void test_allowed(void **state)
{
  static const struct sample_params forms[] = {{.temperature = 0.7f, .top_p = 1},
                                               {.temperature = 1, .top_p = 0.8f},
                                               {.temperature = 1.3f, .top_p = 1, .top_k = 5},
                                               {.temperature = 1, .top_p = 1, .min_p = 0.1f},
                                               {.temperature = 0, .top_p = 1}};
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s, low;
    if (!scene_open(&s, isa_names[isa], 2, 11, 300, 0)) continue;
    if (!scene_open(&low, isa_names[isa], 2, 11, 300, 0)) continue;
    uint32_t allowed[10] = {0};
    for (int v = 0; v < 300; v++) {
      if (v % 7 == 3)
        allowed[v / 32] |= (uint32_t)1 << (v % 32);
      else
        low.logit[v] = -1e30;
    }
    low.w = rig_weight(&low.rig, 300, 1, low.logit);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
      struct sample_params masked[40], plain[40], forced[40];
      struct sample_result got[40], want[40], whole[40];
      for (int k = 0; k < 40; k++) {
        plain[k] = forms[i];
        plain[k].forced = -1;
        plain[k].uniform = (k + 0.5) / 40;
        masked[k] = plain[k];
        masked[k].allowed = allowed;
      }
      scene_draw(&s, 1, 40, masked, got);
      scene_draw(&low, 1, 40, plain, want);
      for (int k = 0; k < 40; k++) {
        CHECK_INT(got[k].id, want[k].id);
        CHECK_INT(got[k].id % 7, 3);
        CHECK_BITS(&got[k].logp_behaviour, &want[k].logp_behaviour, sizeof(float));
        forced[k] = plain[k];
        forced[k].forced = got[k].id;
      }
      scene_draw(&s, 1, 40, forced, whole);
      for (int k = 0; k < 40; k++) {
        CHECK_BITS(&got[k].logp, &whole[k].logp, sizeof(float));
        CHECK_BITS(&got[k].entropy, &whole[k].entropy, sizeof(float));
      }
    }
    rig_close(&s.rig);
    rig_close(&low.rig);
  }
}

/* Biased logits draw what logits that are so by themselves would, with a mask too; the record is of the logits as they
 * are. */
static void test_bias(void **state)
{
  static const struct sample_params forms[] = {{.temperature = 0.7f, .top_p = 1},
                                               {.temperature = 1, .top_p = 0.8f},
                                               {.temperature = 1.3f, .top_p = 1, .top_k = 5},
                                               {.temperature = 1, .top_p = 1, .min_p = 0.1f},
                                               {.temperature = 0, .top_p = 1}};
  enum { V = 300, DRAWS = 40 };
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s, moved;
    if (!scene_open(&s, isa_names[isa], 2, 11, V, 0)) continue;
    if (!scene_open(&moved, isa_names[isa], 2, 11, V, 0)) continue;
    struct sample_bias bias[DRAWS][V];
    uint32_t allowed[10];
    int32_t count = 0, hit = 0;
    memset(allowed, 0xff, sizeof allowed);
    allowed[2] = 0;
    for (int v = V - 1; v >= 0; v -= 3) {
      bias[0][count++] = (struct sample_bias){v, (float)(v % 11) - 4, 0};
      moved.logit[v] = (double)((float)s.logit[v] + bias[0][count - 1].add);
    }
    for (int k = 1; k < DRAWS; k++) memcpy(bias[k], bias[0], sizeof bias[0]);
    moved.w = rig_weight(&moved.rig, V, 1, moved.logit);
    for (size_t i = 0; i < 2 * sizeof forms / sizeof *forms; i++) {
      struct sample_params biased[DRAWS], plain[DRAWS], forced[DRAWS];
      struct sample_result got[DRAWS], want[DRAWS], whole[DRAWS];
      for (int k = 0; k < DRAWS; k++) {
        plain[k] = forms[i / 2];
        plain[k].forced = -1;
        plain[k].uniform = (k + 0.5) / DRAWS;
        if (i % 2) plain[k].allowed = allowed;
        biased[k] = plain[k];
        biased[k].bias = bias[k];
        biased[k].bias_count = count;
      }
      scene_draw(&s, 1, DRAWS, biased, got);
      scene_draw(&moved, 1, DRAWS, plain, want);
      for (int k = 0; k < DRAWS; k++) {
        CHECK_INT(got[k].id, want[k].id);
        hit += (V - 1 - got[k].id) % 3 == 0;
        if (got[k].logp_behaviour < 0) CHECK_CLOSE(got[k].logp_behaviour, want[k].logp_behaviour, 2e-5, "as above");
        forced[k] = plain[k];
        forced[k].forced = got[k].id;
      }
      scene_draw(&s, 1, DRAWS, forced, whole);
      for (int k = 0; k < DRAWS; k++) {
        CHECK_BITS(&got[k].logp, &whole[k].logp, sizeof(float));
        CHECK_BITS(&got[k].entropy, &whole[k].entropy, sizeof(float));
      }
    }
    CHECK(hit > DRAWS); /* ids that were moved were drawn, so that their records were looked at */
    rig_close(&s.rig);
    rig_close(&moved.rig);
  }
}

/* A NaN among the logits: a token all the same, and NaN in the record, which the caller stops at. */
static void test_nan(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s;
    if (!scene_open(&s, isa_names[isa], 1, 3, 70, 0)) continue;
    s.logit[50] = (double)__builtin_nanf("");
    s.logit[11] = 9;
    weight_write(s.w, WEIGHT_MASTER, 0, 70, s.logit, HOST_F64);
    const struct sample_params p[] = {{1, 1, 0, 0, -1, 0.5, NULL, NULL, 0},
                                      {1, 0.9f, 0.1f, 4, -1, 0.5, NULL, NULL, 0},
                                      {0, 1, 0, 0, -1, 0, NULL, NULL, 0}};
    struct sample_result out[3];
    scene_draw(&s, 1, 3, p, out);
    for (int i = 0; i < 3; i++) {
      CHECK_INT(out[i].id, 11);
      CHECK(math_is_nan((double)out[i].logp) && math_is_nan((double)out[i].entropy));
    }
    CHECK(math_is_nan((double)out[1].logp_behaviour));
    rig_close(&s.rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sorted),      cmocka_unit_test(test_ties),
                                     cmocka_unit_test(test_zeros),       cmocka_unit_test(test_record),
                                     cmocka_unit_test(test_nan),         cmocka_unit_test(test_allowed),
                                     cmocka_unit_test(test_frequencies), cmocka_unit_test(test_bias)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
