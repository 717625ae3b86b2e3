/* cuda/gemm_hopper: the matrix products of compute type bf16 by Hopper's warpgroups (wgmma), out of shared memory that the
 * copy engine fills. Where a device uses them it uses them for all products in bf16 (device.cu): its log-probabilities
 * are of one order.
 *
 * ORDER. An output is one chain of steps of 16 terms, from the first term on, by one accumulator that starts from +0 or
 * from the number that stands there; no split of the terms, no atomics. What rows, tiles and the choice of a kernel do is
 * to say which accumulators are there, so they move no bit if a step adds alike at every place of its tile and for every
 * width of it. That is asked of a GPU when it is opened (products_right); none has answered.
 *
 * OPERANDS stand in cores (cuda.h). Activations are packed first, f32 to bf16, `tall` rows a panel, so that a tile of them
 * is one piece or two for the copy engine. A weight's copy is read as it is: rows of terms by y = x W^T, terms of rows by
 * dx = dy W; dW = dy^T x reads both packed operands as terms of rows. A weight's panel has its rows 0-7 and 8-15 beside
 * each other, so a tile's columns are two halves that go on in steps of 16: those rows of all its panels.
 *
 * A TEAM stays and takes tile after tile. Its last warp fills stages of 64 terms; one or two warpgroups, 64 rows each,
 * multiply them, one's products under way while the other gives out the next; a stage is free again when all warps have
 * come past it. Tiles go down 16 rows of tiles before they go on, so that teams at work share operands in the L2 cache.
 *
 * FLOORS of one H200, 132 processors at 1.83 GHz: a processor makes 4096 flop in a clock and its L2 gives it 64 bytes. A
 * stage of 128 x 256 outputs takes 1024 clocks of tensor cores, 768 of copies; 128 x 128: 512 and 512; 128 x 64: 256 and
 * 384; 64 x 64: 128 and 256; 64 x 16: 32 and 160. Shared memory gives 128 bytes in a clock: two halves of 128 columns
 * read 96, of 64: 128, of 32: 192, so the narrow ones are bound by it (the clocks in `choices`). Decoding reads each
 * weight once: bytes / 4.3 TB/s; teams of 16 columns are for matrices that would leave processors idle. Packing moves 6
 * bytes a number: 16384 x 4864 in 0.11 ms, beside a product with 896 columns of 0.22 ms; what two products in a row share
 * is packed once, and up to 8 rows are packed by the product itself.
 */
#include "compute/cuda/blocks.h"
#include "compute/cuda/hopper.h"
#include "compute/cuda/queue.h"

enum form { FORWARD, DX, DW, FEW /* forward, the rows in shared memory from the first term to the last */ };

enum {
  DEEP = 64,                           /* terms of a stage */
  LEFT_BYTES = WIDE_ROWS * DEEP * 2,   /* of a stage, for a warpgroup */
  PANEL_BYTES = PANEL * DEEP * 2,      /* the right operand's, for 16 columns */
  CORE_BYTES = CORE * CORE * 2,
  ROW_BYTES = CORE * 2,                /* of a row of a core */
  BOTH_BYTES = PANEL * ROW_BYTES,      /* of the two cores beside each other in a weight's panel */
  STAGES_MOST = 24,
  FRONT = 512,                         /* bytes of phases in front of the stages */
  FEW_MOST = 8192,                     /* terms of rows that stay in shared memory, 8 at most */
  BAND = 16,                           /* rows of tiles that are gone down together */
  PANELS_MOST = 16                     /* of 16 columns, of a tile */
};

struct wide {
  const char *left, *right; /* cores */
  const real *bias;         /* [columns] or NULL */
  real *out;
  const real *x;                  /* instead of left: [rows, inner] */
  size_t inner;
  size_t rows, columns, terms;    /* terms: a multiple of 16 */
  size_t left_cores, right_cores; /* of a panel, along its rows */
  size_t left_first;              /* the core that the terms begin with */
  size_t right_panels;            /* of a weight */
  size_t tall;                    /* rows of left's panels */
  size_t out_row;                 /* reals from row to row of out */
  size_t down, across;            /* tiles */
  int stages;
  bool accumulate; /* a dx on top of what stands there, as a dW always is */
  bool pairs;      /* two neighbours of out may be written at once */
};

struct tile {
  size_t row, column; /* counted in tiles */
};

HERE struct tile tile_of(const struct wide *a, size_t i)
{
  const size_t first = i / (BAND * a->across) * BAND, tall = size_min(BAND, a->down - first), at = i - first * a->across;
  const struct tile t = {first + at % tall, at / tall};
  return t;
}

/* ---- copies ---- */

/* Bytes of a stage that stand in one piece in memory, and where they go. */
struct piece {
  const char *from;
  size_t to, bytes;
};

