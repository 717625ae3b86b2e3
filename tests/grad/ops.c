/* Every backward operation against differences of its forward, in float64. links: compute */
#include "compute_fixture.h"

/* Five-point stencil at h = 1e-3: truncation h^4 f5 / 30, about 1e-13 f5; rounding 2^-52 f / h, about 1e-12 for sums
 * below 10. What is checked is smooth with derivatives of the order of 1 to 1000, so a right gradient agrees to 1e-9
 * and a wrong one does not. */
static const double REL = 1e-8, FLOOR = 1e-9;

/* A loss over host arrays: sum of out * dout for fixed dout. */
typedef double loss_fn(void *scene);

static double *differences(struct rig *rig, loss_fn *loss, void *scene, double *x, size_t n)
{
  const double h = 1e-3;
  double *grad = rig_host(rig, n);
  for (size_t i = 0; i < n; i++) {
    double at = x[i], f[4];
    for (int j = 0; j < 4; j++) {
      static const double steps[] = {-2, -1, 1, 2};
      x[i] = at + steps[j] * h;
      f[j] = loss(scene);
    }
    x[i] = at;
    grad[i] = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
  }
  return grad;
}

static double dot(struct rig *rig, struct view v, const double *by, size_t n)
{
  struct arena_mark mark = arena_mark(rig->arena);
  double *x = rig_read(rig, v, n), sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i] * by[i];
  arena_release(rig->arena, mark);
  return sum;
}

static void put(struct rig *rig, struct view v, const double *x, size_t n)
{
  buffer_write(rig->d, v, x, HOST_F64, n);
}

static void open_rig(struct rig *rig)
{
  CHECK(rig_open(rig, "reference64", NULL, 1));
}

/* ---- gemm ---- */

enum { M = 5, K = 7, N = 19 };

struct gemm_scene {
  struct rig rig;
  double *x, *w, *b, *dy;
  struct weight *weight, *bias;
  struct view vx, y;
};

static double gemm_loss(void *arg)
{
  struct gemm_scene *s = arg;
  put(&s->rig, s->vx, s->x, M * K);
  weight_write(s->weight, WEIGHT_MASTER, 0, N, s->w, HOST_F64);
  weight_write(s->bias, WEIGHT_MASTER, 0, N, s->b, HOST_F64);
  s->rig.ops->gemm(s->rig.d, s->weight, s->bias, M, s->vx, s->y);
  return dot(&s->rig, s->y, s->dy, M * N);
}

static void test_gemm(void **state)
{
  struct gemm_scene s;
  (void)state;
  open_rig(&s.rig);
  s.x = rig_noise(&s.rig, 1, M * K, 1), s.w = rig_noise(&s.rig, 2, N * K, 1), s.b = rig_noise(&s.rig, 3, N, 1),
  s.dy = rig_noise(&s.rig, 4, M * N, 1);
  s.weight = rig_weight(&s.rig, N, K, s.w), s.bias = rig_weight(&s.rig, N, 0, s.b);
  s.vx = rig_zeros(&s.rig, M * K), s.y = rig_zeros(&s.rig, M * N);
  struct view dy = rig_view(&s.rig, s.dy, M * N), dx = rig_zeros(&s.rig, M * K);
  gemm_loss(&s);
  s.rig.ops->gemm_dx(s.rig.d, s.weight, M, dy, dx, false);
  s.rig.ops->gemm_dw(s.rig.d, s.weight, s.bias, M, dy, s.vx);
  CHECK_GRAD(rig_read(&s.rig, dx, M * K), differences(&s.rig, gemm_loss, &s, s.x, M * K), M * K, REL, FLOOR);
  CHECK_GRAD(rig_part(&s.rig, s.weight, WEIGHT_GRAD), differences(&s.rig, gemm_loss, &s, s.w, N * K), N * K, REL,
             FLOOR);
  CHECK_GRAD(rig_part(&s.rig, s.bias, WEIGHT_GRAD), differences(&s.rig, gemm_loss, &s, s.b, N), N, REL, FLOOR);
  rig_close(&s.rig);
}

/* ---- rmsnorm ---- */

enum { C = 21 };
static const double EPS = 0.01; /* large enough to be seen in the gradient */

struct norm_scene {
  struct rig rig;
  double *x, *w, *dy;
  struct weight *weight;
  struct view vx, y, r;
};

