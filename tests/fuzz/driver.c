// For where libFuzzer is not: mutates the files of a folder, the same way each time, for so many seconds or runs.
//   fuzz_pickle FOLDER [-max_total_time=SECONDS] [-runs=N] [-seed=N]
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/vec.h"
#include "tests/fuzz/fuzz.h"

typedef struct seed_file { char *bytes; size_t len; } seed_file;
static FST_VEC(seed_file) seeds;
static uint64_t state;

static uint64_t next(void) {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dull;
}
static size_t below(size_t n) { return n ? (size_t)(next() % n) : 0; }

static int seeds_load(const char *folder) {
  DIR *dir = opendir(folder);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    fst_text path = {0};
    seed_file seed;
    fst_text_printf(&path, "%s/%s", folder, entry->d_name);
    if (!fst_file_is_directory(fst_text_cstr(&path)) && !fst_file_read(fst_text_cstr(&path), &seed.bytes, &seed.len)) fst_vec_push(&seeds, seed);
    fst_text_deinit(&path);
  }
  if (dir) closedir(dir);
  return seeds.len != 0;
}

static int seed_order(const void *a, const void *b) {
  const seed_file *x = a, *y = b;
  size_t len = x->len < y->len ? x->len : y->len;
  int order = memcmp(x->bytes, y->bytes, len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

enum { ROOM = 1 << 20 };

static const uint32_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu, 64, 4096};

static size_t mutate(unsigned char *bytes, size_t len) {
  size_t at = below(len), size;
  switch (below(8)) {
    case 0: if (len) bytes[at] ^= (unsigned char)(1u << below(8)); return len;
    case 1: if (len) bytes[at] = (unsigned char)next(); return len;
    case 2: return at;  // cut short
    case 3:             // a piece taken out
      size = below(len - at + 1) % 64;
      memmove(bytes + at, bytes + at + size, len - at - size);
      return len - size;
    case 4:             // a piece doubled
      size = below(len - at + 1) % 64;
      if (len + size > ROOM) return len;
      memmove(bytes + at + size, bytes + at, len - at);
      return len + size;
    case 5: {           // an odd number
      uint32_t number = odd[below(sizeof odd / sizeof *odd)];
      size = (size_t)1 << below(3);
      if (at + size <= len) memcpy(bytes + at, &number, size);
      return len;
    }
    case 6: {           // a piece of another file
      const seed_file *other = &seeds.data[below(seeds.len)];
      size_t from = below(other->len);
      size = below(other->len - from + 1) % 256;
      if (at + size <= len) memcpy(bytes + at, other->bytes + from, size);
      return len;
    }
    default:            // two bytes changed places
      if (len) {
        size_t with = below(len);
        unsigned char kept = bytes[at];
        bytes[at] = bytes[with];
        bytes[with] = kept;
      }
      return len;
  }
}

// The input, where it outlives a crash: the file named in the report below.
static unsigned char *current;

int main(int argc, char **argv) {
  long seconds = 0, runs = 0;
  state = 88172645463325252ull;
  for (int i = 2; i < argc; i++) {
    if (!strncmp(argv[i], "-max_total_time=", 16)) seconds = atol(argv[i] + 16);
    if (!strncmp(argv[i], "-runs=", 6)) runs = atol(argv[i] + 6);
    if (!strncmp(argv[i], "-seed=", 6)) state += (uint64_t)atol(argv[i] + 6) * 2654435761u;
  }
  if (argc < 2 || !seeds_load(argv[1])) return fprintf(stderr, "usage: %s FOLDER [-max_total_time=SECONDS] [-runs=N] [-seed=N]\n", argv[0]), 2;
  qsort(seeds.data, seeds.len, sizeof *seeds.data, seed_order);
  current = malloc(ROOM);
  for (size_t i = 0; i < seeds.len; i++) LLVMFuzzerTestOneInput((const uint8_t *)seeds.data[i].bytes, seeds.data[i].len);
  time_t end = time(NULL) + seconds;
  long done = 0;
  while ((!runs || done < runs) && (!seconds || time(NULL) < end) && (runs || seconds)) {
    const seed_file *seed = &seeds.data[below(seeds.len)];
    size_t len = seed->len < ROOM / 2 ? seed->len : ROOM / 2;
    memcpy(current, seed->bytes, len);
    for (size_t i = 0, times = 1 + below(6); i < times; i++) len = mutate(current, len);
    unsigned char *exact = malloc(len + 1);  // so that a read beyond its end is seen
    memcpy(exact, current, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    done++;
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("%ld runs over %zu files, none failed; %ld MB at most\n", done, seeds.len, usage.ru_maxrss >> 10);
  for (size_t i = 0; i < seeds.len; i++) free(seeds.data[i].bytes);
  fst_vec_free(&seeds);
  free(current);
  return usage.ru_maxrss > 2L << 20;
}
