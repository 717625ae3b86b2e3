/* Sequences as paths of a token tree: what several of them begin with stands there once. */
#include <string.h>

#include "train/given.h"
#include "train/run.h"

/* One sequence on its way into the tree. */
struct entry {
  const struct given_sequence *q;
  int32_t prefix; /* leading tokens without loss, 1 at least: what may be shared */
  int32_t shared; /* tokens that stand in `parent` and above; 0: it shares nothing */
  int32_t parent; /* segment, -1: none */
};

/* Entries first .. last-1 of the sorted order agree in their first `depth` tokens, which `parent` holds. */
struct range {
  int32_t first, last, depth, parent;
};

struct sharing {
  struct step *step;
  struct entry *entries;
  int32_t *order; /* entries, sorted by what may be shared */
  struct range *stack;
  int32_t stacked;
};

static int32_t common(const struct entry *a, const struct entry *b, int32_t from)
{
  int32_t n = a->prefix < b->prefix ? a->prefix : b->prefix, i = from;
  while (i < n && a->q->ids[i] == b->q->ids[i]) i++;
  return i;
}

/* By tokens, the shorter first; of equal ones the earlier. */
static bool stands_before(const struct sharing *w, int32_t a, int32_t b)
{
  const struct entry *x = &w->entries[a], *y = &w->entries[b];
  int32_t n = common(x, y, 0);
  if (n < x->prefix && n < y->prefix) return x->q->ids[n] < y->q->ids[n];
  return x->prefix != y->prefix ? x->prefix < y->prefix : a < b;
}

static void sift(const struct sharing *w, int32_t first, int32_t at, int32_t count)
{
  int32_t *heap = w->order + first;
  for (int32_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && stands_before(w, heap[child], heap[child + 1])) child++;
    if (!stands_before(w, heap[at], heap[child])) return;
    int32_t swap = heap[at];
    heap[at] = heap[child];
    heap[child] = swap;
  }
}

static void sort(const struct sharing *w, int32_t first, int32_t count)
{
  int32_t *heap = w->order + first;
  for (int32_t i = count / 2; i-- > 0;) sift(w, first, i, count);
  for (int32_t end = count; end-- > 1;) {
    int32_t swap = heap[0];
    heap[0] = heap[end];
    heap[end] = swap;
    sift(w, first, 0, end);
  }
}

/* The segment of what all of a range agree in beyond its depth. */
static int split(struct sharing *w, struct range r, struct error *err)
{
  struct entry *first = &w->entries[w->order[r.first]];
  int32_t depth = common(first, &w->entries[w->order[r.last - 1]], r.depth), segment;
  if (depth > r.depth) {
    TRY(tree_add_segment(w->step->tree, r.parent, SEGMENT_PROMPT, depth - r.depth, &segment, err));
    TRY(tree_append_ids(w->step->tree, segment, first->q->ids + r.depth, depth - r.depth, 0, err));
    r.parent = segment;
  }
  for (int32_t i = r.first, end; i < r.last; i = end) {
    struct entry *e = &w->entries[w->order[i]];
    end = i + 1;
    if (e->prefix == depth) {
      e->parent = r.parent;
      e->shared = depth;
      continue;
    }
    while (end < r.last && w->entries[w->order[end]].q->ids[depth] == e->q->ids[depth]) end++;
    w->stack[w->stacked++] = (struct range){i, end, depth, r.parent};
  }
  return 0;
}

/* Prefixes of the entries first .. first+count-1. */
static int share(struct sharing *w, int32_t first, int32_t count, struct error *err)
{
  sort(w, first, count);
  w->stack[w->stacked++] = (struct range){first, first + count, 0, -1};
  while (w->stacked) {
    struct range r = w->stack[--w->stacked];
    struct entry *e = &w->entries[w->order[r.first]];
    if (r.last - r.first > 1) {
      TRY(split(w, r, err));
    } else {
      e->parent = r.parent;
      e->shared = r.depth;
    }
  }
  return 0;
}

/* What a sequence has for itself. One that shares nothing has its first token for a prompt: a row must stand before
 * every target. */
static int add_rollout(struct step *s, struct entry *e, int32_t group, int32_t ordinal, struct error *err)
{
  int32_t leaf, context, rollout, from = e->shared;
  if (e->parent < 0) {
    TRY(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, 1, &e->parent, err));
    TRY(tree_append_ids(s->tree, e->parent, e->q->ids, 1, 0, err));
    from = 1;
  }
  TRY(tree_add_segment(s->tree, e->parent, SEGMENT_OWN, e->q->count - from, &leaf, err));
  for (int32_t i = from; i < e->q->count; i++)
    TRY(tree_append_ids(s->tree, leaf, &e->q->ids[i], 1, e->q->learn[i] ? TOKEN_OWN : 0, err));
  TRY(step_add_context(s, group, "policy", "plain", e->parent, &context, err));
  TRY(step_add_rollout(s, group, context, 0, ordinal, &rollout, err));
  s->rollouts[rollout].leaf = leaf;
  s->rollouts[rollout].finish = FINISH_STOP;
  struct verdict v = {.status = VERDICT_OK,
                      .reward = ordinal ? 0 : 1,
                      .correct = !ordinal,
                      .readable = true,
                      .reason = ordinal ? "the rejected side of a pair" : "an example to learn from"};
  return step_set_verdict(s, rollout, &v, err);
}

static int open_sharing(struct sharing *w, const struct given *items, int32_t count, struct error *err)
{
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++) n += items[i].count;
  w->entries = ARENA_NEW(w->step->arena, struct entry, (size_t)n, "examples", err);
  w->order = ARENA_NEW(w->step->arena, int32_t, (size_t)n, "examples", err);
  w->stack = ARENA_NEW(w->step->arena, struct range, (size_t)n + 1, "examples", err);
  if (!w->entries || !w->order || !w->stack) return err->code;
  for (int32_t i = 0, at = 0; i < count; i++)
    for (int32_t k = 0; k < items[i].count; k++, at++) {
      const struct given_sequence *q = &items[i].of[k];
      int32_t prefix = 1;
      while (!q->learn[prefix]) prefix++;
      w->entries[at] = (struct entry){.q = q, .prefix = prefix, .parent = -1};
      w->order[at] = at;
    }
  return 0;
}

int given_step(struct step *s, const struct given *items, int32_t count, bool across, struct error *err)
{
  struct sharing w = {.step = s};
  TRY(open_sharing(&w, items, count, err));
  int32_t at = 0;
  if (across) {
    for (int32_t i = 0; i < count; i++) at += items[i].count;
    TRY(share(&w, 0, at, err));
  }
  at = 0;
  for (int32_t i = 0; i < count; i++) {
    int32_t group;
    if (!across) TRY(share(&w, at, items[i].count, err));
    TRY(step_add_group(s, items[i].problem, items[i].count, &group, err));
    for (int32_t k = 0; k < items[i].count; k++) TRY(add_rollout(s, &w.entries[at++], group, k, err));
  }
  return 0;
}

int given_open_step(const struct run *r, struct arena *a, const struct given *items, int32_t count, struct step **out,
                    struct error *err)
{
  struct step_options o = {.seed = (uint64_t)r->recipe->top.seed,
                           .number = r->step,
                           .total = r->recipe->train.steps,
                           .temperature = r->recipe->train.temperature,
                           .weight_version = -1};
  TRY(step_create(a, &o, out, err));
  TRY(given_step(*out, items, count, true, err));
  return step_gather(*out, err);
}
