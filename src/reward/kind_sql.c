/* A SQL query, judged by what it finds: `schema` (a script that makes the tables and fills them) is run in an SQLite
 * database in memory, then `query`, the right one, then the response's; their rows are compared.
 *
 * Which query a response gives: behind </think>; the last block ```sql, else the last block of any name; else from the
 * first line that begins with SELECT or WITH; else the whole response. One statement.
 *
 * Rows are compared by value: 3 is 3.0, reals to ten significant digits, texts byte for byte. Names of columns do not
 * matter, their order does. `ordered: true` also compares the order of rows, else they are a multiset.
 *
 * Read-only: an authorizer lets the response select and call functions, and nothing else; random() is refused, 'now' is
 * the year 2000 for all; no file can be opened. Bounds: `steps` of SQLite's machine and `memory` make a query wrong
 * ("takes more than ..."), the same on every machine; texts of 64 KiB keep one step short. Behind them stands the
 * verifier's timeout, which is a failure, not a wrong answer; because of it the kind looks at a clock (outside).
 */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/log.h"
#include "core/math.h"
#include "data/source.h"
#include "reward/verifier.h"

enum {
  TICK = 100 /* machine steps between two looks at the bounds */,
  VALUE = 65536,
  SETUP_STEPS = 200 /* times steps */
};

/* ---- the library: memory that is counted by thread, a clock that stands still -------------------------------------
 */

static _Thread_local int64_t memory_used, memory_most;
enum { HEAD = 64 };

static void *count_alloc(int n)
{
  if (memory_most && memory_used + n > memory_most) return NULL;
  char *p = memory_alloc((size_t)n + HEAD, 1, "sqlite", NULL);
  if (!p) return NULL;
  memcpy(p, &n, sizeof n);
  memory_used += n;
  return p + HEAD;
}

static int count_size(void *p)
{
  int n = 0;
  if (p) memcpy(&n, (char *)p - HEAD, sizeof n);
  return n;
}

static void count_free(void *p)
{
  if (!p) return;
  memory_used -= count_size(p);
  memory_free((char *)p - HEAD);
}

static void *count_resize(void *p, int n)
{
  void *q = count_alloc(n);
  int old = count_size(p);
  if (!q) return NULL;
  if (p) memcpy(q, p, (size_t)(old < n ? old : n));
  count_free(p);
  return q;
}

static int count_round(int n)
{
  return (n + 7) & ~7;
}

static int count_start(void *unused)
{
  (void)unused;
  return SQLITE_OK;
}

static void count_stop(void *unused)
{
  (void)unused;
}

static int no_file(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
  (void)v, (void)name, (void)flags, (void)out;
  f->pMethods = NULL;
  return SQLITE_CANTOPEN;
}

/* Noon of 2000-01-01, as milliseconds of the Julian day. */
static int no_clock(sqlite3_vfs *v, sqlite3_int64 *out)
{
  (void)v;
  *out = INT64_C(211813488000000);
  return SQLITE_OK;
}

static int no_clock_real(sqlite3_vfs *v, double *out)
{
  (void)v;
  *out = 2451545.0;
  return SQLITE_OK;
}

static int no_chance(sqlite3_vfs *v, int n, char *out)
{
  (void)v;
  memset(out, 0, (size_t)n);
  return n;
}

static sqlite3_vfs nowhere;
static int library = SQLITE_ERROR;

static void start_library(void)
{
  static const sqlite3_mem_methods memory = {count_alloc, count_free,  count_resize, count_size,
                                             count_round, count_start, count_stop,   NULL};
  sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
  library = sqlite3_initialize();
  const sqlite3_vfs *real = library ? NULL : sqlite3_vfs_find(NULL);
  if (!real) return;
  nowhere = *real;
  nowhere.pNext = NULL;
  nowhere.zName = "nowhere";
  nowhere.xOpen = no_file;
  nowhere.xCurrentTime = no_clock_real;
  nowhere.xCurrentTimeInt64 = no_clock;
  nowhere.xRandomness = no_chance;
  library = sqlite3_vfs_register(&nowhere, 0);
}

/* ---- one database ------------------------------------------------------------------------------------------------ */

enum stop { STOP_NONE, STOP_STEPS, STOP_CLOCK };

struct database {
  sqlite3 *db;
  struct arena *a;
  int64_t steps_left;
  double deadline;
  enum stop stop;
  bool reading; /* the response's turn */
};

static int tick(void *arg)
{
  struct database *d = arg;
  d->steps_left -= TICK;
  if (d->steps_left < 0) d->stop = STOP_STEPS;
  if (!d->stop && clock_seconds() > d->deadline) d->stop = STOP_CLOCK;
  return d->stop != STOP_NONE;
}

