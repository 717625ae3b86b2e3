#include "train/trainer.h"

#include "core/log.h"
#include "core/math.h"
#include "rollout/kv.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static int smaller(int64_t a, int64_t b)
{
  return (int)(a < b ? a : b);
}

static int row_block_of(const struct trainer_options *o, enum compute_type type)
{
  if (o->row_block) return o->row_block;
  return o->train && type == COMPUTE_BF16 ? BATCH_ROW_BLOCK_BF16 : 1;  // rows are summed over in gradients alone
}

int trainer_enough_rows(const struct model_config *c, int most)
{
  // a product on 512 rows runs at the pace of one on 2048 (docs/performance.md); smaller models also pay for each call
  const double enough = 256 << 20;
  double q = (double)c->heads * c->head_dim, kept = 2.0 * c->hidden + 2 * q + 2.0 * c->heads + 2.0 * c->ffn;
  double rows = enough / (c->layers * kept * sizeof(float));
  int units = rows < most ? (int)rows / BATCH_UNIT_ROWS : most / BATCH_UNIT_ROWS;
  return units > 1 ? units * BATCH_UNIT_ROWS : BATCH_UNIT_ROWS;
}

/* Units are filled up to row blocks. Two in a row hold more than BATCH_UNIT_ROWS rows; a batch that fits into one is
 * one. */
static int64_t with_padding(int64_t rows, int row_block)
{
  if (rows <= BATCH_UNIT_ROWS) return (rows + row_block - 1) / row_block * row_block;
  return rows + (2 * rows / BATCH_UNIT_ROWS + 1) * (row_block - 1);
}

void trainer_plan(const struct model_config *c, const struct trainer_options *o, enum compute_type type,
                  struct trainer_sizes *out)
{
  int row_block = row_block_of(o, type);
  int64_t leaves = o->max_leaves, rows = o->micro_rows;
  int64_t prompts = o->max_prompts ? o->max_prompts : leaves;
  int64_t batch_rows = prompts * o->max_prompt + leaves * o->max_new;
  if (o->train) batch_rows = with_padding(batch_rows, row_block);
  int64_t micro = rows < batch_rows ? rows : batch_rows;
  if (micro < smaller(batch_rows, BATCH_UNIT_ROWS)) micro = smaller(batch_rows, BATCH_UNIT_ROWS);
  int64_t nodes =
      smaller(micro, 2 * leaves + micro / BATCH_UNIT_ROWS + 1);    // nodes of a micro-batch: leaves, prompts, pieces
  int64_t ahead = 2 * (int64_t)o->max_path + 2 * BATCH_UNIT_ROWS;  // two groups' ancestors may overlap, and holes
  *out = (struct trainer_sizes){0};
  out->decoder = (struct decoder_options){.max_rows = (int)micro,
                                          .max_head_rows = (int)micro,
                                          .max_pairs = (int)(micro + leaves),
                                          .train = o->train,
                                          .recompute = o->recompute,
                                          .vocab_chunk = o->vocab_chunk,
                                          .row_block = o->rows ? ROW_BLOCK : 0};
  int64_t block = o->kv_block;
  out->kv_blocks = (int)(micro / block + 2 * nodes + 2 * (o->max_path / block + 2)) + (row_block > 1);
  out->ahead_slots = (int)ahead;
  out->kv_slots = (int)(micro + ahead);
  out->embed_slots = c->adapter.rank ? 0 : smaller(c->vocab, batch_rows);  // frozen beside an adapter
}

struct workroom_size trainer_workroom(const struct model_config *c, const struct trainer_options *o,
                                      enum compute_type type)
{
  struct trainer_sizes s;
  trainer_plan(c, o, type, &s);
  return (struct workroom_size){decoder_reals(c, &s.decoder), o->kv_block, s.kv_blocks};
}

size_t trainer_bytes(const struct model_config *c, const struct trainer_options *o, enum compute_type type)
{
  struct trainer_sizes s;
  trainer_plan(c, o, type, &s);
  struct workroom_size room = trainer_workroom(c, o, type);
  size_t pairs = (size_t)s.decoder.max_pairs * sizeof(int32_t) * (s.decoder.row_block > 0);
  size_t bytes = workroom_bytes(c, &room, type) + pairs;
  return bytes + (o->train ? decoder_gradients_bytes(c, s.kv_slots, s.embed_slots, sizeof(float)) : 0);
}