EVERYWHERE bool is_forward(const int form) { return form == FORWARD || form == FEW; }

/* i: of `high` panels; in a dW of one. */
HERE struct piece left_piece(const struct wide *a, const int form, const int high, struct tile t, size_t begin, int i)
{
  struct piece p = {a->left, (size_t)i * LEFT_BYTES, 0};
  if (form == DW) {
    const size_t core = t.row * (size_t)high * (WIDE_ROWS / CORE);
    p.from += (begin / WIDE_ROWS * a->left_cores + core) * (WIDE_ROWS * ROW_BYTES);
    p.bytes = size_min((size_t)high * (WIDE_ROWS / CORE), a->left_cores - core) * (WIDE_ROWS * ROW_BYTES);
    return p;
  }
  const size_t panel = t.row * (size_t)high + (size_t)i;
  p.from += (panel * a->left_cores + a->left_first + begin / CORE) * a->tall * ROW_BYTES;
  if (panel * a->tall < a->rows) p.bytes = size_min(DEEP, a->terms - begin) / CORE * a->tall * ROW_BYTES;
  return p;
}

/* i: of `panels` panels of columns; in a dx of four panels of terms; in a dW of one. */
HERE struct piece right_piece(const struct wide *a, const int form, const int panels, struct tile t, size_t begin, int i)
{
  const size_t core = t.column * (size_t)panels * 2, cores = size_min((size_t)panels * 2, a->right_cores - core);
  struct piece p = {a->right, (size_t)i * PANEL_BYTES, 0};
  if (is_forward(form)) {
    const size_t panel = t.column * (size_t)panels + (size_t)i;
    p.from += (panel * a->right_cores + begin / CORE) * BOTH_BYTES;
    if (panel < a->right_panels) p.bytes = size_min(DEEP, a->terms - begin) / CORE * BOTH_BYTES;
  } else if (form == DX) {
    const size_t panel = begin / PANEL + (size_t)i;
    p.to = (size_t)(i * panels) * (2 * BOTH_BYTES);
    p.from += (panel * a->right_cores + core) * BOTH_BYTES;
    if (panel < a->right_panels) p.bytes = cores * BOTH_BYTES;
  } else {
    p.from += (begin / WIDE_ROWS * a->right_cores + core) * (WIDE_ROWS * ROW_BYTES);
    p.bytes = cores * (WIDE_ROWS * ROW_BYTES);
  }
  return p;
}

EVERYWHERE int left_pieces(const int form, const int high) { return form == FEW ? 0 : form == DW ? 1 : high; }
EVERYWHERE int right_pieces(const int form, const int panels)
{
  return is_forward(form) ? panels : form == DX ? (int)DEEP / (int)PANEL : 1;
}
EVERYWHERE size_t left_bytes(const int form, const int high) { return form == FEW ? 0 : (size_t)high * LEFT_BYTES; }
EVERYWHERE size_t stage_bytes(const int form, const int high, const int panels)
{
  return left_bytes(form, high) + (size_t)panels * PANEL_BYTES;
}
/* Of rows that stay. */
EVERYWHERE size_t few_bytes(const int form, size_t cores) { return form == FEW ? cores * CORE_BYTES : 0; }

/* Which stage is next, and the parity of its phase. */
struct turn {
  int stage;
  uint32_t parity;
};
HERE void turn_next(const struct wide *a, struct turn *turn)
{
  if (++turn->stage < a->stages) return;
  turn->stage = 0;
  turn->parity ^= 1;
}

/* The last warp: a lane a piece. */
HERE void stages_fill(const struct wide *a, const int form, const int high, const int panels, unsigned char *room)
{
  const int lane = thread_here() % WARP, left = left_pieces(form, high);
  unsigned char *stages = room + FRONT + few_bytes(form, a->left_cores);
  uint64_t *full = (uint64_t *)room, *empty = full + STAGES_MOST;
  struct turn turn = {0, 1};
  if (lane >= left + right_pieces(form, panels)) return;
  for (size_t i = block_x(); i < a->down * a->across; i += blocks_x()) {
    const struct tile t = tile_of(a, i);
    for (size_t begin = 0; begin < a->terms; begin += DEEP, turn_next(a, &turn)) {
      struct piece p;
      if (lane < left) {
        p = left_piece(a, form, high, t, begin, lane);
      } else {
        p = right_piece(a, form, panels, t, begin, lane - left);
        p.to += left_bytes(form, high);
      }
      phase_wait(empty + turn.stage, turn.parity);
      phase_expect(full + turn.stage, (uint32_t)p.bytes);
      if (p.bytes)
        bulk_copy(stages + (size_t)turn.stage * stage_bytes(form, high, panels) + p.to, p.from, (uint32_t)p.bytes,
                  full + turn.stage);
    }
  }
}

