/* The Tower of Hanoi on three or more pegs, from one peg to another. */
#include <string.h>
#include "data/task_text.h"

enum {
  SPLIT_KEY = 0x4a401001,
  DISK_LIMIT = 10,
  PEG_LIMIT = 6,
  SLACK = 4 /* a sequence may have this many times the moves of the known shortest one */
};

static const struct setting options[] = {
    {"min_disks", SETTING_INT, 1, DISK_LIMIT, "3", NULL, "fewest disks"},
    {"max_disks", SETTING_INT, 1, DISK_LIMIT, "7", NULL, "most disks"},
    {"min_pegs", SETTING_INT, 3, PEG_LIMIT, "3", NULL, "fewest pegs"},
    {"max_pegs", SETTING_INT, 3, PEG_LIMIT, "4", NULL, "most pegs"},
    TASK_HELD_OUT,
};

/* Fewest moves for n disks on p pegs by Frame and Stewart (1941): move k disks aside over all pegs, the rest over the
 * others, the k on top again. Shortest for 3 pegs, for 4 (Bousch 2014), and for these sizes beyond. */
struct plan {
  int moves[DISK_LIMIT + 1][PEG_LIMIT + 1], aside[DISK_LIMIT + 1][PEG_LIMIT + 1]; /* [n][p]; aside: the k */
};

static void make_plan(struct plan *p)
{
  *p = (struct plan){0};
  for (int pegs = 3; pegs <= PEG_LIMIT; pegs++) p->moves[1][pegs] = 1;
  for (int n = 2; n <= DISK_LIMIT; n++)
    for (int pegs = 3; pegs <= PEG_LIMIT; pegs++)
      for (int k = pegs == 3 ? n - 1 : 1; k < n; k++) { /* over two pegs only one disk can go */
        int moves = 2 * p->moves[k][pegs] + (pegs == 3 ? 1 : p->moves[n - k][pegs - 1]);
        if (p->moves[n][pegs] && moves >= p->moves[n][pegs]) continue;
        p->moves[n][pegs] = moves;
        p->aside[n][pegs] = k;
      }
}

