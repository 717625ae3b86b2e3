#include "method/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/math.h"

static const struct combine_term REWARD_ALONE = {"reward", 1.0};

int step_create(struct arena *a, const struct step_options *o, struct step **out, struct error *err)
{
  struct step *s = ARENA_NEW(a, struct step, 1, "step", err);
  if (!s) return err->code;
  s->arena = a;
  s->seed = o->seed;
  s->number = o->number;
  s->total = o->total;
  s->temperature = o->temperature;
  s->max_new_tokens = o->max_new_tokens;
  s->weight_version = o->weight_version;
  s->combine = o->combine_count ? o->combine : &REWARD_ALONE;
  s->combine_count = o->combine_count ? o->combine_count : 1;
  s->channel_names[0] = "reward";
  s->channel_count = 1;
  TRY(tree_create(a, &s->tree, err));
  *out = s;
  return 0;
}

/* Room for one more item in an arena array: doubling copies, so that all copies together are at most twice the last. */
static int grow(struct arena *a, void **items, int32_t count, int32_t *room, size_t size, const char *tag,
                struct error *err)
{
  if (count < *room) return 0;
  int32_t wanted = *room ? 2 * *room : 16;
  void *larger = arena_push(a, (size_t)wanted, size, tag, err);
  if (!larger) return err->code;
  if (count) memcpy(larger, *items, (size_t)count * size);
  *items = larger;
  *room = wanted;
  return 0;
}

int step_add_group(struct step *s, const struct problem *p, int32_t wanted, int32_t *out, struct error *err)
{
  void *items = s->groups;
  TRY(grow(s->arena, &items, s->group_count, &s->group_room, sizeof(struct group), "step groups", err));
  s->groups = items;
  *out = s->group_count++;
  s->groups[*out] = (struct group){.problem = p, .ordinal = *out, .context = -1, .wanted = wanted};
  return 0;
}

int step_add_context(struct step *s, int32_t group, const char *policy, const char *kind, int32_t segment, int32_t *out,
                     struct error *err)
{
  ASSAY_BUG_IF(group < 0 || group >= s->group_count || segment < 0 || segment >= s->tree->count);
  void *items = s->contexts;
  TRY(grow(s->arena, &items, s->context_count, &s->context_room, sizeof(struct context), "step contexts", err));
  s->contexts = items;
  *out = s->context_count++;
  s->contexts[*out] = (struct context){.policy = policy, .kind = kind, .group = group, .segment = segment};
  if (s->groups[group].context < 0) s->groups[group].context = *out;
  return 0;
}

int step_add_rollout(struct step *s, int32_t group, int32_t context, int32_t attempt, int32_t ordinal, int32_t *out,
                     struct error *err)
{
  ASSAY_BUG_IF(group < 0 || group >= s->group_count || context < 0 || context >= s->context_count);
  void *items = s->rollouts;
  TRY(grow(s->arena, &items, s->rollout_count, &s->rollout_room, sizeof(struct rollout), "step rollouts", err));
  s->rollouts = items;
  double *channel = ARENA_NEW(s->arena, double, STEP_CHANNELS, "step channels", err);
  if (!channel) return err->code;
  *out = s->rollout_count++;
  s->rollouts[*out] = (struct rollout){.group = group,
                                       .attempt = attempt,
                                       .ordinal = ordinal,
                                       .generating = context,
                                       .training = context,
                                       .leaf = -1,
                                       .kept = true,
                                       .channel = channel};
  if (attempt > s->wave) s->wave = attempt;
  return 0;
}

/* ---- channels --------------------------------------------------------------------------------------------------- */

int step_find_channel(const struct step *s, const char *name)
{
  for (int32_t c = 0; c < s->channel_count; c++) {
    if (!strcmp(s->channel_names[c], name)) return c;
  }
  return -1;
}

