/* ref/sample: one token per row: filters without a sort, inverse CDF in token-id order.
 *
 * The order of a row is s descending, then id ascending. top_k and top_p keep a prefix of it, so what they keep is one
 * `cut`: the last key and, among equal keys, the last id. A cut is found by radix selection: eight bits of the key a
 * pass, counting tokens (top_k) or summing mass (top_p) per bin. Mass is an integer, so no order of summation can move
 * the cut.
 */
#include "compute/cpu/ref/head_steps.h"

#include <string.h>

#ifdef ASSAY_REAL64
typedef uint64_t key_bits;
#else
typedef uint32_t key_bits;
#endif
enum { KEY_WIDTH = 8 * sizeof(key_bits), BINS = 256 };

struct cut {
  key_bits key;
  size_t last; /* the last id kept among those of this very key */
};

struct draw {
  const real *logit;
  size_t vocab;
  real inv, top; /* 1/T of the draw, and the largest s */
  struct cut cut;
  real min_p; /* 0: off */
};

/* A key that orders as s does: -0 as +0, NaN below all. */
static key_bits key_of(real s)
{
  key_bits bits, sign = (key_bits)1 << (KEY_WIDTH - 1);
  if (s != s) return 0;
  s += 0;
  memcpy(&bits, &s, sizeof bits);
  return bits & sign ? ~bits : bits | sign;
}

static bool in_cut(const struct draw *d, size_t v, key_bits key)
{
  return key > d->cut.key || (key == d->cut.key && v <= d->cut.last);
}

/* e = exp(s - max s), in [0, 1] */
static real draw_weight(const struct draw *d, size_t v)
{
  return real_exp(head_z(d->logit[v], d->inv) - d->top);
}

/* floor(e 2^40): sums of up to 2^24 of them fit */
static uint64_t draw_mass(const struct draw *d, size_t v)
{
  return (uint64_t)((double)draw_weight(d, v) * 0x1p40);
}

/* The first id of the largest z. */
static size_t draw_best(const real *logit, size_t vocab, real inv)
{
  size_t best = 0;
  for (size_t v = 1; v < vocab; v++)
    if (key_of(head_z(logit[v], inv)) > key_of(head_z(logit[best], inv))) best = v;
  return best;
}

/* ---- filters ---- */

/* One bin deeper: of the kept keys that agree with `prefix` above `shift`, the bin in which the running measure reaches
 * `need`. */
static key_bits cut_bin(const struct draw *d, bool by_mass, double need, key_bits prefix, int shift, uint64_t *above)
{
  uint64_t measure[BINS] = {0};
  bool filled[BINS] = {false};
  key_bits mask = shift + 8 < (int)KEY_WIDTH ? ~(key_bits)0 << (shift + 8) : 0;
  for (size_t v = 0; v < d->vocab; v++) {
    key_bits key = key_of(head_z(d->logit[v], d->inv));
    if ((key & mask) != prefix || !in_cut(d, v, key)) continue;
    size_t bin = (size_t)(key >> shift & (BINS - 1));
    filled[bin] = true;
    measure[bin] += by_mass ? draw_mass(d, v) : 1;
  }
  for (size_t bin = BINS; bin-- > 0;) {
    if (!filled[bin]) continue;
    if ((double)(*above + measure[bin]) >= need) return prefix | (key_bits)bin << shift;
    *above += measure[bin];
  }
  ASSAY_BUG_IF(true); /* need is at most the measure of all that is kept */
}

/* The shortest prefix of the order, at least one id, whose measure reaches need. */
static struct cut cut_find(const struct draw *d, bool by_mass, double need)
{
  uint64_t above = 0;
  struct cut cut = {0, 0};
  for (int shift = (int)KEY_WIDTH - 8; shift >= 0; shift -= 8)
    cut.key = cut_bin(d, by_mass, need, cut.key, shift, &above);
  for (size_t v = 0; v < d->vocab; v++) {
    key_bits key = key_of(head_z(d->logit[v], d->inv));
    if (key != cut.key || !in_cut(d, v, key)) continue;
    above += by_mass ? draw_mass(d, v) : 1;
    cut.last = v;
    if ((double)above >= need) break;
  }
  return cut;
}

static void draw_filter(struct draw *d, const struct sample_params *params)
{
  if (params->top_k > 0 && (size_t)params->top_k < d->vocab) d->cut = cut_find(d, false, (double)params->top_k);
  if (params->top_p < 1) {
    uint64_t mass = 0;
    for (size_t v = 0; v < d->vocab; v++)
      if (in_cut(d, v, key_of(head_z(d->logit[v], d->inv)))) mass += draw_mass(d, v);
    d->cut = cut_find(d, true, (double)params->top_p * (double)mass);
  }
  d->min_p = params->min_p > 0 ? (real)params->min_p : 0;
}

/* ---- the draw ---- */

