/* rows_build: from token trees to struct rows, for tests of the decoder: storage tables with copied partial blocks,
 * spans and slots, rows and pairs of the head.
 *
 * A forest has branches (segments). Every token of it has a number, which is also its gradient slot, and by which its
 * log-probability and coefficient go. Storage is never given back, so a branch may be forwarded again at any time. A
 * pass is a list of pieces of branches, in any order that the decoder allows. With row_block each piece of a pass is a
 * unit of training: rows that are no token fill it up to whole row blocks, and so do rows without a pair its head rows.
 */
#ifndef ASSAY_TESTS_ROWS_BUILD_H
#define ASSAY_TESTS_ROWS_BUILD_H

#include "check.h"

#include "compute/rows.h"
#include "core/arena.h"

enum { FOREST_BRANCHES = 160, FOREST_VOCAB = 1 << 16 };

struct branch {
  int32_t parent;       /* -1: a root */
  int32_t start, count; /* position of the first token; tokens */
  int32_t number;       /* of the first token */
  int32_t *ids;
  int32_t *table, table_count; /* storage blocks from position 0 on */
};

struct forest {
  struct arena *arena;
  int32_t block, blocks; /* positions per storage block; blocks handed out, the first to the padding */
  int32_t row_block;     /* 0 or 1: no padding */
  int32_t count, tokens;
  struct branch branch[FOREST_BRANCHES];
  int32_t embed_slot[FOREST_VOCAB], embed_ids[FOREST_VOCAB], embed_count; /* slot + 1; 0: none */
};

struct piece {
  int32_t branch, first, count;
};

struct pass {
  struct rows rows;
  struct head_rows head;
  int32_t *number, *kv_slot, *embed_slot; /* of each row */
  int32_t *pair_number;                   /* of each pair's target */
};

static CHECK_UNUSED void *forest_push(struct forest *f, int32_t count, size_t size)
{
  struct error err = {0};
  void *p = arena_push(f->arena, (size_t)count, size, "rows_build", &err);
  CHECK(p != NULL);
  return p;
}

static CHECK_UNUSED void forest_open(struct forest *f, struct arena *a, int32_t block)
{
  memset(f, 0, sizeof *f);
  f->arena = a;
  f->block = block;
  f->blocks = 1;
}

static CHECK_UNUSED int32_t forest_add(struct forest *f, int32_t parent, const int32_t *ids, int32_t count)
{
  CHECK(f->count < FOREST_BRANCHES && count > 0 && parent < f->count);
  struct branch *b = &f->branch[f->count];
  const struct branch *up = parent < 0 ? NULL : &f->branch[parent];
  *b = (struct branch){.parent = parent, .start = up ? up->start + up->count : 0, .count = count, .number = f->tokens};
  b->ids = forest_push(f, count, sizeof(int32_t));
  memcpy(b->ids, ids, (size_t)count * sizeof(int32_t));
  b->table_count = (b->start + count + f->block - 1) / f->block;
  b->table = forest_push(f, b->table_count, sizeof(int32_t));
  for (int32_t i = 0; i < b->table_count; i++) b->table[i] = i < b->start / f->block ? up->table[i] : f->blocks++;
  for (int32_t i = 0; i < count; i++) {
    CHECK(ids[i] >= 0 && ids[i] < FOREST_VOCAB);
    if (f->embed_slot[ids[i]]) continue;
    f->embed_ids[f->embed_count++] = ids[i];
    f->embed_slot[ids[i]] = f->embed_count;
  }
  f->tokens += count;
  return f->count++;
}

static CHECK_UNUSED int32_t post_order_from(const struct forest *f, int32_t parent, struct piece *to, int32_t at)
{
  for (int32_t b = 0; b < f->count; b++) {
    if (f->branch[b].parent != parent) continue;
    at = post_order_from(f, b, to, at);
    to[at++] = (struct piece){b, 0, f->branch[b].count};
  }
  return at;
}

