/* compute/backend: every operation of a decoder's forward and backward, declared once; cpu/ and cuda/ implement the
 * table.
 *
 * Nothing above this header knows where numbers live or what they look like: a `view` is a place in an opaque buffer of
 * reals (f32; f64 in the reference that gradient tests use), a `weight` is an opaque object (master, gradient, moments;
 * a GPU or bf16 keeps a compute copy as well) in a layout of the backend's choice, KV is an opaque pool of blocks. Host
 * data goes in and out through explicit copies.
 *
 * Shapes: M rows, C width (hidden size), K inner length of a product, N outputs, V vocabulary, H heads, G query heads
 * per KV head, D head dimension, F feed-forward width. A matrix [M, C] is row-major in a view. A matrix weight [N, K]
 * maps K inputs to N outputs (as in safetensors).
 *
 * THE CONTRACT (law 1). Each output element is computed by the operations and in the order written here, whatever M,
 * the run structure, the threads and the instruction set: gemm results do not depend on which other rows are present.
 *
 *   chain   acc = start; for each term in order, acc = fma(a, b, acc) (or acc + term where there is no product).
 *   real    f32 throughout for compute type f32. fma is fused; every other operation is rounded by itself. FTZ and DAZ
 *           are on. exp and log of f32 are core/math's.
 *   sum16   of terms t_0 .. t_{n-1}: 16 lanes; lane i is the chain over t_i, t_{i+16}, ... started from +0 (a lane
 *           without a term at the tail is left untouched); then lanes are added as a tree: l[i] += l[i+8] for i < 8,
 *           then 4, 2, 1. Used by norms, softmax blocks and attention's Delta.
 *   max     where all terms are numbers their maximum, and +0 where that is a zero of either sign (implementations add
 *           +0 at the end). A NaN among the terms may give NaN or not: then l is NaN, and with it every result of the
 *           row except the m of its stat, which is not part of the contract.
 *
 * COMPUTE TYPE BF16. Both operands of every product are rounded to bf16 at its entry; what the products give, norms,
 * softmax, sums, biases and gradients stay f32, and every word above holds but for these:
 *
 *   bf16(x)  to the nearest, ties to even; an f32 denormal counts as a zero of its sign; NaN stays NaN. Idempotent, so
 * a rounded copy may be stored: weights keep one beside the master, KV holds nothing else. blocks   instead of a chain
 * of fma: the terms in blocks of 32 from index 0, the last one filled up with terms +0 * +0 (computed, for they turn -0
 * into +0). In a block two chains of 16 fma from +0, one over the even terms, one over the odd ones; acc = acc + (even
 * + odd). This is what one AMX tile instruction (TDPBF16PS) does.
 *
 *   gemm, logits of head_*    blocks over k.
 *   gemm_dx                   blocks over n (a chunk of head_backward is a multiple of 32).
 *   gemm_dw                   blocks over the rows of the call, from its first row on. Where rows are split into calls
 *                             moves bits unless it is at a multiple of 32: one call a unit of training, the same units
 *                             whatever the memory (or several units in one call, each from a multiple of 32 rows on,
 *                             with rows of +0 in both operands between them). head_backward alike, over its head rows.
 *                             grad(b) stays a chain.
 *   embed                     y = bf16(W[token]), so that a weight without a master gives the same numbers.
 *   kv_write, kv_read         k and v are stored as bf16, and read back so.
 *   attention                 s_j: blocks over d. o[d] = (o[d] f) + the one block of 32 keys, of bf16(e_j) and v_j[d],
 * a key that is not visible being +0 * +0. m and l see the e_j as they are. attention_backward        s_j and dP_ij:
 * blocks over d. dq_i[d]: from +0, for each key block ascending that has a visible key the one block of bf16(dS_ij) and
 * k_j[d]. dk_j[d] and dv_j[d]: the runs of the call in order; in a run its rows by blocks of 32 absolute positions,
 * ascending; in these the G heads ascending; for each the one block over the 32 positions i of bf16(dS_ij) and
 * bf16(q_i)[d], of bf16(P_ij) and bf16(dout_i)[d]. Pairs that do not see each other, and positions outside the run, are
 * +0 * +0; where no position of the 32 sees key j the block is left out. The rows of one run and block of positions
 * stay in one call.
 *
 * Options in f64 (eps, 1/T, scale, those of AdamW) are computed in f64 as written and rounded to real once. Views of
 * one call do not overlap unless an operation says so. Where a weight has no gradient part (it is frozen), an operation
 * that would add to it leaves that out.
 *
 * Errors: operations are void; a device that fails (allocation, launch) remembers the first failure, and device_sync
 * reports it. Arguments are the caller's duty; ASSAY_BUG_IF guards the cheap ones.
 */