int trainer_create(struct arena *a, struct model *m, const struct trainer_options *o, struct trainer **out,
                   struct error *err)
{
  struct trainer *t = ARENA_NEW(a, struct trainer, 1, "trainer", err);
  if (!t) return err->code;
  t->model = m;
  t->trained = o->train ? m : NULL;
  t->options = *o;
  t->options.row_block = row_block_of(o, device_type(m->device));
  trainer_plan(&m->config, &t->options, device_type(m->device), &t->sizes);
  struct workroom_size size = {decoder_reals(&m->config, &t->sizes.decoder), o->kv_block, t->sizes.kv_blocks};
  struct workroom *room = o->room;
  TRY(workroom_take(a, m, &size, &room, err));
  t->kv = room->kv;
  t->sizes.decoder.buffer = room->activations;
  TRY(decoder_create(a, m, &t->sizes.decoder, &t->decoder, err));
  if (o->train) TRY(decoder_gradients_create(a, m, t->sizes.kv_slots, t->sizes.embed_slots, &t->gradients, err));
  *out = t;
  return 0;
}

struct batch_options trainer_batch_options(const struct trainer *t)
{
  return (struct batch_options){.vocab = t->model->config.vocab,
                                .micro_rows = t->options.micro_rows,
                                .row_block = t->options.row_block,
                                .kv_block = t->options.kv_block};
}

int trainer_batch(const struct trainer *t, struct arena *a, const struct tree *tree, const struct batch_path *paths,
                  int32_t path_count, struct batch **out, struct error *err)
{
  struct batch_options o = trainer_batch_options(t);
  return batch_build(a, tree, paths, path_count, &o, out, err);
}

/* ---- one run over a batch --------------------------------------------------------------------------------------- */

/* Where a node's K, V (path) and dK, dV (slot) are while it is alive. */
struct place {
  struct kv_path path;
  int32_t slot; /* -1: none */
  bool ready;   /* K and V are there */
};

struct run {
  struct trainer *t;
  const struct batch *b;
  struct place *places;                       /* [nodes] */
  struct kv_path filler;                      /* of one position: where rows of padding have their K and V */
  int32_t *ahead_from, *ahead_to, ahead_live; /* slot ranges of nodes forwarded ahead, ascending */
  // the pass
  struct rows rows;
  struct head_rows head;
  int32_t *token, *position, *blocks, *kv_slot, *embed_slot, *head_row, *pair_row, *pair_target, *pair_number;
  struct rows_run *runs;
  struct rows_copy *copies;
  struct rows_span *spans;
  int32_t block_count, span_count, padding;
  double *pair_logp, *pair_coef, *head_entropy, *head_entropy_coef;
  // states and whole rows
  struct decoder_tap tap;
  int32_t *tap_row, *tap_place;
  struct row_pass row_pass;
  double *hidden_grad; /* [H, C] */
  // the caller's
  double temperature;
  const double *coef, *entropy_coef;
  const struct trainer_gradient *gradient; /* or NULL */
  const struct trainer_reading *reading;   /* or NULL */
  const struct trainer_rows *whole;        /* or NULL */
  double *logp, *entropy;
};

/* What only some passes need. */
static int open_extras(struct run *r, struct arena *a, struct error *err)
{
  const struct trainer_sizes *s = &r->t->sizes;
  size_t rows = (size_t)s->decoder.max_rows, width = (size_t)r->t->model->config.hidden;
  const struct trainer_reading *o = r->reading;
  if (o && o->layer_count) {
    r->tap_row = ARENA_NEW(a, int32_t, rows, "train states", err);
    r->tap_place = ARENA_NEW(a, int32_t, rows, "train states", err);
    float *to = ARENA_NEW(a, float, (size_t)o->layer_count *rows *width, "train states", err);
    if (!r->tap_row || !r->tap_place || !to) return err->code;
    r->tap = (struct decoder_tap){.layer_count = o->layer_count, .layers = o->layers, .row = r->tap_row, .to = to};
  }
  if (r->gradient && r->gradient->direction &&
      !(r->hidden_grad = ARENA_NEW(a, double, (size_t)s->decoder.max_head_rows *width, "train values", err)))
    return err->code;
  if (!r->whole) return 0;
  ASSAY_BUG_IF(!r->t->options.rows);
  return row_pass_open(a, r->t->decoder, r->t->model->device, r->whole, (size_t)r->t->model->config.vocab,
                       r->whole->first[r->b->target_count], r->coef != NULL, &r->row_pass, err);
}

