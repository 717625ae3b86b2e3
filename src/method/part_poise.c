#include "method/part_poise.h"

#include <string.h>

#include "core/math.h"
#include "method/part_span.h"

/* ---- features ---------------------------------------------------------------------------------------------------- */

static void pool(const struct vector_rows *v, int32_t count, int32_t most, double *out, double *work)
{
  int32_t n = count < most ? count : most;
  for (int32_t k = 0; k < v->width; k++) out[k] = 0;
  for (int32_t i = count - n; i < count; i++) {
    vector_row(v, i, work);
    for (int32_t k = 0; k < v->width; k++) out[k] += work[k];
  }
  for (int32_t k = 0; n && k < v->width; k++) out[k] /= n;
}

/* Over the tokens from .. to - 1 of the list; what is no number counts as 0. */
static double mean_entropy(const double *entropy, int32_t from, int32_t to)
{
  double sum = 0;
  for (int32_t i = from; i < to; i++) sum += entropy[i];
  return to > from && math_is_finite(sum) ? sum / (to - from) : 0;
}

/* Tokens of the list in front of a position. */
static int32_t before(const struct poise_response *r, int32_t position)
{
  int32_t n = 0;
  while (n < r->count && r->at[n] < position) n++;
  return n;
}

void poise_reasoning(const struct rollout *r, const char *open, const char *close, struct poise_response *out)
{
  out->close_first = out->close_last = -1;
  out->think_start = 0;
  if (!r->text || !*close) return;
  size_t at = r->text_size, size = r->text_size, n = strlen(open);
  for (size_t k = 0; (k = span_find(r->text, size, k, close)) < size; k++) at = k;
  if (at == size) return;
  struct span mark = span_tokens(r, at, at + strlen(close), SPAN_TOUCHING);
  size_t begin = n ? span_find(r->text, at, 0, open) : at;
  out->close_first = mark.begin;
  out->close_last = mark.end - 1;
  if (begin < at) out->think_start = span_tokens(r, begin, begin + n, SPAN_TOUCHING).end;
}

void poise_features(const struct poise_response *r, const struct poise_pools *o, double *z, double *work)
{
  int32_t d = r->state.width, n = r->count;
  bool marked = r->close_last >= 0;
  int32_t inside = marked ? before(r, o->marker ? r->close_last + 1 : r->close_first) : n;
  int32_t start = before(r, r->think_start), stop = marked ? before(r, r->close_first) : n;
  double *entropy = z + 2 * d;
  pool(&r->prompt, r->prompt_count, o->prompt, z, work);
  pool(&r->state, inside, o->response, z + d, work);
  entropy[0] = mean_entropy(r->entropy, 0, n);
  entropy[1] = marked ? mean_entropy(r->entropy, start, stop) : o->whole ? entropy[0] : 0;
  entropy[2] = marked ? mean_entropy(r->entropy, before(r, r->close_last + 1), n) : 0;
}

static int32_t group_end(const int32_t *group, int32_t n, int32_t from)
{
  int32_t to = from;
  while (to < n && group[to] == group[from]) to++;
  return to;
}

void poise_others(const double *x, const int32_t *group, int32_t n, double *out)
{
  for (int32_t from = 0, to; from < n; from = to) {
    to = group_end(group, n, from);
    for (int32_t i = from; i < to; i++) {
      double sum = 0;
      for (int32_t j = from; j < to; j++) sum += j == i ? 0 : x[j];
      out[i] = to - from > 1 ? sum / (to - from - 1) : 0;
    }
  }
}

void poise_targets(const double *reward, const int32_t *group, int32_t n, bool with_own, double *out)
{
  if (!with_own) {
    poise_others(reward, group, n, out);
    return;
  }
  for (int32_t from = 0, to; from < n; from = to) {
    double sum = 0;
    to = group_end(group, n, from);
    for (int32_t i = from; i < to; i++) sum += reward[i];
    for (int32_t i = from; i < to; i++) out[i] = sum / (to - from);
  }
}