#ifndef ASSAY_COMPUTE_BACKEND_H
#define ASSAY_COMPUTE_BACKEND_H

#include <stdint.h>
#include "compute/quant.h"
#include "compute/rows.h"
#include "core/error.h"

struct pool;
struct buffer;
struct weight;
struct kv;
struct device;

enum host_type { HOST_F32, HOST_F64 };
enum compute_type { COMPUTE_F32, COMPUTE_BF16 }; /* what products are made of */

/* ---- the device ---- */

struct device_options {
  const char *kind; /* "cpu"; "cuda" where the build has it; for tests only "reference64": plain C in float64, and
                       "cuda-emulated": the kernels of cuda/ in plain C, with the bits of "cpu" */
  const char *isa;  /* cpu: "ref", "avx2", "avx512", "amx"; NULL, "auto": ASSAY_ISA where it is set, else the best here
                       but amx */
  int threads;      /* 0: as many as there are cores for this process */
  enum compute_type type;
};

/* ERROR_INPUT for an unknown kind or isa (naming the known ones), ERROR_RESOURCE for one that this machine lacks. */
int device_open(const struct device_options *options, struct device **out, struct error *err) MUST_USE;
void device_close(struct device *d);
const char *device_isa(const struct device *d); /* "ref", "avx2", "avx512", "amx" */
enum compute_type device_type(const struct device *d);
const char *compute_type_name(enum compute_type type); /* "f32", "bf16": as recipes write it */
size_t compute_type_size(enum compute_type type);      /* bytes of one number of KV: 4, 2 */
size_t device_real_size(const struct device *d);       /* bytes of one real: 4, 8 for reference64 */
int device_threads(const struct device *d);
struct pool *device_pool(const struct device *d);
int device_sync(struct device *d, struct error *err) MUST_USE;
/* The same of what is known by now, without a wait. */
int device_check(const struct device *d, struct error *err) MUST_USE;
/* Until the next call with false: host arrays given to operations stay as they are, so that a device with memory of its
   own copies each of them once. */
void device_hold(struct device *d, bool held);
/* Operations go on while the host does something else: to start the next pass before the results of the last one are
   looked at costs nothing there and saves that time (sample_start). */
bool device_runs_ahead(const struct device *d);
/* Room for draws in two halves of at most `rows` rows each, kept until the device is closed. None may be under way. */
int device_reserve_draws(struct device *d, int32_t rows, struct error *err) MUST_USE;
int device_draws(const struct device *d); /* under way: started and not taken */
/* Bytes free in memory of its own; 0: it computes in the host's. */
size_t device_memory_room(const struct device *d);
/* Moments made from now on (weight_make_trainable) stand in the host's memory and are read and written there by adamw:
   the same bits, more time. Nothing changes on a device that computes in the host's memory anyway. */
void device_offload(struct device *d, bool on);
size_t device_scratch_bytes(const struct device *d); /* what device_open took for packing: the planner counts it */

/* ---- buffers and views ---- */

struct view {
  struct buffer *buffer;
  size_t at; /* in reals */
};
static inline struct view view_at(struct view v, size_t offset)
{
  v.at += offset;
  return v;
}

/* Zeroed. tag: a literal, for the memory report. */
int buffer_create(struct device *d, size_t reals, const char *tag, struct buffer **out, struct error *err) MUST_USE;
void buffer_destroy(struct buffer *b); /* NULL allowed */
void buffer_write(struct device *d, struct view to, const void *from, enum host_type type, size_t n);
void buffer_read(struct device *d, struct view from, void *to, enum host_type type, size_t n); /* waits */

/* ---- weights ---- */

