/* reward/libcurl: the functions of libcurl that the judge calls, found when the first judge is opened.
 *
 * libcurl brings three dozen libraries with it, and linking them takes longer than all the rest of a start: commands
 * that ask no server neither wait for it nor need it.
 */
#ifndef ASSAY_REWARD_LIBCURL_H
#define ASSAY_REWARD_LIBCURL_H

#include <curl/curl.h>
#include "core/error.h"

/* X(member): curl_<member> */
#define LIBCURL_EASY(X) X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_perform) X(easy_strerror)
#define LIBCURL_URL(X)  X(url) X(url_cleanup) X(url_get) X(url_set)
#define LIBCURL_ALL(X)  X(global_init) LIBCURL_EASY(X) X(slist_append) X(slist_free_all) LIBCURL_URL(X) X(free)

#define LIBCURL_MEMBER(name) __typeof__(curl_##name) *name;
struct libcurl {
  LIBCURL_ALL(LIBCURL_MEMBER)
};
#undef LIBCURL_MEMBER

/* Valid after the first libcurl_open that returned 0. */
extern struct libcurl libcurl;

/* Finds the library and starts it, once a process. ERROR_RESOURCE where it is not installed. Thread-safe. */
int libcurl_open(struct error *err) MUST_USE;

#endif
