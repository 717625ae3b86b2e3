/* compute/cpu/simd/sample: one token per row; what ref/sample.c says, with the vocabulary in lanes.
 *
 * The keys of a row (s as an integer that orders as s does) are written once into the thread's scratch, so that
 * selecting a cut reads integers; the weights e = exp(s - max s) are computed where they are wanted. Floors per row and
 * token: 4 bytes and two exps without filters, one f64 addition in token order (the longest chain: some 3 cycles a
 * token); top_k and top_p add a histogram of all keys and then look at few.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_SAMPLE_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_SAMPLE_INC_H

#include <string.h>
#include "compute/cpu/simd/head.inc.h"

enum { CHUNK = 1024, CHUNKS_MAX = 256, BINS = 256 };

struct draw {
  const float *logit;
  uint32_t *key;
  size_t vocab;
  float inv, top;   /* 1/T of the draw, and the largest s */
  bool filtered;    /* cut and min_p hold */
  uint32_t cut_key; /* kept: keys above this one, and of this one the ids up to cut_last */
  size_t cut_last;
  float min_p;               /* 0: off */
  double before[CHUNKS_MAX]; /* sum of the kept weights of the ids below CHUNK * i */
};

/* The first id of the largest z; 0 where all are NaN. */
static size_t draw_best(const float *logit, size_t vocab, float inv)
{
  const struct f16 factor = f16_set(inv), none = f16_set(-__builtin_inff());
  struct f16 most = none;
  for (size_t v = 0; v < vocab; v += 16) {
    const struct m16 mask = m16_first(vocab - v);
    most = f16_max(f16_select(mask, f16_mul(f16_load_mask(logit + v, mask), factor), none), most);
  }
  const struct f16 top = f16_set(f16_largest(most));
  for (size_t v = 0; v < vocab; v += 16) {
    const struct m16 mask = m16_first(vocab - v);
    const unsigned found = m16_bits(m16_and(mask, f16_equal(f16_mul(f16_load_mask(logit + v, mask), factor), top)));
    if (found) return v + (size_t)__builtin_ctz(found);
  }
  return 0;
}

static bool in_cut(const struct draw *d, size_t v)
{
  return d->key[v] > d->cut_key || (d->key[v] == d->cut_key && v <= d->cut_last);
}

/* e of ids v .. v+n-1, n <= 16, whether kept or not. */
static void weights_load(const struct draw *d, size_t v, size_t n, float e[16])
{
  const struct f16 logit = f16_load_mask(d->logit + v, m16_first(n));
  f16_store(e, f16_exp(f16_sub(f16_mul(logit, f16_set(d->inv)), f16_set(d->top))));
}

/* floor(e 2^40): sums of up to 2^24 of them fit */
static uint64_t weight_mass(float e)
{
  return (uint64_t)((double)e * 0x1p40);
}

/* ---- filters ---- */

/* Keys that order as s does: -0 as +0, NaN below all. */
static void keys_store(struct draw *d)
{
  for (size_t v = 0; v < d->vocab; v += 16) {
    float s[16];
    const size_t n = size_min(16, d->vocab - v);
    f16_store(s, f16_add(f16_mul(f16_load_mask(d->logit + v, m16_first(n)), f16_set(d->inv)), f16_zero()));
    for (size_t i = 0; i < n; i++) {
      const uint32_t bits = math_bits_from_f32(s[i]);
      d->key[v + i] = s[i] != s[i] ? 0 : bits >> 31 ? ~bits : bits | 0x80000000u;
    }
  }
}

/* Of the kept keys that agree with `prefix` above shift + 8, the bin of the eight bits at `shift` in which the running
 * measure reaches need. */
static uint32_t cut_bin(const struct draw *d, bool by_mass, double need, uint32_t prefix, int shift, uint64_t *above)
{
  uint64_t measure[BINS] = {0};
  bool filled[BINS] = {false};
  const uint32_t mask = shift < 24 ? ~(uint32_t)0 << (shift + 8) : 0;
  for (size_t v = 0; v < d->vocab; v += 16) {
    const size_t n = size_min(16, d->vocab - v);
    float e[16];
    bool loaded = false;
    for (size_t i = 0; i < n; i++) {
      if ((d->key[v + i] & mask) != prefix || !in_cut(d, v + i)) continue;
      if (by_mass && !loaded) weights_load(d, v, n, e);
      loaded = true;
      const size_t bin = d->key[v + i] >> shift & (BINS - 1);
      filled[bin] = true;
      measure[bin] += by_mass ? weight_mass(e[i]) : 1;
    }
  }
  for (size_t bin = BINS; bin-- > 0;) {
    if (!filled[bin]) continue;
    if ((double)(*above + measure[bin]) >= need) return prefix | (uint32_t)bin << shift;
    *above += measure[bin];
  }
  ASSAY_BUG_IF(true); /* need is at most the measure of all that is kept */
}

