/* reward/math_compare: is this answer that answer? What may stand for what (docs/verify/math.md has the rules in full):
 *
 *     number, expression     the same value or function (math_value.h); x = 3 and 3; a chain counts by its last term
 *     equation               the same up to a constant factor; x = ... by its right side
 *     inequality, interval   the same set of numbers (math_set.h)
 *     list, set              in any order; a set counts each element once; +- is two elements
 *     tuple, vector, matrix  in order; a column may be written as a tuple; x = 1, y = 2 for (1, 2)
 *     units                  may be left out, not exchanged; 3 hours are 180 minutes
 */
#ifndef ASSAY_REWARD_MATH_COMPARE_H
#define ASSAY_REWARD_MATH_COMPARE_H

#include "reward/math_value.h"

enum math_order { MATH_ORDER_AUTO, MATH_ORDER_TRUE, MATH_ORDER_FALSE };
enum math_units { MATH_UNITS_CONVERT, MATH_UNITS_SAME, MATH_UNITS_IGNORE };

struct math_rules {
  bool strict; /* nothing may be left out: units, percent signs, bases, "x =" */
  enum math_order order;
  enum math_units units;
};

struct math_comparison {
  struct math *m;
  struct math_rules rules;
  const char *why; /* of the first difference, or NULL */
  int depth;
};

enum math_verdict math_compare(struct math_comparison *c, struct math_node *gold, struct math_node *given);
/* The value of a quantity and its unit; NULL unit: it has none. */
struct math_node *math_split_unit(struct math *m, struct math_node *n, const struct math_unit **unit);
/* Values with units, percent signs, bases. */
enum math_verdict math_compare_values(struct math_comparison *c, struct math_node *gold, struct math_node *given);
/* Equations and other relations with each other. */
enum math_verdict math_compare_relations(struct math_comparison *c, struct math_node *gold, struct math_node *given);
/* What an equation says its left side is: x = 3 -> 3. NULL: it says no such thing. *name: the left side. */
struct math_node *math_assigned(struct math_node *n, struct math_node **name);
/* Of an unequal pair, why; the first word on it counts. Returns MATH_DIFFERENT. */
enum math_verdict math_differ(struct math_comparison *c, const char *why);
/* All ways to read the signs in n. NULL where there are too many. */
bool math_expand_signs(struct math *m, struct math_node *n, struct math_list *out);

#endif