static int open_pass(struct run *r, struct arena *a, struct error *err)
{
  const struct trainer_sizes *s = &r->t->sizes;
  size_t rows = (size_t)s->decoder.max_rows, pairs = (size_t)s->decoder.max_pairs, nodes = (size_t)r->b->node_count;
  // tables and spans: one entry per block and per ancestor of each node, one each of a row of padding
  size_t padding = (size_t)r->b->rows_padding, blocks = padding, spans = padding;
  for (size_t i = 0; i < nodes; i++) {
    blocks += (size_t)kv_blocks_for(r->t->kv, r->b->nodes[i].position + r->b->nodes[i].count);
    spans += (size_t)r->b->nodes[i].depth + 1;
  }
  r->token = ARENA_NEW(a, int32_t, rows, "train rows", err);
  r->position = ARENA_NEW(a, int32_t, rows, "train rows", err);
  r->kv_slot = ARENA_NEW(a, int32_t, rows, "train rows", err);
  r->embed_slot = ARENA_NEW(a, int32_t, rows, "train rows", err);
  r->head_row = ARENA_NEW(a, int32_t, rows, "train rows", err);
  r->head_entropy = ARENA_NEW(a, double, rows, "train rows", err);
  r->head_entropy_coef = ARENA_NEW(a, double, rows, "train rows", err);
  r->pair_row = ARENA_NEW(a, int32_t, pairs, "train rows", err);
  r->pair_target = ARENA_NEW(a, int32_t, pairs, "train rows", err);
  r->pair_number = ARENA_NEW(a, int32_t, pairs, "train rows", err);
  r->pair_logp = ARENA_NEW(a, double, pairs, "train rows", err);
  r->pair_coef = ARENA_NEW(a, double, pairs, "train rows", err);
  r->blocks = ARENA_NEW(a, int32_t, blocks, "train rows", err);
  r->spans = ARENA_NEW(a, struct rows_span, spans, "train rows", err);
  r->runs = ARENA_NEW(a, struct rows_run, nodes + padding, "train rows", err);
  r->copies = ARENA_NEW(a, struct rows_copy, nodes, "train rows", err);
  r->places = ARENA_NEW(a, struct place, nodes, "train rows", err);
  r->ahead_from = ARENA_NEW(a, int32_t, nodes + 1, "train rows", err);
  r->ahead_to = ARENA_NEW(a, int32_t, nodes + 1, "train rows", err);
  if (!r->ahead_to || err->code) return err->code;
  for (size_t i = 0; i < nodes; i++) {
    r->places[i].slot = -1;
    TRY(kv_path_open(a, r->t->kv, r->b->nodes[i].position + r->b->nodes[i].count, &r->places[i].path, err));
  }
  TRY(kv_path_open(a, r->t->kv, 1, &r->filler, err));
  return r->coef && padding ? kv_path_extend(r->t->kv, &r->filler, 1, err) : 0;
}

static void start_pass(struct run *r)
{
  r->rows = (struct rows){.token = r->token,
                          .position = r->position,
                          .runs = r->runs,
                          .blocks = r->blocks,
                          .copies = r->copies,
                          .spans = r->spans};
  r->head = (struct head_rows){.row = r->head_row, .pair_row = r->pair_row, .pair_target = r->pair_target};
  r->block_count = r->span_count = r->padding = 0;
}

/* Storage for a node's K and V: its parent's path, forked where the node begins. Parents have theirs already. */
static int take_storage(struct run *r, int32_t node, struct error *err)
{
  const struct batch_node *n = &r->b->nodes[node];
  struct place *p = &r->places[node];
  if (p->ready) return 0;
  if (n->parent >= 0) {
    bool copied;
    TRY(kv_path_fork(r->t->kv, &r->places[n->parent].path, n->position, &p->path, &r->copies[r->rows.copy_count],
                     &copied, err));
    r->rows.copy_count += copied;
  }
  TRY(kv_path_extend(r->t->kv, &p->path, n->position + n->count, err));
  p->ready = true;
  return 0;
}

