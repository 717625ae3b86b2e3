/* KV and attention: softmax in f64 over a path; the same bits however the path is stored, cut into passes, or joined
 * with others. */
#include "compute_fixture.h"

enum { PATH = 75, KV_HEADS = 2, D = 20, WIDTH = KV_HEADS * D };

/* One path of PATH positions, in storage blocks of `block`, with its q, k and v. */
struct scene {
  struct rig rig;
  struct kv *kv;
  struct attention_shape shape;
  int block;
  double *q, *k, *v;
  struct view vq, vk, vv, o, stat;
};

static bool scene_open(struct scene *s, const char *isa, int threads, int block, int heads, int window)
{
  if (!rig_open(&s->rig, "cpu", isa, threads)) return false;
  size_t qn = (size_t)(PATH * heads * D);
  s->shape = (struct attention_shape){heads, KV_HEADS, D, window, 1 / math_sqrt(D), 0};
  s->block = block;
  s->kv = rig_kv(&s->rig, 2, KV_HEADS, D, block, 8 * (PATH / block + 1));
  s->q = rig_noise(&s->rig, 1, qn, 3);
  s->k = rig_noise(&s->rig, 2, PATH * WIDTH, 1);
  s->v = rig_noise(&s->rig, 3, PATH * WIDTH, 1);
  s->vq = rig_view(&s->rig, s->q, qn);
  s->vk = rig_view(&s->rig, s->k, PATH * WIDTH);
  s->vv = rig_view(&s->rig, s->v, PATH * WIDTH);
  s->o = rig_zeros(&s->rig, qn);
  s->stat = rig_zeros(&s->rig, (size_t)(PATH * heads * 2));
  return true;
}

/* Rows first .. first+count-1 of the path, its blocks taken backwards from block `from`. */
static void scene_pass(struct scene *s, int first, int count)
{
  struct rows_build *b = arena_push(s->rig.arena, 1, sizeof *b, "rows", NULL);
  int32_t table[PATH];
  int entries = (PATH + s->block - 1) / s->block;
  size_t wide = (size_t)(s->shape.heads * D);
  for (int i = 0; i < entries; i++) table[i] = 2 * entries - i;
  rows_begin(b);
  rows_run(b, first, count, table, entries);
  s->rig.ops->kv_write(s->rig.d, s->kv, 1, &b->rows, view_at(s->vk, (size_t)first * WIDTH),
                       view_at(s->vv, (size_t)first * WIDTH));
  s->rig.ops->attention(s->rig.d, &s->shape, s->kv, 1, &b->rows, view_at(s->vq, (size_t)first * wide),
                        view_at(s->o, (size_t)first * wide), view_at(s->stat, (size_t)(first * s->shape.heads * 2)));
}

/* o and stat of the whole path, one behind the other. */
static double *scene_out(struct scene *s, size_t *n)
{
  size_t o = (size_t)(PATH * s->shape.heads * D), stat = (size_t)(PATH * s->shape.heads * 2);
  double *out = rig_host(&s->rig, o + stat);
  buffer_read(s->rig.d, s->o, out, HOST_F64, o);
  buffer_read(s->rig.d, s->stat, out + o, HOST_F64, stat);
  *n = (o + stat) * sizeof *out;
  return out;
}

static void check_against_softmax(struct scene *s)
{
  size_t n, heads = (size_t)s->shape.heads, group = heads / KV_HEADS;
  double *got = scene_out(s, &n), *stat = got + PATH * heads * D;
  for (size_t i = 0; i < PATH * heads; i++) {
    size_t p = i / heads, kv_head = i % heads / group,
           first = s->shape.window && p + 1 > (size_t)s->shape.window ? p + 1 - (size_t)s->shape.window : 0;
    double score[PATH], top = -1e30, sum = 0, want[D] = {0};
    for (size_t j = first; j <= p; j++) {
      score[j] = 0;
      for (size_t d = 0; d < D; d++) score[j] += s->q[i * D + d] * s->k[j * WIDTH + kv_head * D + d] * s->shape.scale;
      top = score[j] > top ? score[j] : top;
    }
    for (size_t j = first; j <= p; j++) sum += math_exp(score[j] - top);
    for (size_t j = first; j <= p; j++)
      for (size_t d = 0; d < D; d++) want[d] += math_exp(score[j] - top) / sum * s->v[j * WIDTH + kv_head * D + d];
    for (size_t d = 0; d < D; d++)
      CHECK_CLOSE(got[i * D + d], want[d], 2e-5,
                  "scores below 14 err by 20 u of it, 1e-5 relative on weights that sum to 1, of values below 1");
    CHECK_CLOSE(stat[2 * i] + math_log(stat[2 * i + 1]), top + math_log(sum), 2e-5,
                "scores below 14 err by 20 u of it");
  }
}