/* All branches whole, a branch after its descendants. to: [FOREST_BRANCHES]. */
static CHECK_UNUSED int32_t forest_post_order(const struct forest *f, struct piece *to)
{
  return post_order_from(f, -1, to, 0);
}

static CHECK_UNUSED bool forest_is_leaf(const struct forest *f, int32_t branch)
{
  for (int32_t b = 0; b < f->count; b++)
    if (f->branch[b].parent == branch) return false;
  return true;
}

/* ---- one pass -------------------------------------------------------------------------------- */

static CHECK_UNUSED int32_t spans_of(const struct forest *f, int32_t branch, struct rows_span *to)
{
  const struct branch *b = &f->branch[branch];
  int32_t at = b->parent < 0 ? 0 : spans_of(f, b->parent, to);
  to[at] = (struct rows_span){b->start, b->count, b->number};
  return at + 1;
}

static CHECK_UNUSED void pass_pair(struct pass *p, int32_t row, const struct branch *b, int32_t i)
{
  int32_t *head_row = (int32_t *)(uintptr_t)p->head.row, *pair_row = (int32_t *)(uintptr_t)p->head.pair_row;
  int32_t *target = (int32_t *)(uintptr_t)p->head.pair_target, n = p->head.pair_count++;
  if (!p->head.count || head_row[p->head.count - 1] != row) head_row[p->head.count++] = row;
  pair_row[n] = p->head.count - 1;
  target[n] = b->ids[i];
  p->pair_number[n] = b->number + i;
}

/* Every token of the forest that follows the row is a pair of it. */
static CHECK_UNUSED void pass_pairs(const struct forest *f, struct pass *p, int32_t row, int32_t branch, int32_t i)
{
  if (i + 1 < f->branch[branch].count) {
    pass_pair(p, row, &f->branch[branch], i + 1);
    return;
  }
  for (int32_t c = 0; c < f->count; c++)
    if (f->branch[c].parent == branch) pass_pair(p, row, &f->branch[c], 0);
}

/* Up to whole row blocks: the rows of a piece that began at first_row, each alone at position 0 of a path of its own.
 * The room behind the forest's tokens is their number and their gradient slot. */
static CHECK_UNUSED void pass_pad_rows(const struct forest *f, struct pass *p, int32_t first_row, int32_t table,
                                       int32_t span)
{
  int32_t *token = (int32_t *)(uintptr_t)p->rows.token, *position = (int32_t *)(uintptr_t)p->rows.position;
  struct rows_run *runs = (struct rows_run *)(uintptr_t)p->rows.runs;
  while ((p->rows.count - first_row) % f->row_block) {
    int32_t row = p->rows.count++;
    token[row] = f->embed_ids[0];
    position[row] = p->embed_slot[row] = 0;
    p->number[row] = p->kv_slot[row] = f->tokens;
    runs[p->rows.run_count++] = (struct rows_run){row, 1, 0, table, span, 1};
  }
}

static CHECK_UNUSED bool pass_has_head(const struct pass *p, int32_t first, int32_t row)
{
  for (int32_t h = first; h < p->head.count; h++)
    if (p->head.row[h] == row) return true;
  return false;
}

/* The piece's head rows, from `first` on, in order again with the last of its rows that have no pair. */
static CHECK_UNUSED void pass_pad_head(const struct forest *f, struct pass *p, int32_t first)
{
  int32_t *head_row = (int32_t *)(uintptr_t)p->head.row, *pair_row = (int32_t *)(uintptr_t)p->head.pair_row;
  int32_t had = p->head.count;
  for (int32_t row = p->rows.count - 1; (p->head.count - first) % f->row_block; row--)
    if (!pass_has_head(p, first, row)) head_row[p->head.count++] = row;
  for (int32_t h = had; h < p->head.count; h++) {
    int32_t row = head_row[h], at = h;
    for (; at > first && head_row[at - 1] > row; at--) head_row[at] = head_row[at - 1];
    head_row[at] = row;
    for (int32_t pair = 0; pair < p->head.pair_count; pair++) pair_row[pair] += pair_row[pair] >= at;
  }
}

