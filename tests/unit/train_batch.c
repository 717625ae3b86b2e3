/* The order of training rows: post-order, units, micro-batches, targets. */
#include "check.h"

#include "train/batch.h"

enum { VOCAB = 100 };

struct fixture {
  struct arena *arena;
  struct tree *tree;
  struct error err;
};

static void start(struct fixture *f)
{
  memset(f, 0, sizeof *f);
  f->arena = arena_create("test", 0, &f->err);
  CHECK_OK(tree_create(f->arena, &f->tree, &f->err), &f->err);
}

static int32_t add(struct fixture *f, int32_t parent, enum segment_kind kind, int32_t count, int32_t first_id)
{
  int32_t s;
  CHECK_OK(tree_add_segment(f->tree, parent, kind, count, &s, &f->err), &f->err);
  for (int32_t i = 0; i < count; i++) {
    int32_t id = (first_id + i) % VOCAB;
    CHECK_OK(tree_append_ids(f->tree, s, &id, 1, kind == SEGMENT_OWN ? TOKEN_OWN : 0, &f->err), &f->err);
  }
  return s;
}

static struct batch *build_blocks(struct fixture *f, const int32_t *leaves, int32_t n, int32_t micro_rows,
                                  int32_t row_block)
{
  struct batch_options o = {.vocab = VOCAB, .micro_rows = micro_rows, .row_block = row_block, .kv_block = 32};
  struct batch_path paths[16] = {0};
  struct batch *b = NULL;
  for (int32_t i = 0; i < n; i++) paths[i].leaf = leaves[i];
  CHECK_OK(batch_build(f->arena, f->tree, paths, n, &o, &b, &f->err), &f->err);
  return b;
}

static struct batch *build(struct fixture *f, const int32_t *leaves, int32_t n, int32_t micro_rows)
{
  return build_blocks(f, leaves, n, micro_rows, 1);
}

/* Two groups of two: rows are the distinct tokens that have a successor, leaves before their prompt. */
static void test_post_order(void **state)
{
  (void)state;
  struct fixture f;
  start(&f);
  int32_t p0 = add(&f, -1, SEGMENT_PROMPT, 5, 0), p1 = add(&f, -1, SEGMENT_PROMPT, 4, 50);
  int32_t l[4] = {add(&f, p0, SEGMENT_OWN, 3, 10), add(&f, p0, SEGMENT_OWN, 2, 20), add(&f, p1, SEGMENT_OWN, 1, 30),
                  add(&f, p1, SEGMENT_OWN, 6, 40)};
  struct batch *b = build(&f, l, 4, 512);
  const int32_t segments[] = {l[0], l[1], p0, l[3], p1}, counts[] = {2, 1, 5, 5, 4};
  CHECK_INT(b->node_count, 5);  // the leaf of one token has no row of its own
  for (int32_t i = 0; i < 5; i++) {
    CHECK_INT(b->nodes[i].segment, segments[i]);
    CHECK_INT(b->nodes[i].count, counts[i]);
  }
  CHECK_INT(b->rows, 17);
  CHECK_INT(b->unit_count, 1);
  CHECK_INT(b->micro_count, 1);
  CHECK_INT(b->rows_ahead, 0);
  CHECK_INT(b->nodes[0].parent, 2);
  CHECK_INT(b->nodes[3].parent, 4);
  CHECK_INT(b->max_micro_pairs, 12);  // every own token
  arena_destroy(f.arena);
}

/* A long answer is cut into pieces of a unit; later pieces come first and need the earlier ones ahead. */
static void test_pieces_and_ahead(void **state)
{
  (void)state;
  struct fixture f;
  start(&f);
  int32_t p = add(&f, -1, SEGMENT_PROMPT, 10, 0),
          l[2] = {add(&f, p, SEGMENT_OWN, 1300, 0), add(&f, p, SEGMENT_OWN, 100, 7)};
  struct batch *b = build(&f, l, 2, 512);
  CHECK_INT(b->rows, 10 + 1299 + 99);
  CHECK_INT(b->node_count, 5);
  CHECK_INT(b->nodes[0].offset, 1024);
  CHECK_INT(b->nodes[1].offset, 512);
  CHECK_INT(b->nodes[2].offset, 0);
  CHECK_INT(b->nodes[0].parent, 1);
  CHECK_INT(b->nodes[2].parent, 4);
  CHECK_INT(b->unit_count, 4);  // 275 | 512 | 512 | 99 + 10
  CHECK_INT(b->micro_count, 4);
  CHECK_INT(b->micros[0].ahead_count, 3);  // prompt, first and second piece, parents first
  CHECK_INT(b->ahead[0], 4);
  CHECK_INT(b->ahead[1], 2);
  CHECK_INT(b->ahead[2], 1);
  CHECK_INT(b->rows_ahead, 10 + 1024);
  struct batch *whole = build(&f, l, 2, 1 << 20);
  CHECK_INT(whole->micro_count, 1);
  CHECK_INT(whole->rows_ahead, 0);
  CHECK_INT(whole->unit_count, b->unit_count);  // memory does not move units
  arena_destroy(f.arena);
}