static bool filters_on(const struct draw *d, const struct sample_params *params)
{
  return (params->top_k > 0 && (size_t)params->top_k < d->vocab) || params->top_p < 1 || params->min_p > 0;
}

/* e of a kept id, 0 of another. */
static double kept_weight(const struct draw *d, size_t v)
{
  real e = draw_weight(d, v);
  return in_cut(d, v, key_of(head_z(d->logit[v], d->inv))) && e >= d->min_p ? (double)e : 0;
}

static double kept_total(const struct draw *d)
{
  double total = 0;
  for (size_t v = 0; v < d->vocab; v++) total += (double)kept_weight(d, v);
  return total;
}

/* Inverse CDF in token-id order. */
static size_t draw_id(const struct draw *d, double total, double uniform)
{
  double sum = 0;
  size_t last = 0;
  for (size_t v = 0; v < d->vocab; v++) {
    double e = kept_weight(d, v);
    if (e > 0) last = v;
    sum += e;
    if (sum > uniform * total) return v;
  }
  return last;
}

static double sum_all(const struct draw *d)
{
  double sum = 0;
  for (size_t v = 0; v < d->vocab; v++) sum += (double)draw_weight(d, v);
  return sum;
}

/* Draws at the temperature of params; *behaviour is the log-probability of what was drawn, unless it is logp itself
 * (returned true). */
static bool draw_token(struct draw *d, const struct sample_params *params, bool same, size_t *id, float *behaviour)
{
  double total = sum_all(d);
  if (!(total > 0) || !math_is_finite(total)) {
    *id = draw_best(d->logit, d->vocab, d->inv);
    *behaviour = __builtin_nanf("");
    return false;
  }
  bool filters = filters_on(d, params);
  if (filters) {
    draw_filter(d, params);
    total = kept_total(d);
  }
  *id = draw_id(d, total, params->uniform);
  *behaviour = (float)math_log(kept_weight(d, *id) / total);
  return same && !filters && !params->allowed && !params->bias_count;
}

/* What may not be drawn has weight 0 from here on. */
static void draw_restrict(real *logit, size_t vocab, const uint32_t *allowed)
{
  for (size_t v = 0; v < vocab; v++)
    if (!(allowed[v >> 5] >> (v & 31) & 1)) logit[v] = -(real)__builtin_inf();
}

/* Moves what is biased, for the draw; the record wants the logit as it was. */
static void draw_bias(real *logit, const struct sample_params *params)
{
  for (int32_t i = 0; i < params->bias_count; i++) {
    struct sample_bias *b = params->bias + i;
    b->was = (double)logit[b->id];
    logit[b->id] += (real)b->add;
  }
}

static real unbiased(const real *logit, const struct sample_params *params, size_t id)
{
  for (int32_t i = 0; i < params->bias_count; i++)
    if ((size_t)params->bias[i].id == id) return (real)params->bias[i].was;
  return logit[id];
}

struct sample_job {
  real *logit;
  size_t vocab;
  double record_temperature;
  const struct sample_params *params;
  struct sample_result *out;
};

static void sample_row(const struct sample_job *job, size_t row)
{
  const struct sample_params *params = job->params + row;
  struct sample_result *out = job->out + row;
  real *logit = job->logit + row * job->vocab;
  real record = (real)(1.0 / job->record_temperature);
  struct head_state s = {0};
  head_blocks(&s, 0, logit, job->vocab, record);
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
    bool same = params->temperature == (float)job->record_temperature;
    struct draw d = {logit, job->vocab,          same ? record : (real)(1.0 / (double)params->temperature),
                     0,     {0, job->vocab - 1}, 0};
    d.top = head_z(logit[draw_best(logit, job->vocab, d.inv)], d.inv);
    same_behaviour = draw_token(&d, params, same, &id, &out->logp_behaviour);
  }
  out->id = (int32_t)id;
  out->logp = (float)head_logp(&s, head_z(unbiased(logit, params, id), record));
  out->entropy = (float)head_entropy(&s);
  if (same_behaviour) out->logp_behaviour = out->logp;
}

static void sample_part(void *arg, int thread, size_t begin, size_t end)
{
  (void)thread;
  for (size_t row = begin; row < end; row++) sample_row(arg, row);
}

void REAL_NAME(head_sample)(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                            struct view hidden, struct view scratch, const struct sample_params *params,
                            struct sample_result *out)
{
  if (count <= 0) return;
  ASSAY_BUG_IF(!(record_temperature > 0));
  for (int32_t i = 0; i < count; i++) {
    ASSAY_BUG_IF(!(params[i].temperature >= 0) || !(params[i].uniform >= 0 && params[i].uniform < 1));
    ASSAY_BUG_IF(params[i].forced >= 0 && (size_t)params[i].forced >= w->n);
  }
  d->ops.head_logits(d, w, count, hidden, scratch);
  struct sample_job job = {view_reals(scratch), w->n, record_temperature, params, out};
  pool_run(d->pool, (size_t)count, sample_part, &job);
}
