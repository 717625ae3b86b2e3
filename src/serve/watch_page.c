/* The page's parts as the program carries them, and the file that needs no server. */
#include "serve/watch.h"

#include "core/log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const unsigned char index_html[] = {
#include "web_index.h"
};
static const unsigned char watch_css[] = {
#include "web_css.h"
};
static const unsigned char watch_js[] = {
#include "web_js.h"
};

static const struct watch_part parts[] = {{"/watch.css", "text/css; charset=utf-8", watch_css, sizeof watch_css},
                                          {"/watch.js", "text/javascript; charset=utf-8", watch_js, sizeof watch_js}};

const struct watch_part *watch_part_find(const char *path)
{
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    if (!strcmp(parts[i].path, path)) return &parts[i];
  return NULL;
}

const char *watch_policy(void)
{
  return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
         "form-action 'none'; frame-ancestors 'none'";
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static const char *find_place(const char *at, const char *end, const char *place)
{
  size_t n = strlen(place);
  for (; at + n <= end; at++)
    if (!memcmp(at, place, n)) return at;
  return end;
}

/* index.html: what stands before, between and behind the places of @HEAD@ and @SCRIPTS@. */
static void split_page(struct token_text out[3])
{
  static const char head[] = "@HEAD@", scripts[] = "@SCRIPTS@";
  const char *at = (const char *)index_html, *end = at + sizeof index_html;
  const char *first = find_place(at, end, head), *second = find_place(first, end, scripts);
  ASSAY_BUG_IF(second == end);
  out[0] = (struct token_text){at, (size_t)(first - at)};
  out[1] = (struct token_text){first + sizeof head - 1, (size_t)(second - first) - (sizeof head - 1)};
  out[2] = (struct token_text){second + sizeof scripts - 1, (size_t)(end - second) - (sizeof scripts - 1)};
}

void watch_put_page(struct text *t)
{
  struct token_text piece[3];
  split_page(piece);
  text_add(t, piece[0].bytes, piece[0].size);
  text_puts(t, "<link rel=\"stylesheet\" href=\"watch.css\">");
  text_add(t, piece[1].bytes, piece[1].size);
  text_puts(t, "<script src=\"chart.js\"></script>\n<script src=\"watch.js\"></script>");
  text_add(t, piece[2].bytes, piece[2].size);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* What has steps: its list, one entry of it, how many steps a file has, and their part of its room. */
static const struct export_part {
  const char *list, *entry;
  int steps, part;
} export_parts[] = {{"rollouts", "group", 12, 3}, {"evaluations", "evaluation", 4, 1}};
enum { EXPORT_PARTS = sizeof export_parts / sizeof export_parts[0], EXPORT_WHOLE = 4 };

/* What is written: the pieces of one JSON object of address and answer. */
struct exporting {
  struct watch *watch;
  struct file_writer *writer;
  uint64_t limit; /* size of the file where rollouts end */
};

/* JSON inside of a script element: a < in a string could end it, an escape cannot. */
static int write_json(struct exporting *x, const char *s, size_t n, struct error *err)
{
  for (size_t i = 0; i < n;) {
    const char *stop = memchr(s + i, '<', n - i);
    size_t size = stop ? (size_t)(stop - s) - i : n - i;
    TRY(file_writer_write(x->writer, s + i, size, err));
    if (stop) TRY(file_writer_write(x->writer, "\\u003c", 6, err));
    i += size + (stop != NULL);
  }
  return 0;
}

struct export_query {
  int run;
  int64_t step;
  const char *problem; /* NULL: none */
  char text[24];
};

static const char *get_query(const void *arg, const char *name)
{
  const struct export_query *q = arg;
  char *text = (char *)q->text;
  if (!strcmp(name, "run")) snprintf(text, sizeof q->text, "%d", q->run);
  if (!strcmp(name, "step") && q->step >= 0) snprintf(text, sizeof q->text, "%" PRId64, q->step);
  if (!strcmp(name, "run") || (!strcmp(name, "step") && q->step >= 0)) return text;
  return !strcmp(name, "problem") ? q->problem : NULL;
}

/* ,"ADDRESS":ANSWER, as the page will ask for it. What has no answer is left out. copy (may be NULL): the answer. */
static int export_answer(struct exporting *x, const char *name, const struct export_query *q, struct text *copy,
                         struct error *err)
{
  char path[64], key[160];
  struct watch_reply reply;
  snprintf(path, sizeof path, "/api/%s", name);
  TRY(watch_answer(x->watch, path, get_query, q, &reply, err));
  int n = snprintf(key, sizeof key, ",\n\"%s?run=%d", name, q->run);
  if (q->step >= 0) n += snprintf(key + n, sizeof key - (size_t)n, "&step=%" PRId64, q->step);
  if (q->problem) n += snprintf(key + n, sizeof key - (size_t)n, "&problem=%s", q->problem);
  n += snprintf(key + n, sizeof key - (size_t)n, "\":");
  int rc = reply.status == 200 ? file_writer_write(x->writer, key, (size_t)n, err) : 0;
  if (!rc && reply.status == 200) rc = write_json(x, reply.body.bytes, reply.body.size, err);
  if (!rc && reply.status != 200) log_warn("%s of step %" PRId64 " is left out: %s", name, q->step, reply.body.bytes);
  if (copy && reply.status == 200) text_add(copy, reply.body.bytes, reply.body.size);
  text_free(&reply.body);
  return rc;
}

/* The entries of a list, in order, until the step's share of the file is used. */
static int export_entries(struct exporting *x, const struct export_part *part, struct export_query *q,
                          const struct text *list, uint64_t until, struct error *err)
{
  struct arena *a = arena_create("watch", 0, err);
  json_t *root, *value;
  const char *key;
  if (!a) return err->code;
  int rc = json_parse(a, list->bytes, list->size, NULL, 0, JSON_READ_PLAIN, &root, err);
  if (!rc) {
    json_object_foreach(json_object_get(root, "problems"), key, value)
    {
      q->problem = key;
      if (rc || file_writer_size(x->writer) > until) break;
      rc = export_answer(x, part->entry, q, NULL, err);
    }
  }
  arena_destroy(a);
  return rc;
}

static int export_step(struct exporting *x, const struct export_part *part, int run, int64_t step, uint64_t until,
                       struct error *err)
{
  struct export_query q = {.run = run, .step = step};
  struct text list = {0};
  int rc = export_answer(x, part->list, &q, &list, err);
  if (!rc) rc = text_finish(&list, err);
  if (!rc && list.size) rc = export_entries(x, part, &q, &list, until, err);
  text_free(&list);
  return rc;
}

/* Steps spread over the run, the first and the last among them. */
static int export_steps(struct exporting *x, const struct export_part *part, int run, const struct watch_steps *steps,
                        uint64_t room, struct error *err)
{
  size_t most = (size_t)part->steps, count = steps->count < most ? steps->count : most;
  uint64_t start = file_writer_size(x->writer);
  for (size_t i = 0; i < count; i++) {
    size_t at = count > 1 ? i * (steps->count - 1) / (count - 1) : 0;
    TRY(export_step(x, part, run, steps->items[at], start + room * (i + 1) / count, err));
  }
  return 0;
}

static int export_run(struct exporting *x, int run, struct error *err)
{
  const struct watch_run *r = x->watch->runs[run];
  const struct watch_steps *steps[EXPORT_PARTS] = {&r->rollouts, &r->evaluations};
  uint64_t start = file_writer_size(x->writer), runs_left = (uint64_t)(x->watch->run_count - run);
  uint64_t share = x->limit > start ? (x->limit - start) / runs_left : 0;
  for (int i = 0; i < EXPORT_PARTS; i++)
    TRY(export_steps(x, &export_parts[i], run, steps[i], share * (uint64_t)export_parts[i].part / EXPORT_WHOLE, err));
  return 0;
}

static int export_data(struct exporting *x, struct error *err)
{
  static const char *const of_run[] = {"metrics", "problems", "recipe", "log"};
  struct watch_reply reply;
  char made[48] = "unknown time";
  time_t now = time(NULL);
  struct tm parts_of_now;
  if (localtime_r(&now, &parts_of_now)) strftime(made, sizeof made, "%Y-%m-%d %H:%M", &parts_of_now);
  TRY(watch_answer(x->watch, "/api/state", get_query, &(struct export_query){.step = -1}, &reply, err));
  int rc = file_writer_printf(x->writer, err, "{\"made\":\"%s\",\n\"state\":", made);
  if (!rc) rc = write_json(x, reply.body.bytes, reply.body.size, err);
  text_free(&reply.body);
  TRY(rc);
  for (int run = 0; run < x->watch->run_count; run++) {
    struct export_query q = {.run = run, .step = -1};
    for (size_t i = 0; i < sizeof of_run / sizeof of_run[0]; i++) TRY(export_answer(x, of_run[i], &q, NULL, err));
    TRY(export_run(x, run, err));
  }
  return file_writer_write(x->writer, "}", 1, err);
}

/* sha256-BASE64 of a script or a style, as a policy names it. */
static void put_hash(struct text *t, const void *bytes, size_t n)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t sum[33] = {0};
  struct sha256 s;
  sha256_start(&s);
  sha256_add(&s, bytes, n);
  sha256_finish(&s, sum);
  text_puts(t, " 'sha256-");
  for (int i = 0; i < 33; i += 3) {
    uint32_t three = (uint32_t)sum[i] << 16 | (uint32_t)sum[i + 1] << 8 | sum[i + 2];
    char four[4] = {digits[three >> 18], digits[three >> 12 & 63], digits[three >> 6 & 63],
                    i == 30 ? '=' : digits[three & 63]};
    text_add(t, four, 4);
  }
  text_puts(t, "'");
}

static int check_script(const char *s, size_t n, struct error *err)
{
  if (find_place(s, s + n, "</script") == s + n) return 0;
  FAIL(err, ERROR_RESOURCE, "the system's Chart.js holds </script and cannot stand in a page; expected Debian's");
}

static int write_file(struct exporting *x, struct error *err)
{
  struct watch *w = x->watch;
  struct token_text piece[3];
  struct text policy = {0};
  split_page(piece);
  text_puts(&policy,
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "base-uri 'none'; form-action 'none'; style-src");
  put_hash(&policy, watch_css, sizeof watch_css);
  text_puts(&policy, "; script-src");
  if (w->chart) put_hash(&policy, w->chart, w->chart_size);
  put_hash(&policy, watch_js, sizeof watch_js);
  text_puts(&policy, "\">\n<style>");
  int rc = text_finish(&policy, err);
  if (!rc) rc = file_writer_write(x->writer, piece[0].bytes, piece[0].size, err);
  if (!rc) rc = file_writer_write(x->writer, policy.bytes, policy.size, err);
  text_free(&policy);
  TRY(rc);
  TRY(file_writer_write(x->writer, watch_css, sizeof watch_css, err));
  TRY(file_writer_printf(x->writer, err, "</style>"));
  TRY(file_writer_write(x->writer, piece[1].bytes, piece[1].size, err));
  TRY(file_writer_printf(x->writer, err, "<script type=\"application/json\" id=\"data\">"));
  TRY(export_data(x, err));
  TRY(file_writer_printf(x->writer, err, "</script>\n<script>"));
  if (w->chart) TRY(file_writer_write(x->writer, w->chart, w->chart_size, err));
  TRY(file_writer_printf(x->writer, err, "</script>\n<script>"));
  TRY(file_writer_write(x->writer, watch_js, sizeof watch_js, err));
  TRY(file_writer_printf(x->writer, err, "</script>"));
  return file_writer_write(x->writer, piece[2].bytes, piece[2].size, err);
}

int watch_export(struct watch *w, const char *file, size_t limit, struct error *err)
{
  struct exporting x = {.watch = w, .limit = limit};
  for (int i = 0; i < w->run_count; i++)
    for (bool more = true; more;) TRY(watch_run_poll(w->runs[i], 1, &more, err));
  if (w->chart) TRY(check_script(w->chart, w->chart_size, err));
  TRY(file_writer_open(w->arena, file, &x.writer, err));
  TRY(write_file(&x, err));
  return file_writer_commit(x.writer, err);
}