enum weight_kind {
  WEIGHT_MATRIX, /* [N, K], used by gemm, the LM head and the embedding */
  WEIGHT_VECTOR  /* [N] (K = 1): norm scales and biases */
};
enum weight_part { WEIGHT_MASTER, WEIGHT_GRAD, WEIGHT_MOMENT1, WEIGHT_MOMENT2 };

/* Master only, zeroed. */
int weight_create(struct device *d, enum weight_kind kind, size_t n, size_t k, const char *name, struct weight **out,
                  struct error *err) MUST_USE;
/* The same for a weight that is never trained. With compute type bf16 a matrix then has no master, only the rounded
   copy: a third of the bytes. Its WEIGHT_MASTER is written and read as ever, and reads back rounded; sum_squares and
   find_not_finite take no master of it. */
int weight_create_rounded(struct device *d, enum weight_kind kind, size_t n, size_t k, const char *name,
                          struct weight **out, struct error *err) MUST_USE;
/* A matrix that is never trained and stays in blocks (quant.h), zeroed: products make its numbers on the way, panel by
   panel, and give the bits that they give for a matrix of those numbers in f32, whatever the compute type. It has no
   part: of the functions here weight_write (WEIGHT_MASTER, types of quant_can_write: rounded to blocks), weight_read,
   weight_write_blocks and those of its sizes take it, of the operations embed, gemm, gemm_dx and those of the head. K
   in whole blocks. Not on reference64. */
int weight_create_quantised(struct device *d, enum quant_type type, size_t n, size_t k, const char *name,
                            struct weight **out, struct error *err) MUST_USE;
/* Logical rows row .. row+count-1 from ggml's blocks, one row behind the other. */
void weight_write_blocks(struct weight *w, size_t row, size_t count, const uint8_t *blocks);
enum quant_type weight_quant(const struct weight *w); /* QUANT_NONE: not quantised */
/* Adds gradient and moments, zeroed. Not for a weight without a master. */
int weight_make_trainable(struct weight *w, struct error *err) MUST_USE;
/* Adds the gradient only (score gradients, tests). */
int weight_make_gradient(struct weight *w, struct error *err) MUST_USE;
void weight_destroy(struct weight *w);
/* What a weight means beyond its numbers, said once after its creation. A norm's scale that stands for 1 + w (Gemma):
 */
void weight_set_plus_one(struct weight *w);
/* As the LM head: logit = scale * chain, and cap * tanh(that / cap) where cap > 0. At first 1 and 0. */
void weight_set_logits(struct weight *w, double scale, double cap);
size_t weight_rows(const struct weight *w);
size_t weight_cols(const struct weight *w);
const char *weight_name(const struct weight *w);
/* Of one part, padding included: for the planner. */
size_t weight_part_bytes(enum weight_kind kind, size_t n, size_t k, size_t real_size);
/* Of the compute copy, which a matrix has in compute type bf16; else 0. */
size_t weight_copy_bytes(enum weight_kind kind, size_t n, size_t k, enum compute_type type);
/* Logical rows row .. row+count-1 of a part, row-major [count, K], from and to the host. Writing the master refreshes
   compute copies. */
void weight_write(struct weight *w, enum weight_part part, size_t row, size_t count, const void *from,
                  enum host_type type);
void weight_read(const struct weight *w, enum weight_part part, size_t row, size_t count, void *to,
                 enum host_type type);

/* ---- KV ---- */

struct kv_shape {
  int layers, heads, head_dim; /* heads: KV heads */
  int block;                   /* positions per storage block, a power of two >= 2 (memory knob: moves no bit) */
  int blocks;                  /* how many exist */
};
int kv_create(struct device *d, const struct kv_shape *shape, struct kv **out, struct error *err) MUST_USE;
void kv_destroy(struct kv *kv);
const struct kv_shape *kv_get_shape(const struct kv *kv);
/* All layers, K and V. size: of one number: device_real_size, or in compute type bf16 compute_type_size. */
size_t kv_block_bytes(const struct kv_shape *shape, size_t size);

/* Attention of one layer. */
struct attention_shape {
  int heads, kv_heads, head_dim; /* G = heads / kv_heads */
  int window;                    /* position i sees i-window+1 .. i; 0: all */
  double scale;                  /* 1/sqrt(D), rounded to real once */
  double cap;                    /* s = cap tanh(s / cap) after the scale; 0: none */
};