static int allow(void *arg, int action, const char *x, const char *function, const char *z, const char *trigger)
{
  const struct database *d = arg;
  static const char *const refused[] = {"load_extension", "random", "randomblob", "fts3_tokenizer"};
  (void)x, (void)z, (void)trigger;
  if (action == SQLITE_ATTACH || action == SQLITE_DETACH || action == SQLITE_PRAGMA) return SQLITE_DENY;
  for (size_t i = 0; action == SQLITE_FUNCTION && i < sizeof refused / sizeof *refused; i++)
    if (!strcmp(function, refused[i])) return SQLITE_DENY;
  if (!d->reading) return SQLITE_OK;
  return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE
             ? SQLITE_OK
             : SQLITE_DENY;
}

static int open_database(struct database *d, int64_t steps, double timeout, struct error *err)
{
  if (sqlite3_open_v2(":memory:", &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, "nowhere"))
    FAIL(err, ERROR_RESOURCE, "SQLite could not be opened: %s", d->db ? sqlite3_errmsg(d->db) : "no memory");
  d->steps_left = steps > INT64_MAX / SETUP_STEPS ? INT64_MAX : steps * SETUP_STEPS;
  d->deadline = clock_seconds() + timeout;
  sqlite3_exec(d->db, "PRAGMA temp_store = 2; PRAGMA trusted_schema = 0", NULL, NULL, NULL);
  sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(d->db, SQLITE_LIMIT_WORKER_THREADS, 0);
  sqlite3_limit(d->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000);
  sqlite3_progress_handler(d->db, TICK, tick, d);
  sqlite3_set_authorizer(d->db, allow, d);
  return 0;
}

static void start_reading(struct database *d, int64_t steps)
{
  d->reading = true;
  d->steps_left = steps;
  d->stop = STOP_NONE;
  sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, VALUE);
  sqlite3_limit(d->db, SQLITE_LIMIT_SQL_LENGTH, VALUE);
  sqlite3_limit(d->db, SQLITE_LIMIT_EXPR_DEPTH, 200);
  sqlite3_limit(d->db, SQLITE_LIMIT_COMPOUND_SELECT, 100);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct rows {
  char **row; /* one text a row: "3|'a'|NULL", equal iff the rows are */
  size_t count, room;
  int columns;
};

/* One value so that equal values have equal texts. */
static void put_cell(struct text *t, sqlite3_stmt *q, int i)
{
  double x;
  switch (sqlite3_column_type(q, i)) {
    case SQLITE_INTEGER:
      json_put_int(t, sqlite3_column_int64(q, i));
      break;
    case SQLITE_FLOAT:
      x = sqlite3_column_double(q, i);
      if (math_floor(x) == x && math_abs(x) < 9007199254740992.0)
        json_put_int(t, (int64_t)x);
      else
        text_printf(t, "%.10g", x);
      break;
    case SQLITE_NULL:
      text_puts(t, "NULL");
      break;
    default: {
      const char *bytes = sqlite3_column_blob(q, i);
      text_puts(t, sqlite3_column_type(q, i) == SQLITE_BLOB ? "x\"" : "\"");
      for (int k = 0; k < sqlite3_column_bytes(q, i); k++) {
        if (!bytes[k] || bytes[k] == '"' || bytes[k] == '\\')
          text_printf(t, "\\%02x", (unsigned char)bytes[k]);
        else
          text_add(t, bytes + k, 1);
      }
      text_puts(t, "\"");
    }
  }
}

static int add_row(struct arena *a, struct rows *rows, sqlite3_stmt *q, struct error *err)
{
  struct text t = {0};
  if (rows->count == rows->room) {
    size_t room = rows->room ? 2 * rows->room : 64;
    char **larger = ARENA_NEW(a, char *, room, "verdict", err);
    if (!larger) return err->code;
    if (rows->count) memcpy(larger, rows->row, rows->count * sizeof *larger);
    rows->row = larger;
    rows->room = room;
  }
  for (int i = 0; i < rows->columns; i++) {
    if (i) text_puts(&t, " | ");
    put_cell(&t, q, i);
  }
  int rc = text_finish(&t, err);
  rows->row[rows->count++] = rc ? NULL : arena_strndup(a, t.bytes ? t.bytes : "", t.size, "verdict", err);
  text_free(&t);
  return rc ? rc : rows->row[rows->count - 1] ? 0 : err->code;
}