/* Partial blocks that branches beginning in this pass take over: parents before children, as branches are numbered. */
static CHECK_UNUSED void pass_copies(const struct forest *f, struct pass *p, const struct piece *pieces, int32_t n)
{
  struct rows_copy *copies = forest_push((struct forest *)(uintptr_t)f, n, sizeof *copies);
  for (int32_t b = 0; b < f->count; b++) {
    for (int32_t i = 0; i < n; i++) {
      int32_t start = f->branch[b].start, at = start / f->block;
      if (pieces[i].branch != b || pieces[i].first || start % f->block == 0) continue;
      copies[p->rows.copy_count++] =
          (struct rows_copy){f->branch[f->branch[b].parent].table[at], f->branch[b].table[at], start % f->block};
    }
  }
  p->rows.copies = copies;
}

/* The pass over these pieces; everything lives in the forest's arena. */
static CHECK_UNUSED void pass_build(struct forest *f, struct pass *p, const struct piece *pieces, int32_t n)
{
  int32_t rows = 0, blocks = 0, pairs = 0, spans = 0, tokens = 0, most = n * f->row_block;
  for (int32_t i = 0; i < n; i++) {
    tokens += pieces[i].count;
    blocks += f->branch[pieces[i].branch].table_count;
  }
  rows = tokens + most;
  pairs = tokens + f->count;
  int32_t *token = forest_push(f, rows, sizeof *token), *position = forest_push(f, rows, sizeof *position);
  int32_t *tables = forest_push(f, blocks + 1, sizeof *tables);
  struct rows_run *runs = forest_push(f, n + most, sizeof *runs);
  struct rows_span *span = forest_push(f, n * f->count + 1, sizeof *span);
  *p = (struct pass){.rows = {.token = token, .position = position, .runs = runs, .blocks = tables, .spans = span},
                     .head = {.row = forest_push(f, rows, sizeof(int32_t)),
                              .pair_row = forest_push(f, pairs, sizeof(int32_t)),
                              .pair_target = forest_push(f, pairs, sizeof(int32_t))},
                     .number = forest_push(f, rows, sizeof(int32_t)),
                     .kv_slot = forest_push(f, rows, sizeof(int32_t)),
                     .embed_slot = forest_push(f, rows, sizeof(int32_t)),
                     .pair_number = forest_push(f, pairs, sizeof(int32_t))};
  // the padding's: last
  const int32_t own_table = blocks, own_span = n * f->count;
  tables[own_table] = 0;
  span[own_span] = (struct rows_span){0, 1, f->tokens};
  blocks = 0;
  for (int32_t i = 0; i < n; i++) {
    int32_t first_row = p->rows.count, first_head = p->head.count;
    const struct branch *b = &f->branch[pieces[i].branch];
    struct rows_run *run = &runs[p->rows.run_count++];
    *run = (struct rows_run){p->rows.count, pieces[i].count, b->start + pieces[i].first, blocks, spans, 0};
    run->span_count = spans_of(f, pieces[i].branch, span + spans);
    spans += run->span_count;
    memcpy(tables + blocks, b->table, (size_t)b->table_count * sizeof *tables);
    blocks += b->table_count;
    for (int32_t k = pieces[i].first; k < pieces[i].first + pieces[i].count; k++) {
      int32_t row = p->rows.count++;
      token[row] = b->ids[k];
      position[row] = b->start + k;
      p->number[row] = p->kv_slot[row] = b->number + k;
      p->embed_slot[row] = f->embed_slot[b->ids[k]] - 1;
      pass_pairs(f, p, row, pieces[i].branch, k);
    }
    if (f->row_block > 1) {
      pass_pad_rows(f, p, first_row, own_table, own_span);
      pass_pad_head(f, p, first_head);
    }
  }
  pass_copies(f, p, pieces, n);
}

#endif