double poise_variance(const double *x, int32_t n)
{
  double sum = 0, squares = 0;
  for (int32_t i = 0; i < n; i++) sum += x[i];
  for (int32_t i = 0; i < n; i++) squares += (x[i] - sum / n) * (x[i] - sum / n);
  return n ? squares / n : 0;
}

/* ---- the buffers ------------------------------------------------------------------------------------------------- */

int poise_domain(struct poise *p, const struct poise_options *o, const char *name, int64_t most, int32_t *out,
                 struct error *err)
{
  for (*out = 0; *out < p->domain_count; ++*out)
    if (!strcmp(p->domains[*out].name, name)) return 0;
  if (p->domain_count == POISE_DOMAINS)
    FAIL(err, ERROR_INPUT, "found a domain more, \"%s\", than %d; expected fewer: each has a probe of its own", name,
         POISE_DOMAINS);
  struct poise_domain *d = &p->domains[p->domain_count];
  *d = (struct poise_domain){.name = arena_strdup(p->arena, name, "probe rows", err), .most = most};
  if (!d->name) return err->code;
  TRY(probe_open(p->arena, p->dim, p->inputs, &o->probe, &d->probe, err));
  p->domain_count++;
  return 0;
}

/* Room for `more` rows beside those that are there. */
static int grow(struct poise *p, struct poise_domain *d, int32_t more, struct error *err)
{
  if (d->count + more <= d->room) return 0;
  int32_t room = 2 * d->room > d->count + more ? 2 * d->room : d->count + more;
  double *z = ARENA_NEW(p->arena, double, (size_t)room *(size_t)p->inputs, "probe rows", err);
  double *target = ARENA_NEW(p->arena, double, (size_t)room, "probe rows", err);
  struct poise_key *key = ARENA_NEW(p->arena, struct poise_key, (size_t)room, "probe rows", err);
  if (!z || !target || !key) return err->code;
  if (d->count) {
    memcpy(z, d->z, (size_t)d->count * (size_t)p->inputs * sizeof *z);
    memcpy(target, d->target, (size_t)d->count * sizeof *target);
    memcpy(key, d->key, (size_t)d->count * sizeof *key);
  }
  d->z = z;
  d->target = target;
  d->key = key;
  d->room = room;
  return 0;
}

static void drop_first(struct poise *p, struct poise_domain *d, int32_t n)
{
  if (!n) return;
  d->count -= n;
  memmove(d->z, d->z + (int64_t)n * p->inputs, (size_t)d->count * (size_t)p->inputs * sizeof *d->z);
  memmove(d->target, d->target + n, (size_t)d->count * sizeof *d->target);
  memmove(d->key, d->key + n, (size_t)d->count * sizeof *d->key);
}

static void trim(struct poise *p, const struct poise_options *o, struct poise_domain *d)
{
  int32_t n = 0;
  if (o->window == POISE_STEPS)
    while (n < d->count && d->key[n].step <= p->step - o->steps) n++;
  while (o->window == POISE_ROWS && d->count - n > d->most) {
    struct poise_key first = d->key[n];
    while (n < d->count && d->key[n].step == first.step && d->key[n].group == first.group) n++;
  }
  drop_first(p, d, n);
}

static int32_t append(struct poise *p, struct poise_domain *d, const struct poise_batch *b, int32_t domain)
{
  int32_t fresh = 0;
  for (int32_t i = 0; i < b->n; i++) {
    if (b->domain[i] != domain) continue;
    memcpy(d->z + (int64_t)d->count * p->inputs, b->z + (int64_t)i * p->inputs, (size_t)p->inputs * sizeof *b->z);
    d->target[d->count] = b->target[i];
    d->key[d->count++] = (struct poise_key){p->step, b->tag ? b->tag[i] : 0, b->group[i]};
    fresh++;
  }
  return fresh;
}

