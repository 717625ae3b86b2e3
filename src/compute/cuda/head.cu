/* cuda/head: the LM head fused with log-softmax: logits of a chunk of the vocabulary at a time. */
#include "compute/cuda/head.h"

enum { ROWS_EACH = TEAM / WARP };

struct score_args {
  const int32_t *pair_row, *pair_target;
  const real *logit; /* [H, width]: vocabulary at .. at+width-1 */
  real *stat, *logp, *entropy;
  size_t rows, pairs, at, width;
  real inv_temperature;
};

static void head_check(const struct weight *w, const struct head_rows *rows, int32_t chunk)
{
  ASSAY_BUG_IF(chunk < VOCAB_BLOCK || chunk % VOCAB_BLOCK);
  for (int32_t p = 0; p < rows->pair_count; p++) {
    ASSAY_BUG_IF(rows->pair_target[p] < 0 || (size_t)rows->pair_target[p] >= w->n);
    ASSAY_BUG_IF(rows->pair_row[p] < (p ? rows->pair_row[p - 1] : 0) || rows->pair_row[p] >= rows->count);
  }
}

void CUDA_NAME(head_logits)(struct device *d, const struct weight *w, int32_t count, struct view hidden,
                            struct view logits)
{
  head_logits_and(d, w, count, hidden, logits, NULL);
}

