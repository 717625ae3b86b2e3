/* serve/watch_http: the window on runs as routes of serve/http: GET on 127.0.0.1 alone, one question at a time. */
#ifndef ASSAY_SERVE_WATCH_HTTP_H
#define ASSAY_SERVE_WATCH_HTTP_H

#include "serve/http.h"
#include "serve/watch.h"

/* port 0: any free one. The server is stopped with the arena, which w outlives. */
int watch_http_start(struct arena *a, struct watch *w, int port, struct http_server **out, struct error *err) MUST_USE;

#endif
