#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "base/text.h"
#include "driver/config.h"

// What is accepted prints as something that is accepted, and prints the same.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  fst_arena arena;
  fst_config config = {0}, again = {0};
  fst_text text = {0}, second = {0};
  fst_arena_init(&arena);
  fst_status status = fst_config_read((const char *)bytes, len, &arena, &config);
  if (!status) {
    fst_config_print(&config, &text);
    status = fst_config_read(text.data, text.len, &arena, &again);
    FST_ASSERT(!status, "what was printed is refused: %s", status->message);
    fst_config_print(&again, &second);
    FST_ASSERT(text.len == second.len && !memcmp(text.data, second.data, text.len), "what was printed prints otherwise");
  }
  fst_error_free(status);
  fst_text_deinit(&text);
  fst_text_deinit(&second);
  fst_config_deinit(&config);
  fst_config_deinit(&again);
  fst_arena_deinit(&arena);
  return 0;
}
