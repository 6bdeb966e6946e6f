// Environment failures and refusals: NULL is OK, anything else is an owned error.
//
// A function that can fail returns fst_status and puts results in `out_` parameters, which stay
// untouched on failure. FST_TRY propagates. Any thread may create or free a status; one status
// belongs to one thread at a time.
#ifndef FST_BASE_STATUS_H
#define FST_BASE_STATUS_H

#include <stdarg.h>
#include <stdint.h>

typedef enum {
  FST_OK = 0,
  FST_ERR_INVALID = 1,      // the caller's argument or option is wrong
  FST_ERR_NOT_FOUND = 2,    // file, method, attribute, library
  FST_ERR_CORRUPT = 3,      // bytes that are not what they claim to be
  FST_ERR_UNSUPPORTED = 4,  // a named thing that we cannot compile or run
  FST_ERR_IO = 5,           // the operating system said no
  FST_ERR_RESOURCE = 6,     // memory, time limit, disk
  FST_ERR_MODEL = 7,        // the model itself raised
  FST_ERR_INTERNAL = 8,     // our bug
} fst_code;

typedef struct fst_error {
  fst_code code;
  char *message;      // one clear text for the user, no trailing newline
  const char *file;   // where in our source it was made
  int line;
} fst_error;

typedef fst_error *fst_status;

#if defined(__GNUC__)
#define FST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define FST_MUST_USE __attribute__((warn_unused_result))
#else
#define FST_PRINTF(fmt, args)
#define FST_MUST_USE
#endif

#if defined(__GNUC__)
__attribute__((returns_nonnull))  // or compilers doubt that results were set where no error came back
#endif
fst_status fst_error_make(const char *file, int line, fst_code code, const char *fmt, ...) FST_PRINTF(4, 5);
fst_status fst_error_makev(const char *file, int line, fst_code code, const char *fmt, va_list args);
// Prepends "context: " to the message and returns the same status; NULL stays NULL.
fst_status fst_error_prefix(fst_status status, const char *fmt, ...) FST_PRINTF(2, 3);
void fst_error_free(fst_status status);  // NULL is allowed
const char *fst_code_name(fst_code code);

#define FST_FAIL(code, ...) fst_error_make(__FILE__, __LINE__, (code), __VA_ARGS__)
#define FST_TRY(expr)                            \
  do {                                           \
    fst_status fst_try_status_ = (expr);         \
    if (fst_try_status_) return fst_try_status_; \
  } while (0)

// Our own bugs. The compiler lives in a worker process, so an abort there is an error for the caller.
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void fst_assert_fail(const char *file, int line, const char *expr, const char *fmt, ...) FST_PRINTF(4, 5);
#define FST_ASSERT(cond, ...)                                            \
  do {                                                                   \
    if (!(cond)) fst_assert_fail(__FILE__, __LINE__, #cond, __VA_ARGS__); \
  } while (0)
#define FST_UNREACHABLE(...) fst_assert_fail(__FILE__, __LINE__, "unreachable", __VA_ARGS__)

#endif
