/* reward/judge_cache: what judges said, kept on the disk by content, so that no question is paid for twice.
 *
 *     {"assay":"judge cache 1"}
 *     {"key":HEX,"verdict":{"reason":"...","score":4},"expected":3.87,"crc":"1a2b3c4d"}
 *
 * One line a verdict, behind a first line that says what the file is. key is the SHA-256 of the request: model,
 * messages (with them question, response, criteria, scale), temperature, bounds; not the server's address nor the key.
 * crc is zlib's over what stands in front of `,"crc"`. A line is appended by one write under a lock on the file, so
 * that several threads and processes may share it, and each sees what the others have added. A line that is not whole
 * (a kill, a full disk) is passed over, and the next one begins on a line of its own. Of two lines with one key the
 * first counts.
 */
#ifndef ASSAY_REWARD_JUDGE_CACHE_H
#define ASSAY_REWARD_JUDGE_CACHE_H

#include "core/json.h"

struct judge_cache;

struct judge_cached {
  const char *verdict; /* JSON, compact; lives as long as the cache */
  bool has_expected;
  double expected;
};

/* Makes the file where it is not there; one that is something else is ERROR_INPUT. */
int judge_cache_open(struct arena *a, const char *path, struct judge_cache **out, struct error *err) MUST_USE;
/* *found: whether there is a verdict under this key. Reads first what others have added. */
int judge_cache_find(struct judge_cache *c, const uint8_t key[32], bool *found, struct judge_cached *out,
                     struct error *err) MUST_USE;
/* Writes a verdict down. */
int judge_cache_add(struct judge_cache *c, const uint8_t key[32], const struct judge_cached *v,
                    struct error *err) MUST_USE;

#endif
