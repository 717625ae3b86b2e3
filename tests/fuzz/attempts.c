/* links: eval. Stored attempts: any bytes give attempts or one error with a line; what was read and is written reads
 * back the same, and every report of it can be made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/file.h"
#include "eval/compare.h"
#include "eval/cot_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void put_all(struct text *t, const struct attempt_list *l)
{
  for (size_t i = 0; i < l->count; i++) {
    text_puts(t, "{");
    attempt_put_fields(t, &l->items[i]);
    text_puts(t, "}\n");
  }
}

static int write_file(const char *path, const void *bytes, size_t n, struct error *err)
{
  TRY(file_truncate(path, 0, err));
  return file_append(path, bytes, n, false, err);
}

static void round_trip(struct arena *a, const char *path, const struct attempt_list *l)
{
  struct error err = {0};
  struct attempt_list back = {0};
  struct text once = {0}, twice = {0};
  put_all(&once, l);
  ASSAY_BUG_IF(write_file(path, once.bytes, once.size, &err) || attempts_read(a, path, NULL, &back, &err));
  put_all(&twice, &back);
  ASSAY_BUG_IF(back.count != l->count || once.size != twice.size || memcmp(once.bytes, twice.bytes, once.size) != 0);
  text_free(&once), text_free(&twice);
}

static void report(struct arena *a, const char *path, const struct attempt_list *l)
{
  struct error err = {0};
  struct eval_report r;
  struct eval_comparison c;
  struct cot_report cot;
  struct text t = {0};
  if (!attempts_check(a, l, &err)) {
    if (!cot_report_make(a, l, &path, 1, COT_SPLIT, NULL, 0, &cot, &err)) cot_report_put_text(&t, &cot);
  }
  error_clear(&err);
  if (!eval_report_make(a, l, NULL, 0, &r, &err)) {
    ASSAY_BUG_IF(!(r.accuracy >= 0 && r.accuracy <= 1 && r.low <= r.accuracy && r.accuracy <= r.high));
    eval_report_put_text(&t, &r);
    eval_report_put_json(&t, &r);
  }
  error_clear(&err);
  if (!eval_compare(a, l, l, NULL, 0, &c, &err)) {
    ASSAY_BUG_IF(c.difference.mean != 0 || c.gained || c.lost || c.crossing);
    eval_comparison_put_text(&t, &c, 10);
    eval_comparison_put_json(&t, &c);
  }
  text_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  static char path[] = "/tmp/assay-fuzz-XXXXXX";
  struct error err = {0};
  struct attempt_list l = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  int file = a ? mkstemp(path) : -1;
  if (file >= 0 && !write_file(path, bytes, size, &err)) {
    if (attempts_read(a, path, "domain", &l, &err))
      ASSAY_BUG_IF(!err.code || !err.message[0]);
    else if (l.count <= 64)
      report(a, path, &l), round_trip(a, path, &l);
  }
  if (file >= 0) close(file), remove(path);
  memcpy(path + sizeof path - 7, "XXXXXX", 6);
  arena_destroy(a);
  return 0;
}
