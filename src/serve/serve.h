/* serve/serve: an OpenAI-compatible HTTP interface and the window on a run (come with their own issue; no command
 * offers them yet). They stand above train/ and reach models through rollout/session.h and rollout/generate.h alone, as
 * the commands do, so that what is served is what is trained, bit for bit.
 */
#ifndef ASSAY_SERVE_SERVE_H
#define ASSAY_SERVE_SERVE_H

enum { SERVE_PORT = 8080 }; /* where it will listen unless told otherwise */

#endif
