/* Neuropod's C API: what a call came to. */
#ifndef NEUROPOD_BINDINGS_C_NP_STATUS_H
#define NEUROPOD_BINDINGS_C_NP_STATUS_H

#if defined(__GNUC__)
#define NP_API __attribute__((visibility("default")))
#else
#define NP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum NP_Code { NEUROPOD_OK = 0, NEUROPOD_ERROR = 1 } NP_Code;
typedef struct NP_Status NP_Status;

/* NULL when memory is out. Wherever a NP_Status is taken, NULL is allowed: the error is then only seen by what it leaves undone. */
NP_API NP_Status *NP_NewStatus(void);
NP_API void NP_DeleteStatus(NP_Status *status);
NP_API void NP_ClearStatus(NP_Status *status);
/* Every call that takes a status sets it: OK when it succeeds. */
NP_API NP_Code NP_GetCode(const NP_Status *status);
/* "Neuropod Error: ..."; "" when the code is OK. Lives until the status is used or deleted. */
NP_API const char *NP_GetMessage(const NP_Status *status);

#ifdef __cplusplus
}
#endif

#endif