/* The shortest prefix of the order, at least one id, whose measure reaches need, becomes the cut. */
static void cut_find(struct draw *d, bool by_mass, double need)
{
  uint64_t above = 0;
  uint32_t key = 0;
  size_t last = 0;
  for (int shift = 24; shift >= 0; shift -= 8) key = cut_bin(d, by_mass, need, key, shift, &above);
  /* Equal keys have equal weights. */
  for (size_t v = 0; v < d->vocab; v++) {
    if (d->key[v] != key || !in_cut(d, v)) continue;
    float e[16];
    if (by_mass) weights_load(d, v, 1, e);
    above += by_mass ? weight_mass(e[0]) : 1;
    last = v;
    if ((double)above >= need) break;
  }
  d->cut_key = key;
  d->cut_last = last;
}

static void draw_filter(struct draw *d, const struct sample_params *params)
{
  keys_store(d);
  d->filtered = true;
  if (params->top_k > 0 && (size_t)params->top_k < d->vocab) cut_find(d, false, (double)params->top_k);
  if (params->top_p < 1) {
    uint64_t mass = 0;
    for (size_t v = 0; v < d->vocab; v += 16) {
      const size_t n = size_min(16, d->vocab - v);
      float e[16];
      weights_load(d, v, n, e);
      for (size_t i = 0; i < n; i++)
        if (in_cut(d, v + i)) mass += weight_mass(e[i]);
    }
    cut_find(d, true, (double)params->top_p * (double)mass);
  }
  d->min_p = params->min_p > 0 ? params->min_p : 0;
}

/* ---- the draw ---- */

/* e of kept ids, 0 of others. */
static void kept_load(const struct draw *d, size_t v, size_t n, float e[16])
{
  weights_load(d, v, n, e);
  for (size_t i = 0; d->filtered && i < n; i++)
    if (!in_cut(d, v + i) || !(e[i] >= d->min_p)) e[i] = 0;
}

/* The kept weights in token order, and where each chunk begins. */
static double kept_total(struct draw *d)
{
  double total = 0;
  for (size_t v = 0; v < d->vocab; v += 16) {
    const size_t n = size_min(16, d->vocab - v);
    float e[16];
    if (v % CHUNK == 0) d->before[v / CHUNK] = total;
    kept_load(d, v, n, e);
    for (size_t i = 0; i < n; i++) total += (double)e[i];
  }
  return total;
}

/* Inverse CDF in token-id order, from the last chunk that begins below the mark; *kept is the weight of what is drawn.
 */
static size_t draw_id(const struct draw *d, double mark, float *kept)
{
  size_t chunk = (d->vocab - 1) / CHUNK, last = 0;
  while (chunk > 0 && d->before[chunk] >= mark) chunk--;
  double sum = d->before[chunk];
  *kept = 0;
  for (size_t v = chunk * CHUNK; v < d->vocab; v += 16) {
    const size_t n = size_min(16, d->vocab - v);
    float e[16];
    kept_load(d, v, n, e);
    for (size_t i = 0; i < n; i++) {
      if (e[i] > 0) {
        last = v + i;
        *kept = e[i];
      }
      sum += (double)e[i];
      if (!(sum > mark)) continue;
      *kept = e[i];
      return v + i;
    }
  }
  return last;
}

static bool filters_on(const struct sample_params *params, size_t vocab)
{
  return (params->top_k > 0 && (size_t)params->top_k < vocab) || params->top_p < 1 || params->min_p > 0;
}

/* Draws at the temperature of params; *behaviour is the log-probability of what was drawn, unless it is logp itself
 * (returned true). */