/* Gradient slots for a node that outlives this micro-batch: the first gap that is wide enough, behind the micro-batch's
 * own slots. */
static int take_ahead_slots(struct run *r, int32_t node, struct error *err)
{
  int32_t count = r->b->nodes[node].count, base = r->t->sizes.kv_slots - r->t->sizes.ahead_slots, at = base, i = 0;
  for (; i < r->ahead_live && r->ahead_from[i] - at < count; i++) at = r->ahead_to[i];
  if (at + count > r->t->sizes.kv_slots)
    FAIL(err, ERROR_RESOURCE, "%d token positions stay open at once; expected at most %d; raise compute.micro_batch",
         at + count - base, r->t->sizes.ahead_slots);
  memmove(r->ahead_from + i + 1, r->ahead_from + i, (size_t)(r->ahead_live - i) * sizeof(int32_t));
  memmove(r->ahead_to + i + 1, r->ahead_to + i, (size_t)(r->ahead_live - i) * sizeof(int32_t));
  r->ahead_from[i] = at;
  r->ahead_to[i] = at + count;
  r->ahead_live++;
  r->places[node].slot = at;
  decoder_gradients_clear_slots(r->t->gradients, at, count);
  return 0;
}

static void give_back(struct run *r, int32_t node)
{
  struct place *p = &r->places[node];
  kv_path_release(r->t->kv, &p->path);
  p->ready = false;
  for (int32_t i = 0; i < r->ahead_live; i++) {
    if (r->ahead_from[i] != p->slot) continue;
    memmove(r->ahead_from + i, r->ahead_from + i + 1, (size_t)(r->ahead_live - i - 1) * sizeof(int32_t));
    memmove(r->ahead_to + i, r->ahead_to + i + 1, (size_t)(r->ahead_live - i - 1) * sizeof(int32_t));
    r->ahead_live--;
    break;
  }
  p->slot = -1;
}

/* ---- rows and head of a pass ------------------------------------------------------------------------------------ */

static void add_node(struct run *r, int32_t node)
{
  const struct batch_node *n = &r->b->nodes[node];
  const struct segment *s = &r->b->tree->segments[n->segment];
  const struct kv_path *path = &r->places[node].path;
  struct rows *rows = &r->rows;
  r->runs[rows->run_count++] =
      (struct rows_run){.row = rows->count, .count = n->count, .position = n->position, .table = r->block_count};
  memcpy(r->blocks + r->block_count, path->table, (size_t)path->count * sizeof(int32_t));
  r->block_count += path->count;
  for (int32_t i = 0; i < n->count; i++) {
    int32_t id = s->tokens[n->offset + i].id, row = rows->count++;
    r->token[row] = id;
    r->position[row] = n->position + i;
    r->kv_slot[row] = r->places[node].slot + i;
    r->embed_slot[row] = r->b->embed_slot[id];
  }
}

/* The spans of a run: its ancestors' slots from the root down, then its own. */
static void add_spans(struct run *r, int32_t run, int32_t node)
{
  int32_t depth = r->b->nodes[node].depth;
  r->runs[run].span = r->span_count;
  r->runs[run].span_count = depth + 1;
  for (int32_t n = node, i = depth; n >= 0; n = r->b->nodes[n].parent, i--)
    r->spans[r->span_count + i] = (struct rows_span){r->b->nodes[n].position, r->b->nodes[n].count, r->places[n].slot};
  r->span_count += depth + 1;
}

/* The micro-batch's nodes up to the end of the unit that `node` is in. */
static int32_t unit_end(const struct run *r, const struct batch_micro *m, int32_t node)
{
  int32_t unit = r->b->nodes[node].unit;
  while (node < m->node + m->node_count && r->b->nodes[node].unit == unit) node++;
  return node;
}

/* Rows of padding are forwarded like others: the batch's first token at position 0, each alone on a path that they
 * share. They follow from nothing and nothing follows from them, so their gradients are zero, and adding those to a
 * sum moves no bit of it. */
