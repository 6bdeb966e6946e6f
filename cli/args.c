#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fst_report_status(fst_status status) {
  if (!status) return FST_EXIT_OK;
  fputs("firesteel: ", stderr);
  // Further lines are details of the first, and look like it.
  for (const char *c = status->message; *c; c++) {
    fputc(*c, stderr);
    if (*c == '\n' && strncmp(c + 1, "  ", 2) != 0) fputs("  ", stderr);
  }
  fputc('\n', stderr);
  fst_error_free(status);
  return FST_EXIT_FAILED;
}

static int usage_error(const fst_command *command, const char *text, const char *word) {
  fprintf(stderr, "firesteel %s: %s%s%s%s; see `firesteel %s --help`\n", command->name, text, word ? " '" : "", word ? word : "", word ? "'" : "", command->name);
  return FST_EXIT_USAGE;
}

static void help_print(const fst_command *command, const fst_option *options, size_t count) {
  printf("firesteel %s %s%s\n\n%s\n", command->name, count ? "[OPTIONS] " : "", command->arguments, command->doc);
  if (command->details) printf("\n%s\n", command->details);
  if (count) printf("\nOptions:\n");
  for (size_t i = 0; i < count; i++) {
    char left[64];
    snprintf(left, sizeof left, "%s%s%s", options[i].name, options[i].argument ? " " : "", options[i].argument ? options[i].argument : "");
    printf("  %-26s %s\n", left, options[i].doc);
  }
}

static bool number_read(const char *text, long *out) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno || end == text || *end) return false;
  *out = value;
  return true;
}

static const char *const no_value = "needs a value:", *const bad_number = "needs a number:";

// NULL, or what is wrong. `value` is NULL when the command line ended.
static const char *option_set(const fst_option *option, const char *value) {
  if (option->kind == FST_OPTION_FLAG) {
    *(bool *)option->out = true;
    return NULL;
  }
  if (!value) return no_value;
  if (option->kind == FST_OPTION_TEXT) *(const char **)option->out = value;
  else if (option->kind == FST_OPTION_LIST) fst_vec_push((fst_words *)option->out, value);
  else if (!number_read(value, option->out)) return bad_number;
  return NULL;
}

static const fst_option *option_find(const fst_option *options, size_t count, const char *word, size_t len) {
  for (size_t i = 0; i < count; i++)
    if (strlen(options[i].name) == len && !memcmp(options[i].name, word, len)) return &options[i];
  return NULL;
}

int fst_args_parse(const fst_command *command, int argc, char **argv, const fst_option *options, size_t count, size_t least, size_t most, fst_words *words) {
  bool only_words = false;
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];
    if (only_words || word[0] != '-' || !word[1]) {
      fst_vec_push(words, word);
      continue;
    }
    if (!strcmp(word, "--")) {
      only_words = true;
      continue;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
      help_print(command, options, count);
      return FST_EXIT_OK;
    }
    size_t len = strcspn(word, "=");
    const fst_option *option = option_find(options, count, word, len);
    if (!option) return usage_error(command, "unknown option", word);
    bool is_joined = word[len] == '=';
    if (is_joined && option->kind == FST_OPTION_FLAG) return usage_error(command, "takes no value:", word);
    const char *value = is_joined ? word + len + 1 : option->kind != FST_OPTION_FLAG && i + 1 < argc ? argv[++i] : NULL;
    const char *wrong = option_set(option, value);
    if (wrong) return usage_error(command, wrong, option->name);
  }
  if (words->len < least) return usage_error(command, "missing argument: expected", command->arguments);
  if (words->len > most) return usage_error(command, "unexpected argument", words->data[most]);
  return -1;
}

const fst_command *fst_command_find(const char *name) {
  for (size_t i = 0; i < fst_command_count; i++)
    if (!strcmp(fst_commands[i].name, name)) return &fst_commands[i];
  return NULL;
}
