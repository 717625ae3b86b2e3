#include "serve/microhttpd.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

struct microhttpd microhttpd;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char trouble[512]; /* "": none */

static void find_library(void)
{
  void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(trouble, sizeof trouble, "%s", dlerror());
    return;
  }
  // POSIX: the address of a function fits into a pointer to an object; C has no cast for it
#define MICROHTTPD_FIND(name)                                     \
  *(void **)&microhttpd.name = dlsym(library, "MHD_" #name);      \
  if (!microhttpd.name) {                                         \
    snprintf(trouble, sizeof trouble, "it has no MHD_%s", #name); \
    return;                                                       \
  }
  MICROHTTPD_ALL(MICROHTTPD_FIND)
#undef MICROHTTPD_FIND
}

int microhttpd_open(struct error *err)
{
  pthread_once(&once, find_library);
  if (*trouble)
    FAIL(err, ERROR_RESOURCE,
         "libmicrohttpd could not be opened: %s; HTTP is served through it: install libmicrohttpd 0.9.71 or newer "
         "(Debian: libmicrohttpd12)",
         trouble);
  return 0;
}
