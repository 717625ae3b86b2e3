/* Replays a corpus through a fuzz target where libFuzzer is not linked: fuzz_NAME FILE-OR-FOLDER... An empty corpus
 * fails. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static long replay_file(const char *path)
{
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "%s: cannot be opened\n", path);
    return -1;
  }
  size_t size = 0, room = 1 << 16;
  uint8_t *bytes = malloc(room);
  for (size_t got; bytes && (got = fread(bytes + size, 1, room - size, f)) > 0;) {
    size += got;
    if (size == room) bytes = realloc(bytes, room *= 2);
  }
  fclose(f);
  if (!bytes) return -1;
  /* A copy of the exact size, so that ASan sees a read behind the end. */
  uint8_t *exact = malloc(size ? size : 1);
  if (exact) {
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
  }
  free(bytes);
  free(exact);
  return exact ? 1 : -1;
}

static long replay(const char *path)
{
  struct stat st;
  if (stat(path, &st) != 0) {
    fprintf(stderr, "%s: not found\n", path);
    return -1;
  }
  if (!S_ISDIR(st.st_mode)) return replay_file(path);
  DIR *folder = opendir(path);
  if (!folder) return -1;
  long count = 0;
  for (struct dirent *entry; count >= 0 && (entry = readdir(folder));) {
    if (entry->d_name[0] == '.') continue;
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    long n = replay(name);
    count = n < 0 ? n : count + n;
  }
  closedir(folder);
  return count;
}

int main(int argc, char **argv)
{
  long total = 0;
  for (int i = 1; i < argc; i++) {
    long n = replay(argv[i]);
    if (n < 0) return 1;
    total += n;
  }
  printf("replayed %ld inputs\n", total);
  return total > 0 ? 0 : 1;
}