/* ---- products ---- */

/* Column of the tile that group j of a half begins with. */
HERE size_t group_column(const int form, const int panels, int half, int j)
{
  return (size_t)(is_forward(form) ? j * PANEL + half * CORE : (half * panels + j) * CORE);
}

/* How many groups of a half somebody wants, where `columns` are left from the tile's first on. */
HERE int groups_live(const int form, const int panels, int half, size_t columns)
{
  int n = 0;
  while (n < panels && group_column(form, panels, half, n) < columns) n++;
  return n;
}

/* The operands of a stage for this warpgroup: of its first step and of the first half of the columns. */
HERE struct wide_pair stage_operands(const struct wide *a, const int form, const int panels, uint32_t left, uint32_t right)
{
  const uint32_t tall = (uint32_t)(form == DW ? WIDE_ROWS : a->tall) * ROW_BYTES, wide = (uint32_t)panels;
  struct wide_pair at;
  at.left = form == DW ? wide_matrix(left, CORE_BYTES, tall) : wide_matrix(left, tall, CORE_BYTES);
  at.left_step = wide_step(form == DW ? PANEL * ROW_BYTES : 2 * tall);
  at.right = is_forward(form) ? wide_matrix(right, BOTH_BYTES, PANEL_BYTES)
             : form == DX     ? wide_matrix(right, CORE_BYTES, BOTH_BYTES)
                              : wide_matrix(right, CORE_BYTES, WIDE_ROWS * ROW_BYTES);
  at.right_step = wide_step(is_forward(form) ? 2 * BOTH_BYTES : form == DX ? wide * 2 * BOTH_BYTES : PANEL * ROW_BYTES);
  return at;
}

/* One block of a stage, of one step or of two, for both halves. */
HERE void block_multiply(const int form, const int panels, struct wide_pair at, const int block, const int steps,
                         const struct live live[2], real sum[2][PANELS_MOST][4])
{
  const uint32_t wide = (uint32_t)panels, half_by = is_forward(form) ? CORE_BYTES
                                                    : form == DX     ? wide * BOTH_BYTES
                                                                     : wide * WIDE_ROWS * ROW_BYTES;
  at.left += (uint64_t)block * 2 * at.left_step;
  at.right += (uint64_t)block * 2 * at.right_step;
  wide_block(panels, form == DW, !is_forward(form), sum[0], at, steps, live[0]);
  at.right += wide_step(half_by);
  wide_block(panels, form == DW, !is_forward(form), sum[1], at, steps, live[1]);
}

/* A stage that is not full: `terms` of it, nothing else under way. */
HERE void tail_multiply(const int form, const int panels, struct wide_pair at, size_t terms, const struct live live[2],
                        real sum[2][PANELS_MOST][4])
{
  UNROLL
  for (int block = 0; block < DEEP / TERM_BLOCK; block++, terms -= size_min(terms, TERM_BLOCK)) {
    if (terms > TERM_BLOCK / 2) {
      wide_begin();
      block_multiply(form, panels, at, block, 2, live, sum);
      wide_commit();
      wide_wait();
    } else if (terms) {
      wide_begin();
      block_multiply(form, panels, at, block, 1, live, sum);
      wide_commit();
      wide_wait();
    }
  }
}

/* ---- outputs ---- */

/* Of a thread: its first one in the tile, and how many rows and columns there are from it on. Of each group it has the
   columns c and c + 1, c = group_column, of that row and of the one 8 below: places that are known before the kernel
   runs, but for `down`. */
struct place {
  real *at;
  const real *bias; /* of its first column, or NULL */
  size_t down;      /* reals to the row 8 below */
  int rows, columns;
};

HERE struct place place_of(const struct wide *a, const int form, size_t row, size_t column)
{
  struct place p;
  p.at = a->out + (form == DW ? panel_here(a->columns, row, column) : row * a->out_row + column);
  p.bias = a->bias ? a->bias + column : NULL;
  p.down = form == DW ? 8 : 8 * a->out_row;
  p.rows = row < a->rows ? (int)size_min(WIDE_ROWS, a->rows - row) : 0;
  p.columns = column < a->columns ? (int)size_min((size_t)PANELS_MOST * PANEL, a->columns - column) : 0;
  return p;
}

/* Reals from column to column: a gradient is in panels. */
EVERYWHERE int column_step(const int form) { return form == DW ? (int)PANEL : 1; }

HERE void sums_begin(const struct wide *a, const int form, const int panels, struct place p,
                     real sum[2][PANELS_MOST][4])
{
  const bool accumulate = form == DW || (form == DX && a->accumulate);
  UNROLL
  for (int half = 0; half < 2; half++)
    UNROLL
    for (int j = 0; j < panels; j++)
      UNROLL
      for (int c = 0; c < 4; c++) {
        const int column = (int)group_column(form, panels, half, j) + c % 2;
        const bool there = accumulate && c / 2 * 8 < p.rows && column < p.columns;
        sum[half][j][c] = there ? p.at[(size_t)(c / 2) * p.down + (size_t)(column * column_step(form))] : 0;
      }
}