static void add_padding(struct run *r, int32_t count)
{
  struct rows *rows = &r->rows;
  for (int32_t i = 0; i < count; i++) {
    int32_t row = rows->count++;
    r->token[row] = r->b->embed_ids[0];
    r->position[row] = 0;
    r->kv_slot[row] = row;
    r->embed_slot[row] = 0;
    r->runs[rows->run_count++] =
        (struct rows_run){.row = row, .count = 1, .table = r->block_count, .span = r->span_count, .span_count = 1};
    r->blocks[r->block_count++] = r->filler.table[0];
    r->spans[r->span_count++] = (struct rows_span){.count = 1, .slot = row};
  }
  r->padding += count;
}

static void add_pair(struct run *r, int32_t row, int32_t segment, int32_t index)
{
  int32_t number = batch_target(r->b, segment, index);
  if (!r->b->wanted[number]) return;
  if (!r->head.count || r->head_row[r->head.count - 1] != row) r->head_row[r->head.count++] = row;
  int32_t p = r->head.pair_count++;
  r->pair_row[p] = r->head.count - 1;
  r->pair_target[p] = r->b->tree->segments[segment].tokens[index].id;
  r->pair_number[p] = number;
}

/* Tokens that follow the last one of a segment: the first of each child, through children without tokens. */
static void add_child_pairs(struct run *r, int32_t row, int32_t segment)
{
  for (int32_t c = r->b->first_child[segment]; c >= 0; c = r->b->next_sibling[c]) {
    if (r->b->tree->segments[c].count)
      add_pair(r, row, c, 0);
    else
      add_child_pairs(r, row, c);
  }
}

static void add_node_heads(struct run *r, int32_t node, int32_t row)
{
  const struct batch_node *n = &r->b->nodes[node];
  int32_t last = r->b->tree->segments[n->segment].count - 1;
  for (int32_t i = n->offset; i < n->offset + n->count; i++, row++) {
    if (i < last)
      add_pair(r, row, n->segment, i + 1);
    else
      add_child_pairs(r, row, n->segment);
  }
}

/* The head rows of a unit are a whole number of row blocks too: the last of its rows that have no pair join them. There
 * are enough, as the unit itself is one. first: the unit's first head row; end: behind its last row. */
static void pad_heads(struct run *r, int32_t first, int32_t end)
{
  struct head_rows *head = &r->head;
  int32_t block = r->t->options.row_block, missing = (block - (head->count - first) % block) % block;
  int32_t from = head->count - 1, pair = head->pair_count - 1, to = from + missing;
  head->count += missing;
  for (int32_t row = end - 1; missing; row--, to--) {
    bool has_pair = from >= first && r->head_row[from] == row;
    missing -= !has_pair;
    r->head_row[to] = row;
    for (; has_pair && pair >= 0 && r->pair_row[pair] == from; pair--) r->pair_row[pair] = to;
    from -= has_pair;
  }
}

static void add_heads(struct run *r, const struct batch_micro *m)
{
  int32_t row = 0, node = m->node;
  while (node < m->node + m->node_count) {
    int32_t first = r->head.count, unit = r->b->nodes[node].unit, end = unit_end(r, m, node);
    for (; node < end; row += r->b->nodes[node++].count) add_node_heads(r, node, row);
    if (!r->coef) continue;
    row += r->b->padding[unit];
    pad_heads(r, first, row);
  }
}

/* ---- passes ----------------------------------------------------------------------------------------------------- */

/* K and V of ancestors whose own turn comes later. */
static int run_ahead(struct run *r, const struct batch_micro *m, struct error *err)
{
  int32_t i = 0;
  while (i < m->ahead_count) {
    start_pass(r);
    for (; i < m->ahead_count; i++) {
      int32_t node = r->b->ahead[m->ahead + i];
      if (r->rows.count + r->b->nodes[node].count > r->t->sizes.decoder.max_rows) break;
      TRY(take_storage(r, node, err));
      if (r->coef) TRY(take_ahead_slots(r, node, err));
      add_node(r, node);
    }
    r->t->counts.rows_recomputed += (uint64_t)r->rows.count;
    TRY(decoder_forward(r->t->decoder, &r->rows, r->t->kv->kv, NULL, false, err));
  }
  return 0;
}

