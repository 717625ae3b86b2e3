/* serve/microhttpd: the functions of libmicrohttpd that http.c calls, found when the first server is started.
 *
 * libmicrohttpd brings a TLS library and its dozen with it: commands that serve nothing neither wait for it nor need
 * it.
 */
#ifndef ASSAY_SERVE_MICROHTTPD_H
#define ASSAY_SERVE_MICROHTTPD_H

#include <microhttpd.h>
#include "core/error.h"

/* X(member): MHD_<member> */
#define MICROHTTPD_DAEMON(X)     X(start_daemon) X(stop_daemon) X(quiesce_daemon)
#define MICROHTTPD_CONNECTION(X) X(suspend_connection) X(resume_connection) X(get_connection_info)
#define MICROHTTPD_REQUEST(X)    X(lookup_connection_value) X(queue_response)
#define MICROHTTPD_RESPONSE(X) \
  X(create_response_from_buffer) X(create_response_from_callback) X(add_response_header) X(destroy_response)
#define MICROHTTPD_ALL(X) MICROHTTPD_DAEMON(X) MICROHTTPD_CONNECTION(X) MICROHTTPD_REQUEST(X) MICROHTTPD_RESPONSE(X)

#define MICROHTTPD_MEMBER(name) __typeof__(MHD_##name) *name;
struct microhttpd {
  MICROHTTPD_ALL(MICROHTTPD_MEMBER)
};
#undef MICROHTTPD_MEMBER

/* Valid after the first microhttpd_open that returned 0. */
extern struct microhttpd microhttpd;

/* Finds the library, once a process. ERROR_RESOURCE where it is not installed. Thread-safe. */
int microhttpd_open(struct error *err) MUST_USE;

#endif
