// Command lines: each command describes its options in a table, from which parsing and --help are made.
#ifndef FST_CLI_ARGS_H
#define FST_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/vec.h"

typedef FST_VEC(const char *) fst_words;

typedef enum { FST_OPTION_FLAG, FST_OPTION_TEXT, FST_OPTION_LIST, FST_OPTION_NUMBER } fst_option_kind;
typedef struct fst_option {
  const char *name;      // "--input"
  const char *argument;  // "NAME=VALUE" in the help; NULL for flags
  const char *doc;
  fst_option_kind kind;
  void *out;             // bool, const char *, fst_words or long
} fst_option;
#define FST_FLAG(name, doc, out) {name, NULL, doc, FST_OPTION_FLAG, out}
#define FST_TEXT(name, argument, doc, out) {name, argument, doc, FST_OPTION_TEXT, out}
#define FST_LIST(name, argument, doc, out) {name, argument, doc, FST_OPTION_LIST, out}
#define FST_NUMBER(name, argument, doc, out) {name, argument, doc, FST_OPTION_NUMBER, out}

typedef struct fst_command {
  const char *name;       // "run"
  const char *arguments;  // "MODEL"
  const char *doc;        // one line
  const char *details;    // more text for its own --help, or NULL
  int (*run)(int argc, char **argv);
} fst_command;
extern const fst_command fst_commands[];
extern const size_t fst_command_count;

enum { FST_EXIT_OK = 0, FST_EXIT_FAILED = 1, FST_EXIT_USAGE = 2 };

// Sets the options and collects the other words, of which there must be `least` to `most`. Returns -1 to go on, or
// the exit code: --help was printed, or an error was (with the way to the help).
int fst_args_parse(const fst_command *command, int argc, char **argv, const fst_option *options, size_t option_count, size_t least, size_t most, fst_words *words);
const fst_command *fst_command_find(const char *name);

// Prints "firesteel: message" and frees the status. Returns FST_EXIT_FAILED, or OK for NULL.
int fst_report_status(fst_status status);

#endif