HERE void sums_bias(const int form, const int panels, struct place p, real sum[2][PANELS_MOST][4])
{
  UNROLL
  for (int half = 0; half < 2; half++)
    UNROLL
    for (int j = 0; j < panels; j++)
      UNROLL
      for (int c = 0; c < 4; c++) {
        const int column = (int)group_column(form, panels, half, j) + c % 2;
        if (column < p.columns) sum[half][j][c] = sum[half][j][c] + p.bias[column];
      }
}

struct pair {
  real one, two;
} __attribute__((aligned(8)));

/* pairs: two neighbours at once. */
HERE void sums_store(const int form, const int panels, const bool pairs, struct place p,
                     real sum[2][PANELS_MOST][4])
{
  UNROLL
  for (int half = 0; half < 2; half++)
    UNROLL
    for (int j = 0; j < panels; j++)
      UNROLL
      for (int c = 0; c < 4; c += 2) {
        const int column = (int)group_column(form, panels, half, j);
        real *to = p.at + (size_t)(c / 2) * p.down + (size_t)(column * column_step(form));
        if (c / 2 * 8 >= p.rows || column >= p.columns) continue;
        if (pairs && column + 1 < p.columns) {
          const struct pair both = {sum[half][j][c], sum[half][j][c + 1]};
          *(struct pair *)to = both;
        } else {
          *to = sum[half][j][c];
          if (column + 1 < p.columns) to[column_step(form)] = sum[half][j][c + 1];
        }
      }
}

HERE void sums_end(const struct wide *a, const int form, const int panels, struct place p, real sum[2][PANELS_MOST][4])
{
  if (is_forward(form) && p.bias) sums_bias(form, panels, p, sum);
  if (form != DW && a->pairs)
    sums_store(form, panels, true, p, sum);
  else
    sums_store(form, panels, false, p, sum);
}

/* ---- a warpgroup ---- */

/* The rows that stay, by a warpgroup, from f32: rows of cores of 8 rows, of which those that are there. */
HERE void few_fill(const struct wide *a, unsigned char *to, uint64_t *ready)
{
  for (size_t i = (size_t)thread_here(); i < a->rows * a->left_cores; i += WARPGROUP) {
    const size_t row = i / a->left_cores, core = i % a->left_cores, k = core * CORE;
    real x[CORE];
    UNROLL
    for (size_t j = 0; j < CORE; j++) x[j] = k + j < a->inner ? a->x[row * a->inner + k + j] : 0;
    core_put((uint32_t *)(void *)to, (core * CORE + row) * CORE, x);
  }
  room_written();
  phase_arrive(ready);
  phase_wait(ready, 0);
}

/* What a warpgroup is in the middle of. */
struct work {
  const struct wide *a;
  uint64_t *full, *empty;
  uint32_t stages, few; /* where they stand in shared memory; few: the rows that stay */
  struct turn turn;
};

/* Where the terms from `begin` on stand, when they are there. */
HERE struct wide_pair stage_wait(const struct work *w, const int form, const int high, const int panels, size_t begin)
{
  const uint32_t stage = w->stages + (uint32_t)w->turn.stage * (uint32_t)stage_bytes(form, high, panels),
                 group = (uint32_t)(thread_here() / WARPGROUP),
                 left = form == FEW ? w->few + (uint32_t)(begin / CORE * CORE_BYTES) : stage + group * LEFT_BYTES;
  phase_wait(w->full + w->turn.stage, w->turn.parity);
  return stage_operands(w->a, form, panels, left, stage + (uint32_t)left_bytes(form, high));
}

/* All terms, stage by stage. While one warpgroup waits for its products the other's are under way. */
HERE void terms_multiply(struct work *w, const int form, const int high, const int panels, const struct live live[2],
                         real sum[2][PANELS_MOST][4])
{
  const size_t terms = w->a->terms;
  for (size_t begin = 0; begin < terms; begin += DEEP) {
    const struct wide_pair at = stage_wait(w, form, high, panels, begin);
    if (begin + DEEP <= terms) {
      wide_begin();
      block_multiply(form, panels, at, 0, 2, live, sum);
      block_multiply(form, panels, at, 1, 2, live, sum);
      wide_commit();
      wide_wait();
    } else {
      tail_multiply(form, panels, at, terms - begin, live, sum);
    }
    if (thread_here() % WARP == 0) phase_arrive(w->empty + w->turn.stage);
    turn_next(w->a, &w->turn);
  }
}