/* The contract written out once more, in plain f32: o and stat of one row and head to the bit. */
static void contract_row(const struct scene *s, size_t p, size_t head, double want[D + 2])
{
  size_t heads = (size_t)s->shape.heads, kv = head / (heads / KV_HEADS), window = (size_t)s->shape.window;
  size_t first = window && p + 1 > window ? p + 1 - window : 0;
  float m = -__builtin_inff(), l = 0, o[D] = {0};
  for (size_t b = first / 32 * 32; b <= p; b += 32) {
    float score[32], next = m, lane[16] = {0};
    for (size_t j = 0; j < 32; j++) {
      score[j] = 0;
      for (size_t d = 0; d < D && b + j <= p; d++)
        score[j] =
            math_fmaf((float)s->q[(p * heads + head) * D + d], (float)s->k[(b + j) * WIDTH + kv * D + d], score[j]);
      score[j] = b + j < first || b + j > p ? -__builtin_inff() : score[j] * (float)s->shape.scale;
      next = score[j] > next ? score[j] : next;
    }
    float f = b <= first ? 0 : math_expf(m - next);
    for (size_t j = 0; j < 32; j++) lane[j % 16] += math_expf(score[j] - next);
    for (int step = 8; step; step /= 2)
      for (int j = 0; j < step; j++) lane[j] += lane[j + step];
    l = math_fmaf(l, f, lane[0]);
    for (size_t d = 0; d < D; d++) {
      o[d] *= f;
      for (size_t j = 0; j < 32; j++)
        o[d] = math_fmaf(math_expf(score[j] - next),
                         b + j < first || b + j > p ? 0 : (float)s->v[(b + j) * WIDTH + kv * D + d], o[d]);
    }
    m = next;
  }
  for (size_t d = 0; d < D; d++) want[d] = (double)(o[d] / l);
  want[D] = (double)m;
  want[D + 1] = (double)l;
}

static void test_contract(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int window = 0; window <= 37; window += 37) {
      struct scene s;
      size_t n;
      if (!scene_open(&s, isa_names[isa], 2, 32, 4, window)) continue;
      scene_pass(&s, 0, PATH);
      double *got = scene_out(&s, &n), *stat = got + PATH * 4 * D, want[D + 2];
      for (size_t i = 0; i < PATH * 4; i++) {
        struct compute_mode mode = compute_mode_enter();
        contract_row(&s, i / 4, i % 4, want);
        compute_mode_leave(mode);
        CHECK_BITS(got + i * D, want, D * sizeof(double));
        CHECK_BITS(stat + 2 * i, want + D, 2 * sizeof(double));
      }
      rig_close(&s.rig);
    }
}

/* Storage block 2 is the plainest; the others give its bits, and so do all threads and instruction sets. */
static void test_path(void **state)
{
  static const int setting[][2] = {{2, 0}, {4, 0}, {6, 5}, {2, 40}, {4, 1}, {2, 1000}};
  static const int blocks[] = {2, 4, 32, 64};
  (void)state;
  for (size_t c = 0; c < sizeof setting / sizeof setting[0]; c++) {
    struct scene plain, other;
    size_t n, m;
    CHECK(scene_open(&plain, "ref", 1, 2, setting[c][0], setting[c][1]));
    scene_pass(&plain, 0, PATH);
    check_against_softmax(&plain);
    double *want = scene_out(&plain, &n);
    for (int b = 0; b < 4; b++)
      for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (!scene_open(&other, isa_names[isa], 1 + b, blocks[b], setting[c][0], setting[c][1])) continue;
        scene_pass(&other, 0, PATH);
        double *got = scene_out(&other, &m);
        CHECK_INT(m, n);
        CHECK_BITS(got, want, n);
        rig_close(&other.rig);
      }
    rig_close(&plain.rig);
  }
}

