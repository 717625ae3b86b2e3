#include "train/cost.h"

#include <time.h>

#include "core/log.h"
#include "core/pool.h"
#include "model/adapter.h"

enum { MANY_ROWS = 512, MOST_WEIGHTS = 12 << 20, MOST_COUNT = 64, TIMES = 3, WAKES = 200 };

/* ---- the pace ---------------------------------------------------------------------------------------------------- */

/* Stand-ins for the layers' largest matrices: as many as the model has, or as a cache does not hold. */
struct bench {
  struct device *device;
  struct weight *weight[MOST_COUNT];
  int count, rows;
  double weights; /* in all of them */
  struct buffer *x, *y, *dx;
  void (*run)(struct bench *);
};

static void run_forward(struct bench *b)
{
  for (int i = 0; i < b->count; i++)
    device_ops(b->device)->gemm(b->device, b->weight[i], NULL, b->rows, (struct view){b->x, 0}, (struct view){b->y, 0});
}

static void run_dx(struct bench *b)
{
  for (int i = 0; i < b->count; i++)
    device_ops(b->device)->gemm_dx(b->device, b->weight[i], b->rows, (struct view){b->y, 0}, (struct view){b->dx, 0},
                                   false);
}

static void run_dw(struct bench *b)
{
  for (int i = 0; i < b->count; i++)
    device_ops(b->device)->gemm_dw(b->device, b->weight[i], NULL, b->rows, (struct view){b->y, 0},
                                   (struct view){b->x, 0});
}

static void run_adamw(struct bench *b)
{
  const struct adamw_params p = {
      .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .correction1 = 0.1, .correction2 = 1e-3, .grad_scale = 1};
  for (int i = 0; i < b->count; i++) device_ops(b->device)->adamw(b->device, b->weight[i], &p);
}

static void nothing(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
}

static void run_wakes(struct bench *b)
{
  for (int i = 0; i < WAKES; i++) pool_run(device_pool(b->device), (size_t)device_threads(b->device), nothing, NULL);
}