/* Moves of disks first..first+n-1 from pegs[0] to pegs[1] over all of pegs[0..count). */
static void write_moves(struct text *t, const struct plan *p, int first, int n, const int *pegs, int count)
{
  int order[PEG_LIMIT];
  if (n == 1) text_printf(t, "%sMove disk %d from Peg %d to Peg %d", t->size ? "\n" : "", first, pegs[0], pegs[1]);
  if (n <= 1) return;
  int k = p->aside[n][count];
  memcpy(order, pegs, sizeof *pegs * (size_t)count);
  order[1] = pegs[count - 1], order[count - 1] = pegs[1]; /* aside: to the last peg */
  write_moves(t, p, first, k, order, count);
  write_moves(t, p, first + k, n - k, pegs, count - 1);
  order[0] = pegs[count - 1], order[1] = pegs[1], order[count - 1] = pegs[0];
  write_moves(t, p, first, k, order, count);
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  int disks = (int)task_draw_between(c, d, "min_disks", "max_disks");
  int pegs = (int)task_draw_between(c, d, "min_pegs", "max_pegs"), order[PEG_LIMIT];
  struct text answer = {0};
  struct plan plan;
  for (int i = 0; i < pegs; i++) order[i] = i + 1;
  draw_shuffle(d, order, (size_t)pegs, sizeof *order);
  make_plan(&plan);
  int moves = plan.moves[disks][pegs];
  write_moves(&answer, &plan, 1, disks, order, pegs);
  out->answer = text_keep(a, &answer, err);
  out->question = arena_printf(
      a, "task", err,
      "Tower of Hanoi: %d pegs, and on Peg %d a tower of %d disks (disk 1 is the smallest and lies on top). Move the "
      "tower to Peg %d. One disk moves at a time, from the top of one peg to the top of another, and never onto a "
      "smaller disk. Answer with at most %d moves, one a line, each like: Move disk 1 from Peg 1 to Peg 2",
      pegs, order[0], disks, order[1], SLACK * moves);
  out->meta = arena_printf(
      a, "task", err,
      "{\"num_disks\": %d, \"num_pegs\": %d, \"start_peg\": %d, \"target_peg\": %d, \"solution_length\": %d}", disks,
      pegs, order[0], order[1], moves);
  return out->answer && out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_disks", "max_disks", err));
  TRY(task_need_order(c, "min_pegs", "max_pegs", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

struct board {
  int disks, pegs;
  int peg_of[DISK_LIMIT + 1]; /* [disk], 1-based */
};

struct move {
  int disk, from, to;
};

static size_t skip(const char *s, size_t n, size_t at)
{
  while (at < n && !is_letter(s[at]) && (s[at] < '0' || s[at] > '9') && s[at] != '\n') at++;
  return at;
}

/* A number of at most three digits, after signs that are neither letters nor digits; -1: none. */
static int read_int(const char *s, size_t n, size_t *at)
{
  size_t begin = skip(s, n, *at), end = begin;
  int value = 0;
  for (; end < n && end - begin < 3 && s[end] >= '0' && s[end] <= '9'; end++) value = 10 * value + (s[end] - '0');
  if (end == begin || (end < n && s[end] >= '0' && s[end] <= '9')) return -1;
  *at = end;
  return value;
}

static bool skip_word(const char *s, size_t n, size_t *at, const char *word)
{
  size_t begin = skip(s, n, *at), size = strlen(word);
  if (n - begin < size || !is_word(s + begin, size, word)) return false;
  *at = begin + size;
  return true;
}

/* The next "disk D from [peg] A to [peg] B" at or behind *at, whatever stands between such moves. 0: there is none,
 * -1: "disk D from" that goes on otherwise. */
static int next_move(const char *s, size_t n, size_t *at, struct move *m)
{
  for (; *at + 4 <= n; ++*at) {
    size_t here = *at;
    if (to_lower(s[here]) != 'd' || !skip_word(s, n, &here, "disk")) continue;
    m->disk = read_int(s, n, &here);
    if (m->disk < 0 || !skip_word(s, n, &here, "from")) continue;
    skip_word(s, n, &here, "peg");
    m->from = read_int(s, n, &here);
    if (m->from < 0 || !skip_word(s, n, &here, "to")) return -1;
    skip_word(s, n, &here, "peg");
    m->to = read_int(s, n, &here);
    *at = here;
    return m->to < 0 ? -1 : 1;
  }
  return 0;
}

static bool is_legal(const struct board *b, struct move m)
{
  if (m.disk < 1 || m.disk > b->disks || m.from < 1 || m.from > b->pegs || m.to < 1 || m.to > b->pegs) return false;
  if (b->peg_of[m.disk] != m.from || m.from == m.to) return false;
  for (int smaller = 1; smaller < m.disk; smaller++)
    if (b->peg_of[smaller] == m.from || b->peg_of[smaller] == m.to) return false;
  return true;
}

struct played {
  int moves, settled; /* settled: the largest disks that lie on the target, without a gap */
  bool broken, illegal;
};

static struct played play(struct board *b, int target, int limit, const char *s, size_t n)
{
  struct played p = {0};
  struct move m;
  int found = 0;
  for (size_t at = 0; p.moves <= limit && !p.illegal && (found = next_move(s, n, &at, &m)) > 0; p.moves++) {
    p.illegal = !is_legal(b, m);
    if (!p.illegal) b->peg_of[m.disk] = m.to;
  }
  p.broken = found < 0;
  while (p.settled < b->disks && b->peg_of[b->disks - p.settled] == target) p.settled++;
  return p;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  int64_t disks, pegs, start, target;
  struct answer_span span;
  struct board b;
  struct plan plan;
  const char *why;
  (void)answer;
  TRY(json_need_int(meta, "num_disks", 1, DISK_LIMIT, &disks, NULL, err));
  TRY(json_need_int(meta, "num_pegs", 3, PEG_LIMIT, &pegs, NULL, err));
  TRY(json_need_int(meta, "start_peg", 1, pegs, &start, NULL, err));
  TRY(json_need_int(meta, "target_peg", 1, pegs, &target, NULL, err));
  if (!answer_find(response, n, ANSWER_TEXT, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  b.disks = (int)disks;
  b.pegs = (int)pegs;
  for (int disk = 1; disk <= b.disks; disk++) b.peg_of[disk] = (int)start;
  make_plan(&plan);
  int limit = SLACK * plan.moves[b.disks][b.pegs];
  struct played p = play(&b, (int)target, limit, read, span.length);
  if (!p.moves) return answer_verdict(a, out, NULL, 0, false, 0, err, "no move was found");
  if (p.illegal || p.broken || p.moves > limit)
    return answer_verdict(a, out, read, span.length, false, 0, err,
                          p.moves > limit ? "there are more than %d moves"
                          : p.illegal     ? "move %d breaks the rules"
                                          : "behind move %d stands one without an end",
                          p.moves > limit ? limit : p.moves);
  return answer_verdict(
      a, out, read, span.length, p.settled == b.disks, start == target ? 0 : 0.5 * p.settled / b.disks, err,
      "after %d moves %d of %d disks are settled on Peg %d", p.moves, p.settled, b.disks, (int)target);
}

const struct task task_tower_of_hanoi = {
    .name = "tower_of_hanoi",
    .help = "The Tower of Hanoi on three or more pegs, from one peg to another",
    .right =
        "Any legal sequence that ends with the whole tower on the target, of at most 4 times the moves of the shortest "
        "one: one move a line, \"Move disk 1 from Peg 1 to Peg 2\". Partial credit, where every move is legal: half "
        "the "
        "share of disks that are settled (the largest ones, in order, on the target).",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};
