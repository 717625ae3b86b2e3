#include "method/method_replay.h"

#include <string.h>

#include "core/cursor.h"
#include "method/method.h"

/* One entry is one block of memory: what is told about it, then its arrays. */
struct item {
  struct replay_entry told;
  int64_t weight_version;
  int32_t path_count; /* tokens with loss */
  char *problem;
  int32_t *prompt;              /* [told.prompt] */
  struct token_record *records; /* [told.tokens] */
  double *credit;               /* [3, path_count] advantage, weight, counted */
};

struct replay_buffer {
  struct item **items; /* oldest first */
  int32_t count, room;
};

static void free_items(void *arg)
{
  struct replay_buffer *b = arg;
  for (int32_t i = 0; i < b->count; i++) memory_free(b->items[i]);
  memory_free(b->items);
  *b = (struct replay_buffer){0};
}

int replay_create(struct arena *a, struct replay_buffer **out, struct error *err)
{
  *out = ARENA_NEW(a, struct replay_buffer, 1, "replay buffer", err);
  return *out ? arena_on_reset(a, free_items, *out, err) : err->code;
}

int32_t replay_count(const struct replay_buffer *b)
{
  return b->count;
}

const struct replay_entry *replay_at(const struct replay_buffer *b, int32_t i)
{
  ASSAY_BUG_IF(i < 0 || i >= b->count);
  return &b->items[i]->told;
}