/* With one thread processor time, which other programs hardly disturb, as `assay bench` does. */
static double now(const struct device *d)
{
  struct timespec t;
  if (device_threads(d) > 1) return clock_seconds();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of the fastest of some runs. */
static int measure(struct bench *b, void (*run)(struct bench *), int rows, double *out, struct error *err)
{
  *out = 1e9;
  b->rows = rows;
  for (int i = 0; i < TIMES; i++) {
    double start = now(b->device);
    run(b);
    TRY(device_sync(b->device, err));
    double seconds = now(b->device) - start;
    if (seconds < *out) *out = seconds;
  }
  return 0;
}

static int measure_all(struct bench *b, int slots, struct cost_pace *out, struct error *err)
{
  double seconds, streamed = b->weights;
  TRY(measure(b, run_adamw, 0, &seconds, err)); /* the first to touch the weights */
  out->adamw = seconds / streamed;
  TRY(measure(b, run_forward, 1, &seconds, err));
  out->one_row = seconds / streamed;
  TRY(measure(b, run_forward, slots, &seconds, err));
  out->slot_rows = seconds / streamed;
  if (b->count > 2) b->count = 2;
  double few = (double)b->count * (double)weight_rows(b->weight[0]) * (double)weight_cols(b->weight[0]) * MANY_ROWS;
  TRY(measure(b, run_forward, MANY_ROWS, &seconds, err));
  out->forward = seconds / few;
  TRY(measure(b, run_dx, MANY_ROWS, &seconds, err));
  out->dx = seconds / few;
  TRY(measure(b, run_dw, MANY_ROWS, &seconds, err));
  out->dw = seconds / few;
  TRY(measure(b, run_wakes, 0, &seconds, err));
  out->wake = seconds / WAKES;
  // AdamW reads four numbers a weight and writes three
  out->byte = out->adamw / (7 * sizeof(float));
  return 0;
}

static int open_bench(struct bench *b, const struct model_config *c, int slots, struct error *err)
{
  size_t n = (size_t)c->ffn, k = (size_t)c->hidden;
  while (n * k > MOST_WEIGHTS) n = (n / 2 + 31) / 32 * 32;
  int most = 3 * c->layers < MOST_COUNT ? 3 * c->layers : MOST_COUNT;
  size_t rows = (size_t)(slots > MANY_ROWS ? slots : MANY_ROWS);
  while (b->count < most && (!b->count || ((double)b->count + 1) * (double)(n * k) <= MOST_WEIGHTS)) {
    TRY(weight_create(b->device, WEIGHT_MATRIX, n, k, "cost", &b->weight[b->count], err));
    b->count++;
    TRY(weight_make_trainable(b->weight[b->count - 1], err));
  }
  b->weights = (double)b->count * (double)(n * k);
  TRY(buffer_create(b->device, rows * k, "cost", &b->x, err));
  TRY(buffer_create(b->device, rows * n, "cost", &b->y, err));
  return buffer_create(b->device, rows * k, "cost", &b->dx, err);
}

int cost_measure(struct device *d, const struct model_config *c, const struct plan *p, struct cost_pace *out,
                 struct error *err)
{
  struct bench b = {.device = d};
  int slots = p->slots > 1 ? p->slots : 1;
  int rc = open_bench(&b, c, slots, err);
  if (!rc) rc = measure_all(&b, slots, out, err);
  for (int i = 0; i < MOST_COUNT; i++) weight_destroy(b.weight[i]);  // measuring leaves some out of its count
  buffer_destroy(b.x);
  buffer_destroy(b.y);
  buffer_destroy(b.dx);
  return rc;
}

/* ---- the model of a step ----------------------------------------------------------------------------------------- */

/* Estimates from the tables of kernels (docs/performance.md, "The planner's time"). */
static const double ATTENTION = 1.6;          /* an attended pair's multiply-adds, over those of a matrix product */
static const double ATTENTION_BACKWARD = 2.2; /* over the forward */
static const double ROW_BYTES = 1.0;          /* between the products, over moving each number once in and out */
static const double DRAW = 1.5e-9;            /* seconds a logit and thread: exponential, sums, the draw */
enum { LAYER_OPERATIONS = 15, ADAPTER_OPERATIONS = 14, PASS_OPERATIONS = 6 };

struct sizes {
  double body, head; /* weights of all layers, of the LM head */
  double parameters; /* all that train */
  double narrow;     /* of an adapter: these stand beside the body in every product, forward and backward */
  bool frozen;       /* body and head: no gradients of theirs */
  double attended;   /* numbers of Q K and P V for one row and key, all layers */
  double kv;         /* bytes of a position's keys and values, all layers */
  double row;        /* numbers that pass between the products of all layers, a row */
};

static void sizes_of(const struct model_config *c, enum compute_type type, struct sizes *out)
{
  double hidden = c->hidden, q = (double)c->heads * c->head_dim, kv = (double)c->kv_heads * c->head_dim;
  out->body = c->layers * (2 * hidden * q + 2 * hidden * kv + 3 * hidden * c->ffn);
  out->head = hidden * c->vocab;
  out->parameters = out->body + out->head * (c->tied ? 1 : 2);
  out->frozen = c->adapter.rank > 0;
  out->narrow = (double)adapter_parameters(c);
  if (out->frozen) out->parameters = out->narrow;
  out->attended = 2 * c->layers * q;
  out->kv = 2 * c->layers * kv * (type == COMPUTE_BF16 ? 2 : 4);
  out->row = c->layers * (6 * hidden + 3 * q + 2 * kv + 4.0 * c->ffn);
}

/* One pass of decoding with so many rows, each with `keys` positions behind it, of which `own` are not shared. */
static double decode_pass(const struct cost_pace *p, const struct model_config *c, const struct plan *plan,
                          const struct sizes *s, double rows, double keys, double own)
{
  double most = plan->slots > 1 ? plan->slots : 1;
  double weight = p->one_row + (most > 1 ? (p->slot_rows - p->one_row) * (rows - 1) / (most - 1) : 0);
  double arithmetic = rows * keys * s->attended * ATTENTION * p->forward;
  double bytes = rows * own * s->kv * p->byte + rows * 2 * s->row * sizeof(float) * p->byte * ROW_BYTES;
  double draws = rows * c->vocab * DRAW / plan->threads;
  int operations = c->layers * (LAYER_OPERATIONS + (s->frozen ? ADAPTER_OPERATIONS : 0)) + PASS_OPERATIONS;
  return (s->body + s->narrow + s->head) * weight + arithmetic + bytes + draws + operations * p->wake;
}

static double generate(const struct cost_pace *p, const struct model_config *c, const struct plan *plan,
                       const struct sizes *s, const struct cost_work *w)
{
  if (w->rollouts < 1) return 0;
  double all = w->rollouts + w->probes;
  double slots = plan->slots, full = (double)(int64_t)(all / slots), rest = all - full * slots;
  double keys = w->prompt + w->fresh / 2, own = w->fresh / 2, prompts = w->groups * w->prompt;
  double seconds = prompts * (s->body + s->narrow + w->prompt / 2 * s->attended * ATTENTION) * p->forward;
  seconds += (w->fresh - 1) * full * decode_pass(p, c, plan, s, slots, keys, own);
  if (rest > 0) seconds += (w->fresh - 1) * decode_pass(p, c, plan, s, rest, keys, own);
  return seconds;
}

void cost_step(const struct cost_pace *p, const struct model_config *c, const struct plan *plan,
               const struct cost_work *w, struct cost *out)
{
  struct sizes s;
  sizes_of(c, plan->type, &s);
  double answers = w->rollouts * w->fresh, prompts = w->groups * w->prompt, rows = prompts + answers;
  double targets = answers > 0 ? answers : rows;
  double pairs = prompts * w->prompt / 2 + answers * (w->prompt + w->fresh / 2);
  double attention = pairs * s.attended * ATTENTION * p->forward;
  double between = rows * 2 * s.row * sizeof(float) * p->byte * ROW_BYTES;
  double forward = rows * (s.body + s.narrow) * p->forward + attention + between;
  double body_dw = s.frozen ? 0 : p->dw, narrow = s.narrow * (p->forward + p->dx + p->dw + p->dw);
  double head = targets * s.head * p->forward;
  out->generate = generate(p, c, plan, &s, w);
  out->score = w->passes * (forward + head);
  // the logits are computed again for the backward, so that they never exist as a whole
  out->train = (w->epochs + w->again) *
               (forward * (plan->recompute ? 2 : 1) + rows * (s.body * (p->dx + body_dw) + narrow) +
                ATTENTION_BACKWARD * attention + 2 * between + 2 * head + targets * s.head * (p->dx + body_dw));
  // the norm of the gradients reads them once more
  out->update = w->moves * s.parameters * (p->adamw + sizeof(float) * p->byte);
  out->total = out->generate + out->score + out->train + out->update;
}
