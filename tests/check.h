/* check: comparers over cmocka that fail closed. A NaN, an infinity where a number was expected, a comparison of
 * nothing, and a value compared with itself are failures, never passes. tests/check_test.c proves it for each of them.
 *
 * Each macro calls a check_*_at function, which returns NULL when all is well and otherwise a sentence; the macro
 * prints it with file and line and fails the test. check_test.c calls the same functions and looks at the sentence.
 */
#ifndef ASSAY_TESTS_CHECK_H
#define ASSAY_TESTS_CHECK_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"

#define CHECK_UNUSED __attribute__((unused))

static char check_sentence[2048];

/* An emulator runs the tests, some thirty times as slowly; CMakeLists.txt says so where it crosses to a processor. */
static CHECK_UNUSED bool check_emulated(void)
{
  return getenv("ASSAY_TEST_EMULATED") != NULL;
}

/* How many of many like cases a test takes: all of them, a few where it is emulated. */
static CHECK_UNUSED size_t check_cases(size_t all, size_t few)
{
  return check_emulated() ? few : all;
}

static inline bool check_finite(double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits >> 52 & 0x7ff) != 0x7ff;
}

static inline double check_abs(double x)
{
  return x < 0 ? -x : x;
}

static CHECK_UNUSED const char *check_int_at(int64_t got, int64_t want)
{
  if (got == want) return NULL;
  snprintf(check_sentence, sizeof check_sentence, "got %" PRId64 ", want %" PRId64, got, want);
  return check_sentence;
}

static CHECK_UNUSED const char *check_str_at(const char *got, const char *want)
{
  if (got && want && !strcmp(got, want)) return NULL;
  snprintf(check_sentence, sizeof check_sentence, "got \"%.800s\", want \"%.800s\"", got ? got : "(null)",
           want ? want : "(null)");
  return check_sentence;
}

/* Same `bytes` bytes at two different places. */
static CHECK_UNUSED const char *check_bits_at(const void *got, const void *want, size_t bytes)
{
  const unsigned char *g = got, *w = want;
  if (!got || !want) return "a pointer is NULL";
  if (bytes == 0) return "nothing was compared (0 bytes)";
  if (got == want) return "a thing was compared with itself";
  for (size_t i = 0; i < bytes; i++) {
    if (g[i] == w[i]) continue;
    snprintf(check_sentence, sizeof check_sentence, "byte %zu of %zu: got %02x, want %02x", i, bytes, g[i], w[i]);
    return check_sentence;
  }
  return NULL;
}

/* Same bits, except that every NaN equals every NaN. */
static CHECK_UNUSED const char *check_bits_f32_at(const float *got, const float *want, size_t n)
{
  if (!got || !want) return "a pointer is NULL";
  if (n == 0) return "nothing was compared (0 values)";
  if (got == want) return "a thing was compared with itself";
  for (size_t i = 0; i < n; i++) {
    uint32_t g, w;
    memcpy(&g, got + i, sizeof g);
    memcpy(&w, want + i, sizeof w);
    bool both_nan = (g & 0x7fffffffu) > 0x7f800000u && (w & 0x7fffffffu) > 0x7f800000u;
    if (g == w || both_nan) continue;
    snprintf(check_sentence, sizeof check_sentence,
             "value %zu of %zu: got %.9g (%08" PRIx32 "), want %.9g (%08" PRIx32 ")", i, n, (double)got[i], g,
             (double)want[i], w);
    return check_sentence;
  }
  return NULL;
}

/* |got - want| <= tol. Infinities and NaN fail, also where both are the same. */
static CHECK_UNUSED const char *check_close_at(double got, double want, double tol, const char *why)
{
  if (!why || !*why) return "the tolerance has no reason";
  if (!check_finite(tol) || tol < 0) return "the tolerance is not a number >= 0";
  if (check_finite(got) && check_finite(want) && check_abs(got - want) <= tol) return NULL;
  snprintf(check_sentence, sizeof check_sentence, "got %.17g, want %.17g, difference %.3g > %.3g (%s)", got, want,
           check_abs(got - want), tol, why);
  return check_sentence;
}