int64_t replay_tokens(const struct replay_buffer *b)
{
  int64_t n = 0;
  for (int32_t i = 0; i < b->count; i++) n += b->items[i]->told.prompt + b->items[i]->told.tokens;
  return n;
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static int make_room(struct replay_buffer *b, struct error *err)
{
  if (b->count < b->room) return 0;
  int32_t room = b->room ? 2 * b->room : 64;
  void *more = b->items ? memory_resize(b->items, (size_t)room, sizeof *b->items, "replay buffer", err)
                        : memory_alloc((size_t)room, sizeof *b->items, "replay buffer", err);
  if (!more) return err->code;
  b->items = more;
  b->room = room;
  return 0;
}

/* Arrays behind the item, the widest first. */
static int new_item(struct replay_buffer *b, const struct replay_entry *told, int32_t path_count, struct item **out,
                    struct error *err)
{
  TRY(make_room(b, err));
  size_t name = strlen(told->problem) + 1, credit = 3 * (size_t)path_count * sizeof(double);
  size_t records = (size_t)told->tokens * sizeof(struct token_record), prompt = (size_t)told->prompt * sizeof(int32_t);
  struct item *x = memory_alloc(sizeof *x + credit + records + prompt + name, 1, "replay buffer", err);
  if (!x) return err->code;
  char *at = (char *)(x + 1);
  *x = (struct item){.told = *told, .path_count = path_count, .credit = (double *)(void *)at};
  x->records = (struct token_record *)(void *)(at + credit);
  x->prompt = (int32_t *)(void *)(at + credit + records);
  x->problem = at + credit + records + prompt;
  memcpy(x->problem, told->problem, name);
  x->told.problem = x->problem;
  b->items[b->count++] = x;
  *out = x;
  return 0;
}

static int check_path(const struct step *s, int32_t rollout, struct error *err)
{
  const struct rollout *r = &s->rollouts[rollout];
  char name[256];
  if (r->row_count == 1 && r->rows[0].leaf == r->leaf &&
      s->tree->segments[r->leaf].parent == s->contexts[r->training].segment)
    return 0;
  FAIL(err, ERROR_INPUT,
       "%s cannot be kept for replay: it is trained in another context than it was made in, or has several parts; "
       "expected one context and one response; leave the method out",
       step_rollout_name(s, rollout, name, sizeof name));
}

int replay_push(struct replay_buffer *b, const struct step *s, int32_t rollout, struct error *err)
{
  const struct rollout *r = &s->rollouts[rollout];
  TRY(check_path(s, rollout, err));
  const struct group *g = &s->groups[r->group];
  const struct segment *leaf = &s->tree->segments[r->leaf];
  struct replay_entry told = {.step = s->number,
                              .problem = g->problem && g->problem->id ? g->problem->id : "",
                              .group = g->ordinal,
                              .attempt = r->attempt,
                              .ordinal = r->ordinal,
                              .tokens = leaf->count,
                              .prompt = leaf->start,
                              .reward = s->reward[rollout],
                              .correct = r->verdict.correct,
                              .finish = r->finish};
  struct item *x;
  TRY(new_item(b, &told, r->path_count, &x, err));
  x->weight_version = leaf->weight_version;
  size_t n = (size_t)r->path_count;
  if (leaf->parent >= 0) tree_path_ids(s->tree, leaf->parent, x->prompt);
  if (leaf->count) memcpy(x->records, leaf->tokens, (size_t)leaf->count * sizeof *x->records);
  if (!n) return 0;
  memcpy(x->credit, s->advantage + r->path, n * sizeof(double));
  memcpy(x->credit + n, s->weight + r->path, n * sizeof(double));
  memcpy(x->credit + 2 * n, s->counted + r->path, n * sizeof(double));
  return 0;
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

void replay_remove(struct replay_buffer *b, const bool *which)
{
  int32_t left = 0;
  for (int32_t i = 0; i < b->count; i++) {
    if (which[i])
      memory_free(b->items[i]);
    else
      b->items[left++] = b->items[i];
  }
  b->count = left;
}

static bool same_prompt(const struct item *a, const struct item *b)
{
  return a->told.prompt == b->told.prompt && !memcmp(a->prompt, b->prompt, (size_t)a->told.prompt * sizeof *a->prompt);
}

/* A group of the taken entries: the context that was read last, so that equal prompts stand once in the tree. */
struct taken_group {
  const struct item *first, *last;
  int32_t context, members;
};

static int take_group(struct step *s, struct taken_group *groups, const struct item *x, int32_t *out, struct error *err)
{
  int32_t g = 0, segment;
  while (g < s->group_count &&
         (groups[g].first->told.step != x->told.step || groups[g].first->told.group != x->told.group))
    g++;
  *out = g;
  if (g == s->group_count) {
    struct problem *p = ARENA_NEW(s->arena, struct problem, 1, "replay", err);
    if (!p) return err->code;
    *p = (struct problem){.id = arena_strdup(s->arena, x->problem, "replay", err), .source = "replay"};
    if (!p->id) return err->code;
    TRY(step_add_group(s, p, 0, &g, err));
    groups[g] = (struct taken_group){.first = x, .context = -1};
  }
  if (groups[g].context >= 0 && same_prompt(groups[g].last, x)) return 0;
  TRY(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, x->told.prompt, &segment, err));
  TRY(tree_append_ids(s->tree, segment, x->prompt, x->told.prompt, 0, err));
  groups[g].last = x;
  return step_add_context(s, g, "policy", "replay", segment, &groups[g].context, err);
}

static int take_rollout(struct step *s, struct taken_group *groups, const struct item *x, struct error *err)
{
  int32_t g, r;
  TRY(take_group(s, groups, x, &g, err));
  TRY(step_add_rollout(s, g, groups[g].context, 0, groups[g].members++, &r, err));
  struct rollout *o = &s->rollouts[r];
  TRY(tree_add_segment(s->tree, s->contexts[o->training].segment, SEGMENT_OWN, x->told.tokens, &o->leaf, err));
  s->tree->segments[o->leaf].weight_version = x->weight_version;
  o->finish = x->told.finish;
  o->verdict = (struct verdict){.status = VERDICT_OK,
                                .reward = x->told.reward,
                                .correct = x->told.correct,
                                .readable = true,
                                .reason = "replayed"};
  return tree_append(s->tree, o->leaf, x->records, x->told.tokens, err);
}

int replay_take(const struct replay_buffer *b, const struct update_list *l, const bool *which, struct step **out,
                struct error *err)
{
  const struct step *now = l->step;
  const struct step_options o = {.seed = now->seed,
                                 .number = now->number,
                                 .total = now->total,
                                 .temperature = now->temperature,
                                 .max_new_tokens = now->max_new_tokens,
                                 .weight_version = now->weight_version};
  struct step *s;
  struct taken_group *groups = ARENA_NEW(now->arena, struct taken_group, (size_t)b->count, "replay", err);
  const struct item **items = ARENA_NEW(now->arena, const struct item *, (size_t)b->count, "replay", err);
  if (!groups || !items) return err->code;
  TRY(step_create(now->arena, &o, &s, err));
  for (int32_t i = 0; i < b->count; i++) {
    if (!which[i]) continue;
    items[s->rollout_count] = b->items[i];
    TRY(take_rollout(s, groups, b->items[i], err));
  }
  TRY(step_gather(s, err));
  for (int32_t r = 0; r < s->rollout_count; r++) {
    size_t n = (size_t)s->rollouts[r].path_count, first = (size_t)s->rollouts[r].path;
    ASSAY_BUG_IF(s->rollouts[r].path_count != items[r]->path_count);
    s->reward[r] = items[r]->told.reward;
    if (!n) continue;
    memcpy(s->advantage + first, items[r]->credit, n * sizeof(double));
    memcpy(s->weight + first, items[r]->credit + n, n * sizeof(double));
    memcpy(s->counted + first, items[r]->credit + 2 * n, n * sizeof(double));
  }
  *out = s;
  return 0;
}

/* ---- checkpoints --------------------------------------------------------------------------------------------------
 * Number of entries; each: step, weight version, group, attempt, ordinal, tokens, prompt, path tokens, correct, finish
 * (8 bytes each), reward; length of the problem's id and its bytes; the arrays. Little-endian. */

enum { NUMBERS = 10 };

static void put_u64(struct text *out, uint64_t x)
{
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> (8 * i));
  text_add(out, bytes, 8);
}