/* A warpgroup: its 64 rows of tile after tile. */
HERE void tiles_multiply(const struct wide *a, const int form, const int high, const int panels, unsigned char *room)
{
  const int group = thread_here() / WARPGROUP, lane = thread_here() % WARP;
  uint64_t *full = (uint64_t *)room, *empty = full + STAGES_MOST;
  struct work w = {a, full, empty, shared_at(room) + FRONT + (uint32_t)few_bytes(form, a->left_cores),
                   shared_at(room) + FRONT, {0, 0}};
  real sum[2][PANELS_MOST][4];
  if (form == FEW) few_fill(a, room + FRONT, empty + STAGES_MOST);
  for (size_t i = block_x(); i < a->down * a->across; i += blocks_x()) {
    const struct tile t = tile_of(a, i);
    const size_t rows = (t.row * (size_t)high + (size_t)group) * WIDE_ROWS, columns = t.column * (size_t)panels * PANEL;
    const size_t row = rows + (size_t)(thread_here() % WARPGROUP / WARP * 16 + lane / 4),
                 column = columns + (size_t)(lane % 4 * 2);
    struct live live[2];
    UNROLL
    for (int half = 0; half < 2; half++) {
      live[half].rows = a->rows > rows ? (int)size_min(WIDE_ROWS, a->rows - rows) : 0;
      live[half].groups = groups_live(form, panels, half, a->columns - columns);
    }
    const struct place p = place_of(a, form, row, column);
    sums_begin(a, form, panels, p, sum);
    terms_multiply(&w, form, high, panels, live, sum);
    sums_end(a, form, panels, p, sum);
  }
}

HERE void wide_run(const struct wide *a, const int form, const int high, const int panels)
{
  unsigned char *room = shared_room();
  uint64_t *full = (uint64_t *)room, *empty = full + STAGES_MOST;
  if (thread_here() < a->stages) {
    phase_init(full + thread_here(), left_pieces(form, high) + right_pieces(form, panels));
    phase_init(empty + thread_here(), high * (WARPGROUP / WARP));
  }
  if (form == FEW && !thread_here()) phase_init(empty + STAGES_MOST, WARPGROUP);
  phases_ready();
  team_wait();
  if (thread_here() < high * WARPGROUP) {
    if (high > 1) registers_multiply();
    tiles_multiply(a, form, high, panels, room);
  } else {
    if (high > 1) registers_copy();
    if (thread_here() < high * WARPGROUP + WARP) stages_fill(a, form, high, panels, room);
  }
}

/* Threads of a team. Beside two warpgroups the warp for copies is one of a third, which gives them its registers. */
#define WIDE_TEAM(high) ((high) > 1 ? 3 * WARPGROUP : (int)WARPGROUP + (int)WARP)
#define WIDE_BOUNDS_1    KERNEL_TEAM
#define WIDE_BOUNDS_2    KERNEL_ALONE
#define WIDE_BOUNDS(high) WIDE_BOUNDS_##high

/* clang-format off */
#define WIDE_KERNEL(name, form, high, panels)                     \
  WIDE_BOUNDS(high)(name, struct wide, WIDE_TEAM(high))           \
  {                                                               \
    if (HOPPER_HERE) wide_run(&a, form, high, panels);            \
  }
WIDE_KERNEL(wide_forward_256, FORWARD, 2, 16)
WIDE_KERNEL(wide_forward_128, FORWARD, 2, 8)
WIDE_KERNEL(wide_forward_64, FORWARD, 2, 4)
WIDE_KERNEL(wide_half_64, FORWARD, 1, 4)
WIDE_KERNEL(wide_half_16, FORWARD, 1, 1)
WIDE_KERNEL(wide_few_64, FEW, 1, 4)
WIDE_KERNEL(wide_few_16, FEW, 1, 1)
WIDE_KERNEL(wide_dx_256, DX, 2, 16)
WIDE_KERNEL(wide_dx_128, DX, 2, 8)
WIDE_KERNEL(wide_dx_64, DX, 2, 4)
WIDE_KERNEL(wide_dw_256, DW, 2, 16)
WIDE_KERNEL(wide_dw_128, DW, 2, 8)
WIDE_KERNEL(wide_dw_64, DW, 2, 4)
/* clang-format on */

/* ---- packing ---- */

struct pack {
  const real *from;
  uint32_t *to;
  size_t rows, columns, row; /* row: reals from row to row */
  size_t tall, count;        /* count: rows of cores, padding included */
  bool fours;                /* four neighbours may be read at once */
};

struct four {
  real x[4];
} __attribute__((aligned(16)));

