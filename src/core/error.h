/* core/error: how every fallible function of Assay says what went wrong.
 *
 * A fallible function returns int (0, or a code below) and takes `struct error *err` as its last argument. The codes
 * are the exit statuses of the program. A message reads "what was found; what was expected; what to do"; file, line and
 * key are kept apart so that --json can print them as fields.
 *
 *     static int parse(const char *path, int line, struct error *err)
 *     {
 *       if (bad) FAIL_AT(err, ERROR_INPUT, path, line, "lr", "found \"%s\"; expected a number; write lr: 1e-6", text);
 *       TRY(read_rest(path, err));
 *       return 0;
 *     }
 */
#ifndef ASSAY_CORE_ERROR_H
#define ASSAY_CORE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* X(name, exit status, text) */
#define ERROR_CODES(X)                    \
  X(OK, 0, "ok")                          \
  X(BUG, 1, "internal failure")           \
  X(INPUT, 2, "wrong input or usage")     \
  X(RESOURCE, 3, "a resource is lacking") \
  X(LAW, 4, "a law was broken")           \
  X(STOPPED, 5, "stopped by a signal")

enum error_code {
#define ERROR_ENUM(name, value, text) ERROR_##name = (value),
  ERROR_CODES(ERROR_ENUM)
#undef ERROR_ENUM
};

struct error {
  int code;           /* 0 while nothing has failed */
  int line;           /* 1-based; 0: no line */
  char file[512];     /* "" : no file */
  char key[128];      /* recipe key, tensor name, option; "": none */
  char message[1024]; /* one line, UTF-8, no file or line in it; control characters are replaced by '?' */
};

/* Records a failure and returns code. err may be NULL. The first failure wins until error_clear. */
int error_fail(struct error *err, int code, const char *file, int line, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Puts "while FMT" in front of the message, for callers on the way up ("loading layer 3: ..."). Returns err->code. */
int error_context(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Fills in file (and line) where the failing function did not know them. Returns err->code. */
int error_place(struct error *err, const char *file, int line);

void error_clear(struct error *err);

/* Writes "FILE:LINE: MESSAGE" (without "assay: ") into buf, always terminated. */
void error_format(const struct error *err, char *buf, size_t size);

const char *error_code_name(int code); /* "input", "law", ... */

/* error_fail never returns 0; saying so spares the callers false "may be uninitialised" warnings. */
static inline int error_nonzero(int rc)
{
  if (rc == 0) __builtin_unreachable();
  return rc;
}

#define FAIL(err, code, ...) return error_nonzero(error_fail((err), (code), NULL, 0, NULL, __VA_ARGS__))
#define FAIL_AT(err, code, file, line, key, ...) \
  return error_nonzero(error_fail((err), (code), (file), (line), (key), __VA_ARGS__))
#define TRY(expr)                \
  do {                           \
    int try_rc_ = (expr);        \
    if (try_rc_) return try_rc_; \
  } while (0)

/* A broken invariant: prints file, line and the condition, then aborts. Kept in release builds. */
_Noreturn void error_bug(const char *file, int line, const char *condition);
#define ASSAY_BUG_IF(cond)                          \
  do {                                              \
    if (cond) error_bug(__FILE__, __LINE__, #cond); \
  } while (0)

#define MUST_USE __attribute__((warn_unused_result))

#endif
