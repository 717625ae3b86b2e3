/* reward/json_schema: a value against the part of JSON Schema that can be checked in bounded time and memory.
 *
 *     type (one name or a list)  enum  const  anyOf  allOf  oneOf  not
 *     properties  required  additionalProperties     items  minItems  maxItems
 *     minimum  maximum  exclusiveMinimum  exclusiveMaximum     minLength  maxLength  pattern
 *
 * true and false are schemas; $schema, $id, $comment, title, description, default, examples and format are notes. Any
 * other keyword is refused by name. 1 and 1.0 are one number, and an integer.
 */
#ifndef ASSAY_REWARD_JSON_SCHEMA_H
#define ASSAY_REWARD_JSON_SCHEMA_H

#include "core/json.h"

/* Whether it is such a schema: ERROR_INPUT names the keyword and its place. */
int json_schema_check(struct arena *a, const json_t *schema, struct error *err) MUST_USE;

enum json_schema_result { JSON_SCHEMA_VALID, JSON_SCHEMA_INVALID, JSON_SCHEMA_FAILED /* a bound was met */ };
/* *reason: where and why not ("$.age: found -3; expected at least 0"). The schema was checked. */
enum json_schema_result json_schema_test(struct arena *a, const json_t *schema, const json_t *value,
                                         const char **reason, struct error *err);

/* Deep equality; numbers by value. */
bool json_same(const json_t *x, const json_t *y);

#endif
