#define _GNU_SOURCE  // strdup, strtok_r
#include "driver/worker/options.h"

#include <stdlib.h>
#include <string.h>

static fst_status flag_read(const char *name, const char *value, bool *out) {
  if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0) return FST_FAIL(FST_ERR_INVALID, "compile option '%s' is 0 or 1, not '%s'", name, value);
  *out = *value == '1';
  return NULL;
}

static fst_status option_set(fst_worker_options *o, const char *name, const char *value) {
  if (!strcmp(name, "eval")) return flag_read(name, value, &o->eval);
  if (!strcmp(name, "fallback")) return flag_read(name, value, &o->allow_fallback);
  if (!strcmp(name, "verify")) return flag_read(name, value, &o->verify_each);
  if (strcmp(name, "library") != 0) return FST_FAIL(FST_ERR_INVALID, "unknown compile option '%s': expected eval, fallback, verify or library", name);
  if (o->library_count == FST_WORKER_LIBRARIES_MAX) return FST_FAIL(FST_ERR_INVALID, "more than %d libraries", FST_WORKER_LIBRARIES_MAX);
  o->libraries[o->library_count++] = value;
  return NULL;
}

static fst_status options_parse(fst_worker_options *o) {
  char *rest;
  for (char *word = strtok_r(o->text, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest)) {
    char *value = strchr(word, '=');
    if (!value) return FST_FAIL(FST_ERR_INVALID, "compile option '%s' is not of the form name=value", word);
    *value++ = 0;
    FST_TRY(option_set(o, word, value));
  }
  return NULL;
}

fst_status fst_worker_options_parse(const char *text, fst_worker_options *out) {
  fst_worker_options made = {.allow_fallback = true, .text = strdup(text ? text : "")};
  if (!made.text) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = options_parse(&made);
  if (status) fst_worker_options_deinit(&made);
  else *out = made;
  return status;
}

void fst_worker_options_deinit(fst_worker_options *options) {
  free(options->text);
  *options = (fst_worker_options){0};
}