/* A thread eight numbers of one row. */
KERNEL(pack_cores, struct pack)
{
  const size_t i = index_here(), cores = block_round(a.columns) / CORE, row = i / (cores * a.tall) * a.tall + i % a.tall,
               k = i / a.tall % cores * CORE;
  if (i >= a.count) return;
  const real *from = a.from + row * a.row + k;
  real x[CORE];
  if (a.fours && row < a.rows && k + CORE <= a.columns) {
    const struct four low = *(const struct four *)from, high = *(const struct four *)(from + 4);
    UNROLL
    for (int j = 0; j < 4; j++) {
      x[j] = low.x[j];
      x[4 + j] = high.x[j];
    }
  } else {
    UNROLL
    for (size_t j = 0; j < CORE; j++) x[j] = row < a.rows && k + j < a.columns ? from[j] : 0;
  }
  core_put(a.to, i * CORE, x);
}

static size_t pack_bytes(size_t rows, size_t columns, size_t tall)
{
  return (rows + tall - 1) / tall * tall * block_round(columns) * 2;
}

static void pack(struct device *d, const struct packed *p)
{
  struct pack a = {p->from,
                   (uint32_t *)(void *)p->room,
                   p->rows,
                   p->columns,
                   p->columns,
                   p->tall,
                   pack_bytes(p->rows, p->columns, p->tall) / ROW_BYTES,
                   p->columns % 4 == 0 && (uintptr_t)p->from % sizeof(struct four) == 0};
  LAUNCH(d, pack_cores, blocks_for(a.count), 1, TEAM, a);
}

/* The products of one layer share operands: x is that of q, k and v, dy that of dx and dW. What was packed for the last
   product is still what would be packed if nothing was launched, and no list ended (which all copies to the device do
   first), since. */
static bool packed_there(struct device *d)
{
  struct cuda_device *c = cuda_of(d);
  pthread_mutex_lock(&c->queue.lock);
  const bool there =
      c->packed_launches == c->queue.counts.launches && c->packed_lists == c->queue.counts.lists && c->queue.count;
  pthread_mutex_unlock(&c->queue.lock);
  return there;
}

/* Behind the last launch of the product. */
static void packed_keep(struct device *d, const struct packed *p, int count)
{
  struct cuda_device *c = cuda_of(d);
  pthread_mutex_lock(&c->queue.lock);
  for (int i = 0; i < 2; i++) c->packed[i] = p[i < count ? i : 0];
  c->packed_launches = c->queue.counts.launches;
  c->packed_lists = c->queue.counts.lists;
  pthread_mutex_unlock(&c->queue.lock);
}

static char *packed_find(const struct cuda_device *c, const struct packed *p)
{
  for (int i = 0; i < 2; i++) {
    const struct packed *q = c->packed + i;
    if (q->from == p->from && q->rows == p->rows && q->columns == p->columns && q->tall == p->tall) return q->room;
  }
  return NULL;
}

static bool apart(const struct packed *p, const char *room, size_t bytes)
{
  return !p->room || p->room >= room + bytes || p->room + pack_bytes(p->rows, p->columns, p->tall) <= room;
}

/* Packs what is not there, and gives `beside` bytes more; false where the device has failed. */
static bool operands_pack(struct device *d, struct packed *p, int count, size_t beside, char **other)
{
  bool there = packed_there(d), missing[2];
  for (int again = 0; again < 2; again++, there = false) {
    size_t bytes = beside;
    for (int i = 0; i < count; i++) {
      p[i].room = there ? packed_find(cuda_of(d), p + i) : NULL;
      missing[i] = !p[i].room;
      if (missing[i]) bytes += pack_bytes(p[i].rows, p[i].columns, p[i].tall);
    }
    char *room = bytes ? (char *)CUDA_NAME(cuda_room)(d, bytes) : NULL;
    if (bytes && !room) return false;
    bool kept = true;
    for (int i = 0; bytes && i < count; i++) kept = kept && apart(p + i, room, bytes);
    if (!kept) continue; /* the ring has turned: all anew */
    *other = room;
    room += beside;
    for (int i = 0; i < count; i++) {
      if (!missing[i]) continue;
      p[i].room = room;
      room += pack_bytes(p[i].rows, p[i].columns, p[i].tall);
      pack(d, p + i);
    }
    return true;
  }
  return false;
}

/* ---- which kernel ---- */

struct choice {
  kernel_entry entry;
  const char *name;
  int form, high, panels, stages;
  size_t clocks; /* of a stage, see FLOORS */
};

enum { CHOICES = 7, CHOICES_BACK = 3 };
#define CHOICE(name, ...) {ENTRY(name), #name, __VA_ARGS__}

