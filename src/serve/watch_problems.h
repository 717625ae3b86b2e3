/* serve/watch_problems: the problems of a run with their history: at which steps each was asked, how many answers were
 * right. Bounded: a problem keeps at most PROBLEM_VISITS visits (neighbours are joined), and where there are more than
 * PROBLEMS_MOST problems the half that was not asked for longest is forgotten. */
#ifndef ASSAY_SERVE_WATCH_PROBLEMS_H
#define ASSAY_SERVE_WATCH_PROBLEMS_H

#include "core/json.h"

enum { PROBLEMS_MOST = 65536, PROBLEM_VISITS = 32, PROBLEM_TEXT = 240 };

struct problem_visit {
  int64_t first, last; /* steps */
  int32_t right, of;   /* answers */
};
struct problem_history {
  uint64_t key;
  char *id, *text; /* memory_alloc; text: the end of its prompt, at most PROBLEM_TEXT bytes; "": not known */
  struct problem_visit *visits;
  int visit_count, visit_room;
  int64_t right, of;
};

struct problems {
  struct problem_history *items;
  size_t count, room, most;
  uint32_t *slots; /* hash table: index + 1 */
  size_t slot_count;
  int64_t forgotten; /* problems dropped so far */
};

/* most 0: PROBLEMS_MOST. Lives in the arena; its memory is freed when that resets. */
int problems_create(struct arena *a, size_t most, struct problems **out, struct error *err) MUST_USE;
void problems_clear(struct problems *p);
/* The problem with this id, a new one where it is not known; valid until the next call. */
int problems_find(struct problems *p, const char *id, struct problem_history **out, struct error *err) MUST_USE;
struct problem_history *problems_get(const struct problems *p, uint64_t key); /* NULL: not known */
int problem_set_text(struct problem_history *h, const char *text, size_t n, struct error *err) MUST_USE;
/* One judged answer. Steps come in ascending order. */
int problem_add(struct problem_history *h, int64_t step, bool right, struct error *err) MUST_USE;

/* Appends {"total","forgotten","matched","rows":[[KEY,id,text,right,of,[[first,last,right,of],...]],...]}: of the
   problems whose id or text holds `query` (any case; "": all) the `limit` that were asked last. */
int problems_put(const struct problems *p, const char *query, size_t limit, struct text *out,
                 struct error *err) MUST_USE;
void problem_put(const struct problem_history *h, struct text *out); /* one row */

#endif