void replay_save(const struct replay_buffer *b, struct text *out)
{
  put_u64(out, (uint64_t)b->count);
  for (int32_t i = 0; i < b->count; i++) {
    const struct item *x = b->items[i];
    const struct replay_entry *t = &x->told;
    const int64_t numbers[NUMBERS] = {t->step,   x->weight_version, t->group,      t->attempt, t->ordinal,
                                      t->tokens, t->prompt,         x->path_count, t->correct, (int64_t)t->finish};
    for (int k = 0; k < NUMBERS; k++) put_u64(out, (uint64_t)numbers[k]);
    text_add(out, &t->reward, sizeof t->reward);
    put_u64(out, strlen(t->problem));
    text_add(out, t->problem, strlen(t->problem));
    text_add(out, x->credit, 3 * (size_t)x->path_count * sizeof(double));
    text_add(out, x->records, (size_t)t->tokens * sizeof *x->records);
    text_add(out, x->prompt, (size_t)t->prompt * sizeof *x->prompt);
  }
}

static int take_bytes(struct cursor *c, void *to, size_t size, struct error *err)
{
  const uint8_t *bytes;
  TRY(cursor_bytes(c, size, &bytes, "replay buffer", err));
  if (size) memcpy(to, bytes, size);
  return 0;
}

static int load_item(struct replay_buffer *b, struct cursor *c, struct error *err)
{
  uint64_t n[NUMBERS], name;
  const uint8_t *bytes;
  char id[1024];
  struct item *x;
  struct replay_entry told = {0};
  for (int k = 0; k < NUMBERS; k++) TRY(cursor_u64(c, &n[k], "replay buffer", err));
  TRY(take_bytes(c, &told.reward, sizeof told.reward, err));
  TRY(cursor_u64(c, &name, "replay buffer", err));
  TRY(cursor_bytes(c, name, &bytes, "replay buffer", err));
  size_t left = cursor_left(c);
  if (name >= sizeof id || n[5] > left / sizeof(struct token_record) || n[6] > left / sizeof(int32_t) || n[7] > n[5])
    FAIL(err, ERROR_INPUT,
         "an entry of the replay buffer is longer than what is left of it; the checkpoint is damaged; "
         "take another one");
  memcpy(id, bytes, name);
  id[name] = '\0';
  told.problem = id;
  told.step = (int64_t)n[0];
  told.group = (int32_t)n[2];
  told.attempt = (int32_t)n[3];
  told.ordinal = (int32_t)n[4];
  told.tokens = (int32_t)n[5];
  told.prompt = (int32_t)n[6];
  told.correct = n[8] != 0;
  told.finish = (enum finish)n[9];
  TRY(new_item(b, &told, (int32_t)n[7], &x, err));
  x->weight_version = (int64_t)n[1];
  TRY(take_bytes(c, x->credit, 3 * (size_t)x->path_count * sizeof(double), err));
  TRY(take_bytes(c, x->records, (size_t)told.tokens * sizeof *x->records, err));
  return take_bytes(c, x->prompt, (size_t)told.prompt * sizeof *x->prompt, err);
}

int replay_load(struct replay_buffer *b, const void *bytes, size_t size, struct error *err)
{
  struct cursor c = cursor_over(bytes, size, "replay buffer");
  uint64_t count;
  for (int32_t i = 0; i < b->count; i++) memory_free(b->items[i]);
  b->count = 0;
  TRY(cursor_u64(&c, &count, "replay buffer", err));
  for (uint64_t i = 0; i < count; i++) TRY(load_item(b, &c, err));
  if (!cursor_left(&c)) return 0;
  FAIL(err, ERROR_INPUT, "%zu bytes stand behind the replay buffer; the checkpoint is damaged; take another one",
       cursor_left(&c));
}