/* Prefill whole, in pieces, token by token. */
static void test_pieces(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int window = 0; window <= 37; window += 37) {
      struct scene whole, cut;
      size_t n;
      if (!scene_open(&whole, isa_names[isa], 2, 32, 4, window)) continue;
      scene_pass(&whole, 0, PATH);
      double *want = scene_out(&whole, &n);
      for (int piece = 1; piece <= 33; piece += 8) {
        CHECK(scene_open(&cut, isa_names[isa], 2, 4, 4, window));
        for (int at = 0; at < PATH; at += piece) scene_pass(&cut, at, at + piece < PATH ? piece : PATH - at);
        CHECK_BITS(scene_out(&cut, &n), want, n);
        rig_close(&cut.rig);
      }
      rig_close(&whole.rig);
    }
}

/* One key: o is v itself, m the score, l 1. */
static void test_worked(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s;
    if (!scene_open(&s, isa_names[isa], 1, 2, 2, 0)) continue;
    size_t n;
    scene_pass(&s, 0, 3);
    double *got = scene_out(&s, &n), *stat = got + PATH * 2 * D;
    CHECK_BITS(got, s.v, WIDTH * sizeof(double));
    CHECK(stat[1] == 1 && stat[3] == 1);
    rig_close(&s.rig);
  }
}

/* What is written comes back, on its layer only. */
static void test_kv_read(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s;
    if (!scene_open(&s, isa_names[isa], 2, 4, 2, 0)) continue;
    struct rows_build *b = arena_push(s.rig.arena, 1, sizeof *b, "rows", NULL);
    int32_t first[] = {3, 0, 5}, second[] = {3, 7};
    rows_begin(b);
    rows_run(b, 2, 9, first, 3);
    rows_run(b, 5, 2, second, 2);
    s.rig.ops->kv_write(s.rig.d, s.kv, 0, &b->rows, s.vk, s.vv);
    struct view k = rig_zeros(&s.rig, 11 * WIDTH), v = rig_zeros(&s.rig, 11 * WIDTH);
    s.rig.ops->kv_read(s.rig.d, s.kv, 1, &b->rows, k, v);
    for (size_t i = 0; i < 11 * WIDTH; i++) CHECK(rig_read(&s.rig, k, 11 * WIDTH)[i] == 0);
    s.rig.ops->kv_read(s.rig.d, s.kv, 0, &b->rows, k, v);
    CHECK_BITS(rig_read(&s.rig, k, 11 * WIDTH), s.k, 11 * WIDTH * sizeof(double));
    CHECK_BITS(rig_read(&s.rig, v, 11 * WIDTH), s.v, 11 * WIDTH * sizeof(double));
    rig_close(&s.rig);
  }
}

/* ---- a tree: a trunk of 37 positions, branches of 5, 30 and 1, each with a copy of the last block ---- */

enum { TRUNK = 37, BRANCHES = 3, ROWS = TRUNK + 5 + 30 + 1 };
static const int branch_count[BRANCHES] = {5, 30, 1};

struct tree {
  int32_t table[BRANCHES + 1][64];
  int entries[BRANCHES + 1], shared, used;
};

static void tree_tables(struct tree *t, int block)
{
  t->shared = TRUNK / block;
  t->used = 0;
  t->entries[BRANCHES] = (TRUNK + block - 1) / block;
  for (int i = 0; i < t->entries[BRANCHES]; i++) t->table[BRANCHES][i] = t->used++;
  for (int b = 0; b < BRANCHES; b++) {
    t->entries[b] = (TRUNK + branch_count[b] + block - 1) / block;
    for (int i = 0; i < t->entries[b]; i++) t->table[b][i] = i < t->shared ? t->table[BRANCHES][i] : t->used++;
  }
}