int step_channel(struct step *s, const char *name, int32_t *out, struct error *err)
{
  *out = step_find_channel(s, name);
  if (*out >= 0) return 0;
  if (s->channel_count == STEP_CHANNELS) {
    FAIL(err, ERROR_INPUT, "channel \"%s\" is one more than %d; this is the most that a step has room for; name fewer",
         name, STEP_CHANNELS);
  }
  const char *copy = arena_strdup(s->arena, name, "step channels", err);
  if (!copy) return err->code;
  *out = s->channel_count++;
  s->channel_names[*out] = copy;
  return 0;
}

int step_set_channel(struct step *s, int32_t rollout, int32_t channel, double value, struct error *err)
{
  ASSAY_BUG_IF(rollout < 0 || rollout >= s->rollout_count || channel < 0 || channel >= s->channel_count);
  if (!math_is_finite(value)) {
    char name[256];
    FAIL(err, ERROR_INPUT, "channel \"%s\" of %s is %s; a reward is a finite number; look at its verifier",
         s->channel_names[channel], step_rollout_name(s, rollout, name, sizeof name),
         math_is_nan(value) ? "NaN" : "infinite");
  }
  s->rollouts[rollout].channel[channel] = value;
  s->rollouts[rollout].present |= UINT64_C(1) << channel;
  return 0;
}

bool step_get_channel(const struct step *s, int32_t rollout, int32_t channel, double *value)
{
  const struct rollout *r = &s->rollouts[rollout];
  if (channel < 0 || !(r->present >> channel & 1)) return false;
  *value = r->channel[channel];
  return true;
}

/* The strings of a verdict live as long as the step. */
static int copy_verdict(struct step *s, const struct verdict *v, struct verdict *out, struct error *err)
{
  *out = *v;
  if (v->extracted && !(out->extracted = arena_strdup(s->arena, v->extracted, "step verdicts", err))) return err->code;
  if (v->reason && !(out->reason = arena_strdup(s->arena, v->reason, "step verdicts", err))) return err->code;
  return 0;
}

int step_set_verdict(struct step *s, int32_t rollout, const struct verdict *v, struct error *err)
{
  ASSAY_BUG_IF(rollout < 0 || rollout >= s->rollout_count);
  struct rollout *r = &s->rollouts[rollout];
  TRY(copy_verdict(s, v, &r->verdict, err));
  r->status = v->status == VERDICT_OK ? ROLLOUT_OK : ROLLOUT_FAILED;
  r->present = 0;
  if (r->status == ROLLOUT_FAILED) return 0;
  TRY(step_set_channel(s, rollout, 0, v->reward, err));
  for (int i = 0; i < v->channel_count; i++) {
    int32_t channel;
    TRY(step_channel(s, v->channels[i].name, &channel, err));
    r->verdict.channels[i].name = s->channel_names[channel];
    TRY(step_set_channel(s, rollout, channel, v->channels[i].value, err));
  }
  return 0;
}

/* ---- gathering -------------------------------------------------------------------------------------------------- */

/* Canonical order: group ordinal, attempt, ordinal (law 2). */
static bool stands_before(const struct step *s, int32_t a, int32_t b)
{
  const struct rollout *x = &s->rollouts[a], *y = &s->rollouts[b];
  int32_t gx = s->groups[x->group].ordinal, gy = s->groups[y->group].ordinal;
  if (gx != gy) return gx < gy;
  if (x->attempt != y->attempt) return x->attempt < y->attempt;
  ASSAY_BUG_IF(a != b && x->ordinal == y->ordinal);
  return x->ordinal < y->ordinal;
}

static void sift(const struct step *s, int32_t *heap, int32_t at, int32_t count)
{
  for (int32_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && stands_before(s, heap[child], heap[child + 1])) child++;
    if (!stands_before(s, heap[at], heap[child])) return;
    int32_t swap = heap[at];
    heap[at] = heap[child];
    heap[child] = swap;
  }
}

static void sort_rollouts(const struct step *s, int32_t *order, int32_t count)
{
  for (int32_t i = count / 2; i-- > 0;) sift(s, order, i, count);
  for (int32_t end = count; end-- > 1;) {
    int32_t swap = order[0];
    order[0] = order[end];
    order[end] = swap;
    sift(s, order, 0, end);
  }
}

