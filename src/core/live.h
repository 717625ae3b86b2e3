/* core/live: lines at the bottom of the terminal that are drawn again in place, under everything that is printed to
 * stay. For core/log, under its lock; other code uses core/log.h.
 *
 * Between two drawings the cursor stands at the start of the first line of the region. So erasing is one sequence that
 * moves nowhere ("erase from here to the end of the screen"), which is right whatever a change of the window's width
 * did to the lines below, and can be sent from a signal handler. One drawing is one write(2). With `hold` the cursor is
 * hidden as well, and shown again by live_close, live_rescue and the fatal signals.
 */
#ifndef ASSAY_CORE_LIVE_H
#define ASSAY_CORE_LIVE_H

#include "core/json.h"

bool live_able(void); /* stderr is a terminal, TERM is set and not "dumb", NO_COLOR is not set */
bool live_utf8(void); /* the locale's characters are UTF-8: LC_ALL, else LC_CTYPE, else LANG */
void live_size(int *columns, int *rows);

/* Columns that s takes: code points outside escape sequences. */
size_t live_width(const char *s, size_t n);
/* Appends s cut to at most `columns`, escape sequences whole. */
void live_clip(struct text *out, const char *s, size_t n, size_t columns);

/* From here on the cursor is hidden while a region stands, and Ctrl-Z and fatal signals show it first. */
void live_hold(void);
/* Replaces the region by `lines` (each ends with \n), cut to the window; nothing is written where nothing changed.
   `above`: text to print over it first, that stays; NULL: none. */
void live_draw(const char *lines, size_t n, const char *above);
void live_close(void);
/* From a signal handler, before the program ends without live_close: the terminal as it was; nothing is drawn any more.
 */
void live_rescue(void);

#endif