static int refit(struct poise *p, const struct poise_options *o, struct poise_domain *d, bool fresh,
                 struct arena *scratch, struct error *err)
{
  bool now = fresh;
  if (p->step < o->bootstrap) return 0;
  if (p->step == o->bootstrap) {
    d->observed = p->step;
    now = true;
  } else {
    d->observed += fresh;
    now = fresh && (d->observed >= o->warmup || !d->ready);
  }
  if (!now || !d->count) return 0;
  struct arena_mark mark = arena_mark(scratch);
  TRY(probe_fit(&d->probe, &o->probe, d->z, d->target, d->count, scratch, err));
  arena_release(scratch, mark);
  d->ready = true;
  d->fits++;
  return 0;
}

static int predict(struct poise *p, const struct poise_options *o, struct poise_batch *b, struct arena *scratch,
                   struct error *err)
{
  double *rewards = ARENA_NEW(scratch, double, (size_t)b->n + 1, "probe", err);
  double *work = ARENA_NEW(scratch, double, (size_t)p->inputs + 1, "probe", err);
  if (!rewards || !work) return err->code;
  for (int64_t i = 0; i < (int64_t)b->n * p->inputs; i++)
    if (!math_is_finite(b->z[i]))
      FAIL(err, ERROR_INPUT, "a pooled state holds %g; expected finite states of the policy; look at its weights",
           b->z[i]);
  for (int32_t i = 0; i < b->n; i++) {
    const struct poise_domain *d = &p->domains[b->domain[i]];
    b->ready[i] = d->ready;
    b->g[i] = d->ready ? probe_at(&d->probe, &o->probe, b->z + (int64_t)i * p->inputs, NULL, work) : 0;
  }
  poise_others(b->reward, b->group, b->n, rewards);
  poise_others(b->g, b->group, b->n, b->baseline);
  for (int32_t i = 0; i < b->n; i++) b->baseline[i] = b->ready[i] ? b->baseline[i] : rewards[i];
  poise_targets(b->reward, b->group, b->n, o->with_own, b->target);
  return 0;
}

int poise_step(struct poise *p, const struct poise_options *o, struct poise_batch *b, struct arena *scratch,
               struct error *err)
{
  p->step++;
  TRY(predict(p, o, b, scratch, err));
  for (int32_t k = 0; k < p->domain_count; k++) {
    struct poise_domain *d = &p->domains[k];
    TRY(grow(p, d, b->n, err));
    bool fresh = append(p, d, b, k) > 0;
    trim(p, o, d);
    TRY(refit(p, o, d, fresh, scratch, err));
  }
  return 0;
}

