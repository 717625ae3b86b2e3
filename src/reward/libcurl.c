#include "reward/libcurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

struct libcurl libcurl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char trouble[512]; /* "": none */

static void start_library(void)
{
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(trouble, sizeof trouble, "%s", dlerror());
    return;
  }
  // POSIX: the address of a function fits into a pointer to an object; C has no cast for it
#define LIBCURL_FIND(name)                                         \
  *(void **)&libcurl.name = dlsym(library, "curl_" #name);         \
  if (!libcurl.name) {                                             \
    snprintf(trouble, sizeof trouble, "it has no curl_%s", #name); \
    return;                                                        \
  }
  LIBCURL_ALL(LIBCURL_FIND)
#undef LIBCURL_FIND
  CURLcode started = libcurl.global_init(CURL_GLOBAL_DEFAULT);
  if (started) snprintf(trouble, sizeof trouble, "%s", libcurl.easy_strerror(started));
}

int libcurl_open(struct error *err)
{
  pthread_once(&once, start_library);
  if (*trouble)
    FAIL(err, ERROR_RESOURCE,
         "libcurl could not be started: %s; a judge is asked through it: install libcurl 7.84 or newer (Debian: "
         "libcurl4)",
         trouble);
  return 0;
}