/* dK and dV of positions, by slot (rows.h): [slots, kv_heads * D] each. */
struct kv_grad_view {
  struct view dk, dv;
};

/* ---- sampling ---- */

/* What is added to a token's logit before a draw. */
struct sample_bias {
  int32_t id;
  float add;
  double was; /* the operation's own: the logit as it was */
};

struct sample_params {
  float temperature;  /* 0: greedy (filters are ignored), ties to the lower id */
  float top_p, min_p; /* 1 (or more) and 0 (or less): off */
  int32_t top_k;      /* 0 (or less), V or more: off */
  int32_t forced;     /* >= 0: take this token; logp is its log-probability, logp_behaviour is 0 (probability 1) */
  double uniform;     /* [0, 1): the one random number of the token */
  /* Bit v & 31 of word v >> 5: whether token v may be drawn; at least one. NULL: all. The logits of the others count as
     -inf for the draw; logp and entropy are of the whole distribution still. Not with `forced`. */
  const uint32_t *allowed;
  /* Distinct ids in any order; count 0: none. As with `allowed` the draw alone sees it (greedy too): logp and entropy
     are of the logits as they were. Not with `forced`. */
  struct sample_bias *bias;
  int32_t bias_count;
};
struct sample_result {
  int32_t id;
  float logp;           /* full vocabulary at record_temperature: bit for bit head_score's */
  float logp_behaviour; /* of the distribution drawn from; forced and greedy: 0 */
  float entropy;        /* of logp's distribution, nats: bit for bit head_score's */
};

enum { DRAWS_STARTED = 2 }; /* draws that may be started and not taken */

struct adamw_params {
  double lr, beta1, beta2, eps, weight_decay;
  double correction1, correction2; /* 1 - beta^t */
  double grad_scale;               /* 1, or clip_norm / norm */
};

/* ---- the operations ---- */

struct backend_ops {
  /* y[m, :] = W[token[m], :]. A token below 0 is that of row ~token of the draw that sample_start began last: the
     device knows it, the host need not yet. */
  void (*embed)(struct device *, const struct weight *w, int32_t m, const int32_t *token, struct view y);

  /* accum[slot[m], :] = accum[slot[m], :] + dy[m, :], rows m ascending. accum: [slots, C], the embedding's own (sparse)
     accumulator. */
  void (*embed_backward)(struct device *, int32_t m, const int32_t *slot, size_t c, struct view dy, struct view accum);
  /* grad(W)[id[s], :] = grad(W)[id[s], :] + accum[s, :]; ids distinct. The join, once after the last unit. */
  void (*embed_join)(struct device *, struct weight *w, int32_t slots, const int32_t *id, struct view accum);

  /* y[m, n] = chain_{k ascending} x[m, k] W[n, k] from +0; then + b[n] if b != NULL. x: [M, K], y: [M, N]. */
  void (*gemm)(struct device *, const struct weight *w, const struct weight *b, int32_t m, struct view x,
               struct view y);

  /* dx[m, k] = chain_{n ascending} dy[m, n] W[n, k], from +0, or from dx[m, k] where accumulate. */
  void (*gemm_dx)(struct device *, const struct weight *w, int32_t m, struct view dy, struct view dx, bool accumulate);

  /* grad(W)[n, k] = chain_{m ascending} dy[m, n] x[m, k] from grad(W)[n, k];
     grad(b)[n] = chain of additions of dy[m, n] (b may be NULL). */
  void (*gemm_dw)(struct device *, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x);

  /* Root mean square norm (Zhang and Sennrich 2019, eq. 4); also per head: M * H rows of D.
       r[m] = 1 / sqrt(sum16(x^2, by fma) / C + eps); y = (x * r) * (w + a), a = 1 with weight_set_plus_one, else +0.
     Division and square root IEEE; sum16 / C is a division by (real) C. */
  void (*rmsnorm)(struct device *, const struct weight *w, double eps, int32_t m, struct view x, struct view y,
                  struct view r);
  /* dx[m, c] (+)= r * (dy w)[c] - x[c] * (r^3 / C) * sum16(dy w x):
       g = dy * (w + a); s = sum16 of fma(g, x); t = (((r * r) * r) * s) / C; value = fma(-x, t, g * r);
       dx = value, or dx + value where accumulate.
       grad(w)[c] = chain_{m ascending} dy * (x * r) from grad(w)[c] (fma(dy, x * r, acc)). */
  void (*rmsnorm_backward)(struct device *, struct weight *w, int32_t m, struct view x, struct view r, struct view dy,
                           struct view dx, bool accumulate);