/* What lives and dies in this micro-batch has its rows for slots. */
static void place_nodes(struct run *r, const struct batch_micro *m)
{
  int32_t row = 0;
  for (int32_t node = m->node, end; node < m->node + m->node_count;) {
    int32_t unit = r->b->nodes[node].unit;
    for (end = unit_end(r, m, node); node < end; row += r->b->nodes[node++].count)
      if (r->places[node].slot < 0) r->places[node].slot = row;
    row += r->b->padding[unit];
  }
}

static int build_micro(struct run *r, const struct batch_micro *m, struct error *err)
{
  start_pass(r);
  // storage from the roots down, rows from the leaves up
  for (int32_t node = m->node + m->node_count - 1; node >= m->node; node--) TRY(take_storage(r, node, err));
  place_nodes(r, m);
  if (r->coef) decoder_gradients_clear_slots(r->t->gradients, 0, m->rows);
  for (int32_t node = m->node, end; node < m->node + m->node_count; node = end) {
    end = unit_end(r, m, node);
    for (int32_t n = node; n < end; n++) {
      add_node(r, n);
      if (r->coef) add_spans(r, r->rows.run_count - 1, n);
    }
    if (r->coef) add_padding(r, r->b->padding[r->b->nodes[node].unit]);
  }
  add_heads(r, m);
  return 0;
}

/* Which rows of the micro-batch hand out their states. */
static void choose_states(struct run *r, const struct batch_micro *m)
{
  int32_t row = 0;
  r->tap.count = 0;
  for (int32_t node = m->node; node < m->node + m->node_count; node++) {
    const struct batch_node *n = &r->b->nodes[node];
    for (int32_t i = n->offset; i < n->offset + n->count; i++, row++) {
      int32_t place = r->reading->state[batch_target(r->b, n->segment, i)];
      if (place < 0) continue;
      r->tap_row[r->tap.count] = row;
      r->tap_place[r->tap.count++] = place;
    }
  }
}

static void take_states(struct run *r)
{
  const struct trainer_reading *o = r->reading;
  size_t width = (size_t)r->t->model->config.hidden, count = (size_t)r->tap.count;
  for (size_t layer = 0; layer < (size_t)o->layer_count; layer++)
    for (size_t i = 0; i < count; i++)
      memcpy(o->states + (layer * (size_t)o->state_count + (size_t)r->tap_place[i]) * width,
             r->tap.to + (layer * count + i) * width, width * sizeof(float));
}

/* dL/dhidden of each head row: the sum of its pairs' coefficients, in their order, times the direction. */
static void spread_states(struct run *r)
{
  const struct trainer_gradient *g = r->gradient;
  size_t width = (size_t)r->t->model->config.hidden;
  int32_t p = 0;
  for (int32_t h = 0; h < r->head.count; h++) {
    double sum = 0;
    for (; p < r->head.pair_count && r->pair_row[p] == h; p++) sum += g->state_coef[r->pair_number[p]];
    for (size_t c = 0; c < width; c++) r->hidden_grad[(size_t)h * width + c] = sum * g->direction[c];
  }
}

static void take_scores(struct run *r)
{
  for (int32_t p = 0; p < r->head.pair_count; p++) {
    if (r->logp) r->logp[r->pair_number[p]] = r->pair_logp[p];
    if (r->entropy) r->entropy[r->pair_number[p]] = r->head_entropy[r->pair_row[p]];
  }
}

static int backward_micro(struct run *r, struct error *err)
{
  for (int32_t h = 0; h < r->head.count; h++) r->head_entropy_coef[h] = 0;
  for (int32_t p = 0; p < r->head.pair_count; p++) {
    r->pair_coef[p] = r->coef[r->pair_number[p]];
    if (r->entropy_coef) r->head_entropy_coef[r->pair_row[p]] += r->entropy_coef[r->pair_number[p]];
  }
  struct decoder_backward_input in = {.head = &r->head,
                                      .temperature = r->temperature,
                                      .coef = r->pair_coef,
                                      .entropy_coef = r->entropy_coef ? r->head_entropy_coef : NULL,
                                      .kv_slot = r->kv_slot,
                                      .embed_slot = r->embed_slot};
  struct decoder_terms terms = {.hidden_grad = r->hidden_grad};
  if (r->whole) {
    terms.rows = row_pass_block;
    terms.arg = &r->row_pass;
    terms.extra = r->row_pass.extra;
  }
  if (r->hidden_grad) spread_states(r);
  if (r->whole || r->hidden_grad) in.terms = &terms;
  int32_t rows = r->rows.count - r->padding;
  r->t->counts.rows_backward += (uint64_t)rows;
  if (r->t->options.recompute) r->t->counts.rows_recomputed += (uint64_t)rows;
  return decoder_backward(r->t->decoder, &r->rows, r->t->kv->kv, &in, r->t->gradients, err);
}

