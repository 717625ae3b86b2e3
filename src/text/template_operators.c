/* Operators, as Python evaluates them. */
#include "text/template_run.h"

#include "core/math.h"

#include <string.h>

int jinja_fail_undefined(struct jinja *r, const struct value *v)
{
  return jinja_fail(r, "'%.200s' is undefined", v->as.hint ? v->as.hint : "value");
}

static int bad_operands(struct jinja *r, const char *op, const struct value *a, const struct value *b)
{
  if (a->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, a);
  if (b->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, b);
  return jinja_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op, value_type(a), value_type(b));
}

static int too_large(struct jinja *r)
{
  return jinja_fail(r, "an integer is too large (more than 127 bits)");
}

static int power_integers(struct jinja *r, wide base, wide exponent, struct value *out)
{
  wide result = 1;
  while (exponent > 0) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) return too_large(r);
    exponent >>= 1;
    if (exponent && __builtin_mul_overflow(base, base, &base)) return too_large(r);
  }
  *out = value_int(result);
  return 0;
}

static int power_reals(struct jinja *r, double x, double y, struct value *out)
{
  bool whole = math_is_finite(y) && math_floor(y) == y && math_abs(y) < 1e15;
  if (x == 0 && y < 0) return jinja_fail(r, "0.0 cannot be raised to a negative power");
  if (x < 0 && !whole) return jinja_fail(r, "a negative number cannot be raised to a broken power");
  bool odd = whole && (long long)y % 2;
  double size = x == 0 ? (y == 0 ? 1 : 0) : math_pow(math_abs(x), y);
  *out = value_float(x < 0 && odd ? -size : size);
  return 0;
}

/* a / b, a // b and a % b as Python has them: rounded down, the remainder with the sign of b. */
static int divide_integers(struct jinja *r, const char *op, wide a, wide b, struct value *out)
{
  bool quotient = op[0] == '/';
  if (!b) return jinja_fail(r, quotient && !op[1] ? "division by zero" : "integer division or modulo by zero");
  if (quotient && !op[1]) {
    *out = value_float((double)a / (double)b);
    return 0;
  }
  wide n = 0;
  if (b == -1) {
    if (quotient && __builtin_sub_overflow((wide)0, a, &n)) return too_large(r);
  } else {
    n = quotient ? a / b : a % b;
    if (a % b && (a < 0) != (b < 0)) n = quotient ? n - 1 : n + b;
  }
  *out = value_int(n);
  return 0;
}

static int integers(struct jinja *r, const char *op, wide a, wide b, struct value *out)
{
  wide n = 0;
  bool overflow = false;
  switch (op[0]) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &n);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &n);
      break;
    case '*':
      if (op[1]) return b < 0 ? power_reals(r, (double)a, (double)b, out) : power_integers(r, a, b, out);
      overflow = __builtin_mul_overflow(a, b, &n);
      break;
    default:
      return divide_integers(r, op, a, b, out);
  }
  if (overflow) return too_large(r);
  *out = value_int(n);
  return 0;
}

static double zero_with_sign_of(double x)
{
  return x < 0 || (x == 0 && 1 / x < 0) ? -0.0 : 0.0;
}

