/* serve/watch_recipe: a run's recipe.yaml as rows of key, value and origin. The file is written by train/recipe_write:
 * two blanks a level, a value behind its key, "  # ORIGIN" behind the value. */
#ifndef ASSAY_SERVE_WATCH_RECIPE_H
#define ASSAY_SERVE_WATCH_RECIPE_H

#include "core/json.h"

enum { RECIPE_KEY = 192 };
struct recipe_row {
  char key[RECIPE_KEY];       /* with dots: methods.0.grpo.clip_low */
  const char *value, *origin; /* in the text, not terminated; origin_size 0: none is written */
  size_t value_size, origin_size;
};

/* Calls take for every key with a value, in order. Never fails: a line of another form is skipped. */
typedef void recipe_row_fn(void *arg, const struct recipe_row *row);
void recipe_rows(const char *text, size_t n, recipe_row_fn *take, void *arg);
/* Appends {"rows":[[key,value,origin],...]}. */
void recipe_rows_put(const char *text, size_t n, struct text *out);
/* The value of one key, without quotes, cut at size; "" where it is not there. */
void recipe_rows_value(const char *text, size_t n, const char *key, char *out, size_t size);

#endif
