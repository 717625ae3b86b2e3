/* reward/math_parser: what the files of the parser share. Every function returns NULL on failure, having set p->why or
 * m->rc. */
#ifndef ASSAY_REWARD_MATH_PARSER_H
#define ASSAY_REWARD_MATH_PARSER_H

#include "reward/math_parse.h"

struct math_parser {
  struct math *m;
  const struct math_token *token; /* the next one */
  size_t inner;                   /* digits of it that are used up: \frac12 */
  int depth, bars;                /* brackets and |...| that are open */
  bool builder;                   /* in front of the | of a set */
  bool rows;                      /* inside an environment, where \\ ends a row */
  const char *why;
};

bool math_at(const struct math_parser *p, int c); /* the next token is this character */
bool math_take(struct math_parser *p, int c);
struct math_node *math_fail(struct math_parser *p, const char *why);
const struct math_token *math_ahead(const struct math_parser *p); /* the token behind the next */

/* Items up to (not including) the closing token; the kind of joint between them. False on failure. */
bool math_parse_items(struct math_parser *p, struct math_list *items, enum math_joint *joint);
struct math_node *math_parse_item(struct math_parser *p);
struct math_node *math_parse_sum(struct math_parser *p);
struct math_node *math_parse_factor(struct math_parser *p);
struct math_node *math_parse_primary(struct math_parser *p);
bool math_starts_factor(const struct math_parser *p);

/* One argument of a LaTeX command: {...}, or one token (of digits, one digit). */
struct math_node *math_parse_argument(struct math_parser *p);
struct math_node *math_parse_environment(struct math_parser *p);
struct math_node *math_parse_call(struct math_parser *p);
struct math_node *math_binomial(struct math *m, struct math_node *n, struct math_node *k);
struct math_node *math_parse_bracket(struct math_parser *p);
struct math_node *math_parse_number(struct math_parser *p);
struct math_node *math_parse_words(struct math_parser *p); /* seventeen */

/* A unit behind the value, or the value itself where none stands there. */
struct math_node *math_parse_unit(struct math_parser *p, struct math_node *value);
struct math_node *math_quantity(struct math *m, struct math_node *value, const char *noun);
struct math_node *math_parse_currency(struct math_parser *p);

#endif