/* Those of FEW come last. */
static struct choice choice_of(int form, int i)
{
  const struct choice forward[CHOICES] = {
      CHOICE(wide_forward_256, FORWARD, 2, 16, 4, 1024), CHOICE(wide_forward_128, FORWARD, 2, 8, 6, 560),
      CHOICE(wide_forward_64, FORWARD, 2, 4, 8, 400),    CHOICE(wide_half_64, FORWARD, 1, 4, 6, 260),
      CHOICE(wide_half_16, FORWARD, 1, 1, 10, 170),      CHOICE(wide_few_64, FEW, 1, 4, 8, 230),
      CHOICE(wide_few_16, FEW, 1, 1, 24, 80)};
  const struct choice dx[CHOICES_BACK] = {CHOICE(wide_dx_256, DX, 2, 16, 4, 1024), CHOICE(wide_dx_128, DX, 2, 8, 6, 560),
                                          CHOICE(wide_dx_64, DX, 2, 4, 8, 400)};
  const struct choice dw[CHOICES_BACK] = {CHOICE(wide_dw_256, DW, 2, 16, 4, 1024), CHOICE(wide_dw_128, DW, 2, 8, 6, 560),
                                          CHOICE(wide_dw_64, DW, 2, 4, 8, 400)};
  return form == FORWARD ? forward[i] : form == DX ? dx[i] : dw[i];
}

int CUDA_NAME(wide_choices)(int form)
{
  return form == FORWARD ? CHOICES : CHOICES_BACK;
}

static size_t tiles_for(size_t n, int each, int unit) { return (n + (size_t)(each * unit) - 1) / (size_t)(each * unit); }

/* May the rows stay in shared memory? Then they need no packing. */
static bool few_rows(const struct cuda_device *c, size_t rows, size_t inner)
{
  return rows <= CORE && block_round(inner) <= FEW_MOST && (!c->wide_choice || c->wide_choice > CHOICES - 2);
}

/* The one whose tiles, a round of all processors at a time, take least. No bit depends on it. */
static struct choice choose(const struct cuda_device *c, int form, const struct wide *a)
{
  const int all = CUDA_NAME(wide_choices)(form), first = a->x ? CHOICES - 2 : 0, end = form == FORWARD && !a->x ? all - 2 : all;
  const int named = c->wide_choice - 1;
  if (named >= first && named < end) return choice_of(form, named);
  struct choice best = choice_of(form, first);
  size_t least = SIZE_MAX;
  for (int i = first; i < end; i++) {
    const struct choice one = choice_of(form, i);
    const size_t tiles = tiles_for(a->rows, one.high, WIDE_ROWS) * tiles_for(a->columns, one.panels, PANEL),
                 clocks = (tiles + (size_t)c->processors - 1) / (size_t)c->processors * one.clocks;
    if (clocks >= least) continue;
    least = clocks;
    best = one;
  }
  return best;
}

static void wide_launch(struct device *d, int form, struct wide a)
{
  enum { TWO_TEAMS = 112 << 10 /* bytes of each that a processor holds */ };
  const struct cuda_device *c = cuda_of(d);
  const struct choice one = choose(c, form, &a);
  const size_t room = FRONT + few_bytes(one.form, a.left_cores) +
                      (size_t)one.stages * stage_bytes(one.form, one.high, one.panels);
  a.down = tiles_for(a.rows, one.high, WIDE_ROWS);
  a.across = tiles_for(a.columns, one.panels, PANEL);
  a.stages = one.stages;
  a.pairs = a.out_row % 2 == 0 && (uintptr_t)a.out % sizeof(struct pair) == 0;
  CUDA_NAME(queue_launch)
  (d, one.entry, one.name, size_min(a.down * a.across, (size_t)c->processors * (room <= TWO_TEAMS ? 2 : 1)), 1,
   WIDE_TEAM(one.high), true, room, &a, sizeof a);
}

/* ---- the operations ---- */

#ifdef __CUDACC__
enum { PACK_MOST = WIDE_ROOM - (16 << 20) /* a slice of a matrix in blocks stands beside */ };
#else
enum { PACK_MOST = 64 << 10 }; /* tests see several slices of few rows */
#endif
enum { ROWS_STEP = 2 * WIDE_ROWS };

/* Rows that are packed at a time, `bytes` each. */
static size_t rows_each(size_t rows, size_t bytes)
{
  const size_t fit = PACK_MOST / bytes / ROWS_STEP * ROWS_STEP;
  return size_min(rows, fit > ROWS_STEP ? fit : (size_t)ROWS_STEP);
}

/* Slices of a matrix in blocks: the outputs of each, made in `room`. */
static void forward_blocks(struct device *d, const struct weight *w, struct wide a, char *room)
{
  real *const out = a.out;
  const real *const bias = a.bias;
  for (size_t first = 0; first < w->n; first += a.columns) {
    a.columns = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    const struct weight slice = CUDA_NAME(blocks_slice)(d, w, first, a.columns, room);
    a.right = (const char *)slice.copy;
    a.right_panels = slice.padded / PANEL;
    a.out = out + first;
    a.bias = bias ? bias + first : NULL;
    wide_launch(d, FORWARD, a);
  }
}

