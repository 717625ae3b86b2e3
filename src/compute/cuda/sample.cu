/* cuda/sample: one token per row, and the most likely ones. A team has a row. What must be one chain is split where the
 * split is exact: blocks of the softmax (their maxima are known before their sums), and sums in f64 within a binade,
 * where they are sums of integers (chain_total); what is left one thread adds, in order. What is a sum of integers all
 * add.
 * How a draw works is said in cpu/ref/sample.c: filters as a `cut` in the order "s descending, then id ascending",
 * found by radix selection, then the inverse CDF in token-id order.
 */
#include "compute/cuda/draws.h"
#include "compute/cuda/head.h"

enum { BINS = 256, CHUNKS = 4 /* chunks of TEAM logits at a time */, BOUNDS = 2048 /* of them: up to half a million logits */ };

/* Integers only: no order of additions can move the sum. */
#ifdef __CUDACC__
HERE void count_add(unsigned long long *to, unsigned long long x)
{
  atomicAdd(to, x);
}
#else
HERE void count_add(unsigned long long *to, unsigned long long x)
{
  *to += x;
}
#endif

struct draw {
  const real *logit;
  size_t vocab;
  real inv, top; /* 1/T of the draw, and the largest s */
  uint32_t cut;  /* the last key kept, and the last id kept among those of this very key */
  size_t last;
  real min_p; /* 0: off */
};

/* What a team shares. */
struct draw_shared {
  real block_m[TEAM], block_l[TEAM], block_u[TEAM], block_f[TEAM], m_before; /* row_state */
  real weight[CHUNKS][TEAM];                                                 /* chain_total, from here on */
  unsigned long long unit[CHUNKS][TEAM], part[CHUNKS][WARP][2];
  uint32_t key[TEAM]; /* of the largest so far, by thread; with its id */
  size_t id[TEAM];
  double bound[BOUNDS + CHUNKS]; /* the chain's value before each chunk */
  double total;
  unsigned long long measure[BINS], filled[BINS], above, same;
  uint32_t prefix;
  size_t found;
  struct head_state state;
};