static void tree_copies(const struct tree *t, struct rows_build *rows, int block, int from, int to)
{
  for (int b = from; b < to && TRUNK % block; b++)
    rows_copy(rows, t->table[BRANCHES][t->shared], t->table[b][t->shared], TRUNK % block);
}

static void tree_pass(struct scene *s, struct rows_build *b, size_t at)
{
  size_t wide = (size_t)(s->shape.heads * D);
  s->rig.ops->kv_write(s->rig.d, s->kv, 0, &b->rows, view_at(s->vk, at * WIDTH), view_at(s->vv, at * WIDTH));
  s->rig.ops->attention(s->rig.d, &s->shape, s->kv, 0, &b->rows, view_at(s->vq, at * wide), view_at(s->o, at * wide),
                        view_at(s->stat, at * (size_t)s->shape.heads * 2));
}

/* how 0: all in one pass; 1: the trunk, then the branches together; 2: run by run; 3: every path whole and on its own,
 * nothing shared. */
static double *tree_run(struct scene *s, int how, size_t *n)
{
  struct rows_build *b = arena_push(s->rig.arena, 1, sizeof *b, "rows", NULL);
  struct tree t;
  tree_tables(&t, s->block);
  rows_begin(b);
  rows_run(b, 0, TRUNK, t.table[BRANCHES], t.entries[BRANCHES]);
  if (how == 0) tree_copies(&t, b, s->block, 0, BRANCHES);
  if (how > 0) tree_pass(s, b, 0);
  int at = TRUNK;
  for (int i = 0; i < BRANCHES; i++) {
    if (how >= 2 || (how == 1 && i == 0)) rows_begin(b);
    if (how == 1 && i == 0) tree_copies(&t, b, s->block, 0, BRANCHES);
    if (how == 2) tree_copies(&t, b, s->block, i, i + 1);
    if (how == 2 && b->rows.copy_count) { /* copies without rows, then rows without copies */
      s->rig.ops->kv_write(s->rig.d, s->kv, 0, &b->rows, s->vk, s->vv);
      b->rows.copy_count = 0;
    }
    if (how == 3) { /* the trunk again into blocks of its own, then the branch */
      int32_t own[64];
      for (int j = 0; j < t.entries[i]; j++) own[j] = t.used + j;
      rows_run(b, 0, TRUNK, own, t.entries[i]);
      s->rig.ops->kv_write(s->rig.d, s->kv, 0, &b->rows, s->vk, s->vv);
      rows_begin(b);
      rows_run(b, TRUNK, branch_count[i], own, t.entries[i]);
    } else
      rows_run(b, TRUNK, branch_count[i], t.table[i], t.entries[i]);
    if (how >= 2) tree_pass(s, b, (size_t)at);
    at += branch_count[i];
  }
  if (how == 0) tree_pass(s, b, 0);
  if (how == 1) tree_pass(s, b, TRUNK);
  return scene_out(s, n);
}

static void test_tree(void **state)
{
  static const int blocks[] = {2, 4, 32, 64};
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int window = 0; window <= 11; window += 11) {
      struct scene plain, other;
      size_t n;
      if (!scene_open(&plain, isa_names[isa], 1, 2, 4, window)) continue;
      double *want = tree_run(&plain, 3, &n);
      for (int b = 0; b < 4; b++)
        for (int how = 0; how < 3; how++) {
          CHECK(scene_open(&other, isa_names[isa], 3, blocks[b], 4, window));
          CHECK_BITS(tree_run(&other, how, &n), want, n);
          rig_close(&other.rig);
        }
      rig_close(&plain.rig);
    }
}

/* ---- backward: dk, dv and dq in one call have the bits of one call per run, and of any number of threads ---- */