static bool draw_token(struct draw *d, const struct sample_params *params, bool same, size_t *id, float *behaviour)
{
  const size_t best = draw_best(d->logit, d->vocab, d->inv);
  d->top = head_z(d->logit[best], d->inv);
  double total = kept_total(d);
  if (!(total > 0) || !math_is_finite(total)) {
    *id = best;
    *behaviour = __builtin_nanf("");
    return false;
  }
  const bool filters = filters_on(params, d->vocab);
  if (filters) {
    draw_filter(d, params);
    total = kept_total(d);
  }
  float kept;
  *id = draw_id(d, params->uniform * total, &kept);
  *behaviour = (float)math_log((double)kept / total);
  return same && !filters && !params->allowed && !params->bias_count;
}

/* What may not be drawn has weight 0 from here on. */
static void draw_restrict(float *logit, size_t vocab, const uint32_t *allowed)
{
  for (size_t v = 0; v < vocab; v++)
    if (!(allowed[v >> 5] >> (v & 31) & 1)) logit[v] = -__builtin_inff();
}

/* Moves what is biased, for the draw; the record wants the logit as it was. */
static void draw_bias(float *logit, const struct sample_params *params)
{
  for (int32_t i = 0; i < params->bias_count; i++) {
    struct sample_bias *b = params->bias + i;
    b->was = (double)logit[b->id];
    logit[b->id] += b->add;
  }
}

static float unbiased(const float *logit, const struct sample_params *params, size_t id)
{
  for (int32_t i = 0; i < params->bias_count; i++)
    if ((size_t)params->bias[i].id == id) return (float)params->bias[i].was;
  return logit[id];
}

struct sample_job {
  struct device *device;
  float *logit;
  size_t vocab;
  double record_temperature;
  const struct sample_params *params;
  struct sample_result *out;
};

static void sample_row(const struct sample_job *job, size_t row, uint32_t *key)
{
  const struct sample_params *params = job->params + row;
  struct sample_result *out = job->out + row;
  float *logit = job->logit + row * job->vocab;
  const float record = (float)(1.0 / job->record_temperature);
  struct head_state s = {0};
  blocks_step(&s, 0, logit, job->vocab, record);
  size_t id = 0;
  bool same_behaviour = false;
  out->logp_behaviour = 0;
  if (params->forced < 0) draw_bias(logit, params);
  if (params->allowed && params->forced < 0) draw_restrict(logit, job->vocab, params->allowed);
  if (params->forced >= 0)
    id = (size_t)params->forced;
  else if (params->temperature == 0)
    id = draw_best(logit, job->vocab, record);
  else {
    const bool same = params->temperature == (float)job->record_temperature;
    struct draw d = {.logit = logit, .key = key, .vocab = job->vocab, .cut_last = job->vocab - 1};
    d.inv = same ? record : (float)(1.0 / (double)params->temperature);
    same_behaviour = draw_token(&d, params, same, &id, &out->logp_behaviour);
  }
  out->id = (int32_t)id;
  out->logp = head_logp(&s, head_z(unbiased(logit, params, id), record));
  out->entropy = head_entropy(&s);
  if (same_behaviour) out->logp_behaviour = out->logp;
}

static void sample_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct sample_job *job = arg;
  uint32_t *key = thread_scratch(job->device, thread);
  for (size_t row = begin; row < end; row++) sample_row(job, row, key);
}

static void head_sample_run(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                            struct view hidden, struct view scratch, const struct sample_params *params,
                            struct sample_result *out)
{
  if (count <= 0) return;
  if (w->n > CHUNK * CHUNKS_MAX || w->n * sizeof(uint32_t) > d->scratch_each) { /* a vocabulary beyond the keys' room */
    head_sample_ref(d, w, record_temperature, count, hidden, scratch, params, out);
    return;
  }
  ASSAY_BUG_IF(!(record_temperature > 0));
  for (int32_t i = 0; i < count; i++) {
    ASSAY_BUG_IF(!(params[i].temperature >= 0) || !(params[i].uniform >= 0 && params[i].uniform < 1));
    ASSAY_BUG_IF(params[i].forced >= 0 && (size_t)params[i].forced >= w->n);
  }
  d->ops.head_logits(d, w, count, hidden, scratch);
  struct sample_job job = {d, view_reals(scratch), w->n, record_temperature, params, out};
  pool_run(d->pool, (size_t)count, sample_part, &job);
}

#endif
