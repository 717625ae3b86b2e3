#include "train/records.h"

#include <inttypes.h>
#include <string.h>

static bool same_bits(float a, float b)
{
  uint32_t x, y;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  return x == y;
}

void records_compare(const struct step *s, int32_t rollout, const struct batch *b, const double *logp,
                     struct record_check *out)
{
  const struct tree *t = s->tree;
  for (int32_t at = s->rollouts[rollout].leaf; at >= 0; at = t->segments[at].parent) {
    if (t->segments[at].kind == SEGMENT_PROMPT || b->target_base[at] < 0) continue;
    for (int32_t i = 0; i < t->segments[at].count; i++) {
      int32_t target = batch_target(b, at, i);
      const struct token_record *record = &t->segments[at].tokens[i];
      bool own = record->flags & TOKEN_OWN && !(record->flags & TOKEN_MASKED);
      if (!own || !b->wanted[target]) continue;
      out->mismatch_of++;
      if (same_bits(record->logp, (float)logp[target])) continue;
      char name[128];
      if (!out->mismatch++)
        snprintf(out->first_mismatch, sizeof out->first_mismatch,
                 "%s, token %" PRId32 ": sampled with logp %.9g, computed again as %.9g",
                 step_rollout_name(s, rollout, name, sizeof name), i, (double)record->logp, logp[target]);
    }
  }
}

static int64_t own_tokens(const struct step *s, const struct rollout *r)
{
  int64_t n = 0;
  const struct segment *leaf = &s->tree->segments[r->leaf];
  for (int32_t i = 0; i < leaf->count; i++) n += (leaf->tokens[i].flags & TOKEN_OWN) != 0;
  return n;
}

bool records_comparable(const struct step *s, int32_t rollout, int64_t weight_version, struct record_check *out)
{
  const struct rollout *r = &s->rollouts[rollout];
  int64_t version = s->tree->segments[r->leaf].weight_version;
  if (version < 0)
    out->skipped_imported += own_tokens(s, r);
  else if (version != weight_version)
    out->skipped_stale += own_tokens(s, r);
  else if (r->generating != r->training)
    out->skipped_context += own_tokens(s, r);
  else
    return true;
  return false;
}