static double *tree_backward(struct scene *s, bool at_once, size_t *n)
{
  size_t wide = (size_t)(s->shape.heads * D), slots = ROWS * WIDTH, rows = ROWS * wide;
  double *dout = rig_noise(&s->rig, 9, rows, 1), *before = rig_noise(&s->rig, 10, slots, 0.1);
  struct rows_build *b = arena_push(s->rig.arena, 1, sizeof *b, "rows", NULL);
  struct tree t;
  struct view vdout = rig_view(&s->rig, dout, rows), dq = rig_zeros(&s->rig, rows);
  struct kv_grad_view grad = {rig_view(&s->rig, before, slots), rig_view(&s->rig, before, slots)};
  tree_run(s, 0, n);
  tree_tables(&t, s->block);
  rows_begin(b);
  int at = TRUNK;
  for (int i = 0; i <= BRANCHES; i++) { /* the branches, then the trunk (post-order) */
    if (!at_once) rows_begin(b);
    size_t row = i < BRANCHES ? (size_t)at : 0;
    int count = i < BRANCHES ? branch_count[i] : TRUNK;
    rows_run(b, i < BRANCHES ? TRUNK : 0, count, t.table[i], t.entries[i]);
    rows_span(b, 0, 20, ROWS - 20);
    rows_span(b, 20, TRUNK - 20, 0);
    if (i < BRANCHES) rows_span(b, TRUNK, count, at - 20);
    if (!at_once)
      s->rig.ops->attention_backward(s->rig.d, &s->shape, s->kv, 0, &b->rows, view_at(s->vq, row * wide),
                                     view_at(s->o, row * wide), view_at(s->stat, row * (size_t)s->shape.heads * 2),
                                     view_at(vdout, row * wide), view_at(dq, row * wide), grad);
    at += i < BRANCHES ? count : 0;
  }
  if (at_once) { /* the same rows in one list: branches first, so q, o, stat and dout are laid out so */
    struct view q = rig_zeros(&s->rig, rows), o = rig_zeros(&s->rig, rows),
                stat = rig_zeros(&s->rig, ROWS * (size_t)s->shape.heads * 2), d = rig_zeros(&s->rig, rows),
                out = rig_zeros(&s->rig, rows);
    int32_t order[ROWS];
    for (int32_t i = 0; i < ROWS; i++) order[i] = i < ROWS - TRUNK ? i + TRUNK : i - (ROWS - TRUNK);
    s->rig.ops->gather(s->rig.d, ROWS, order, wide, s->vq, q);
    s->rig.ops->gather(s->rig.d, ROWS, order, wide, s->o, o);
    s->rig.ops->gather(s->rig.d, ROWS, order, (size_t)s->shape.heads * 2, s->stat, stat);
    s->rig.ops->gather(s->rig.d, ROWS, order, wide, vdout, d);
    s->rig.ops->attention_backward(s->rig.d, &s->shape, s->kv, 0, &b->rows, q, o, stat, d, out, grad);
    s->rig.ops->scatter(s->rig.d, ROWS, order, wide, out, dq);
  }
  double *all = rig_host(&s->rig, rows + 2 * slots);
  buffer_read(s->rig.d, dq, all, HOST_F64, rows);
  buffer_read(s->rig.d, grad.dk, all + rows, HOST_F64, slots);
  buffer_read(s->rig.d, grad.dv, all + rows + slots, HOST_F64, slots);
  *n = (rows + 2 * slots) * sizeof *all;
  return all;
}

static void test_backward_cut(void **state)
{
  (void)state;
  for (int window = 0; window <= 11; window += 11) {
    struct scene plain, other;
    size_t n;
    CHECK(scene_open(&plain, "ref", 1, 32, 4, window));
    double *want = tree_backward(&plain, true, &n);
    for (int isa = 0; isa < ISA_COUNT; isa++)
      for (int how = 0; how < 4; how++) {
        if (!scene_open(&other, isa_names[isa], 1 + how, how < 2 ? 2 : 64, 4, window)) continue;
        CHECK_BITS(tree_backward(&other, how % 2, &n), want, n);
        rig_close(&other.rig);
      }
    rig_close(&plain.rig);
  }
}

/* ... and dv of one position: a chain over rows, in a row over the heads of the group; dk goes the same way with dS and
 * q. */