/* Gradients: |got - want| <= rel * max(|got|, |want|) + floor for each value, after showing that the comparison means
   something: two arrays, n > 0, all finite, some |want| above the floor. */
static CHECK_UNUSED const char *check_grad_at(const double *got, const double *want, size_t n, double rel, double floor)
{
  if (!got || !want) return "a pointer is NULL";
  if (got == want) return "a gradient was compared with itself";
  if (n == 0) return "nothing was compared (0 values)";
  if (!(rel >= 0 && rel < 0.5) || !(floor >= 0) || !check_finite(floor)) return "the tolerance is not a usable number";
  bool alive = false;
  for (size_t i = 0; i < n; i++) alive = alive || check_abs(want[i]) > floor;
  if (!alive) return "the expected gradient is zero everywhere (or below the floor): this would prove nothing";
  for (size_t i = 0; i < n; i++) {
    double g = got[i], w = want[i], size = check_abs(g) > check_abs(w) ? check_abs(g) : check_abs(w);
    if (check_finite(g) && check_finite(w) && check_abs(g - w) <= rel * size + floor) continue;
    snprintf(check_sentence, sizeof check_sentence, "gradient %zu of %zu: got %.12g, want %.12g (rel %.3g, floor %.3g)",
             i, n, g, w, rel, floor);
    return check_sentence;
  }
  return NULL;
}

static CHECK_UNUSED const char *check_ok_at(int rc, const struct error *err)
{
  if (rc == 0 && (!err || err->code == 0)) return NULL;
  snprintf(check_sentence, sizeof check_sentence, "rc %d, error %d: %s:%d: %s", rc, err ? err->code : 0,
           err ? err->file : "", err ? err->line : 0, err ? err->message : "(no error struct)");
  return check_sentence;
}

static CHECK_UNUSED const char *check_error_at(int rc, const struct error *err, int code, const char *part)
{
  if (code == 0) return "CHECK_ERROR needs a code other than 0";
  if (!err) return "CHECK_ERROR needs an error struct";
  if (!part || !*part) return "CHECK_ERROR needs a part of the message";
  if (rc == code && err->code == code && strstr(err->message, part)) return NULL;
  snprintf(check_sentence, sizeof check_sentence, "rc %d, error %d \"%.900s\"; want %d with \"%.300s\"", rc, err->code,
           err->message, code, part);
  return check_sentence;
}

static CHECK_UNUSED void check_report(const char *sentence, const char *what, const char *file, int line)
{
  if (!sentence) return;
  print_error("%s: %s\n", what, sentence);
  _fail(file, line);
}

#define CHECK_AT(sentence, what) check_report((sentence), (what), __FILE__, __LINE__)

#define CHECK(cond)                          CHECK_AT((cond) ? NULL : "is false", #cond)
#define CHECK_INT(got, want)                 CHECK_AT(check_int_at((int64_t)(got), (int64_t)(want)), #got)
#define CHECK_STR(got, want)                 CHECK_AT(check_str_at((got), (want)), #got)
#define CHECK_BITS(got, want, bytes)         CHECK_AT(check_bits_at((got), (want), (bytes)), #got)
#define CHECK_BITS_F32(got, want, n)         CHECK_AT(check_bits_f32_at((got), (want), (n)), #got)
#define CHECK_CLOSE(got, want, tol, why)     CHECK_AT(check_close_at((double)(got), (double)(want), (tol), (why)), #got)
#define CHECK_GRAD(got, want, n, rel, floor) CHECK_AT(check_grad_at((got), (want), (n), (rel), (floor)), #got)
#define CHECK_OK(rc, err)                    CHECK_AT(check_ok_at((rc), (err)), #rc)
#define CHECK_ERROR(rc, err, code, part)     CHECK_AT(check_error_at((rc), (err), (code), (part)), #rc)

#endif
