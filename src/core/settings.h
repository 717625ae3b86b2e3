/* core/settings: the options of tasks, verifiers and rewards: a table of names with type, bounds and default; what the
 * user wrote is checked against it, and an error names file, line, the nearest name and what would be right.
 *
 *     static const struct setting settings[] = {
 *         {"digits", SETTING_INT, 1, 9, "2", NULL, "digits of each number"},
 *         {"format", SETTING_TEXT, 0, 0, "question", "question plain", "how a problem is put"}};
 */
#ifndef ASSAY_CORE_SETTINGS_H
#define ASSAY_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/arena.h"

enum setting_type { SETTING_INT, SETTING_REAL, SETTING_BOOL, SETTING_TEXT };

struct setting {
  const char *name;
  enum setting_type type;
  double low, high;     /* SETTING_INT, SETTING_REAL: bounds, both allowed */
  const char *fallback; /* as one would write it; NULL: unset unless given */
  const char *choices;  /* SETTING_TEXT: "question plain", or NULL: anything */
  const char *help;     /* one line */
};

struct setting_value {
  bool set;
  int64_t integer;  /* SETTING_INT, SETTING_BOOL */
  double real;      /* SETTING_REAL */
  const char *text; /* as written */
};

/* One as written: key and text, and where they stood (file NULL: the command line). */
struct setting_given {
  const char *key, *text, *file;
  int line;
};

/* Checks what was given against the table and fills in the defaults: *out has a value for each row of the table. owner
 * is whose they are, in errors: "task addition". The texts are kept as pointers. */
int settings_read(struct arena *a, const char *owner, const struct setting *table, size_t count,
                  const struct setting_given *given, size_t given_count, struct setting_value **out,
                  struct error *err) MUST_USE;
/* The value of the row with this name; a name that the table lacks is a bug. */
const struct setting_value *settings_value(const struct setting *table, size_t count,
                                           const struct setting_value *values, const char *name);

/* What a number within these bounds is called in a message: "a number from 0 to 1", "a whole number of at least 1". An
 * infinite bound is none: "a number of at least 0, or .inf", as YAML writes it. buf: 64 bytes are enough for bounds of
 * 15 digits; cut at size. */
const char *number_wanted(bool whole, double low, double high, char *buf, size_t size);
/* "a, b, c" for a message, cut at size. */
const char *names_list(const char *const *names, size_t count, char *buf, size_t size);
/* ERROR_INPUT at file:line for a name that is none of these: what was found, which there are, and the nearest. */
int names_unknown(const char *what, const char *name, const char *const *names, size_t count, const char *file,
                  int line, struct error *err) MUST_USE;

#endif
