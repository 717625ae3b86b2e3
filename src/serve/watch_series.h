/* serve/watch_series: the numbers of a run by step, in bounded memory. Steps are kept one by one until there are
 * SERIES_BUCKETS of them; then neighbours are joined, two by two, and a bucket stands for twice as many steps. A bucket
 * keeps mean, least and greatest of what fell into it, so that a spike stays visible in a run of a million steps. */
#ifndef ASSAY_SERVE_WATCH_SERIES_H
#define ASSAY_SERVE_WATCH_SERIES_H

#include "core/json.h"

enum { SERIES_BUCKETS = 2048, SERIES_MOST = 256, SERIES_NAME = 96 };

struct series_cell {
  double mean;
  float low, high;
  uint32_t count; /* 0: no step of the bucket has this number */
};
struct series_column {
  char name[SERIES_NAME];
  struct series_cell *cells; /* [SERIES_BUCKETS] memory_alloc */
};
struct series_bucket {
  int64_t first, last; /* steps */
  double elapsed;      /* seconds of all steps up to the last */
  int64_t rows;
};

struct series {
  struct series_bucket *buckets; /* [SERIES_BUCKETS] */
  struct series_column *columns; /* [SERIES_MOST] in order of first mention */
  int bucket_count, column_count;
  int64_t stride;     /* rows of a full bucket */
  int64_t generation; /* changes whenever buckets that were handed out are no longer what they were */
  int64_t rows;
  double elapsed;                                /* sum of time_s */
  double mismatch, mismatch_of, tokens, trained; /* sums over the run */
  int64_t last_step;                             /* -1: none */
};

/* Lives in the arena; its columns are freed when that resets. */
int series_create(struct arena *a, struct series **out, struct error *err) MUST_USE;
void series_clear(struct series *s);
/* One line of metrics: an object of names and numbers; null and names beyond SERIES_MOST are left out. ERROR_INPUT: no
   object, or no step in it. */
int series_add(struct series *s, const json_t *row, struct error *err) MUST_USE;

/* Appends {"generation","from","stride","step":[],"elapsed":[],"series":{NAME:[]},"low":{},"high":{}} of the buckets
 * from `from` on; low and high only where buckets hold several steps. Where the caller's generation is another one the
 * answer begins at 0. A bucket's step is its last. */
void series_put(const struct series *s, int64_t generation, int from, struct text *out);

#endif