static double norm_loss(void *arg)
{
  struct norm_scene *s = arg;
  put(&s->rig, s->vx, s->x, M * C);
  weight_write(s->weight, WEIGHT_MASTER, 0, C, s->w, HOST_F64);
  s->rig.ops->rmsnorm(s->rig.d, s->weight, EPS, M, s->vx, s->y, s->r);
  return dot(&s->rig, s->y, s->dy, M * C);
}

static void check_rmsnorm(bool plus_one)
{
  struct norm_scene s;
  open_rig(&s.rig);
  s.x = rig_noise(&s.rig, 1, M * C, 1), s.w = rig_noise(&s.rig, 2, C, 1), s.dy = rig_noise(&s.rig, 3, M * C, 1);
  s.weight = rig_weight(&s.rig, C, 0, s.w);
  if (plus_one) weight_set_plus_one(s.weight);
  s.vx = rig_zeros(&s.rig, M * C), s.y = rig_zeros(&s.rig, M * C), s.r = rig_zeros(&s.rig, M);
  struct view dx = rig_zeros(&s.rig, M * C);
  norm_loss(&s);
  s.rig.ops->rmsnorm_backward(s.rig.d, s.weight, M, s.vx, s.r, rig_view(&s.rig, s.dy, M * C), dx, false);
  double *want = differences(&s.rig, norm_loss, &s, s.x, M * C);
  CHECK_GRAD(rig_read(&s.rig, dx, M * C), want, M * C, REL, FLOOR);
  CHECK_GRAD(rig_part(&s.rig, s.weight, WEIGHT_GRAD), differences(&s.rig, norm_loss, &s, s.w, C), C, REL, FLOOR);
  /* broken on purpose: as if r did not depend on x */
  double *broken = rig_host(&s.rig, M * C), *r = rig_read(&s.rig, s.r, M);
  for (size_t i = 0; i < M * C; i++) broken[i] = s.dy[i] * (s.w[i % C] + plus_one) * r[i / C];
  CHECK(check_grad_at(broken, want, M * C, REL, FLOOR) != NULL);
  CHECK(check_grad_at(broken, want, M * C, 1e-3, FLOOR) != NULL);
  rig_close(&s.rig);
}

static void test_rmsnorm(void **state)
{
  (void)state;
  check_rmsnorm(false);
  check_rmsnorm(true);
}

/* ---- rope ---- */

enum { ROPE_HEADS = 3, ROPE_D = 10, ROPE_N = M * ROPE_HEADS * ROPE_D };
static const int32_t rope_position[M] = {4, 0, 2, 2, 3};

struct rope_scene {
  struct rig rig;
  double *x, *dy;
  struct view vx, table;
};

static double rope_loss(void *arg)
{
  struct rope_scene *s = arg;
  put(&s->rig, s->vx, s->x, ROPE_N);
  s->rig.ops->rope(s->rig.d, M, rope_position, ROPE_HEADS, ROPE_D, ROPE_D, s->table, false, s->vx);
  return dot(&s->rig, s->vx, s->dy, ROPE_N);
}

static void test_rope(void **state)
{
  struct rope_scene s;
  double angles[5 * ROPE_D];
  (void)state;
  open_rig(&s.rig);
  for (size_t i = 0; i < 5 * ROPE_D / 2; i++) {
    double angle = (double)(i / (ROPE_D / 2)) * math_pow(100, -2.0 * (double)(i % (ROPE_D / 2)) / ROPE_D);
    angles[2 * i] = math_cos(angle);
    angles[2 * i + 1] = math_sin(angle);
  }
  s.x = rig_noise(&s.rig, 1, ROPE_N, 1), s.dy = rig_noise(&s.rig, 2, ROPE_N, 1);
  s.vx = rig_zeros(&s.rig, ROPE_N), s.table = rig_view(&s.rig, angles, 5 * ROPE_D);
  struct view dx = rig_view(&s.rig, s.dy, ROPE_N), wrong = rig_view(&s.rig, s.dy, ROPE_N);
  s.rig.ops->rope(s.rig.d, M, rope_position, ROPE_HEADS, ROPE_D, ROPE_D, s.table, true, dx);
  double *want = differences(&s.rig, rope_loss, &s, s.x, ROPE_N);
  CHECK_GRAD(rig_read(&s.rig, dx, ROPE_N), want, ROPE_N, REL, FLOOR);
  /* broken on purpose: turned the wrong way */
  s.rig.ops->rope(s.rig.d, M, rope_position, ROPE_HEADS, ROPE_D, ROPE_D, s.table, false, wrong);
  CHECK(check_grad_at(rig_read(&s.rig, wrong, ROPE_N), want, ROPE_N, 1e-3, FLOOR) != NULL);
  rig_close(&s.rig);
}