  /* Rotary embedding, halves form (Su et al. 2021, as in Llama) of the first R = rotary numbers of each head (even, at
     most D): for i < R/2, a = x[i], b = x[i + R/2] and (c, s) = table[position, i]: a' = fma(a, c, -(b * s)),
     b' = fma(b, c, a * s). inverse (the backward): s replaced by -s. In place on x: [M, H*D]. table: [positions, R/2,
     2] reals (cos, sin). */
  void (*rope)(struct device *, int32_t m, const int32_t *position, int heads, int head_dim, int rotary,
               struct view table, bool inverse, struct view x);

  /* Stores k, v [M, kv_heads*D] of the rows at their places in layer's blocks, then makes rows->copies, in order. */
  void (*kv_write)(struct device *, struct kv *kv, int layer, const struct rows *rows, struct view k, struct view v);
  /* Reads back k and v of the rows (recomputation, tests): the same numbers. */
  void (*kv_read)(struct device *, const struct kv *kv, int layer, const struct rows *rows, struct view k,
                  struct view v);

  /* Causal softmax attention over a path, for each row at position p and each head h (KV head h / G): keys j in
     max(0, p-window+1) .. p, walked in blocks of 32 by absolute position ([32b, 32b+32)), ascending; a block without a
     visible key is skipped.
       s_j = (chain_{d ascending} q[d] k_j[d] from +0) * scale; with a cap: t_j = tanh(s_j * (real)(1/cap)) and
             s_j = t_j * cap (tanh in f32: core/math_exp.h's); not visible: -inf
       m' = max(m, max_j s_j); f = exp(m - m') (first block walked: m = -inf, f = 0, l = 0, o = +0)
       e_j = exp(s_j - m') (not visible: +0)
       l = fma(l, f, sum16 of the 32 additions e_j)
       o[d] = chain_{j ascending, all 32; not visible: e_j = +0 and v_j = +0} e_j v_j[d] from o[d] * f
     at the end o[d] = o[d] / l. stat[m, h] = (m, l) for the backward. q, o: [M, H*D]; stat: [M, H, 2]. */
  void (*attention)(struct device *, const struct attention_shape *, const struct kv *kv, int layer,
                    const struct rows *rows, struct view q, struct view o, struct view stat);
  /* Backward of the above:
       P_ij = exp(s_ij - m_i) / l_i; Delta_i = sum16 of fma(dout_i, o_i); dP_ij = chain_d dout_i[d] v_j[d] from +0
       dS_ij = (P_ij * (dP_ij - Delta_i)) * scale; with a cap (P_ij * (dP_ij - Delta_i) * fma(-t_ij, t_ij, 1)) * scale
       dq_i[d] = chain_{j ascending, visible} dS_ij k_j[d] from +0
       dk_j[d] = chain_{i} dS_ij q_i[d], dv_j[d] = chain_{i} P_ij dout_i[d], from what grad holds: i over rows of this
       call ascending, within a row over the G heads of the KV head ascending, visible pairs only.
     Never over partial sums: load, continue the chain, store. q, o, dout, dq: [M, H*D]. grad: by slots of the runs'
     spans. Runs without spans are an error. */
  void (*attention_backward)(struct device *, const struct attention_shape *, const struct kv *kv, int layer,
                             const struct rows *rows, struct view q, struct view o, struct view stat, struct view dout,
                             struct view dq, struct kv_grad_view grad);

  /* Gated SiLU (Shazeer 2020): t = 1 / (1 + exp(-g)); y = (g * t) * u. n elements. */
  void (*swiglu)(struct device *, size_t n, struct view g, struct view u, struct view y);
  /* t as above; du = dy * (g * t); dg = (dy * u) * (t * fma(g, 1 - t, 1)). dg may be g, du may be u. */
  void (*swiglu_backward)(struct device *, size_t n, struct view g, struct view u, struct view dy, struct view dg,
                          struct view du);