double poise_work(const struct poise_options *o, int64_t most, double fresh, double dim)
{
  double rows = o->window == POISE_STEPS ? (double)o->steps * fresh : (double)most, inputs = 2 * dim + 3;
  return probe_work(&o->probe, rows, dim, inputs) + 4 * fresh * inputs;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

/* One walk writes or reads: what is saved cannot differ from what is loaded. */
struct walk {
  struct text *out;       /* written */
  const char *from, *end; /* or read */
  bool bad;
};

static void pass(struct walk *w, void *x, size_t n)
{
  if (w->out) {
    text_add(w->out, x, n);
  } else if (w->bad || (size_t)(w->end - w->from) < n) {
    w->bad = true;
  } else if (n) {
    memcpy(x, w->from, n);
    w->from += n;
  }
}

static void pass_probe(struct walk *w, struct probe *p, const struct probe_options *o)
{
  pass(w, &p->features, sizeof p->features);
  pass(w, p->rank, sizeof p->rank);
  pass(w, &p->intercept, sizeof p->intercept);
  for (int i = 0; i < 2; i++)
    if (p->rank[i] < 0 || p->rank[i] > p->dim || (o && p->rank[i] > o->components[i])) w->bad = true;
  if (w->bad || p->features < 0 || p->features > p->inputs) {
    w->bad = true;
    return;
  }
  for (int i = 0; i < 2; i++) {
    pass(w, p->centre[i], (size_t)p->dim * sizeof(double));
    pass(w, p->components[i], (size_t)p->rank[i] * (size_t)p->dim * sizeof(double));
    pass(w, p->variance[i], (size_t)p->rank[i] * sizeof(double));
  }
  pass(w, p->mean, (size_t)p->features * sizeof(double));
  pass(w, p->std, (size_t)p->features * sizeof(double));
  pass(w, p->w, (size_t)p->features * sizeof(double));
}

static void pass_rows(struct walk *w, const struct poise *p, struct poise_domain *d, int32_t count)
{
  pass(w, d->z, (size_t)count * (size_t)p->inputs * sizeof *d->z);
  pass(w, d->target, (size_t)count * sizeof *d->target);
  for (int32_t i = 0; i < count; i++) {
    pass(w, &d->key[i].step, sizeof d->key[i].step);
    pass(w, &d->key[i].tag, sizeof d->key[i].tag);
    pass(w, &d->key[i].group, sizeof d->key[i].group);
  }
}

static void pass_counters(struct walk *w, struct poise_domain *d)
{
  uint8_t ready = d->ready;
  pass(w, &d->most, sizeof d->most);
  pass(w, &d->observed, sizeof d->observed);
  pass(w, &d->fits, sizeof d->fits);
  pass(w, &ready, 1);
  d->ready = ready;
}

void poise_save(const struct poise *p, struct text *out)
{
  struct poise copy = *p;
  struct walk w = {.out = out};
  pass(&w, &copy.dim, sizeof copy.dim);
  pass(&w, &copy.inputs, sizeof copy.inputs);
  pass(&w, &copy.step, sizeof copy.step);
  pass(&w, &copy.domain_count, sizeof copy.domain_count);
  for (int32_t k = 0; k < p->domain_count; k++) {
    struct poise_domain *d = &copy.domains[k];
    int32_t size = (int32_t)strlen(d->name);
    pass(&w, &size, sizeof size);
    text_add(out, d->name, (size_t)size);
    pass(&w, &d->count, sizeof d->count);
    pass_counters(&w, d);
    pass_rows(&w, p, d, d->count);
    pass_probe(&w, &d->probe, NULL);
  }
}

static int load_domain(struct poise *p, const struct poise_options *o, struct walk *w, struct error *err)
{
  int32_t size = 0, count = 0, at;
  pass(w, &size, sizeof size);
  if (w->bad || size < 0 || size > w->end - w->from) {
    w->bad = true;
    return 0;
  }
  char *name = arena_strndup(p->arena, w->from, (size_t)size, "probe rows", err);
  if (!name) return err->code;
  w->from += size;
  TRY(poise_domain(p, o, name, 0, &at, err));
  struct poise_domain *d = &p->domains[at];
  pass(w, &count, sizeof count);
  pass_counters(w, d);
  if (w->bad || count < 0 || count > (w->end - w->from) / (int64_t)sizeof(double)) {
    w->bad = true;
    return 0;
  }
  TRY(grow(p, d, count, err));
  pass_rows(w, p, d, count);
  d->count = count;
  pass_probe(w, &d->probe, &o->probe);
  return 0;
}

int poise_load(struct poise *p, const struct poise_options *o, const void *bytes, size_t size, struct error *err)
{
  struct walk w = {.from = bytes, .end = (const char *)bytes + size};
  int32_t domains = 0;
  pass(&w, &p->dim, sizeof p->dim);
  pass(&w, &p->inputs, sizeof p->inputs);
  pass(&w, &p->step, sizeof p->step);
  pass(&w, &domains, sizeof domains);
  if (!w.bad && (p->dim < 0 || p->inputs < 0 || p->inputs > 1 << 20 || p->dim > p->inputs / 2 || domains < 0 ||
                 domains > POISE_DOMAINS))
    w.bad = true;
  for (int32_t k = 0; !w.bad && k < domains; k++) TRY(load_domain(p, o, &w, err));
  if (!w.bad && w.from == w.end) return 0;
  FAIL(err, ERROR_INPUT,
       "the probes saved in the checkpoint have another shape (%zu bytes); expected those of these options; keep "
       "pca_prompt and pca_response as they were",
       size);
}