/* ---- swiglu ---- */

enum { GATES = 37 };

struct gate_scene {
  struct rig rig;
  double *g, *u, *dy;
  struct view vg, vu, y;
  bool gelu;
};

static double gate_loss(void *arg)
{
  struct gate_scene *s = arg;
  put(&s->rig, s->vg, s->g, GATES);
  put(&s->rig, s->vu, s->u, GATES);
  (s->gelu ? s->rig.ops->geglu : s->rig.ops->swiglu)(s->rig.d, GATES, s->vg, s->vu, s->y);
  return dot(&s->rig, s->y, s->dy, GATES);
}

static void check_gate(bool gelu)
{
  struct gate_scene s = {.gelu = gelu};
  open_rig(&s.rig);
  s.g = rig_noise(&s.rig, 1, GATES, gelu ? 2 : 6), s.u = rig_noise(&s.rig, 2, GATES, 1),
  s.dy = rig_noise(&s.rig, 3, GATES, 1);
  s.vg = rig_zeros(&s.rig, GATES), s.vu = rig_zeros(&s.rig, GATES), s.y = rig_zeros(&s.rig, GATES);
  struct view dg = rig_zeros(&s.rig, GATES), du = rig_zeros(&s.rig, GATES);
  gate_loss(&s);
  (gelu ? s.rig.ops->geglu_backward : s.rig.ops->swiglu_backward)(s.rig.d, GATES, s.vg, s.vu,
                                                                  rig_view(&s.rig, s.dy, GATES), dg, du);
  CHECK_GRAD(rig_read(&s.rig, dg, GATES), differences(&s.rig, gate_loss, &s, s.g, GATES), GATES, REL, FLOOR);
  CHECK_GRAD(rig_read(&s.rig, du, GATES), differences(&s.rig, gate_loss, &s, s.u, GATES), GATES, REL, FLOOR);
  rig_close(&s.rig);
}

static void test_gates(void **state)
{
  (void)state;
  check_gate(false);
  check_gate(true);
}

/* ---- embed ---- */

enum { EMBED_V = 18, EMBED_C = 3 };
static const int32_t embed_token[M] = {17, 2, 17, 0, 2}, embed_slot[M] = {0, 1, 0, 2, 1}, embed_id[3] = {17, 2, 0};

struct embed_scene {
  struct rig rig;
  double *w, *dy;
  struct weight *weight;
  struct view y;
};

static double embed_loss(void *arg)
{
  struct embed_scene *s = arg;
  weight_write(s->weight, WEIGHT_MASTER, 0, EMBED_V, s->w, HOST_F64);
  s->rig.ops->embed(s->rig.d, s->weight, M, embed_token, s->y);
  return dot(&s->rig, s->y, s->dy, M * EMBED_C);
}

static void test_embed(void **state)
{
  struct embed_scene s;
  (void)state;
  open_rig(&s.rig);
  s.w = rig_noise(&s.rig, 1, EMBED_V * EMBED_C, 1), s.dy = rig_noise(&s.rig, 2, M * EMBED_C, 1);
  s.weight = rig_weight(&s.rig, EMBED_V, EMBED_C, s.w), s.y = rig_zeros(&s.rig, M * EMBED_C);
  struct view accum = rig_zeros(&s.rig, 3 * EMBED_C);
  s.rig.ops->embed_backward(s.rig.d, M, embed_slot, EMBED_C, rig_view(&s.rig, s.dy, M * EMBED_C), accum);
  s.rig.ops->embed_join(s.rig.d, s.weight, 3, embed_id, accum);
  CHECK_GRAD(rig_part(&s.rig, s.weight, WEIGHT_GRAD), differences(&s.rig, embed_loss, &s, s.w, EMBED_V * EMBED_C),
             EMBED_V * EMBED_C, REL, FLOOR);
  rig_close(&s.rig);
}

/* ---- attention over a tree: a trunk of 35, branches of 3 and 2, a twig of 2 on the first branch ---- */

enum { HEADS = 4, KV_HEADS = 2, D = 6, QW = HEADS * D, KW = KV_HEADS * D, ROWS = 35 + 3 + 2 + 2 };

struct tree_scene {
  struct rig rig;
  struct rows_build build;
  struct attention_shape shape;
  struct kv *kv;
  double *q, *k, *v, *dout;
  struct view vq, vk, vv, o, stat;
};