  /* The same with GELU in its tanh form (Hendrycks and Gimpel 2016), by 1/2 (1 + tanh(z / 2)) = 1 / (1 + exp(-z)):
       q = g * g; z = g * fma(B, q, A), A = (real)(2 sqrt(2/pi)), B = (real)(0.044715 * 2 sqrt(2/pi));
       t = 1 / (1 + exp(-z)); y = (g * t) * u
     and backward: du = dy * (g * t); dg = (dy * u) * fma(g * fma(3 B, q, A), t * (1 - t), t). */
  void (*geglu)(struct device *, size_t n, struct view g, struct view u, struct view y);
  void (*geglu_backward)(struct device *, size_t n, struct view g, struct view u, struct view dy, struct view dg,
                         struct view du);

  void (*scale)(struct device *, size_t n, double factor, struct view x); /* x = x * (real)factor */
  void (*mul)(struct device *, size_t n, struct view x, struct view y);   /* x = x * y */
  /* t = tanh(x * (real)(1/cap)); x = t * (real)cap; where slope is given, slope = fma(-t, t, 1). */
  void (*softcap)(struct device *, size_t n, double cap, struct view x, const struct view *slope);
  void (*add)(struct device *, size_t n, struct view x, struct view y); /* x = x + y */
  void (*copy)(struct device *, size_t n, struct view to, struct view from);
  void (*zero)(struct device *, size_t n, struct view x);
  /* gather: to[i, :] = from[row[i], :]. scatter, its backward: to[row[i], :] = from[i, :] (rows distinct; the others
     are left alone). */
  void (*gather)(struct device *, int32_t count, const int32_t *row, size_t c, struct view from, struct view to);
  void (*scatter)(struct device *, int32_t count, const int32_t *row, size_t c, struct view from, struct view to);

