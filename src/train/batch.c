#include "train/batch.h"

#include <string.h>

/* Working space of the construction. */
struct build {
  struct batch *b;
  const struct tree *tree;
  int32_t *last_child; /* [segments] */
  uint8_t *used;       /* [segments] */
  uint8_t *has_after;  /* [segments] some token follows its last one */
  int32_t first_root, last_root;
  const struct batch_options *options;
};

static int32_t *new_ints(struct arena *a, int32_t n, int32_t fill, struct error *err)
{
  int32_t *p = ARENA_NEW(a, int32_t, (size_t)n, "batch", err);
  for (int32_t i = 0; p && fill && i < n; i++) p[i] = fill;
  return p;
}

/* Marks the segments of a path and hangs new ones behind their elder siblings. An empty leaf adds nothing. */
static void use_path(struct build *w, const struct batch_path *path)
{
  const struct segment *segments = w->tree->segments;
  bool after = path->last;
  int32_t child = -1;
  for (int32_t s = path->leaf; s >= 0; s = segments[s].parent) {
    if (after) w->has_after[s] = 1;
    bool fresh = !w->used[s] && (segments[s].count > 0 || child >= 0);
    if (child >= 0) {
      if (w->last_child[s] >= 0)
        w->b->next_sibling[w->last_child[s]] = child;
      else
        w->b->first_child[s] = child;
      w->last_child[s] = child;
    }
    child = fresh ? s : -1;
    if (fresh) w->used[s] = 1;
    after = after || segments[s].count > 0;
  }
  if (child >= 0) {
    if (w->last_root >= 0)
      w->b->next_sibling[w->last_root] = child;
    else
      w->first_root = child;
    w->last_root = child;
  }
}

static int32_t rows_of(const struct build *w, int32_t s)
{
  int32_t n = w->tree->segments[s].count;
  return w->has_after[s] ? n : n - (n > 0);
}

static int32_t pieces_of(const struct build *w, int32_t s)
{
  return (rows_of(w, s) + BATCH_UNIT_ROWS - 1) / BATCH_UNIT_ROWS;
}

/* Emits a segment's pieces, the last piece first, once all its descendants have been emitted. */
static void emit_segment(struct build *w, int32_t s)
{
  struct batch *b = w->b;
  int32_t rows = rows_of(w, s), pieces = pieces_of(w, s);
  for (int32_t p = pieces - 1; p >= 0; p--) {
    int32_t offset = p * BATCH_UNIT_ROWS, left = rows - offset;
    b->nodes[b->node_count++] = (struct batch_node){.segment = s,
                                                    .offset = offset,
                                                    .count = left < BATCH_UNIT_ROWS ? left : BATCH_UNIT_ROWS,
                                                    .position = w->tree->segments[s].start + offset,
                                                    .parent = -1};
  }
  if (pieces) b->last_node[s] = b->node_count - pieces;  // pieces stand last first
}

/* Post-order without recursion: a tree may be as deep as a dialogue is long. */
static void emit_all(struct build *w)
{
  int32_t s = w->first_root;
  bool down = true;
  while (s >= 0) {
    if (down && w->b->first_child[s] >= 0) {
      s = w->b->first_child[s];
      continue;
    }
    emit_segment(w, s);
    if (w->b->next_sibling[s] >= 0) {
      s = w->b->next_sibling[s];
      down = true;
    } else {
      s = w->tree->segments[s].parent;
      down = false;
    }
  }
}

/* The node that holds the row before a node's first: the piece before it, or the nearest ancestor segment that has
 * rows. */
static void link_parents(struct build *w)
{
  struct batch *b = w->b;
  for (int32_t i = b->node_count - 1; i >= 0; i--) {
    struct batch_node *n = &b->nodes[i];
    if (n->offset > 0) {
      n->parent = i + 1;
    } else {
      int32_t s = w->tree->segments[n->segment].parent;
      while (s >= 0 && b->last_node[s] < 0) s = w->tree->segments[s].parent;
      n->parent = s >= 0 ? b->last_node[s] : -1;
    }
    n->depth = n->parent >= 0 ? b->nodes[n->parent].depth + 1 : 0;  // parents stand behind their children: already set
  }
}