static double tree_loss(void *arg)
{
  struct tree_scene *s = arg;
  put(&s->rig, s->vq, s->q, ROWS * QW);
  put(&s->rig, s->vk, s->k, ROWS * KW);
  put(&s->rig, s->vv, s->v, ROWS * KW);
  s->rig.ops->kv_write(s->rig.d, s->kv, 0, &s->build.rows, s->vk, s->vv);
  s->rig.ops->attention(s->rig.d, &s->shape, s->kv, 0, &s->build.rows, s->vq, s->o, s->stat);
  return dot(&s->rig, s->o, s->dout, ROWS * QW);
}

/* Blocks of 8: the trunk fills 0 to 3 and three positions of 4; each branch has its copy of 4, the twig has one of its
 * parent's. Slots are rows. */
static void tree_rows(struct rows_build *b)
{
  static const int32_t trunk[] = {0, 1, 2, 3, 4}, first[] = {0, 1, 2, 3, 5}, second[] = {0, 1, 2, 3, 6},
                       twig[] = {0, 1, 2, 3, 7};
  rows_begin(b);
  rows_run(b, 0, 35, trunk, 5);
  rows_span(b, 0, 35, 0);
  rows_run(b, 35, 3, first, 5);
  rows_span(b, 0, 35, 0);
  rows_span(b, 35, 3, 35);
  rows_run(b, 35, 2, second, 5);
  rows_span(b, 0, 35, 0);
  rows_span(b, 35, 2, 38);
  rows_run(b, 38, 2, twig, 5);
  rows_span(b, 0, 35, 0);
  rows_span(b, 35, 3, 35);
  rows_span(b, 38, 2, 40);
  rows_copy(b, 4, 5, 3);
  rows_copy(b, 4, 6, 3);
  rows_copy(b, 5, 7, 6);
}

static void check_tree(int window, double cap)
{
  static struct tree_scene s;
  open_rig(&s.rig);
  tree_rows(&s.build);
  s.shape = (struct attention_shape){HEADS, KV_HEADS, D, window, 0.7, cap};
  s.kv = rig_kv(&s.rig, 1, KV_HEADS, D, 8, 8);
  s.q = rig_noise(&s.rig, 1, ROWS * QW, 2), s.k = rig_noise(&s.rig, 2, ROWS * KW, 1),
  s.v = rig_noise(&s.rig, 3, ROWS * KW, 1), s.dout = rig_noise(&s.rig, 4, ROWS * QW, 1);
  s.vq = rig_zeros(&s.rig, ROWS * QW), s.vk = rig_zeros(&s.rig, ROWS * KW), s.vv = rig_zeros(&s.rig, ROWS * KW),
  s.o = rig_zeros(&s.rig, ROWS * QW);
  s.stat = rig_zeros(&s.rig, ROWS * HEADS * 2);
  struct view dq = rig_zeros(&s.rig, ROWS * QW), dout = rig_view(&s.rig, s.dout, ROWS * QW);
  struct kv_grad_view grad = {rig_zeros(&s.rig, ROWS * KW), rig_zeros(&s.rig, ROWS * KW)};
  tree_loss(&s);
  s.rig.ops->attention_backward(s.rig.d, &s.shape, s.kv, 0, &s.build.rows, s.vq, s.o, s.stat, dout, dq, grad);
  double *want_k = differences(&s.rig, tree_loss, &s, s.k, ROWS * KW);
  CHECK_GRAD(rig_read(&s.rig, dq, ROWS * QW), differences(&s.rig, tree_loss, &s, s.q, ROWS * QW), ROWS * QW, REL,
             FLOOR);
  CHECK_GRAD(rig_read(&s.rig, grad.dk, ROWS * KW), want_k, ROWS * KW, REL, FLOOR);
  CHECK_GRAD(rig_read(&s.rig, grad.dv, ROWS * KW), differences(&s.rig, tree_loss, &s, s.v, ROWS * KW), ROWS * KW, REL,
             FLOOR);
  /* broken on purpose: a branch whose terms for the shared trunk land in the wrong slot */
  s.rig.ops->zero(s.rig.d, ROWS * KW, grad.dk);
  s.build.spans[1].slot = 1;
  tree_loss(&s);
  s.rig.ops->attention_backward(s.rig.d, &s.shape, s.kv, 0, &s.build.rows, s.vq, s.o, s.stat, dout, dq, grad);
  CHECK(check_grad_at(rig_read(&s.rig, grad.dk, ROWS * KW), want_k, ROWS * KW, 1e-3, FLOOR) != NULL);
  rig_close(&s.rig);
}

