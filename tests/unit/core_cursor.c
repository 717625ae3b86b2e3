#include "check.h"
#include "core/cursor.h"

static void test_numbers(void **state)
{
  (void)state;
  const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  struct error err = {0};
  for (int big = 0; big < 2; big++) {
    struct cursor c = cursor_over(bytes, sizeof bytes, "f.bin");
    c.big_endian = big;
    uint8_t a = 0;
    uint16_t b = 0;
    uint32_t d = 0;
    uint64_t e = 0;
    CHECK_OK(cursor_u8(&c, &a, "a", &err), &err);
    CHECK_OK(cursor_u16(&c, &b, "b", &err), &err);
    CHECK_OK(cursor_u32(&c, &d, "d", &err), &err);
    CHECK_OK(cursor_u64(&c, &e, "e", &err), &err);
    CHECK_INT(a, 1);
    CHECK_INT(b, big ? 0x0203 : 0x0302);
    CHECK_INT(d, big ? 0x04050607 : 0x07060504);
    CHECK_INT(e, big ? 0x08090a0b0c0d0e0f : 0x0f0e0d0c0b0a0908);
    CHECK_INT(cursor_left(&c), 0);
    CHECK_INT(cursor_offset(&c), 15);
  }
}

static void test_no_length_is_believed(void **state)
{
  (void)state;
  const uint8_t bytes[8] = {0};
  struct error err = {0};
  struct cursor c = cursor_over(bytes, 8, "f.bin");
  const uint8_t *out = NULL;
  CHECK_OK(cursor_skip(&c, 3, "head", &err), &err);
  CHECK_ERROR(cursor_bytes(&c, UINT64_MAX, &out, "tensor data", &err), &err, ERROR_INPUT,
              "at byte 3: tensor data needs 18446744073709551615");
  CHECK_STR(err.file, "f.bin");
  CHECK_INT(cursor_offset(&c), 3);
  error_clear(&err);
  uint64_t x = 0;
  CHECK_ERROR(cursor_u64(&c, &x, "count", &err), &err, ERROR_INPUT, "found 5 before the end");
  error_clear(&err);
  CHECK_OK(cursor_bytes(&c, 5, &out, "rest", &err), &err);
  CHECK_OK(cursor_bytes(&c, 0, &out, "nothing", &err), &err);
  CHECK_ERROR(cursor_skip(&c, 1, "more", &err), &err, ERROR_INPUT, "at byte 8");
  struct cursor none = cursor_over(NULL, 0, "empty");
  CHECK_INT(cursor_left(&none), 0);
}

static void test_sizes(void **state)
{
  (void)state;
  uint64_t x = 0;
  CHECK(size_mul(1ull << 31, 1ull << 32, &x) && x == 1ull << 63);
  CHECK(!size_mul(1ull << 32, 1ull << 32, &x));
  CHECK(size_add(UINT64_MAX - 1, 1, &x) && x == UINT64_MAX);
  CHECK(!size_add(UINT64_MAX, 1, &x));
}

/* Every code point goes round; every other sequence of bytes is refused. */
static void test_utf8_round_trip(void **state)
{
  (void)state;
  uint32_t wrong = 0, good = 0;
  for (uint32_t code = 0; code < 0x110000; code++) {
    uint8_t bytes[4];
    size_t n = utf8_encode(code, bytes);
    uint32_t back = 0;
    bool surrogate = code >= 0xd800 && code < 0xe000;
    size_t m = utf8_decode(bytes, n, &back);
    good += m == n && back == code;
    wrong += surrogate ? m != 0 : m != n || back != code || utf8_valid_prefix(bytes, n) != n;
    if (n > 1) wrong += utf8_decode(bytes, n - 1, &back) != 0;
  }
  CHECK_INT(wrong, 0);
  CHECK_INT(good, 0x110000 - 0x800);
}

static void test_utf8_refusals(void **state)
{
  (void)state;
  static const char *const bad[] = {
      "\x80",         "\xbf",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",     "\xe0\x9f\xbf",
      "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
      "\xff",         "\xc3\x28",     "\xe2\x28\xa1",     "\xe2\x82\x28",     "\xf0\x9f\x98"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    uint32_t code = 0;
    CHECK_INT(utf8_decode((const uint8_t *)bad[i], strlen(bad[i]), &code), 0);
    CHECK_INT(utf8_valid_prefix(bad[i], strlen(bad[i])), 0);
  }
  CHECK_INT(utf8_valid_prefix("a\xc3\xa9\xe2\x82", 5), 3);
  CHECK_INT(utf8_valid_prefix("", 0), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_no_length_is_believed),
                                     cmocka_unit_test(test_sizes), cmocka_unit_test(test_utf8_round_trip),
                                     cmocka_unit_test(test_utf8_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