/* The segments of the path to leaf, root first; returns how many. */
static int path_segments(const struct step *s, int32_t leaf, int32_t **out, struct error *err)
{
  int32_t depth = s->tree->segments[leaf].depth;
  int32_t *list = ARENA_NEW(s->arena, int32_t, (size_t)depth + 1, "step paths", err);
  if (!list) return -1;
  int32_t at = leaf;
  for (int32_t i = depth; i >= 0; i--, at = s->tree->segments[at].parent) list[i] = at;
  *out = list;
  return depth + 1;
}

static bool carries_loss(const struct token_record *t)
{
  return (t->flags & TOKEN_OWN) && !(t->flags & TOKEN_MASKED);
}

/* Visits the path tokens of one training row; to NULL: counts only. */
static int walk_row(const struct step *s, int32_t rollout, int32_t row, struct path_token *to, int32_t *count,
                    struct error *err)
{
  const struct training_row *r = &s->rollouts[rollout].rows[row];
  struct arena_mark mark = arena_mark(s->arena);
  int32_t *segments = NULL;
  int n = path_segments(s, r->leaf, &segments, err);
  if (n < 0) return err->code;
  int32_t found = 0;
  for (int i = 0; i < n; i++) {
    const struct segment *g = &s->tree->segments[segments[i]];
    int32_t first = r->begin > g->start ? r->begin - g->start : 0;
    int32_t last = r->end - g->start < g->count ? r->end - g->start : g->count;
    for (int32_t k = first; k < last; k++) {
      if (!carries_loss(&g->tokens[k])) continue;
      if (to) {
        to[found] = (struct path_token){
            .rollout = rollout, .row = row, .segment = segments[i], .index = k, .position = g->start + k};
      }
      found++;
    }
  }
  arena_release(s->arena, mark);
  *count = found;
  return 0;
}

/* A twin has the tokens of the rollout's own path, without the log-probabilities: they are another context's. */
static int add_twin(struct step *s, const struct rollout *r, int32_t context, int32_t *leaf, struct error *err)
{
  int32_t own = s->contexts[r->generating].segment, length = 0;
  int32_t depth = s->tree->segments[r->leaf].depth - s->tree->segments[own].depth;
  TRY(tree_add_segment(s->tree, s->contexts[context].segment, SEGMENT_OWN,
                       tree_path_length(s->tree, r->leaf) - tree_path_length(s->tree, own), leaf, err));
  s->tree->segments[*leaf].weight_version = -1;
  for (; depth > 0; depth--) {
    int32_t at = r->leaf;
    for (int32_t up = 1; up < depth; up++) at = s->tree->segments[at].parent;
    for (int32_t k = 0; k < s->tree->segments[at].count; k++, length++) {
      struct token_record record = s->tree->segments[at].tokens[k];
      record.logp = record.entropy = __builtin_nanf("");
      TRY(tree_append(s->tree, *leaf, &record, 1, err));
    }
  }
  return 0;
}

/* Where a rollout has no training rows of its own: everything that it wrote, behind the
 * context it is trained in. */
static int default_row(struct step *s, struct rollout *r, struct error *err)
{
  if (r->row_count) return 0;
  if (!(r->rows = ARENA_NEW(s->arena, struct training_row, 1, "step rows", err))) return err->code;
  int32_t leaf = r->leaf;
  if (r->training != r->generating) TRY(add_twin(s, r, r->training, &leaf, err));
  const struct segment *prompt = &s->tree->segments[s->contexts[r->training].segment];
  r->rows[0] = (struct training_row){.context = r->training,
                                     .leaf = leaf,
                                     .begin = prompt->start + prompt->count,
                                     .end = tree_path_length(s->tree, leaf)};
  r->row_count = 1;
  return 0;
}