void CUDA_NAME(wide_gemm)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                          struct view y)
{
  const size_t cores = block_round(w->k) / CORE, rows = (size_t)m, each = rows_each(rows, cores * ROW_BYTES),
               tall = each < WIDE_ROWS ? (each + CORE - 1) / CORE * CORE : (size_t)WIDE_ROWS;
  const bool few = few_rows(cuda_of(d), rows, w->k);
  char *slices = NULL;
  for (size_t first = 0; first < rows; first += each) {
    struct packed left = {view_reals(x) + first * w->k, size_min(each, rows - first), w->k, tall, NULL};
    if (!operands_pack(d, &left, few ? 0 : 1, w->quant ? CUDA_NAME(blocks_slice_bytes)(w) : 0, &slices)) return;
    struct wide a;
    memset(&a, 0, sizeof a);
    a.left = left.room;
    a.right = (const char *)w->copy;
    a.bias = b ? weight_reals(b, WEIGHT_MASTER) : NULL;
    a.out = view_reals(y) + first * w->n;
    a.x = few ? view_reals(x) : NULL;
    a.inner = w->k;
    a.rows = left.rows;
    a.columns = a.out_row = w->n;
    a.terms = cores * CORE;
    a.left_cores = a.right_cores = cores;
    a.right_panels = w->padded / PANEL;
    a.tall = tall;
    if (w->quant)
      forward_blocks(d, w, a, slices);
    else
      wide_launch(d, FORWARD, a);
    if (!few) packed_keep(d, &left, 1);
  }
}

/* The chain goes on from slice to slice, which are whole blocks of terms. */
static void dx_blocks(struct device *d, const struct weight *w, struct wide a, char *room)
{
  for (size_t first = 0, count; first < w->n; first += count) {
    count = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    const struct weight slice = CUDA_NAME(blocks_slice)(d, w, first, count, room);
    a.right = (const char *)slice.copy;
    a.right_panels = slice.padded / PANEL;
    a.left_first = first / CORE;
    a.terms = slice.padded;
    wide_launch(d, DX, a);
    a.accumulate = true;
  }
}

void CUDA_NAME(wide_gemm_dx)(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                             bool accumulate)
{
  const size_t cores = block_round(w->n) / CORE, rows = (size_t)m, each = rows_each(rows, cores * ROW_BYTES);
  char *slices = NULL;
  for (size_t first = 0; first < rows; first += each) {
    struct packed left = {view_reals(dy) + first * w->n, size_min(each, rows - first), w->n, WIDE_ROWS, NULL};
    if (!operands_pack(d, &left, 1, w->quant ? CUDA_NAME(blocks_slice_bytes)(w) : 0, &slices)) return;
    struct wide a;
    memset(&a, 0, sizeof a);
    a.left = left.room;
    a.right = (const char *)w->copy;
    a.out = view_reals(dx) + first * w->k;
    a.rows = left.rows;
    a.columns = a.out_row = w->k;
    a.terms = w->padded;
    a.left_cores = cores;
    a.right_cores = block_round(w->k) / CORE;
    a.right_panels = w->padded / PANEL;
    a.tall = WIDE_ROWS;
    a.accumulate = accumulate;
    if (w->quant)
      dx_blocks(d, w, a, slices);
    else
      wide_launch(d, DX, a);
    packed_keep(d, &left, 1);
  }
}

/* Rows are terms: slices of them are whole stages, and the chain goes on. */
void CUDA_NAME(wide_gemm_dw)(struct device *d, struct weight *w, int32_t m, struct view dy, struct view x)
{
  const size_t left = block_round(w->n) / CORE, right = block_round(w->k) / CORE, rows = (size_t)m,
               each = rows_each(rows, (left + right) * ROW_BYTES);
  char *none = NULL;
  for (size_t first = 0; first < rows; first += each) {
    const size_t count = size_min(each, rows - first);
    struct packed both[2] = {{view_reals(dy) + first * w->n, count, w->n, WIDE_ROWS, NULL},
                             {view_reals(x) + first * w->k, count, w->k, WIDE_ROWS, NULL}};
    if (!operands_pack(d, both, 2, 0, &none)) return;
    struct wide a;
    memset(&a, 0, sizeof a);
    a.left = both[0].room;
    a.right = both[1].room;
    a.out = weight_reals(w, WEIGHT_GRAD);
    a.rows = w->n;
    a.columns = w->k;
    a.terms = block_round(count);
    a.left_cores = left;
    a.right_cores = right;
    a.tall = WIDE_ROWS;
    wide_launch(d, DW, a);
    packed_keep(d, both, 2);
  }
}
