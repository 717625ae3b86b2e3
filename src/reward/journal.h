/* reward/journal: verdicts of kinds that look at a clock or the outside, written down before they are used, so that a
 * run that is killed and goes on has the same rewards (law 2) although the verifier would say something else today.
 *
 *     RUN/journal/000012.jsonl       verdicts of the training step that begins after step 12
 *     RUN/journal/000012.eval.jsonl  of the evaluation after step 12
 *
 * One line a verdict, appended when it is there and synced before the step uses it:
 *
 *     {"key":HEX,"status":"ok","reward":1,"correct":true,"readable":true,"extracted":"4","reason":"...",
 *      "channels":{"style":0.5},"crc":"1a2b3c4d"}
 *
 * key is a SHA-256 of the content: kind, settings, problem (fields, answer), response, attempt; crc is zlib's over the
 * line in front of `,"crc"`. Within a step the first verdict of a content counts, whoever asks; in another step the
 * same content is judged anew. A checkpoint stands between two steps, where no later step reads what is in the journal:
 * that is why state.bin holds nothing of it. The line that a kill cut short is cut away at the next begin.
 *
 * find and record may be called on many threads.
 */
#ifndef ASSAY_REWARD_JOURNAL_H
#define ASSAY_REWARD_JOURNAL_H

#include "reward/verifier.h"

struct journal;

struct journal_key {
  uint8_t digest[32];
};

/* folder: RUN/journal, made at the first verdict. keep false: read only, for replay; what is not there is judged and
 * not written down. */
int journal_open(struct arena *a, const char *folder, bool keep, struct journal **out, struct error *err) MUST_USE;
/* Takes up the verdicts that were written down for this step; those of the step before are let go. */
int journal_begin(struct journal *j, int64_t step, bool evaluation, struct error *err) MUST_USE;
/* attempt: 0, and 1 for a verdict that is asked for again. */
int journal_key_of(const struct verifier_config *c, const struct problem *p, const char *response, size_t n,
                   int attempt, struct journal_key *out, struct error *err) MUST_USE;
/* The verdict under this key; its strings live until the next begin. */
bool journal_find(struct journal *j, const struct journal_key *key, struct verdict *out);
/* Writes a verdict down. Where another thread was first *v becomes the other's. */
int journal_record(struct journal *j, const struct journal_key *key, struct verdict *v, struct error *err) MUST_USE;
/* Everything recorded is on the disk. */
int journal_sync(struct journal *j, struct error *err) MUST_USE;

#endif
