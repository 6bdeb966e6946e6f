// The compiler, opened when it is needed.
#ifndef FST_CLI_COMPILER_H
#define FST_CLI_COMPILER_H

#include "driver/compiler.h"

// Opens libfiresteel.so: FIRESTEEL_COMPILER, or beside the runtime. It stays open.
fst_status fst_cli_compiler(const fst_compiler_api **out);

// Ends the process with a message when so many seconds have gone by; 0: no limit any more.
void fst_cli_time_limit(long seconds);

#endif