static int run_micro(struct run *r, const struct batch_micro *m, struct error *err)
{
  TRY(run_ahead(r, m, err));
  TRY(build_micro(r, m, err));
  r->t->counts.rows_forward += (uint64_t)(r->rows.count - r->padding);
  r->t->counts.rows_padding += (uint64_t)r->padding;
  if (r->tap_row) {
    choose_states(r, m);
    decoder_set_tap(r->t->decoder, &r->tap);
  }
  TRY(decoder_forward(r->t->decoder, &r->rows, r->t->kv->kv, &r->head, r->coef != NULL, err));
  TRY(decoder_score(r->t->decoder, r->temperature, &r->head, r->pair_logp, r->head_entropy, err));
  take_scores(r);
  if (r->tap_row) take_states(r);
  r->row_pass.head = &r->head;
  r->row_pass.pair_number = r->pair_number;
  r->row_pass.temperature = r->temperature;
  if (r->whole && !r->coef) TRY(row_pass_read(&r->row_pass, err));
  if (r->coef) TRY(backward_micro(r, err));
  for (int32_t node = m->node; node < m->node + m->node_count; node++) give_back(r, node);
  return 0;
}

/* All micro-batches. What a trained model's passes do is told: they are most of a long step. */
static int run_micros(struct run *r, struct error *err)
{
  const struct batch *b = r->b;
  bool told = r->t->trained != NULL;
  int64_t done = 0;
  int rc = 0;
  for (int32_t m = 0; !rc && m < b->micro_count; m++) {
    if (told) log_progress(r->coef ? "train" : "score", (double)done, b->rows + b->rows_padding, "tok");
    rc = run_micro(r, &b->micros[m], err);
    done += b->micros[m].rows;
  }
  if (told) log_progress_end();
  return rc;
}

static int run_batch(struct run *r, struct arena *a, struct error *err)
{
  const struct batch *b = r->b;
  const struct trainer_sizes *s = &r->t->sizes;
  if (b->max_micro_rows > s->decoder.max_rows || b->max_micro_pairs > s->decoder.max_pairs ||
      b->peak_blocks > s->kv_blocks || (!r->t->model->adapter && b->embed_count > s->embed_slots))
    FAIL(err, ERROR_BUG, "a batch needs %d rows, %d pairs, %d KV blocks; planned were %d, %d, %d", b->max_micro_rows,
         b->max_micro_pairs, b->peak_blocks, s->decoder.max_rows, s->decoder.max_pairs, s->kv_blocks);
  for (int32_t i = 0; i < b->target_count; i++) {
    if (r->logp) r->logp[i] = (double)__builtin_nanf("");
    if (r->entropy) r->entropy[i] = (double)__builtin_nanf("");
  }
  struct arena_mark mark = arena_mark(a);
  int rc = open_pass(r, a, err);
  if (!rc) rc = open_extras(r, a, err);
  if (!rc) rc = run_micros(r, err);
  for (int32_t n = 0; r->places && n < b->node_count; n++)
    kv_path_release(r->t->kv, &r->places[n].path);  // after a failure
  kv_path_release(r->t->kv, &r->filler);
  if (!rc && r->coef) rc = decoder_gradients_join(r->t->gradients, r->t->trained, b->embed_ids, b->embed_count, err);
  arena_release(a, mark);
  return rc;
}

int trainer_score(struct trainer *t, struct arena *a, const struct batch *b, double temperature, double *logp,
                  double *entropy, struct error *err)
{
  struct run r = {.t = t, .b = b, .temperature = temperature, .logp = logp, .entropy = entropy};
  return run_batch(&r, a, err);
}

int trainer_read(struct trainer *t, struct arena *a, const struct batch *b, double temperature,
                 const struct trainer_reading *out, struct error *err)
{
  struct run r = {.t = t,
                  .b = b,
                  .temperature = temperature,
                  .logp = out->logp,
                  .entropy = out->entropy,
                  .reading = out,
                  .whole = out->rows};
  return run_batch(&r, a, err);
}

