/* data/stream: a mixture of sources as one endless line of problems, known by one integer.
 *
 * Position p of the stream is a problem, whatever ran before: the source is the one that lags most behind its share
 * (ties to the first), so every window of the stream has the wanted proportions; within a list of n problems each epoch
 * is a new shuffle (RNG_SHUFFLE, keyed by epoch and source); a task without end is asked for its next problem. A
 * checkpoint saves stream_position and nothing else.
 */
#ifndef ASSAY_DATA_STREAM_H
#define ASSAY_DATA_STREAM_H

#include "data/source.h"

struct stream;

/* Says whether a problem is to be used (a prompt that is too long is not). Must depend on the problem alone. */
struct stream_filter {
  int (*keep)(void *arg, const struct problem *p, bool *keep, struct error *err);
  void *arg;
};

/* filter may be NULL. Lists are filtered here, endless tasks as they are drawn. ERROR_INPUT where none of a list
 * remains. */
int stream_open(struct arena *a, const struct source_list *sources, uint64_t seed, const struct stream_filter *filter,
                struct stream **out, struct error *err) MUST_USE;
/* The problem at the position, which moves on by one, or by more where a task's problems are left out. Made in arena a.
 */
int stream_next(struct stream *s, struct arena *a, struct problem *out, struct error *err) MUST_USE;
uint64_t stream_position(const struct stream *s);
void stream_seek(struct stream *s, uint64_t position);
uint64_t stream_left_out(const struct stream *s); /* problems of lists that the filter left out */
uint64_t stream_size(const struct stream *s);     /* distinct problems of the lists that remain */

#endif
