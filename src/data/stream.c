#include "data/stream.h"
#include "core/rng.h"

enum { REJECT_LIMIT = 100000 }; /* problems in a row that the filter may refuse */

struct lane {
  const struct source *source;
  double share;
  uint64_t taken;
  uint32_t *kept;  /* [count] indices of a list's problems that the filter kept */
  uint32_t count;  /* 0: endless */
  uint32_t *order; /* [count] shuffle of the epoch below */
  uint64_t epoch;  /* UINT64_MAX: none yet */
};

struct stream {
  struct lane *lanes;
  size_t lane_count;
  uint64_t seed, position, left_out;
  struct stream_filter filter;
};

static int filter_list(struct arena *a, struct stream *s, struct lane *lane, struct error *err)
{
  uint64_t all = source_count(lane->source);
  if (all > UINT32_MAX)
    FAIL(err, ERROR_INPUT, "%s has %llu problems; expected fewer than 2^32", source_name(lane->source),
         (unsigned long long)all);
  lane->kept = ARENA_NEW(a, uint32_t, all, "stream", err);
  lane->order = lane->kept ? ARENA_NEW(a, uint32_t, all, "stream", err) : NULL;
  struct arena *scratch = lane->order ? arena_create("filter", 0, err) : NULL;
  if (!scratch) return err->code;
  int rc = 0;
  for (uint32_t i = 0; i < all && !rc; i++) {
    bool keep = true;
    struct problem p;
    if (s->filter.keep && !(rc = source_problem(lane->source, scratch, i, &p, err)))
      rc = s->filter.keep(s->filter.arg, &p, &keep, err);
    if (keep) lane->kept[lane->count++] = i;
    arena_reset(scratch);
  }
  arena_destroy(scratch);
  s->left_out += all - lane->count;
  if (!rc && !lane->count)
    FAIL(err, ERROR_INPUT,
         "none of the %llu problems of %s remains; all prompts are over the limit; raise rollout.max_prompt_tokens, or "
         "lower "
         "rollout.max_new_tokens where the model has no room for both",
         (unsigned long long)all, source_name(lane->source));
  return rc;
}

int stream_open(struct arena *a, const struct source_list *sources, uint64_t seed, const struct stream_filter *filter,
                struct stream **out, struct error *err)
{
  double total = 0;
  struct stream *s = ARENA_NEW(a, struct stream, 1, "stream", err);
  if (!s || !(s->lanes = ARENA_NEW(a, struct lane, sources->count, "stream", err))) return err->code;
  s->lane_count = sources->count;
  s->seed = seed;
  if (filter) s->filter = *filter;
  for (size_t i = 0; i < sources->count; i++) total += source_weight(sources->items[i]);
  for (size_t i = 0; i < sources->count; i++) {
    s->lanes[i] = (struct lane){
        .source = sources->items[i], .share = source_weight(sources->items[i]) / total, .epoch = UINT64_MAX};
    if (source_count(sources->items[i])) TRY(filter_list(a, s, &s->lanes[i], err));
  }
  *out = s;
  return 0;
}

/* The lane that lags most behind its share, if one more problem is drawn. */
static struct lane *choose_lane(struct stream *s, uint64_t position)
{
  struct lane *best = &s->lanes[0];
  double most = 0;
  for (size_t i = 0; i < s->lane_count; i++) {
    double lag = s->lanes[i].share * ((double)position + 1) - (double)s->lanes[i].taken;
    if (i && lag <= most) continue;
    best = &s->lanes[i];
    most = lag;
  }
  return best;
}

static uint64_t next_index(const struct stream *s, struct lane *lane)
{
  uint64_t turn = lane->taken++;
  if (!lane->count) return turn;
  uint64_t epoch = turn / lane->count;
  if (epoch != lane->epoch) {
    struct rng_at at = {.purpose = RNG_SHUFFLE, .step = (uint32_t)epoch, .group = (uint32_t)(lane - s->lanes)};
    rng_shuffle(s->seed, &at, lane->order, lane->count);
    lane->epoch = epoch;
  }
  return lane->kept[lane->order[turn % lane->count]];
}

int stream_next(struct stream *s, struct arena *a, struct problem *out, struct error *err)
{
  for (int i = 0; i < REJECT_LIMIT; i++) {
    bool keep = true;
    struct lane *lane = choose_lane(s, s->position++);
    struct arena_mark mark = arena_mark(a);
    TRY(source_problem(lane->source, a, next_index(s, lane), out, err));
    if (!lane->count && s->filter.keep) TRY(s->filter.keep(s->filter.arg, out, &keep, err));
    if (keep) return 0;
    arena_release(a, mark);
  }
  FAIL(err, ERROR_INPUT, "%d problems in a row had prompts over the limit; raise rollout.max_prompt_tokens",
       REJECT_LIMIT);
}

uint64_t stream_position(const struct stream *s)
{
  return s->position;
}

void stream_seek(struct stream *s, uint64_t position)
{
  for (size_t i = 0; i < s->lane_count; i++) s->lanes[i].taken = 0;
  for (s->position = 0; s->position < position; s->position++) choose_lane(s, s->position)->taken++;
}

uint64_t stream_left_out(const struct stream *s)
{
  return s->left_out;
}

uint64_t stream_size(const struct stream *s)
{
  uint64_t size = 0;
  for (size_t i = 0; i < s->lane_count; i++) size += s->lanes[i].count;
  return size;
}