/* Empty answers, prompts used by no path, and a three-level tree with an empty segment in the middle. */
static void test_odd_trees(void **state)
{
  (void)state;
  struct fixture f;
  start(&f);
  int32_t p = add(&f, -1, SEGMENT_PROMPT, 3, 0), unused = add(&f, -1, SEGMENT_PROMPT, 3, 9);
  int32_t empty = add(&f, p, SEGMENT_OWN, 0, 0), middle = add(&f, p, SEGMENT_OBSERVATION, 0, 0),
          deep = add(&f, middle, SEGMENT_OWN, 2, 5);
  int32_t l[2] = {empty, deep};
  struct batch *b = build(&f, l, 2, 512);
  CHECK_INT(b->rows, 3 + 1);
  CHECK_INT(b->target_base[unused], -1);
  CHECK_INT(b->nodes[0].segment, deep);
  CHECK_INT(b->nodes[0].parent, 1);
  CHECK_INT(b->nodes[1].segment, p);
  CHECK_INT(b->embed_count, 4);
  CHECK_INT(b->wanted[batch_target(b, deep, 0)], 1);
  int32_t only_empty[1] = {empty};
  b = build(&f, only_empty, 1, 512);
  CHECK_INT(b->rows, 2);  // the prompt's last token has no successor
  CHECK_INT(b->max_micro_pairs, 0);
  arena_destroy(f.arena);
}

/* Each unit is a whole number of row blocks, filled at its end; where units are cut does not depend on it, nor on
 * memory. */
static void test_row_blocks(void **state)
{
  (void)state;
  struct fixture f;
  start(&f);
  int32_t p = add(&f, -1, SEGMENT_PROMPT, 10, 0),
          l[3] = {add(&f, p, SEGMENT_OWN, 1300, 0), add(&f, p, SEGMENT_OWN, 100, 7), add(&f, p, SEGMENT_OWN, 481, 3)};
  const int32_t rows[] = {275, 512, 512, 99, 490}, padding[] = {13, 0, 0, 29, 22};
  struct batch *plain = build(&f, l, 3, 512);
  CHECK_INT(plain->rows_padding, 0);
  for (int32_t micro = 512; micro <= 2048; micro *= 2) {
    struct batch *b = build_blocks(&f, l, 3, micro, 32);
    int32_t most = 0, all = 0;
    CHECK_INT(b->rows, plain->rows);
    CHECK_INT(b->unit_count, 5);
    CHECK_INT(plain->unit_count, 5);
    for (int32_t u = 0; u < 5; u++) {
      int32_t count = 0;
      for (int32_t i = 0; i < b->node_count; i++) count += b->nodes[i].unit == u ? b->nodes[i].count : 0;
      CHECK_INT(count, rows[u]);
      CHECK_INT(b->padding[u], padding[u]);
      CHECK_INT(plain->padding[u], 0);
    }
    CHECK_INT(b->rows_padding, 13 + 29 + 22);
    for (int32_t m = 0; m < b->micro_count; m++) {
      CHECK_INT(b->micros[m].rows % 32, 0);
      CHECK(b->micros[m].rows <= micro);
      most = b->micros[m].rows > most ? b->micros[m].rows : most;
      all += b->micros[m].rows;
    }
    CHECK_INT(b->max_micro_rows, most);
    CHECK_INT(all, b->rows + b->rows_padding);
  }
  arena_destroy(f.arena);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_post_order), cmocka_unit_test(test_pieces_and_ahead),
                                     cmocka_unit_test(test_odd_trees), cmocka_unit_test(test_row_blocks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
