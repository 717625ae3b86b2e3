/* data/task_number: tasks whose answer is one number. Where it stands in the text is data/number's rule (<answer> and
 * \boxed first), any spelling of its value counts ("1,234", "1234.0", "2468/2"), a percentage does not. */
#ifndef ASSAY_DATA_TASK_NUMBER_H
#define ASSAY_DATA_TASK_NUMBER_H

#include "data/task.h"

/* A task's check where the answer must be exact. */
int task_number_check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                      struct task_verdict *out, struct error *err) MUST_USE;
/* The same with a tolerance: |given - answer| <= |answer| / 10^digits, compared exactly. digits: 1..18. */
int task_number_check_close(struct arena *a, const json_t *meta, const char *answer, int digits, const char *response,
                            size_t n, struct task_verdict *out, struct error *err) MUST_USE;

/* "3, 14, 36", in arena a; NULL and err set where memory is lacking. */
char *task_join(struct arena *a, const int64_t *values, size_t count, const char *between, struct error *err);
/* The same in ascending order (for a problem's canonical text). count <= 64. */
char *task_join_sorted(struct arena *a, const int64_t *values, size_t count, struct error *err);
int64_t task_divisor(int64_t x, int64_t y); /* of the magnitudes; gcd(0, y) = |y| */

#endif