static void cut_units(struct batch *b, int32_t row_block)
{
  int32_t room = 0;
  for (int32_t i = 0; i < b->node_count; i++) {
    if (b->nodes[i].count > room) {
      b->unit_count++;
      room = BATCH_UNIT_ROWS;
    }
    room -= b->nodes[i].count;
    b->nodes[i].unit = b->unit_count - 1;
    b->padding[b->unit_count - 1] = room % row_block;  // a whole unit is a whole number of blocks
    b->rows += b->nodes[i].count;
  }
  for (int32_t u = 0; u < b->unit_count; u++) b->rows_padding += b->padding[u];
}

static void cut_micros(struct batch *b, int32_t micro_rows)
{
  int32_t i = 0;
  while (i < b->node_count) {
    struct batch_micro *m = &b->micros[b->micro_count];
    *m = (struct batch_micro){.node = i};
    while (i < b->node_count) {
      int32_t end = i, rows = b->padding[b->nodes[i].unit];
      for (; end < b->node_count && b->nodes[end].unit == b->nodes[i].unit; end++) rows += b->nodes[end].count;
      if (m->rows && m->rows + rows > micro_rows) break;
      for (; i < end; i++) b->nodes[i].micro = b->nodes[i].first_child_micro = b->micro_count;
      m->rows += rows;
      m->node_count = i - m->node;
    }
    if (m->rows > b->max_micro_rows) b->max_micro_rows = m->rows;
    b->micro_count++;
  }
}

/* Ancestors whose own turn comes later, for each micro-batch in which they are needed first; parents before children.
 */
static void find_ahead(struct batch *b)
{
  int32_t total = 0;
  for (int32_t i = 0; i < b->node_count; i++)
    for (int32_t p = b->nodes[i].parent; p >= 0; p = b->nodes[p].parent)
      if (b->nodes[i].micro < b->nodes[p].first_child_micro) b->nodes[p].first_child_micro = b->nodes[i].micro;
  for (int32_t m = 0; m < b->micro_count; m++) {
    b->micros[m].ahead = total;
    for (int32_t i = b->node_count - 1; i >= b->micros[m].node + b->micros[m].node_count; i--) {
      if (b->nodes[i].first_child_micro != m) continue;
      b->ahead[total++] = i;
      b->rows_ahead += b->nodes[i].count;
    }
    b->micros[m].ahead_count = total - b->micros[m].ahead;
  }
}

static int32_t node_blocks(const struct build *w, const struct batch_node *n)
{
  int32_t end = n->position + n->count;
  return (end + w->options->kv_block - 1) / w->options->kv_block - n->position / w->options->kv_block;
}

/* Walks the schedule and notes what is alive at its worst: from the first descendant's micro-batch to the end of a
 * node's own. */
static void measure_peak(struct build *w)
{
  struct batch *b = w->b;
  for (int32_t m = 0; m < b->micro_count; m++) {
    int32_t rows = 0, blocks = b->rows_padding > 0;  // padding has one block for all its rows
    for (int32_t i = 0; i < b->node_count; i++) {
      if (b->nodes[i].first_child_micro > m || b->nodes[i].micro < m) continue;
      rows += b->nodes[i].count;
      blocks += node_blocks(w, &b->nodes[i]);
    }
    if (rows > b->peak_rows) b->peak_rows = rows;
    if (blocks > b->peak_blocks) b->peak_blocks = blocks;
  }
}

static int number_targets(struct build *w, struct arena *a, struct error *err)
{
  struct batch *b = w->b;
  for (int32_t s = 0; s < w->tree->count; s++) {
    if (!w->used[s]) continue;
    b->target_base[s] = b->target_count;
    b->target_count += w->tree->segments[s].count;
  }
  b->wanted = ARENA_NEW(a, uint8_t, (size_t)b->target_count, "batch", err);
  if (!b->wanted) return err->code;
  for (int32_t s = 0; s < w->tree->count; s++) {
    const struct segment *seg = &w->tree->segments[s];
    for (int32_t i = 0; w->used[s] && i < seg->count; i++) {
      uint32_t flags = seg->tokens[i].flags;
      bool wanted = w->options->want_all || ((flags & TOKEN_OWN) && !(flags & TOKEN_MASKED)) || flags & TOKEN_SCORED;
      b->wanted[b->target_base[s] + i] = wanted && seg->start + i > 0;  // the first token of all has no row before it
    }
  }
  return 0;
}

