#include "reward/math_node.h"
#include <string.h>

uint64_t math_hash(const char *s, size_t n, uint64_t seed)
{
  uint64_t h = seed ^ 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
  h ^= h >> 29;
  h *= 0xbf58476d1ce4e5b9u;
  return h ^ h >> 32;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
  h = (h ^ v) * 0xff51afd7ed558ccdu;
  return h ^ h >> 33;
}

static void seal(struct math_node *n)
{
  n->hash = mix(math_hash(n->text, n->length, (uint64_t)n->kind), (uint64_t)n->value);
  for (int i = 0; i < n->count; i++) n->hash = mix(n->hash, n->child[i]->hash);
}

struct math_node *math_valued(struct math *m, enum math_kind kind, int64_t value, int count,
                              struct math_node *const *child)
{
  for (int i = 0; i < count; i++)
    if (!child[i]) return NULL;
  struct math_node *n = ARENA_NEW(m->arena, struct math_node, 1, "math", m->err);
  if (n) n->child = ARENA_NEW(m->arena, struct math_node *, (size_t)count, "math", m->err);
  if (!n || !n->child) {
    m->rc = ERROR_RESOURCE;
    return NULL;
  }
  n->kind = kind;
  n->count = count;
  n->value = value;
  n->text = "";
  if (count) memcpy(n->child, child, (size_t)count * sizeof *child);
  seal(n);
  return n;
}

struct math_node *math_new(struct math *m, enum math_kind kind, int count, struct math_node *const *child)
{
  return math_valued(m, kind, 0, count, child);
}

struct math_node *math_leaf(struct math *m, enum math_kind kind, const char *text, size_t length, int64_t value)
{
  struct math_node *n = math_valued(m, kind, value, 0, NULL);
  if (!n) return NULL;
  n->text = text;
  n->length = length;
  seal(n);
  return n;
}

struct math_node *math_one(struct math *m, enum math_kind kind, struct math_node *a)
{
  return math_valued(m, kind, 0, 1, &a);
}

struct math_node *math_two(struct math *m, enum math_kind kind, struct math_node *a, struct math_node *b)
{
  return math_valued(m, kind, 0, 2, (struct math_node *[]){a, b});
}

struct math_node *math_call(struct math *m, enum math_function f, struct math_node *a, struct math_node *b)
{
  return math_valued(m, MATH_CALL, f, b ? 2 : 1, (struct math_node *[]){a, b});
}

struct math_node *math_integer(struct math *m, int64_t value)
{
  bool negative = value < 0;
  uint64_t rest = negative ? 0 - (uint64_t)value : (uint64_t)value;
  char digits[20];
  size_t at = sizeof digits;
  for (; rest; rest /= 10) digits[--at] = (char)('0' + rest % 10);
  char *text = arena_strndup(m->arena, digits + at, sizeof digits - at, "math", m->err);
  if (!text) {
    m->rc = ERROR_RESOURCE;
    return NULL;
  }
  struct math_node *n = math_decimal(m, text, sizeof digits - at, 0);
  return negative ? math_one(m, MATH_NEGATE, n) : n;
}

struct math_node *math_decimal(struct math *m, const char *digits, size_t n, int64_t exponent)
{
  while (n && *digits == '0') digits++, n--;
  for (; n && digits[n - 1] == '0'; n--) exponent++;
  return math_leaf(m, MATH_NUMBER, digits, n, n ? exponent : 0);
}

static bool same_head(const struct math_node *a, const struct math_node *b)
{
  return a->hash == b->hash && a->kind == b->kind && a->count == b->count && a->value == b->value &&
         a->length == b->length && a->open == b->open && a->close == b->close && a->unit == b->unit &&
         !memcmp(a->text, b->text, a->length);
}

bool math_same(const struct math_node *a, const struct math_node *b)
{
  if (a == b) return true;
  if (!same_head(a, b)) return false;
  for (int i = 0; i < a->count; i++)
    if (!math_same(a->child[i], b->child[i])) return false;
  return true;
}

bool math_has(const struct math_node *n, enum math_kind kind)
{
  if (n->kind == kind) return true;
  for (int i = 0; i < n->count; i++)
    if (math_has(n->child[i], kind)) return true;
  return false;
}

bool math_small(const struct math_node *n, int64_t *out)
{
  if (n->kind == MATH_NEGATE && n->child[0]->kind == MATH_NUMBER && math_small(n->child[0], out)) {
    *out = -*out;
    return true;
  }
  if (n->kind != MATH_NUMBER || n->value < 0 || n->value > 18 || n->length + (size_t)n->value > 18) return false;
  *out = 0;
  for (size_t i = 0; i < n->length; i++) *out = 10 * *out + (n->text[i] - '0');
  for (int64_t i = 0; i < n->value; i++) *out *= 10;
  return true;
}

bool math_is_integer(const struct math_node *n, int64_t value)
{
  int64_t got;
  return math_small(n, &got) && got == value;
}

bool math_push(struct math *m, struct math_list *list, struct math_node *n)
{
  if (!n) return false;
  if (list->count == list->room) {
    int room = list->room ? 2 * list->room : 4;
    struct math_node **item = ARENA_NEW(m->arena, struct math_node *, (size_t)room, "math", m->err);
    if (!item) {
      m->rc = ERROR_RESOURCE;
      return false;
    }
    if (list->count) memcpy(item, list->item, (size_t)list->count * sizeof *item);
    list->item = item;
    list->room = room;
  }
  list->item[list->count++] = n;
  return true;
}

bool math_step(struct math *m, int64_t cost)
{
  m->steps = m->steps > cost ? m->steps - cost : 0;
  return m->steps > 0;
}

static int count_of(const struct math_node *n, const struct math_node *what)
{
  int count = math_same(n, what);
  for (int i = 0; i < n->count; i++) count += count_of(n->child[i], what);
  return count;
}

static struct math_node *replaced(struct math *m, struct math_node *n, const struct math_node *what,
                                  struct math_node *by)
{
  bool factor =
      n->kind == MATH_PRODUCT || n->kind == MATH_NEGATE || (n->kind == MATH_QUOTIENT && count_of(n->child[0], what));
  struct math_list list = {0};
  if (math_same(n, what)) return by;
  if (!count_of(n, what)) return n;
  if (!factor) return NULL;
  for (int i = 0; i < n->count; i++)
    if (!math_push(m, &list, replaced(m, n->child[i], what, by))) return NULL;
  return math_valued(m, n->kind, n->value, list.count, list.item);
}

const struct math_node *math_replace_once(struct math *m, const struct math_node *n, const struct math_node *what,
                                          struct math_node *by)
{
  if (count_of(n, what) != 1) return NULL;
  if (math_same(n, what)) return by;
  struct math_node *root = math_valued(m, n->kind, n->value, n->count, n->child);
  return root ? replaced(m, root, what, by) : NULL;
}