/* a // b and a % b, step by step as in Python's floatobject.c; b != 0. */
static double floor_divide(double a, double b)
{
  double rest = math_fmod(a, b), quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return zero_with_sign_of(a / b);
  double floor = math_floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

static double modulo(double a, double b)
{
  double rest = math_fmod(a, b);
  if (rest == 0) return zero_with_sign_of(b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

static int reals(struct jinja *r, const char *op, double a, double b, struct value *out)
{
  if (!strcmp(op, "**")) return power_reals(r, a, b, out);
  if ((op[0] == '/' || op[0] == '%') && b == 0) return jinja_fail(r, "float division by zero");
  double x = 0;
  if (op[0] == '+')
    x = a + b;
  else if (op[0] == '-')
    x = a - b;
  else if (op[0] == '*')
    x = a * b;
  else if (op[0] == '/' && !op[1])
    x = a / b;
  else
    x = op[0] == '/' ? floor_divide(a, b) : modulo(a, b);
  *out = value_float(x);
  return 0;
}

static int join_lists(struct jinja *r, const struct value *a, const struct value *b, struct value *out)
{
  struct value_list *list = NULL;
  size_t n = a->as.list->count, m = b->as.list->count;
  TRY(jinja_step(r, n + m));
  TRY(value_list_new(r, a->kind, n + m, out, &list));
  if (n) memcpy(list->items, a->as.list->items, n * sizeof *list->items);
  if (m) memcpy(list->items + n, b->as.list->items, m * sizeof *list->items);
  return 0;
}

/* A string, list or tuple n times. */
static int repeat(struct jinja *r, const struct value *v, wide times, struct value *out)
{
  if (times < 0) times = 0;
  size_t unit = v->kind == VALUE_STRING ? v->as.string.size : v->as.list->count;
  if (unit && times > TEMPLATE_OUTPUT / (wide)unit)
    return jinja_fail(r, "a repetition grows beyond %d MiB", TEMPLATE_OUTPUT >> 20);
  if (v->kind == VALUE_STRING) {
    struct jinja_text b = {.r = r};
    for (wide i = 0; i < times && unit; i++) jinja_add(&b, v->as.string.bytes, unit);
    TRY(jinja_step(r, (size_t)times / 8));
    TRY(jinja_take(&b, out));
    out->markup = v->markup;
    return 0;
  }
  struct value_list *list = NULL;
  size_t n = unit ? unit * (size_t)times : 0;
  TRY(jinja_step(r, n));
  TRY(value_list_new(r, v->kind, n, out, &list));
  for (size_t i = 0; i < n; i++) list->items[i] = v->as.list->items[i % unit];
  return 0;
}

bool jinja_is_sequence(const struct value *v)
{
  return v->kind == VALUE_STRING || v->kind == VALUE_LIST || v->kind == VALUE_TUPLE;
}

/* a + b where a is a string, list or tuple. */
static int join(struct jinja *r, const struct value *a, const struct value *b, struct value *out)
{
  if (a->kind == b->kind && a->kind != VALUE_STRING) return join_lists(r, a, b, out);
  if (a->kind != VALUE_STRING || b->kind == VALUE_UNDEFINED) return bad_operands(r, "+", a, b);
  if (b->kind != VALUE_STRING) return jinja_fail(r, "can only concatenate str (not \"%s\") to str", value_type(b));
  struct jinja_text text = {.r = r};
  struct value left = *a, right = *b;
  const bool markup = a->markup || b->markup;
  if (markup) TRY(string_escape(r, a, &left));
  if (markup) TRY(string_escape(r, b, &right));
  TRY(jinja_step(r, (left.as.string.size + right.as.string.size) / 64));
  jinja_add(&text, left.as.string.bytes, left.as.string.size);
  jinja_add(&text, right.as.string.bytes, right.as.string.size);
  TRY(jinja_take(&text, out));
  out->markup = markup;
  return 0;
}

int jinja_eval_binary(struct jinja *r, const char *op, const struct value *a, const struct value *b, struct value *out)
{
  if (value_is_integer(a) && value_is_integer(b)) return integers(r, op, value_as_integer(a), value_as_integer(b), out);
  if (value_is_number(a) && value_is_number(b)) return reals(r, op, value_as_real(a), value_as_real(b), out);
  if (a->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, a);
  if (!strcmp(op, "+") && jinja_is_sequence(a)) return join(r, a, b, out);
  if (!strcmp(op, "*")) {
    const struct value *times = jinja_is_sequence(a) ? b : a, *v = jinja_is_sequence(a) ? a : b;
    if (jinja_is_sequence(v) && value_is_integer(times)) return repeat(r, v, value_as_integer(times), out);
  }
  if (!strcmp(op, "%") && a->kind == VALUE_STRING) return jinja_format_percent(r, a, b, out);
  return bad_operands(r, op, a, b);
}

int jinja_eval_compare(struct jinja *r, const char *op, const struct value *a, const struct value *b, bool *out)
{
  if (!strcmp(op, "==") || !strcmp(op, "!=")) {
    *out = value_equal(r, a, b) == (op[0] == '=');
    return r->rc;
  }
  if (!strcmp(op, "in") || !strcmp(op, "not in")) {
    TRY(value_contains(r, a, b, out));
    *out ^= op[0] == 'n';
    return 0;
  }
  int order;
  TRY(value_compare(r, a, b, &order));
  if ((a->kind == VALUE_FLOAT && math_is_nan(a->as.real)) || (b->kind == VALUE_FLOAT && math_is_nan(b->as.real))) {
    *out = false;
    return 0;
  }
  *out = op[0] == '<' ? order < 0 : order > 0;
  if (op[1] && !order) *out = true;
  return 0;
}