/* The first pair of head row `row` or of a later one. */
HERE size_t first_pair(const struct score_args *a, size_t row)
{
  size_t low = 0, high = a->pairs;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if ((size_t)a->pair_row[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* ---- score: logp = (z - m) - log(l), entropy = log(l) - u / l ---- */

/* A chunk's blocks into the rows' states; a target that stands in it leaves its z in logp. */
KERNEL_TEAM(score_chunk, struct score_args, TEAM)
{
  const size_t row = block_x() * ROWS_EACH + (size_t)(thread_here() / WARP), lane = (size_t)(thread_here() % WARP);
  if (row >= a.rows) return;
  const real *logit = a.logit + row * a.width;
  struct head_state s = {a.stat[3 * row], a.stat[3 * row + 1], a.stat[3 * row + 2]};
  head_blocks(&s, a.at, logit, a.width, a.inv_temperature);
  for (size_t p = first_pair(&a, row) + lane; p < a.pairs && (size_t)a.pair_row[p] == row; p += WARP) {
    const size_t target = (size_t)a.pair_target[p];
    if (target >= a.at && target < a.at + a.width) a.logp[p] = head_z(logit[target - a.at], a.inv_temperature);
  }
  if (lane) return;
  a.stat[3 * row] = s.m;
  a.stat[3 * row + 1] = s.l;
  a.stat[3 * row + 2] = s.u;
}

KERNEL(score_finish, struct score_args)
{
  const size_t i = index_here();
  if (i < a.pairs) {
    const real *stat = a.stat + 3 * (size_t)a.pair_row[i];
    const struct head_state s = {stat[0], stat[1], stat[2]};
    a.logp[i] = head_logp(&s, a.logp[i]);
  }
  if (i < a.rows) {
    const struct head_state s = {a.stat[3 * i], a.stat[3 * i + 1], a.stat[3 * i + 2]};
    a.entropy[i] = head_entropy(&s);
  }
}

void CUDA_NAME(head_score)(struct device *d, const struct weight *w, double inv_temperature,
                           const struct head_rows *rows, struct view hidden, int32_t chunk, struct view scratch,
                           struct view stat, struct view logp, struct view entropy)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct score_args a = {CUDA_UPLOAD(d, rows->pair_row, (size_t)rows->pair_count),
                         CUDA_UPLOAD(d, rows->pair_target, (size_t)rows->pair_count),
                         view_reals(scratch),
                         view_reals(stat),
                         rows->pair_count ? view_reals(logp) : NULL,
                         view_reals(entropy),
                         (size_t)rows->count,
                         (size_t)rows->pair_count,
                         0,
                         0,
                         (real)inv_temperature};
  if (a.pairs && (!a.pair_row || !a.pair_target)) return;
  for (; a.at < w->n; a.at += a.width) {
    a.width = size_min((size_t)chunk, w->n - a.at);
    struct weight slice = weight_slice(w, a.at, a.width);
    head_logits_and(d, &slice, rows->count, hidden, scratch, NULL);
    LAUNCH_TEAM(d, score_chunk, (a.rows + ROWS_EACH - 1) / ROWS_EACH, 1, TEAM, a);
  }
  LAUNCH(d, score_finish, blocks_for(a.rows > a.pairs ? a.rows : a.pairs), 1, TEAM, a);
}

/* ---- backward ----
   d logp_t / d z_v = [v = t] - p_v,   d entropy / d z_v = -p_v (log p_v + entropy),   d z_v / d logit_v = 1/T */

/* A row's targets, each once, with the sum of its coefficients: entries start[h] .. start[h+1]-1. */
struct target {
  int32_t id;
  real coef;
};

struct gradient_args {
  real *dz; /* [H, width]: logits in, dz out */
  const real *stat, *a, *b, *extra; /* a, b: [H]; extra: [H, V] or NULL */
  const struct target *targets;
  const int32_t *start; /* [H + 1] */
  size_t rows, vocab, at, width;
  real inv_temperature;
};

/* g = -(a p) [- b p (logp + entropy)] + coef at the targets + extra; dz = g (1/T) */
KERNEL(head_gradients, struct gradient_args)
{
  const size_t i = index_here(), row = i / a.width, v = a.at + i % a.width;
  if (row >= a.rows) return;
  const struct head_state s = {a.stat[3 * row], a.stat[3 * row + 1], a.stat[3 * row + 2]};
  const real below = head_z(a.dz[i], a.inv_temperature) - s.m, p = real_divide(real_exp(below), s.l), b = a.b[row];
  real g = -(a.a[row] * p);
  if (b != 0) g = real_fma(-(b * p), (below - real_log(s.l)) + head_entropy(&s), g);
  for (int32_t t = a.start[row]; t < a.start[row + 1]; t++)
    if ((size_t)a.targets[t].id == v) g = g + a.targets[t].coef;
  if (a.extra) g = g + a.extra[row * a.vocab + v];
  a.dz[i] = g * a.inv_temperature;
}

/* What the host sums, in f64: a row's coefficients, and those of each of its targets, in the order of its pairs. */
struct gradient_host {
  real *a, *b;
  int32_t *start;
  struct target *targets;
};

static void gradient_row(const struct head_rows *rows, const double *coef, int32_t row, int32_t first, int32_t end,
                         struct gradient_host *host, int32_t *used)
{
  double sum = 0;
  for (int32_t p = first; p < end; p++) sum += coef[p];
  host->a[row] = (real)sum;
  for (int32_t p = first; p < end; p++) {
    bool merged = false;
    for (int32_t before = first; before < p && !merged; before++)
      merged = rows->pair_target[before] == rows->pair_target[p];
    if (merged) continue;
    double own = 0;
    for (int32_t q = p; q < end; q++)
      if (rows->pair_target[q] == rows->pair_target[p]) own += coef[q];
    host->targets[*used].id = rows->pair_target[p];
    host->targets[(*used)++].coef = (real)own;
  }
}

/* Fills and uploads the four arrays; false where there is no room. */
static bool gradient_upload(struct device *d, const struct head_rows *rows, const double *coef,
                            const double *entropy_coef, struct gradient_args *a)
{
  const size_t h = (size_t)rows->count, pairs = (size_t)rows->pair_count;
  struct error err;
  memset(&err, 0, sizeof err);
  char *bytes = (char *)memory_alloc((2 * h + 1) * sizeof(real) + (h + 1) * sizeof(int32_t) + pairs * sizeof(struct target), 1,
                             "head backward", &err);
  if (!bytes) {
    device_fail(d, err.code, "%s", err.message);
    return false;
  }
  struct gradient_host host = {(real *)bytes, (real *)bytes + h, (int32_t *)((real *)bytes + 2 * h),
                               (struct target *)((int32_t *)((real *)bytes + 2 * h) + h + 1)};
  int32_t pair = 0, used = 0;
  for (int32_t row = 0; row < rows->count; row++) {
    const int32_t first = pair;
    while (pair < rows->pair_count && rows->pair_row[pair] == row) pair++;
    host.start[row] = used;
    host.b[row] = entropy_coef ? (real)entropy_coef[row] : 0;
    gradient_row(rows, coef, row, first, pair, &host, &used);
  }
  host.start[h] = used;
  a->a = CUDA_UPLOAD(d, host.a, h);
  a->b = CUDA_UPLOAD(d, host.b, h);
  a->start = CUDA_UPLOAD(d, host.start, h + 1);
  a->targets = CUDA_UPLOAD(d, host.targets, (size_t)used);
  memory_free(bytes);
  return a->a && a->b && a->start && (a->targets || !used);
}

void CUDA_NAME(head_backward)(struct device *d, struct weight *w, double inv_temperature, const struct head_rows *rows,
                              struct view hidden, int32_t chunk, struct view scratch, struct view stat,
                              const double *coef, const double *entropy_coef, const struct view *extra,
                              struct view dhidden)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct gradient_args a = {view_reals(scratch), view_reals(stat), NULL, NULL, extra ? view_reals(*extra) : NULL, NULL,
                            NULL, (size_t)rows->count, w->n, 0, 0, (real)inv_temperature};
  if (!gradient_upload(d, rows, coef, entropy_coef, &a)) return;
  for (; a.at < w->n; a.at += a.width) {
    a.width = size_min((size_t)chunk, w->n - a.at);
    struct weight slice = weight_slice(w, a.at, a.width);
    struct view slope = view_at(scratch, a.rows * a.width);
    head_logits_and(d, &slice, rows->count, hidden, scratch, &slope);
    LAUNCH(d, head_gradients, blocks_for(a.rows * a.width), 1, TEAM, a);
    head_logits_backward(d, &slice, rows->count, scratch, slope);
    d->ops.gemm_dx(d, &slice, rows->count, scratch, dhidden, a.at > 0);
    if (slice.part[WEIGHT_GRAD]) d->ops.gemm_dw(d, &slice, NULL, rows->count, scratch, hidden);
  }
}