/* A key that orders as s does: -0 as +0, NaN below all. */
HERE uint32_t key_of(real s)
{
  if (s != s) return 0;
  const uint32_t bits = bits_of(s + 0);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

HERE uint32_t draw_key(const struct draw *d, size_t v)
{
  return key_of(head_z(d->logit[v], d->inv));
}

HERE bool in_cut(const struct draw *d, size_t v, uint32_t key)
{
  return key > d->cut || (key == d->cut && v <= d->last);
}

/* e = exp(s - max s), in [0, 1] */
HERE real draw_weight(const struct draw *d, size_t v)
{
  return real_exp(head_z(d->logit[v], d->inv) - d->top);
}

/* floor(e 2^40): sums of up to 2^24 of them fit */
HERE unsigned long long draw_mass(const struct draw *d, size_t v)
{
  return (unsigned long long)((double)draw_weight(d, v) * 0x1p40);
}

/* The first id of the largest z. */
HERE size_t draw_best(struct draw_shared *shared, const real *logit, size_t vocab, real inv)
{
  const int thread = thread_here();
  uint32_t key = 0;
  size_t best = vocab;
  for (size_t v = (size_t)thread; v < vocab; v += TEAM) {
    const uint32_t own = key_of(head_z(logit[v], inv));
    if (best < vocab && own <= key) continue;
    key = own;
    best = v;
  }
  shared->key[thread] = key;
  shared->id[thread] = best;
  team_wait();
  for (int step = TEAM / 2; step; step /= 2) {
    if (thread < step) {
      const uint32_t other = shared->key[thread + step];
      const size_t id = shared->id[thread + step];
      const bool wins =
          id < vocab && (other > shared->key[thread] || (other == shared->key[thread] && id < shared->id[thread]));
      if (wins) {
        shared->key[thread] = other;
        shared->id[thread] = id;
      }
    }
    team_wait();
  }
  best = shared->id[0];
  team_wait();
  return best;
}

/* ---- chains in f64 ---- */

/* e of a kept id, 0 of another. */
HERE real kept_weight(const struct draw *d, size_t v)
{
  const real e = draw_weight(d, v);
  return in_cut(d, v, draw_key(d, v)) && e >= d->min_p ? e : 0;
}

/* While a sum stays below the next power of two, adding to it rounds each term to a whole number of its last place, so
   the chain is a sum of integers; only of a term that lies halfway between two the sum's last bit decides which. A run
   of terms is therefore a pair of integers, what it adds to an even sum and to an odd one, and pairs may be joined as a
   tree. `scale` makes numbers of such units: 2^(52 - k) for a sum of 2^k and more. 0: no such sum. */
HERE double unit_scale(double sum)
{
  uint64_t bits;
  double scale;
  if (!(sum > 0 && sum < 1e300)) return 0;
  memcpy(&bits, &sum, sizeof bits);
  bits = (1023 + 52 + 1023 - (bits >> 52)) << 52;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

#define UNITS_MOST (1ull << 53) /* more than a sum in its binade has: whoever meets it adds one by one */

/* A term in units, twice the whole ones, and 1 where half a unit is left to decide. */
HERE unsigned long long unit_of(real term, double scale)
{
  const double x = (double)term * scale;
  if (!(x < 0x1p52)) return 2 * UNITS_MOST;
  const unsigned long long below = (unsigned long long)x;
  const double rest = x - (double)below;
  return 2 * (below + (rest > 0.5)) + !(rest > 0.5 || rest < 0.5);
}

/* units: of the sum so far, or of what was added to one of this parity. */
HERE unsigned long long unit_add(unsigned long long units, unsigned long long unit)
{
  units += unit / 2;
  return units + (unit % 2 & units % 2);
}

/* The sum behind chunk c: by its units, or one by one. */
HERE double chunk_add(const struct draw_shared *shared, int c, double sum, double scale)
{
  const double have = sum * scale;
  unsigned long long units = have > 0 && have < 0x1p53 ? (unsigned long long)have : UNITS_MOST;
  for (int i = 0; i < WARP && units < UNITS_MOST; i++) units += shared->part[c][i][units % 2];
  if (units < UNITS_MOST) return (double)units / scale;
  for (int i = 0; i < TEAM; i++) sum += (double)shared->weight[c][i];
  return sum;
}

/* Neighbouring terms of a chunk as a pair. */
HERE void chunk_part(struct draw_shared *shared, int c, int part)
{
  unsigned long long even = 0, odd = 1;
  for (int i = part * (TEAM / WARP); i < (part + 1) * (TEAM / WARP); i++) {
    even = unit_add(even, shared->unit[c][i]);
    odd = unit_add(odd, shared->unit[c][i]);
  }
  shared->part[c][part][0] = even;
  shared->part[c][part][1] = odd - 1;
}

/* The chain over the weights of all ids, or of those that are kept, ascending; leaves its value before each chunk of
   TEAM in shared->bound. */
HERE double chain_total(struct draw_shared *shared, const struct draw *d, bool all)
{
  const int thread = thread_here();
  if (!thread) shared->total = 0;
  team_wait();
  for (size_t begin = 0; begin < d->vocab; begin += (size_t)CHUNKS * TEAM) {
    const double scale = unit_scale(shared->total);
    for (int c = 0; c < CHUNKS; c++) {
      const size_t v = begin + (size_t)(c * TEAM + thread);
      const real e = v >= d->vocab ? 0 : all ? draw_weight(d, v) : kept_weight(d, v);
      shared->weight[c][thread] = e;
      shared->unit[c][thread] = unit_of(e, scale);
    }
    team_wait();
    if (thread < CHUNKS * WARP) chunk_part(shared, thread / WARP, thread % WARP);
    team_wait();
    if (!thread)
      for (int c = 0; c < CHUNKS; c++) {
        shared->bound[begin / TEAM + (size_t)c] = shared->total;
        shared->total = chunk_add(shared, c, shared->total, scale);
      }
    team_wait();
  }
  const double sum = shared->total;
  team_wait();
  return sum;
}

/* The first id whose running sum exceeds `limit`, or the last with a weight: chain_total has left the sums before each
   chunk, so one chunk is added again. */
HERE size_t chain_find(struct draw_shared *shared, const struct draw *d, double limit)
{
  const size_t chunks = (d->vocab + TEAM - 1) / TEAM;
  if (!thread_here()) {
    size_t chunk = chunks - 1; /* the last whose start does not exceed the limit: the id stands in it */
    while (chunk > 0 && shared->bound[chunk] > limit) chunk--;
    double sum = shared->bound[chunk];
    shared->found = d->vocab;
    for (size_t v = chunk * TEAM; v < d->vocab && v < (chunk + 1) * TEAM && shared->found == d->vocab; v++) {
      sum += (double)kept_weight(d, v);
      if (sum > limit) shared->found = v;
    }
    for (size_t v = d->vocab; v > 0 && shared->found == d->vocab; v--)
      if (kept_weight(d, v - 1) > 0) shared->found = v - 1;
    if (shared->found == d->vocab) shared->found = 0;
  }
  team_wait();
  const size_t found = shared->found;
  team_wait();
  return found;
}

/* ---- filters ---- */

/* One bin deeper: of the kept keys that agree with shared->prefix above `shift`, the bin in which the running measure
   reaches `need`. shared->same becomes how many keys stand in it. */
HERE void cut_bin(struct draw_shared *shared, const struct draw *d, bool by_mass, double need, int shift)
{
  const uint32_t prefix = shared->prefix, mask = shift + 8 < 32 ? 0xffffffffu << (shift + 8) : 0;
  for (int i = thread_here(); i < BINS; i += TEAM) shared->measure[i] = shared->filled[i] = 0;
  team_wait();
  for (size_t v = (size_t)thread_here(); v < d->vocab; v += TEAM) {
    const uint32_t key = draw_key(d, v);
    if ((key & mask) != prefix || !in_cut(d, v, key)) continue;
    count_add(&shared->filled[key >> shift & (BINS - 1)], 1);
    count_add(&shared->measure[key >> shift & (BINS - 1)], by_mass ? draw_mass(d, v) : 1);
  }
  team_wait();
  if (!thread_here()) {
    bool found = false;
    for (int bin = BINS - 1; bin >= 0 && !found; bin--) {
      if (!shared->filled[bin]) continue;
      found = (double)(shared->above + shared->measure[bin]) >= need;
      if (found) {
        shared->prefix = prefix | (uint32_t)bin << shift;
        shared->same = shared->filled[bin];
      } else {
        shared->above += shared->measure[bin];
      }
    }
  }
  team_wait();
}

/* How many of the ids of the cut's key are kept: the fewest, at least one, that bring the measure to need. All of them
   have one weight, so one mass. */
HERE unsigned long long cut_count(const struct draw_shared *shared, double need, unsigned long long each)
{
  unsigned long long low = 1, high = shared->same;
  while (low < high) {
    const unsigned long long middle = low + (high - low) / 2;
    if ((double)(shared->above + middle * each) >= need)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* The first id from `v` on, below `end`, that has the cut's key; `end` where there is none. */
HERE size_t cut_next(const struct draw_shared *shared, const struct draw *d, size_t v, size_t end)
{
  while (v < end && (draw_key(d, v) != shared->prefix || !in_cut(d, v, shared->prefix))) v++;
  return v;
}

/* The last id kept of those with the cut's key: shared->filled[t] of them stand in the t-th part of the vocabulary. */
HERE void cut_last(struct draw_shared *shared, const struct draw *d, bool by_mass, double need, size_t part)
{
  size_t at = 0;
  while (at < TEAM - 1 && !shared->filled[at]) at++;
  size_t v = cut_next(shared, d, at * part, d->vocab);
  unsigned long long left = cut_count(shared, need, by_mass ? draw_mass(d, v) : 1);
  for (; left > shared->filled[at]; at++) left -= shared->filled[at];
  v = cut_next(shared, d, at * part, d->vocab);
  while (--left) v = cut_next(shared, d, v + 1, d->vocab);
  shared->found = v;
}

/* The shortest prefix of the order, at least one id, whose measure reaches need. */
HERE void cut_find(struct draw_shared *shared, struct draw *d, bool by_mass, double need)
{
  const size_t part = (d->vocab + TEAM - 1) / TEAM, first = (size_t)thread_here() * part;
  const size_t end = size_min(first + part, d->vocab);
  if (!thread_here()) {
    shared->above = 0;
    shared->prefix = 0;
  }
  team_wait();
  for (int shift = 24; shift >= 0; shift -= 8) cut_bin(shared, d, by_mass, need, shift);
  unsigned long long same = 0;
  for (size_t v = cut_next(shared, d, first, end); v < end; v = cut_next(shared, d, v + 1, end)) same++;
  shared->filled[thread_here()] = same;
  team_wait();
  if (!thread_here()) cut_last(shared, d, by_mass, need, part);
  team_wait();
  d->cut = shared->prefix;
  d->last = shared->found;
  team_wait();
}

/* The mass of all that is kept. */
HERE double cut_mass(struct draw_shared *shared, const struct draw *d)
{
  if (!thread_here()) shared->above = 0;
  team_wait();
  for (size_t v = (size_t)thread_here(); v < d->vocab; v += TEAM)
    if (in_cut(d, v, draw_key(d, v))) count_add(&shared->above, draw_mass(d, v));
  team_wait();
  const double mass = (double)shared->above;
  team_wait();
  return mass;
}

HERE bool top_k_on(const struct sample_params *p, size_t vocab)
{
  return p->top_k > 0 && (size_t)p->top_k < vocab;
}

HERE void draw_filter(struct draw_shared *shared, struct draw *d, const struct sample_params *p)
{
  if (top_k_on(p, d->vocab)) cut_find(shared, d, false, (double)p->top_k);
  if (p->top_p < 1) cut_find(shared, d, true, (double)p->top_p * cut_mass(shared, d));
  d->min_p = p->min_p > 0 ? (real)p->min_p : 0;
}

/* ---- the draw ---- */

struct sample_args {
  real *logit;
  const struct sample_params *params;
  struct drawn *out;
  int32_t *ids; /* the tokens once more, for the next pass */
  size_t vocab;
  real record; /* 1 / record temperature, and the temperature itself */
  float record_temperature;
};

HERE void draw_token(struct draw_shared *shared, struct draw *d, const struct sample_params *p, bool same,
                     struct drawn *out)
{
  double total = chain_total(shared, d, true);
  if (!(total > 0 && total < 1e300)) {
    out->id = (int32_t)draw_best(shared, d->logit, d->vocab, d->inv);
    out->behaviour = BEHAVIOUR_NAN;
    return;
  }
  const bool filters = top_k_on(p, d->vocab) || p->top_p < 1 || p->min_p > 0;
  if (filters) {
    draw_filter(shared, d, p);
    total = chain_total(shared, d, false);
  }
  const size_t id = chain_find(shared, d, p->uniform * total);
  out->id = (int32_t)id;
  out->weight = (double)kept_weight(d, id);
  out->total = total;
  out->behaviour = same && !filters && !p->allowed && !p->bias_count ? BEHAVIOUR_LOGP : BEHAVIOUR_RATIO;
}

/* What may not be drawn has weight 0 from here on. */
HERE void draw_restrict(real *logit, size_t vocab, const uint32_t *allowed)
{
  for (size_t v = (size_t)thread_here(); v < vocab; v += TEAM)
    if (!(allowed[v >> 5] >> (v & 31) & 1)) logit[v] = -REAL_INFINITY;
  team_wait();
}

/* Moves what is biased, for the draw; the record wants the logit as it was. */
HERE void draw_bias(real *logit, const struct sample_params *p)
{
  for (int32_t i = thread_here(); i < p->bias_count; i += TEAM) {
    struct sample_bias *b = p->bias + i;
    b->was = (double)logit[b->id];
    logit[b->id] += (real)b->add;
  }
  team_wait();
}

HERE real unbiased(const real *logit, const struct sample_params *p, int32_t id)
{
  for (int32_t i = 0; i < p->bias_count; i++)
    if (p->bias[i].id == id) return (real)p->bias[i].was;
  return logit[id];
}

/* Where the draw is made: s_v = logit / T, cut open. */
HERE struct draw draw_begin(struct draw_shared *shared, const struct sample_args *a, const real *logit, real inv)
{
  struct draw d = {logit, a->vocab, inv, 0, 0, a->vocab - 1, 0};
  d.top = head_z(logit[draw_best(shared, logit, a->vocab, inv)], inv);
  return d;
}

/* The softmax state of a row: TEAM blocks at a time, their maxima first, so that all know what theirs are measured from;
   then their sums; then the chain over them, by one thread. */
HERE void row_state(struct draw_shared *shared, const real *logit, size_t vocab, real inv)
{
  const size_t blocks = (vocab + VOCAB_BLOCK - 1) / VOCAB_BLOCK, warp = (size_t)(thread_here() / WARP);
  const bool first_lane = thread_here() % WARP == 0;
  struct head_state s = {-REAL_INFINITY, 0, 0};
  for (size_t begin = 0; begin < blocks; begin += TEAM) {
    const size_t count = size_min(TEAM, blocks - begin);
    for (size_t b = warp; b < count; b += TEAM / WARP) {
      const size_t at = (begin + b) * VOCAB_BLOCK;
      const real m = head_block_max(logit + at, size_min(VOCAB_BLOCK, vocab - at), inv, -REAL_INFINITY);
      if (first_lane) shared->block_m[b] = m;
    }
    team_wait();
    if (!thread_here()) {
      real m = shared->m_before = s.m;
      for (size_t b = 0; b < count; b++) shared->block_m[b] = m = shared->block_m[b] > m ? shared->block_m[b] : m;
    }
    team_wait();
    for (size_t b = warp; b < count; b += TEAM / WARP) {
      const size_t at = (begin + b) * VOCAB_BLOCK;
      const real m = shared->block_m[b], before = b ? shared->block_m[b - 1] : shared->m_before;
      real l, u;
      head_block_sums(logit + at, size_min(VOCAB_BLOCK, vocab - at), inv, m, &l, &u);
      if (!first_lane) continue;
      shared->block_l[b] = l;
      shared->block_u[b] = u;
      shared->block_f[b] = head_factor(begin + b == 0, before, m);
    }
    team_wait();
    for (size_t b = 0; b < count && !thread_here(); b++)
      head_join(&s, begin + b == 0, shared->block_m[b], shared->block_f[b], shared->block_l[b], shared->block_u[b]);
    team_wait();
  }
  if (!thread_here()) shared->state = s;
  team_wait();
}

KERNEL_TEAM(sample_rows, struct sample_args, TEAM)
{
  SHARED struct draw_shared shared;
  const size_t row = block_x();
  const struct sample_params *p = a.params + row;
  real *logit = a.logit + row * a.vocab;
  row_state(&shared, logit, a.vocab, a.record);
  if (p->forced < 0) draw_bias(logit, p);
  if (p->allowed && p->forced < 0) draw_restrict(logit, a.vocab, p->allowed);
  struct drawn out = {0, BEHAVIOUR_CERTAIN, 0, 0, 0, 0};
  if (p->forced >= 0) {
    out.id = p->forced;
  } else if (p->temperature == 0) {
    out.id = (int32_t)draw_best(&shared, logit, a.vocab, a.record);
  } else {
    const bool same = p->temperature == a.record_temperature;
    struct draw d = draw_begin(&shared, &a, logit, same ? a.record : (real)(1.0 / (double)p->temperature));
    draw_token(&shared, &d, p, same, &out);
  }
  if (thread_here()) return;
  out.logp = head_logp(&shared.state, head_z(unbiased(logit, p, out.id), a.record));
  out.entropy = head_entropy(&shared.state);
  a.out[row] = out;
  a.ids[row] = out.id;
}

static void sample_finish(const struct drawn *drawn, struct sample_result *out)
{
  out->id = drawn->id;
  out->logp = drawn->logp;
  out->entropy = drawn->entropy;
  out->logp_behaviour = 0;
  if (drawn->behaviour == BEHAVIOUR_LOGP) out->logp_behaviour = drawn->logp;
  if (drawn->behaviour == BEHAVIOUR_RATIO) out->logp_behaviour = (float)math_log(drawn->weight / drawn->total);
  if (drawn->behaviour == BEHAVIOUR_NAN) out->logp_behaviour = __builtin_nanf("");
}

/* The parameters on the device, with their masks and biases; NULL where there is no room. */
static const struct sample_params *params_upload(struct device *d, size_t vocab, size_t count,
                                                 const struct sample_params *params)
{
  bool plain = true;
  for (size_t i = 0; i < count; i++) plain = plain && !params[i].bias_count && !params[i].allowed;
  if (plain) return CUDA_UPLOAD(d, params, count);
  struct error err;
  memset(&err, 0, sizeof err);
  struct sample_params *own = (struct sample_params *)memory_alloc(count, sizeof *own, "sampling", &err);
  if (!own) {
    device_fail(d, err.code, "%s", err.message);
    return NULL;
  }
  memcpy(own, params, count * sizeof *own);
  size_t slots = upload_slot(count * sizeof *own);
  for (size_t i = 0; i < count; i++) {
    if (own[i].bias_count) slots += upload_slot((size_t)own[i].bias_count * sizeof *own[i].bias);
    if (own[i].allowed) slots += upload_slot((vocab + 31) / 32 * sizeof *own[i].allowed);
  }
  CUDA_NAME(cuda_reserve)(d, slots);
  for (size_t i = 0; i < count; i++) {
    if (own[i].bias_count) own[i].bias = CUDA_UPLOAD(d, own[i].bias, (size_t)own[i].bias_count);
    if (own[i].allowed) own[i].allowed = CUDA_UPLOAD(d, own[i].allowed, (vocab + 31) / 32);
  }
  const struct sample_params *there = CUDA_UPLOAD(d, own, count);
  memory_free(own);
  return there;
}

void CUDA_NAME(sample_start)(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                             struct view hidden, struct view scratch, const struct sample_params *params)
{
  const int place = draws_begin(d, count);
  ASSAY_BUG_IF(!(record_temperature > 0) || w->n > (size_t)BOUNDS * TEAM);
  for (int32_t i = 0; i < count; i++) {
    ASSAY_BUG_IF(!(params[i].temperature >= 0) || !(params[i].uniform >= 0 && params[i].uniform < 1));
    ASSAY_BUG_IF(params[i].forced >= 0 && (size_t)params[i].forced >= w->n);
  }
  d->ops.head_logits(d, w, count, hidden, scratch);
  struct sample_args a = {view_reals(scratch),
                          params_upload(d, w->n, (size_t)count, params),
                          cuda_of(d)->drawn,
                          cuda_of(d)->drawn_ids,
                          w->n,
                          (real)(1.0 / record_temperature),
                          (float)record_temperature};
  if (a.params) LAUNCH_TEAM(d, sample_rows, count, 1, TEAM, a);
  CUDA_NAME(draws_send)(d, place);
}

void CUDA_NAME(sample_take)(struct device *d, struct sample_result *out)
{
  const int place = draws_end(d);
  const struct drawn *drawn = CUDA_NAME(draws_receive)(d, place);
  for (int32_t i = 0; out && i < d->draws.rows[place]; i++) {
    if (drawn)
      sample_finish(drawn + i, out + i);
    else
      memset(out + i, 0, sizeof *out);
  }
}

void CUDA_NAME(head_sample)(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                            struct view hidden, struct view scratch, const struct sample_params *params,
                            struct sample_result *out)
{
  if (count <= 0) return;
  ASSAY_BUG_IF(device_draws(d));
  CUDA_NAME(sample_start)(d, w, record_temperature, count, hidden, scratch, params);
  CUDA_NAME(sample_take)(d, out);
}

/* ---- top: the k most likely tokens ---- */

struct top_args {
  const real *logit;
  int32_t *ids;
  real *logp;
  size_t vocab, k;
  real inv_temperature;
};

/* NaN stands last. */
HERE real top_z(const struct top_args *a, const real *logit, size_t v)
{
  const real z = head_z(logit[v], a->inv_temperature);
  return z == z ? z : -REAL_INFINITY;
}

/* Of two ids (vocab: none) the one that stands before in the order "z descending, then id ascending". */
HERE size_t top_before(const struct top_args *a, const real *logit, size_t one, size_t other)
{
  if (one >= a->vocab || other >= a->vocab) return one < other ? one : other;
  const real x = top_z(a, logit, one), y = top_z(a, logit, other);
  return x > y || (x == y && one < other) ? one : other;
}

/* k times the first id behind the last one found. */
KERNEL_TEAM(top_rows, struct top_args, TEAM)
{
  SHARED size_t best[TEAM];
  SHARED struct head_state state;
  const int thread = thread_here();
  const size_t row = block_x();
  const real *logit = a.logit + row * a.vocab;
  if (thread < WARP) {
    struct head_state s = {0, 0, 0};
    head_blocks(&s, 0, logit, a.vocab, a.inv_temperature);
    if (!thread) state = s;
  }
  size_t last = a.vocab;
  for (size_t i = 0; i < a.k; i++) {
    best[thread] = a.vocab;
    for (size_t v = (size_t)thread; v < a.vocab; v += TEAM)
      if (last == a.vocab || (v != last && top_before(&a, logit, last, v) == last))
        best[thread] = top_before(&a, logit, best[thread], v);
    team_wait();
    for (int step = TEAM / 2; step; step /= 2) {
      if (thread < step) best[thread] = top_before(&a, logit, best[thread], best[thread + step]);
      team_wait();
    }
    last = best[0];
    if (!thread) {
      a.ids[row * a.k + i] = (int32_t)last;
      a.logp[row * a.k + i] = head_logp(&state, head_z(logit[last], a.inv_temperature));
    }
    team_wait();
  }
}

void CUDA_NAME(head_top)(struct device *d, const struct weight *w, double inv_temperature, int32_t count,
                         struct view hidden, struct view scratch, int32_t k, int32_t *ids, float *logp)
{
  if (count <= 0 || k <= 0) return;
  ASSAY_BUG_IF((size_t)k > w->n);
  const size_t n = (size_t)count * (size_t)k;
  d->ops.head_logits(d, w, count, hidden, scratch);
  struct top_args a = {view_reals(scratch),
                       (int32_t *)CUDA_NAME(cuda_room)(d, n * sizeof(int32_t)),
                       (real *)CUDA_NAME(cuda_room)(d, n * sizeof(real)),
                       w->n,
                       (size_t)k,
                       (real)inv_temperature};
  if (!a.ids || !a.logp) return;
  LAUNCH_TEAM(d, top_rows, count, 1, TEAM, a);
  cuda_fetch(d, ids, a.ids, n * sizeof *ids);
  cuda_fetch(d, logp, a.logp, n * sizeof *logp);
}
