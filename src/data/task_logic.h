/* data/task_logic: statements of propositional logic as truth tables, and the reading of formulas.
 *
 * A table has one bit for each of the 2^LOGIC_VARIABLES assignments: in assignment r, variable i is bit i of r. Tables
 * over fewer variables repeat, so that counting and comparing need not know how many there are.
 */
#ifndef ASSAY_DATA_TASK_LOGIC_H
#define ASSAY_DATA_TASK_LOGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOGIC_VARIABLES = 10, LOGIC_WORDS = (1 << LOGIC_VARIABLES) / 64, LOGIC_LENGTH = 4096, LOGIC_DEPTH = 64 };

struct truth {
  uint64_t bits[LOGIC_WORDS];
};

enum logic_op { LOGIC_AND, LOGIC_OR, LOGIC_IMPLIES, LOGIC_IFF, LOGIC_OPS };

struct truth truth_all(void);
struct truth truth_variable(int i); /* i < LOGIC_VARIABLES */
struct truth truth_not(const struct truth *x);
struct truth truth_combine(enum logic_op op, const struct truth *x, const struct truth *y);
bool truth_follows(const struct truth *from, const struct truth *what); /* what is true wherever from is */
int truth_count(const struct truth *x, int variables);                  /* of the 2^variables assignments */
int truth_first(const struct truth *x);                                 /* the lowest assignment where it is true, -1 */

/* How an operator is written: "∧". */
const char *logic_sign(enum logic_op op);

/* Reads a formula over the variables, capital letters ("PQR": P is variable 0); case is nothing. Not, and, or, implies,
 * iff bind in this order, implies to the right; they are read in each of these spellings:
 *   ¬ ~ ! not \neg \lnot    ∧ & && /\ and \land \wedge    ∨ | || \/ or v \lor \vee
 *   → ⇒ -> => implies \to \rightarrow \implies    ↔ ⇔ <-> <=> iff \leftrightarrow \iff
 * Brackets that are still open at the end are closed there. false and a sentence in *why: not a formula, another
 * letter, longer than LOGIC_LENGTH, deeper than LOGIC_DEPTH. */
bool logic_read(const char *s, size_t n, const char *variables, struct truth *out, const char **why);

#endif