static int read_rows(struct database *d, sqlite3_stmt *q, size_t most, struct rows *rows, int *code, struct error *err)
{
  rows->columns = sqlite3_column_count(q);
  while ((*code = sqlite3_step(q)) == SQLITE_ROW) {
    TRY(add_row(d->a, rows, q, err));
    if (rows->count > most) break;
  }
  if (*code == SQLITE_DONE || *code == SQLITE_ROW) *code = SQLITE_OK;
  return 0;
}

/* Whether a further statement stands behind the first. */
static bool has_more(struct database *d, const char *sql, size_t n)
{
  sqlite3_stmt *more = NULL;
  bool found = n && (sqlite3_prepare_v2(d->db, sql, (int)n, &more, NULL) || more);
  sqlite3_finalize(more);
  return found;
}

/* Runs one statement; *code is SQLite's. At most `most` + 1 rows are read. */
static int run_query(struct database *d, const char *sql, size_t n, size_t most, struct rows *rows, int *code,
                     const char **why, struct error *err)
{
  sqlite3_stmt *q = NULL;
  const char *tail = NULL;
  *code = sqlite3_prepare_v2(d->db, sql, (int)n, &q, &tail);
  int rc = q ? read_rows(d, q, most, rows, code, err) : 0;
  *why = arena_strdup(d->a, sqlite3_errmsg(d->db), "verdict", err);
  sqlite3_finalize(q);
  TRY(rc);
  if (!*why) return err->code;
  if (*code) return 0;
  if (!q) *why = "it holds no statement";
  if (q && has_more(d, tail, n - (size_t)(tail - sql)))
    *why = "it holds more than one statement";
  else if (q)
    return 0;
  *code = SQLITE_MISUSE;
  return 0;
}

static int by_text(const void *x, const void *y)
{
  return strcmp(*(char *const *)x, *(char *const *)y);
}

static const char *differ_in_size(struct arena *a, const struct rows *got, const struct rows *want, struct error *err)
{
  if (got->columns != want->columns)
    return arena_printf(a, "verdict", err, "the response has %d columns; the answer has %d", got->columns,
                        want->columns);
  bool more = got->count > want->count; /* no more than one was read */
  return arena_printf(a, "verdict", err, "the response has %s%zu rows; the answer has %zu", more ? "more than " : "",
                      more ? want->count : got->count, want->count);
}

static int compare(struct arena *a, struct rows *got, struct rows *want, bool ordered, struct verdict *out,
                   struct error *err)
{
  if (got->columns != want->columns || got->count != want->count) {
    out->reason = differ_in_size(a, got, want, err);
    return out->reason ? 0 : err->code;
  }
  if (!ordered && got->count) {
    qsort(got->row, got->count, sizeof *got->row, by_text);
    qsort(want->row, want->count, sizeof *want->row, by_text);
  }
  size_t i = 0;
  while (i < got->count && !strcmp(got->row[i], want->row[i])) i++;
  out->correct = i == got->count;
  out->reward = out->correct ? 1 : 0;
  if (out->correct)
    out->reason = arena_printf(a, "verdict", err, "the same %zu rows", got->count);
  else
    out->reason =
        arena_printf(a, "verdict", err, "row %zu%s is (%s); the answer has (%s)", i + 1,
                     ordered ? "" : " of the sorted rows", verdict_shown(a, got->row[i], strlen(got->row[i]), 150, err),
                     verdict_shown(a, want->row[i], strlen(want->row[i]), 150, err));
  return out->reason ? 0 : err->code;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static bool begins_query(const char *s, size_t n)
{
  return n >= 6 &&
         (!sqlite3_strnicmp(s, "select", 6) || (!sqlite3_strnicmp(s, "with", 4) && (s[4] == ' ' || s[4] == '\n')));
}

static void find_query(const char **s, size_t *n)
{
  static const char *const names[] = {"sql", "sqlite", NULL};
  if (verdict_last_block(*s, *n, names, s, n)) return;
  for (size_t i = 0; i < *n; i++) {
    size_t at = i;
    while (at < *n && (*s)[at] == ' ') at++;
    if (begins_query(*s + at, *n - at)) {
      *s += at;
      *n -= at;
      return;
    }
    while (i < *n && (*s)[i] != '\n') i++;
  }
}

static int need_texts(struct arena *a, const struct verifier_config *c, const struct problem *p, const char **schema,
                      const char **query, struct error *err)
{
  struct setting_value v;
  TRY(verifier_option(a, c, p, "schema", &v, err));
  *schema = v.text;
  TRY(problem_value_text(a, json_object_get(p->fields, "query"), query, err));
  if (!*query) *query = p->answer;
  if (*schema && *query) return 0;
  FAIL_AT(err, ERROR_INPUT, p->source, p->line, *schema ? "query" : "schema",
          "found no %s; expected schema (a script that makes the tables) and query (the right one) for the verifier "
          "\"sql\"",
          *schema ? "query" : "schema");
}

/* Tables and the right rows. */
static int set_up(struct database *d, const struct verifier_config *c, const struct problem *p, struct rows *want,
                  struct error *err)
{
  const char *schema, *query, *why;
  int code;
  int64_t most = verifier_value(c, "rows")->integer;
  TRY(need_texts(d->a, c, p, &schema, &query, err));
  TRY(open_database(d, verifier_value(c, "steps")->integer, c->timeout, err));
  if (sqlite3_exec(d->db, schema, NULL, NULL, NULL))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "schema",
            "found a schema that does not run: %s; expected SQLite's SQL",
            d->stop ? "it takes too long" : sqlite3_errmsg(d->db));
  start_reading(d, verifier_value(c, "steps")->integer);
  TRY(run_query(d, query, strlen(query), (size_t)most, want, &code, &why, err));
  if (code || want->count > (size_t)most)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "query", "found a query that does not run: %s; expected one SELECT",
            code ? d->stop ? "it takes more steps than are allowed" : why : "it has more rows than are allowed");
  return 0;
}