int trainer_differentiate(struct trainer *t, struct arena *a, const struct batch *b, double temperature,
                          const struct trainer_gradient *in, double *logp, double *entropy, struct error *err)
{
  ASSAY_BUG_IF(!t->trained || !in->coef);
  struct run r = {.t = t,
                  .b = b,
                  .temperature = temperature,
                  .coef = in->coef,
                  .entropy_coef = in->entropy_coef,
                  .gradient = in,
                  .whole = in->rows,
                  .logp = logp,
                  .entropy = entropy};
  return run_batch(&r, a, err);
}

int trainer_backward(struct trainer *t, struct arena *a, const struct batch *b, double temperature, const double *coef,
                     const double *entropy_coef, double *logp, double *entropy, struct error *err)
{
  struct trainer_gradient in = {.coef = coef, .entropy_coef = entropy_coef};
  return trainer_differentiate(t, a, b, temperature, &in, logp, entropy, err);
}

/* ---- the update ------------------------------------------------------------------------------------------------- */

/* Where a weight stands on the way forward: the embedding, layer by layer, the final norm and the head. */
static long place_of(const char *name)
{
  const char *layer = strstr(name, "layers.");
  if (layer) return strtol(layer + strlen("layers."), NULL, 10);
  return strstr(name, "embed") ? -1 : LONG_MAX;
}

/* What is not finite comes down the layers: the last weight that has it is the one nearest to where it began. */
static int fail_not_finite(const struct trainer *t, double norm, struct error *err)
{
  const struct backend_ops *ops = device_ops(t->model->device);
  const struct weight *first = NULL;
  int64_t at = -1;
  for (size_t i = 0; i < t->trained->trained_count; i++) {
    const struct weight *w = t->trained->trained[i];
    const int64_t found = ops->find_not_finite(t->model->device, w, WEIGHT_GRAD);
    if (found < 0 || (first && place_of(weight_name(w)) < place_of(weight_name(first)))) continue;
    first = w;
    at = found;
  }
  const int64_t cols = first ? (int64_t)weight_cols(first) : 1;
  char where[192] = "";
  if (first)
    snprintf(where, sizeof where, ", and %s has one that is not finite at [%" PRId64 ", %" PRId64 "]",
             weight_name(first), at / cols, at % cols);
  FAIL(err, ERROR_INPUT,
       "the gradient's norm is %g%s; expected a finite number; lower train.lr or set train.clip_norm, and look at "
       "rewards and weights",
       norm, where);
}

int trainer_update(struct trainer *t, const struct optimiser *o, double lr, double *norm, struct error *err)
{
  struct device *d = t->model->device;
  const struct backend_ops *ops = device_ops(d);
  double sum = 0;
  for (size_t i = 0; i < t->trained->trained_count; i++)
    sum += ops->sum_squares(d, t->trained->trained[i], WEIGHT_GRAD);
  *norm = math_sqrt(sum);
  TRY(device_check(d, err));  // a device that broke gave zeros
  if (!math_is_finite(sum)) {
    int rc = fail_not_finite(t, *norm, err);
    for (size_t i = 0; i < t->trained->trained_count; i++) ops->weight_zero_grad(d, t->trained->trained[i]);
    return rc;
  }
  // beta^t by repeated multiplication: exact in its order, and updates are few
  double power1 = 1, power2 = 1;
  t->updates++;
  for (int64_t i = 0; i < t->updates; i++) {
    power1 *= o->beta1;
    power2 *= o->beta2;
  }
  struct adamw_params p = {.lr = lr,
                           .beta1 = o->beta1,
                           .beta2 = o->beta2,
                           .eps = o->eps,
                           .weight_decay = o->weight_decay,
                           .correction1 = 1 - power1,
                           .correction2 = 1 - power2,
                           .grad_scale = o->clip_norm > 0 && *norm > o->clip_norm ? o->clip_norm / *norm : 1};
  for (size_t i = 0; i < t->trained->trained_count; i++) ops->adamw(d, t->trained->trained[i], &p);
  t->weight_version++;
  return device_sync(d, err);
}