static int count_tokens(struct step *s, int32_t rollout, struct error *err)
{
  struct rollout *r = &s->rollouts[rollout];
  ASSAY_BUG_IF(r->leaf < 0);
  TRY(default_row(s, r, err));
  r->path = s->path_count;
  r->path_count = 0;
  for (int32_t row = 0; row < r->row_count; row++) {
    int32_t n;
    TRY(walk_row(s, rollout, row, NULL, &n, err));
    r->path_count += n;
  }
  s->path_count += r->path_count;
  return 0;
}

static void measure_length(const struct step *s, struct rollout *r)
{
  r->length = 0;
  for (int32_t at = r->leaf; at >= 0; at = s->tree->segments[at].parent) {
    const struct segment *g = &s->tree->segments[at];
    for (int32_t k = 0; k < g->count; k++) r->length += (g->tokens[k].flags & TOKEN_OWN) != 0;
  }
}

int step_arrange(struct step *s, struct error *err)
{
  s->order = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "step order", err);
  if (!s->order) return err->code;
  s->kept = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    measure_length(s, &s->rollouts[i]);
    if (s->rollouts[i].kept) s->order[s->kept++] = i;
  }
  sort_rollouts(s, s->order, s->kept);
  for (int32_t g = 0; g < s->group_count; g++) s->groups[g].first = s->groups[g].count = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    struct group *g = &s->groups[s->rollouts[s->order[i]].group];
    if (g->count++ == 0) g->first = i;
  }
  return 0;
}

int step_gather(struct step *s, struct error *err)
{
  /* Who stands where. */
  TRY(step_arrange(s, err));
  s->path_count = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) s->rollouts[i].path = s->rollouts[i].path_count = 0;
  for (int32_t i = 0; i < s->kept; i++) TRY(count_tokens(s, s->order[i], err));
  /* Room for what the stages write. */
  size_t n = (size_t)s->path_count;
  s->path = ARENA_NEW(s->arena, struct path_token, n, "step paths", err);
  s->reward = ARENA_NEW(s->arena, double, (size_t)s->rollout_count, "step rewards", err);
  s->advantage = ARENA_NEW(s->arena, double, n, "step advantages", err);
  s->weight = ARENA_NEW(s->arena, double, n, "step weights", err);
  s->counted = ARENA_NEW(s->arena, double, n, "step weights", err);
  if (!s->path || !s->reward || !s->advantage || !s->weight || !s->counted) return err->code;
  s->dense = NULL;
  s->sequences = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    int32_t at = r->path;
    for (int32_t row = 0; row < r->row_count; row++) {
      int32_t count;
      TRY(walk_row(s, s->order[i], row, s->path + at, &count, err));
      at += count;
    }
    s->sequences += r->path_count > 0;
  }
  for (size_t p = 0; p < n; p++) s->weight[p] = s->counted[p] = 1.0;
  s->tokens = (double)n;
  return 0;
}

const struct token_record *step_record(const struct step *s, int32_t path_token)
{
  const struct path_token *p = &s->path[path_token];
  return &s->tree->segments[p->segment].tokens[p->index];
}

void step_spread(const struct step *s, int32_t rollout, double x, double *per_token)
{
  const struct rollout *r = &s->rollouts[rollout];
  for (int32_t p = r->path; p < r->path + r->path_count; p++) per_token[p] = x;
}

int32_t step_response_index(const struct step *s, int32_t path_token)
{
  const struct path_token *p = &s->path[path_token];
  const struct rollout *r = &s->rollouts[p->rollout];
  return p->position - tree_path_length(s->tree, s->contexts[r->rows[p->row].context].segment);
}

const char *step_rollout_name(const struct step *s, int32_t rollout, char *buf, size_t size)
{
  const struct rollout *r = &s->rollouts[rollout];
  const struct problem *p = s->groups[r->group].problem;
  snprintf(buf, size, "problem %.150s, rollout %" PRId32 ".%" PRId32, p && p->id ? p->id : "without id", r->attempt,
           r->ordinal);
  return buf;
}