/* Distinct tokens of the rows, in row order: the slots of the embedding's sparse gradient. */
static int number_tokens(struct build *w, struct arena *a, struct error *err)
{
  struct batch *b = w->b;
  int32_t vocab = w->options->vocab;
  b->embed_slot = new_ints(a, vocab, -1, err);
  b->embed_ids = new_ints(a, b->rows < vocab ? b->rows : vocab, 0, err);
  if (!b->embed_slot || !b->embed_ids) return err->code;
  for (int32_t i = 0; i < b->node_count; i++) {
    const struct batch_node *n = &b->nodes[i];
    for (int32_t k = 0; k < n->count; k++) {
      int32_t id = w->tree->segments[n->segment].tokens[n->offset + k].id;
      if (id < 0 || id >= vocab)
        FAIL(err, ERROR_INPUT, "token id %d; expected 0 to %d, the model's vocabulary", id, vocab - 1);
      if (b->embed_slot[id] >= 0) continue;
      b->embed_slot[id] = b->embed_count;
      b->embed_ids[b->embed_count++] = id;
    }
  }
  return 0;
}

/* Pairs of the largest micro-batch: a target belongs to the micro-batch of the row before it. */
static int count_pairs(struct build *w, struct arena *a, struct error *err)
{
  struct batch *b = w->b;
  int32_t *pairs = new_ints(a, b->micro_count + 1, 0, err);
  if (!pairs) return err->code;
  for (int32_t s = 0; s < w->tree->count; s++) {
    for (int32_t i = 0; w->used[s] && i < w->tree->segments[s].count; i++) {
      if (!b->wanted[b->target_base[s] + i]) continue;
      // the row before: in this segment, or the last token of the nearest ancestor that has one
      int32_t at = s, index = i - 1;
      while (index < 0) {
        at = w->tree->segments[at].parent;
        index = w->tree->segments[at].count - 1;
      }
      int32_t node = b->last_node[at];
      while (b->nodes[node].offset > index) node++;  // pieces stand last first
      pairs[b->nodes[node].micro]++;
    }
  }
  for (int32_t m = 0; m < b->micro_count; m++)
    if (pairs[m] > b->max_micro_pairs) b->max_micro_pairs = pairs[m];
  return 0;
}

static int start(struct build *w, struct arena *a, struct error *err)
{
  int32_t n = w->tree->count;
  w->b->first_child = new_ints(a, n, -1, err);
  w->b->next_sibling = new_ints(a, n, -1, err);
  w->last_child = new_ints(a, n, -1, err);
  w->used = ARENA_NEW(a, uint8_t, (size_t)n, "batch", err);
  w->has_after = ARENA_NEW(a, uint8_t, (size_t)n, "batch", err);
  w->b->last_node = new_ints(a, n, -1, err);
  w->b->target_base = new_ints(a, n, -1, err);
  bool ok = w->b->first_child && w->b->next_sibling && w->last_child && w->used && w->has_after && w->b->last_node &&
            w->b->target_base;
  return ok ? 0 : err->code;
}

int batch_build(struct arena *a, const struct tree *t, const struct batch_path *paths, int32_t path_count,
                const struct batch_options *o, struct batch **out, struct error *err)
{
  ASSAY_BUG_IF(o->row_block < 1 || BATCH_UNIT_ROWS % o->row_block);
  struct batch *b = ARENA_NEW(a, struct batch, 1, "batch", err);
  if (!b) return err->code;
  b->tree = t;
  struct build w = {.b = b, .tree = t, .first_root = -1, .last_root = -1, .options = o};
  TRY(start(&w, a, err));
  for (int32_t p = 0; p < path_count; p++) use_path(&w, &paths[p]);
  int32_t room = 0;
  for (int32_t s = 0; s < t->count; s++)
    if (w.used[s]) room += pieces_of(&w, s);
  b->nodes = ARENA_NEW(a, struct batch_node, (size_t)room, "batch", err);
  b->micros = ARENA_NEW(a, struct batch_micro, (size_t)room, "batch", err);
  b->ahead = new_ints(a, room, 0, err);
  b->padding = new_ints(a, room, 0, err);
  if (!b->nodes || !b->micros || !b->ahead || !b->padding) return err->code;
  emit_all(&w);
  link_parents(&w);
  cut_units(b, o->row_block);
  cut_micros(b, o->micro_rows);
  find_ahead(b);
  measure_peak(&w);
  TRY(number_targets(&w, a, err));
  TRY(number_tokens(&w, a, err));
  TRY(count_pairs(&w, a, err));
  *out = b;
  return 0;
}