static void test_backward_order(void **state)
{
  enum { N = 40, J = 3, HEADS = 6, GROUP = HEADS / KV_HEADS };
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct scene s;
    if (!scene_open(&s, isa_names[isa], 2, 4, HEADS, 0)) continue;
    struct rows_build *b = arena_push(s.rig.arena, 1, sizeof *b, "rows", NULL);
    int32_t table[N / 4];
    for (int32_t i = 0; i < N / 4; i++) table[i] = i;
    rows_begin(b);
    rows_run(b, 0, N, table, N / 4);
    rows_span(b, 0, N, 0);
    double *dout = rig_noise(&s.rig, 9, N * HEADS * D, 1), *dk = rig_noise(&s.rig, 10, N * WIDTH, 1),
           *dv = rig_noise(&s.rig, 11, N * WIDTH, 1);
    struct view dq = rig_zeros(&s.rig, N * HEADS * D);
    struct kv_grad_view grad = {rig_view(&s.rig, dk, N * WIDTH), rig_view(&s.rig, dv, N * WIDTH)};
    s.rig.ops->kv_write(s.rig.d, s.kv, 0, &b->rows, s.vk, s.vv);
    s.rig.ops->attention(s.rig.d, &s.shape, s.kv, 0, &b->rows, s.vq, s.o, s.stat);
    s.rig.ops->attention_backward(s.rig.d, &s.shape, s.kv, 0, &b->rows, s.vq, s.o, s.stat,
                                  rig_view(&s.rig, dout, N * HEADS * D), dq, grad);
    double *o = rig_read(&s.rig, s.o, N * HEADS * D), *stat = rig_read(&s.rig, s.stat, N * HEADS * 2);
    double *got_dk = rig_read(&s.rig, grad.dk, N * WIDTH), *got_dv = rig_read(&s.rig, grad.dv, N * WIDTH);
    struct compute_mode mode = compute_mode_enter();
    for (size_t kv = 0; kv < KV_HEADS; kv++)
      for (size_t i = J; i < N; i++)
        for (size_t head = kv * GROUP; head < (kv + 1) * GROUP; head++) {
          const double *qi = s.q + (i * HEADS + head) * D, *di = dout + (i * HEADS + head) * D,
                       *oi = o + (i * HEADS + head) * D;
          float score = 0, dp = 0, lane[16] = {0};
          for (size_t d = 0; d < D; d++) {
            score = math_fmaf((float)qi[d], (float)s.k[J * WIDTH + kv * D + d], score);
            dp = math_fmaf((float)di[d], (float)s.v[J * WIDTH + kv * D + d], dp);
            lane[d % 16] = math_fmaf((float)di[d], (float)oi[d], lane[d % 16]);
          }
          for (int step = 8; step; step /= 2)
            for (int j = 0; j < step; j++) lane[j] += lane[j + step];
          float p = math_expf(score * (float)s.shape.scale - (float)stat[(i * HEADS + head) * 2]) /
                    (float)stat[(i * HEADS + head) * 2 + 1];
          float ds = (p * (dp - lane[0])) * (float)s.shape.scale;
          for (size_t d = 0; d < D; d++) {
            size_t at = J * WIDTH + kv * D + d;
            dk[at] = (double)math_fmaf(ds, (float)qi[d], (float)dk[at]);
            dv[at] = (double)math_fmaf(p, (float)di[d], (float)dv[at]);
          }
        }
    compute_mode_leave(mode);
    CHECK_BITS(got_dk + J * WIDTH, dk + J * WIDTH, WIDTH * sizeof(double));
    CHECK_BITS(got_dv + J * WIDTH, dv + J * WIDTH, WIDTH * sizeof(double));
    rig_close(&s.rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_path),     cmocka_unit_test(test_pieces),
                                     cmocka_unit_test(test_worked),   cmocka_unit_test(test_kv_read),
                                     cmocka_unit_test(test_tree),     cmocka_unit_test(test_backward_cut),
                                     cmocka_unit_test(test_contract), cmocka_unit_test(test_backward_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
