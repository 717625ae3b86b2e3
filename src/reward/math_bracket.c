#include <string.h>
#include "reward/math_parser.h"

/* ---- tuples, intervals, sets ------------------------------------------------------------------------------------- */

static struct math_node *make_tuple(struct math_parser *p, const struct math_list *items, char open, char close)
{
  struct math_node *n = math_new(p->m, MATH_TUPLE, items->count, items->item);
  if (!n) return NULL;
  n->open = open;
  n->close = close;
  n->hash ^= math_hash(&open, 1, 3) + math_hash(&close, 1, 5);
  return n;
}

/* { x | conditions }: the conditions together; a head that is a relation (x \in A) is one of them. */
static struct math_node *parse_conditions(struct math_parser *p, const struct math_list *head)
{
  struct math_list items = {0};
  enum math_joint joint;
  p->token++;
  p->builder = false;
  if (head->count != 1) return math_fail(p, "a set whose elements are not one expression");
  if (head->item[0]->kind == MATH_RELATION) math_push(p->m, &items, head->item[0]);
  if (!math_parse_items(p, &items, &joint)) return NULL;
  if (!math_take(p, 'C') && !math_take(p, '}')) return math_fail(p, "a set is not closed");
  if (items.count == 1) return items.item[0];
  return math_valued(p->m, MATH_LIST, joint == MATH_OR ? MATH_OR : MATH_AND, items.count, items.item);
}

static struct math_node *parse_braces(struct math_parser *p)
{
  struct math_list items = {0};
  enum math_joint joint;
  bool outer = p->builder;
  p->token++;
  if (math_take(p, 'C')) return math_leaf(p->m, MATH_SET, "", 0, 0);
  p->builder = true;
  if (!math_parse_items(p, &items, &joint)) return NULL;
  if (math_at(p, '|') || math_at(p, ':')) {
    struct math_node *n = parse_conditions(p, &items);
    p->builder = outer;
    return n;
  }
  p->builder = outer;
  if (!math_take(p, 'C')) return math_fail(p, "a set is not closed");
  return math_new(p->m, MATH_SET, items.count, items.item);
}

/* The kind of bracket that closes what `open` began: ) or ], as an interval sees it (]a, b[ is open). */
static char take_close(struct math_parser *p, bool french)
{
  if (french || math_at(p, '[')) {
    if (math_take(p, '[')) return ')';
    return math_take(p, ']') ? ']' : 0;
  }
  if (math_take(p, ')')) return ')';
  return math_take(p, ']') ? ']' : 0;
}

struct math_node *math_parse_bracket(struct math_parser *p)
{
  struct math_list items = {0};
  enum math_joint joint;
  char open = (char)p->token->value;
  int bars = p->bars;
  bool builder = p->builder;
  if (open == 'O') return parse_braces(p);
  p->token++;
  p->bars = 0;
  p->builder = false;
  if (!math_parse_items(p, &items, &joint)) return NULL;
  p->bars = bars;
  p->builder = builder;
  if (open == '<') return math_take(p, '>') ? make_tuple(p, &items, '<', '>') : math_fail(p, "a bracket is not closed");
  char close = take_close(p, open == ']');
  if (!close) return math_fail(p, "a bracket is not closed");
  if (open == ']') open = '(';
  if (items.count == 1 && (open == '(') == (close == ')')) return items.item[0];
  if (joint != MATH_COMMA) return math_fail(p, "words between brackets");
  return make_tuple(p, &items, open, close);
}

/* ---- environments ------------------------------------------------------------------------------------------------ */

static bool is_matrix(const struct math_token *t)
{
  static const char *const names[] = {"matrix",  "pmatrix", "bmatrix", "Bmatrix",
                                      "vmatrix", "Vmatrix", "array",   "smallmatrix"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i]) == t->length && !memcmp(names[i], t->text, t->length)) return true;
  return false;
}

/* The determinant by the first row, of up to 4 x 4. */
static struct math_node *determinant(struct math *m, struct math_node *const *row, const int *column, int n, int width)
{
  struct math_list terms = {0};
  if (n == 1) return row[column[0]];
  for (int j = 0; j < n; j++) {
    int rest[4], count = 0;
    for (int k = 0; k < n; k++)
      if (k != j) rest[count++] = column[k];
    struct math_node *minor = determinant(m, row + width, rest, n - 1, width);
    struct math_node *term = minor ? math_two(m, MATH_PRODUCT, row[column[j]], minor) : NULL;
    if (!math_push(m, &terms, term && j % 2 ? math_one(m, MATH_NEGATE, term) : term)) return NULL;
  }
  return math_new(m, MATH_SUM, terms.count, terms.item);
}

static struct math_node *make_matrix(struct math_parser *p, const struct math_token *name,
                                     const struct math_list *cells, int columns)
{
  static const int all[4] = {0, 1, 2, 3};
  if (name->text[0] != 'v') return math_valued(p->m, MATH_MATRIX, columns, cells->count, cells->item);
  if (columns > 4 || cells->count != columns * columns) return math_fail(p, "a determinant of more than 4 x 4");
  return determinant(p->m, cells->item, all, columns, columns);
}

static bool skip_row(struct math_parser *p)
{
  if (p->token->type != MATH_T_ROW) return false;
  p->token++;
  return true;
}

static bool parse_row(struct math_parser *p, struct math_list *cells)
{
  do {
    if (math_word_is(p->token, "if") || math_word_is(p->token, "for")) p->token++;
    math_take(p, ',');
    if (math_word_is(p->token, "if") || math_word_is(p->token, "for")) p->token++;
    if (!math_push(p->m, cells, math_parse_item(p))) return false;
    math_take(p, ',');
  } while (math_take(p, '&'));
  return true;
}

static struct math_node *parse_matrix(struct math_parser *p, const struct math_token *name)
{
  struct math_list cells = {0};
  int columns = 0, rows = 0;
  while (p->token->type != MATH_T_FINISH) {
    int before = cells.count;
    if (!parse_row(p, &cells)) return NULL;
    if (rows++ && cells.count - before != columns) return math_fail(p, "a matrix whose rows differ in length");
    columns = cells.count - before;
    if (!skip_row(p)) break;
  }
  if (p->token->type != MATH_T_FINISH || !cells.count) return math_fail(p, "a matrix does not end");
  p->token++;
  return make_matrix(p, name, &cells, columns);
}

/* cases and aligned: their rows together. A row of two cells (value, condition) is a pair. */
static struct math_node *parse_system(struct math_parser *p)
{
  struct math_list rows = {0};
  while (p->token->type != MATH_T_FINISH) {
    struct math_list cells = {0};
    if (!parse_row(p, &cells)) return NULL;
    struct math_node *row = cells.count == 1 ? cells.item[0] : make_tuple(p, &cells, '(', ')');
    if (!math_push(p->m, &rows, row)) return NULL;
    if (!skip_row(p)) break;
  }
  if (p->token->type != MATH_T_FINISH || !rows.count) return math_fail(p, "a system does not end");
  p->token++;
  return rows.count == 1 ? rows.item[0] : math_valued(p->m, MATH_LIST, MATH_AND, rows.count, rows.item);
}

struct math_node *math_parse_environment(struct math_parser *p)
{
  const struct math_token *name = p->token++;
  int bars = p->bars;
  bool builder = p->builder, rows = p->rows;
  p->bars = 0;
  p->builder = false;
  p->rows = true;
  struct math_node *n = is_matrix(name) ? parse_matrix(p, name) : parse_system(p);
  p->bars = bars;
  p->builder = builder;
  p->rows = rows;
  return n;
}