  /* Logits of `count` rows, as all operations of the LM head make them: gemm's chain over C; then, where the weight
     says so (weight_set_logits), `scale` by its factor and `softcap` by its cap. hidden: [count, C]; logits:
     [count, V]. */
  void (*head_logits)(struct device *, const struct weight *w, int32_t count, struct view hidden, struct view logits);
  /* LM head, fused (logits never whole). z_v = logit * (real)(1/T), T > 0; vocabulary in reduction
     blocks of 32, ascending, the last one shorter:
       m' = max(m, max_v z_v); f = exp(m - m') (first block: m = -inf, f = 0, l = 0); e_v = exp(z_v - m')
       u = fma(f, fma(l, m - m', u), sum16 of fma(e_v, z_v - m')) (first block: u = the sum)
       l = fma(l, f, sum16 of e_v)
     at the end logp_v = (z_v - m) - log(l); entropy = log(l) - u / l. (Where logits of one row stand further apart than
     FLT_MAX / l, about 1e33, entropy is NaN.)
     hidden: [H, C] (already gathered). stat: [H, 3] gets (m, l, u). logp: [P]. entropy: [H]. chunk: vocabulary rows
     held at a time, a multiple of 32 (memory knob); scratch: H * chunk reals. */
  void (*head_score)(struct device *, const struct weight *w, double inv_temperature, const struct head_rows *rows,
                     struct view hidden, int32_t chunk, struct view scratch, struct view stat, struct view logp,
                     struct view entropy);
  /* Backward of sum_pairs coef[p] logp[p] + sum_rows entropy_coef[h] entropy[h]:
       p_v = exp(z_v - m) / l; a = (real) sum in f64 of the row's coefs, pairs in order; b = (real)entropy_coef[h]
       g_v = -(a * p_v); with b != 0: g_v = fma(-(b * p_v), ((z_v - m) - log(l)) + entropy, g_v)
       g_target = g_target + coef, a target's coefs summed in f64 in the order of its pairs and rounded once
       with extra: g_v = g_v + extra[h, v], a term's own dL/dz_v
       dz_v = g_v * (real)(1/T); with a cap `mul` by softcap's slope, with a factor `scale` by it
       dhidden[h, c] = chain_{v ascending} dz_v W[v, c] from +0
       grad(W)[v, c] = chain_{h ascending} dz[h, v] hidden[h, c] from grad(W)
     stat: as head_score left it. coef: [P] f64 on the host; entropy_coef: [H] f64 or NULL; extra: [H, V] or NULL. As
     grad(W) is a chain over h, one call for all rows and several for consecutive blocks of them give the same bits.
     scratch: twice as much where the weight has a cap. */
  void (*head_backward)(struct device *, struct weight *w, double inv_temperature, const struct head_rows *rows,
                        struct view hidden, int32_t chunk, struct view scratch, struct view stat, const double *coef,
                        const double *entropy_coef, const struct view *extra, struct view dhidden);
  /* The k most likely tokens of each of `count` rows at temperature T, by z_v: ids and log-probabilities, best first,
     ties to the lower id, NaN last. k <= V. Host outputs [count, k]. hidden: [count, C]; scratch: count * V reals. */
  void (*head_top)(struct device *, const struct weight *w, double inv_temperature, int32_t count, struct view hidden,
                   struct view scratch, int32_t k, int32_t *ids, float *logp);
  /* Draws one token per row. head_logits into scratch [count, V]; logp and entropy by head_score's steps
     at z_v = logit * (real)(1 / record_temperature).
     temperature 0: id = the largest z_v, ties to the lower id (NaN last); logp_behaviour 0. Else, with
       s_v = logit * (real)(1 / (double)temperature), or z_v where temperature == (float)record_temperature,
       e_v = exp(s_v - max s), in real,
     and the order "s_v descending, then id ascending" (-0 = +0), three filters, each on what the one before kept:
       top_k  the first k.
       top_p  the shortest prefix, at least one id, with (double)mass >= (double)top_p * (double)mass of all that were
              kept; mass is the integer sum of floor(e_v * 2^40): exact, so no order of summation can move it.
       min_p  those with e_v >= (real)min_p.
     total = f64 chain of additions of e_v over kept ids, ascending; id = the first kept one whose running sum (the
     same chain) exceeds uniform * total, or the last with e_v > 0 where rounding leaves none.
     logp_behaviour = (float)log(e_id / total) in f64, but logp itself where s_v is z_v and no filter is on.
     Where the sum of all e_v is not a positive number (a NaN or +inf among the logits): the first id of the order,
     and logp_behaviour NaN. Host arrays. */
  void (*head_sample)(struct device *, const struct weight *w, double record_temperature, int32_t count,
                      struct view hidden, struct view scratch, const struct sample_params *params,
                      struct sample_result *out);
  /* The same in two halves, so that the next pass may begin before the host has seen what this one drew. start: params
     may go when it returns. take: waits for the oldest draw that was started and not taken, and for nothing else; out:
     its rows; NULL: nobody wants them. At most DRAWS_STARTED are under way, none while head_sample is called;
     device_reserve_draws before. */
  void (*sample_start)(struct device *, const struct weight *w, double record_temperature, int32_t count,
                       struct view hidden, struct view scratch, const struct sample_params *params);
  void (*sample_take)(struct device *, struct sample_result *out);

  /* AdamW (Loshchilov and Hutter 2019, alg. 2, decoupled decay), elementwise, in real:
       g = grad * grad_scale; m1 = fma(b1, m1, (1-b1) * g); m2 = fma(b2, m2, (1-b2) * (g * g));
       master = fma(-lr * weight_decay, master, master);
       master = master - lr * ((m1 / c1) / (sqrt(m2 / c2) + eps)); compute copies refreshed; gradient zeroed.
     b1 = (real)beta1, 1-b1 = (real)(1.0 - beta1), -lr * weight_decay = (real)(-(lr * weight_decay)): each f64
     expression is rounded once. Padding stays 0. */
  void (*adamw)(struct device *, struct weight *w, const struct adamw_params *p);
  void (*weight_zero_grad)(struct device *, struct weight *w);
  /* Sum of squares of a part in logical order, f64: per logical row a chain over K of fma(x, x, acc) from +0; rows
     joined by a chain of additions. */
  double (*sum_squares)(struct device *, const struct weight *w, enum weight_part part);
  /* First logical element that is NaN or infinite: its index (n * K + k), or -1. */
  int64_t (*find_not_finite)(struct device *, const struct weight *w, enum weight_part part);
};

const struct backend_ops *device_ops(const struct device *d);

#endif