static int judge_query(struct database *d, const struct verifier_config *c, const char *sql, size_t n, size_t most,
                       struct rows *got, struct verdict *out, bool *ran, struct error *err)
{
  int code;
  const char *why;
  find_query(&sql, &n);
  out->extracted = arena_strndup(d->a, sql, n <= VERDICT_TEXT ? n : VERDICT_TEXT + 1, "verdict", err);
  if (!out->extracted) return err->code;
  out->readable = n > 0;
  *ran = false;
  out->reason = n > VALUE ? "the query is longer than 64 KiB" : "the response is empty";
  if (!n || n > VALUE) return 0;
  start_reading(d, verifier_value(c, "steps")->integer);
  TRY(run_query(d, sql, n, most, got, &code, &why, err));
  *ran = code == SQLITE_OK;
  if (*ran) return 0;
  if (d->stop == STOP_CLOCK) {
    out->status = VERDICT_FAILED;
    out->timeout = true;
    out->reason = "the query took longer than the verifier's timeout";
  } else if (d->stop == STOP_STEPS || code == SQLITE_NOMEM) {
    out->reason =
        d->stop ? "the query takes more steps than are allowed" : "the query takes more memory than is allowed";
  } else {
    out->reason = arena_printf(d->a, "verdict", err, "the query does not run: %.300s", why);
  }
  return out->reason ? 0 : err->code;
}

static int judge_in(struct database *d, const struct verifier_config *c, const struct problem *p, const char *response,
                    size_t n, struct verdict *out, struct error *err)
{
  struct rows want = {0}, got = {0};
  struct setting_value ordered;
  bool ran;
  TRY(verifier_option(d->a, c, p, "ordered", &ordered, err));
  TRY(set_up(d, c, p, &want, err));
  if (!verdict_skip_thinking(&response, &n)) return 0;
  TRY(judge_query(d, c, response, n, want.count, &got, out, &ran, err));
  return ran ? compare(d->a, &got, &want, ordered.integer != 0, out, err) : 0;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct database d = {.a = a};
  *out = (struct verdict){.reason = "the response ends inside <think>"};
  memory_used = 0;
  memory_most = verifier_value(c, "memory")->integer << 20;
  int rc = judge_in(&d, c, p, response, n, out, err);
  sqlite3_close(d.db);
  memory_most = 0;
  return rc;
}

static int check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  struct verdict unused;
  return judge(a, c, p, "", 0, &unused, err);
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)a, (void)c;
  pthread_once(&once, start_library);
  if (library) FAIL(err, ERROR_RESOURCE, "SQLite could not be started (%s)", sqlite3_errstr(library));
  return 0;
}

static const struct setting settings[] = {
    {"schema", SETTING_TEXT, 0, 0, NULL, NULL, "script for all problems; a line's own stands before it"},
    {"ordered", SETTING_BOOL, 0, 1, "false", NULL, "the order of rows counts"},
    {"steps", SETTING_INT, 1000, 1e12, "10000000", NULL, "steps of SQLite's machine that a query may take"},
    {"rows", SETTING_INT, 1, 1e7, "100000", NULL, "rows that the right query may have"},
    {"memory", SETTING_INT, 2, 65536, "64", NULL, "MiB that one database may take"},
};

const struct verifier verifier_sql = {
    .name = "sql",
    .help = "the response's query finds the same rows as the right one, in an SQLite database made for it",
    .fields = "schema?, query, ordered?",
    .outside = true,
    .channels = "",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
    .check = check,
};