static void test_attention(void **state)
{
  (void)state;
  check_tree(0, 0);
  check_tree(4, 0);
  check_tree(5, 1.5);
}

/* ---- head ---- */

enum { HEAD_ROWS = 4, HEAD_C = 6, HEAD_V = 45, PAIRS = 7 };
static const int32_t pair_row[PAIRS] = {0, 0, 0, 1, 3, 3, 3}, pair_target[PAIRS] = {44, 3, 44, 32, 0, 31, 0};
static const double coef[PAIRS] = {1, -0.5, 0.25, 2, -1, 0.7, 0.4}, entropy_coef[HEAD_ROWS] = {0.5, 0, -1, 0.3};
static const double INVERSE = 1 / 0.8;

struct head_scene {
  struct rig rig;
  double *h, *w;
  struct weight *weight;
  struct head_rows rows;
  struct view vh, scratch, stat, logp, entropy;
};

static double head_loss(void *arg)
{
  struct head_scene *s = arg;
  put(&s->rig, s->vh, s->h, HEAD_ROWS * HEAD_C);
  weight_write(s->weight, WEIGHT_MASTER, 0, HEAD_V, s->w, HOST_F64);
  s->rig.ops->head_score(s->rig.d, s->weight, INVERSE, &s->rows, s->vh, 32, s->scratch, s->stat, s->logp, s->entropy);
  return dot(&s->rig, s->logp, coef, PAIRS) + dot(&s->rig, s->entropy, entropy_coef, HEAD_ROWS);
}

static void check_head(double scale, double cap)
{
  struct head_scene s = {
      .rows = {.count = HEAD_ROWS, .pair_count = PAIRS, .pair_row = pair_row, .pair_target = pair_target}};
  open_rig(&s.rig);
  s.h = rig_noise(&s.rig, 1, HEAD_ROWS * HEAD_C, 1), s.w = rig_noise(&s.rig, 2, HEAD_V * HEAD_C, 1);
  s.weight = rig_weight(&s.rig, HEAD_V, HEAD_C, s.w);
  weight_set_logits(s.weight, scale, cap);
  s.vh = rig_zeros(&s.rig, HEAD_ROWS * HEAD_C), s.scratch = rig_zeros(&s.rig, 2 * HEAD_ROWS * 32),
  s.stat = rig_zeros(&s.rig, 3 * HEAD_ROWS);
  s.logp = rig_zeros(&s.rig, PAIRS), s.entropy = rig_zeros(&s.rig, HEAD_ROWS);
  struct view dh = rig_zeros(&s.rig, HEAD_ROWS * HEAD_C);
  double *want_h = differences(&s.rig, head_loss, &s, s.h, HEAD_ROWS * HEAD_C),
         *want_w = differences(&s.rig, head_loss, &s, s.w, HEAD_V * HEAD_C);
  head_loss(&s);
  s.rig.ops->head_backward(s.rig.d, s.weight, INVERSE, &s.rows, s.vh, 32, s.scratch, s.stat, coef, entropy_coef, NULL,
                           dh);
  CHECK_GRAD(rig_read(&s.rig, dh, HEAD_ROWS * HEAD_C), want_h, HEAD_ROWS * HEAD_C, REL, FLOOR);
  CHECK_GRAD(rig_part(&s.rig, s.weight, WEIGHT_GRAD), want_w, HEAD_V * HEAD_C, REL, FLOOR);
  /* broken on purpose: without the entropies */
  s.rig.ops->head_backward(s.rig.d, s.weight, INVERSE, &s.rows, s.vh, 32, s.scratch, s.stat, coef, NULL, NULL, dh);
  CHECK(check_grad_at(rig_read(&s.rig, dh, HEAD_ROWS * HEAD_C), want_h, HEAD_ROWS * HEAD_C, 1e-3, FLOOR) != NULL);
  rig_close(&s.rig);
}

static void test_head(void **state)
{
  (void)state;
  check_head(1, 0);
  check_head(0.4, 0);
  check_head(0.7, 2.5);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gemm),  cmocka_unit_test(test_rmsnorm),
                                     cmocka_unit_test(test_rope),  cmocka_unit_test(test_gates),
                                     cmocka_unit_test(test_embed), cmocka_unit_test(test_attention),
                                     cmocka_unit_test(test_head)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
