// Messages between a host and its worker: what goes in comes out, and nothing that comes in can do harm.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/worker_protocol.h"

typedef struct wire { int ends[2]; } wire;

static int wire_open(void **state) {
  wire *w = malloc(sizeof *w);
  *state = w;
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->ends);
}

static int wire_close(void **state) {
  wire *w = *state;
  for (int i = 0; i < 2; i++)
    if (w->ends[i] >= 0) close(w->ends[i]);
  free(w);
  return 0;
}

static void expect_code(fst_status status, fst_code code) {
  assert_non_null(status);
  assert_int_equal(status->code, code);
  fst_error_free(status);
}

static void test_fields(void **state) {
  const wire *w = *state;
  const fst_field fields[] = {{FST_FIELD_PATH, "model.pt", 8}, {FST_FIELD_METHOD, NULL, 0}, {FST_FIELD_ARGUMENTS, "a\0b", 3}, {FST_FIELD_STATE, "", 0}};
  assert_null(fst_message_send(w->ends[0], FST_REQUEST_COMPILE, FST_OK, fields, 4, -1));
  fst_message m;
  size_t len = 99;
  assert_null(fst_message_receive(w->ends[1], 1000, &m));
  assert_int_equal(m.kind, FST_REQUEST_COMPILE);
  assert_int_equal(m.code, FST_OK);
  assert_int_equal(m.fd, -1);
  assert_string_equal(fst_message_field(&m, FST_FIELD_PATH, &len), "model.pt");
  assert_int_equal(len, 8);
  assert_null(fst_message_field(&m, FST_FIELD_METHOD, NULL));
  assert_memory_equal(fst_message_field(&m, FST_FIELD_ARGUMENTS, &len), "a\0b", 4);
  assert_int_equal(len, 3);
  assert_string_equal(fst_message_field(&m, FST_FIELD_STATE, &len), "");
  assert_int_equal(len, 0);
  fst_message_deinit(&m);
  fst_message_deinit(&m);
}

static void test_descriptor(void **state) {
  const wire *w = *state;
  int fd = memfd_create("test", MFD_CLOEXEC);
  assert_int_equal(write(fd, "inside", 6), 6);
  assert_null(fst_message_send(w->ends[0], FST_REPLY, FST_ERR_MODEL, NULL, 0, fd));
  close(fd);
  fst_message m;
  assert_null(fst_message_receive(w->ends[1], 1000, &m));
  assert_int_equal(m.code, FST_ERR_MODEL);
  assert_true(m.fd >= 0);
  assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
  char bytes[6];
  assert_int_equal(pread(m.fd, bytes, 6, 0), 6);
  assert_memory_equal(bytes, "inside", 6);
  fst_message_deinit(&m);
}

// Larger than a socket's buffer: sender and receiver must meet.
static void test_large(void **state) {
  wire *w = *state;
  size_t size = 3 << 20;
  char *text = malloc(size);
  memset(text, 'x', size);
  pid_t child = fork();
  if (child == 0) {
    const fst_field field = {FST_FIELD_TEXT, text, size};
    _exit(fst_message_send(w->ends[0], FST_REPLY, FST_OK, &field, 1, -1) ? 1 : 0);
  }
  close(w->ends[0]);
  w->ends[0] = -1;
  fst_message m;
  size_t len;
  assert_null(fst_message_receive(w->ends[1], 10000, &m));
  assert_memory_equal(fst_message_field(&m, FST_FIELD_TEXT, &len), text, size);
  assert_int_equal(len, size);
  fst_message_deinit(&m);
  expect_code(fst_message_receive(w->ends[1], 10000, &m), FST_ERR_IO);  // the child has ended
  free(text);
}

static void test_nobody(void **state) {
  wire *w = *state;
  fst_message m;
  expect_code(fst_message_receive(w->ends[1], 10, &m), FST_ERR_RESOURCE);
  close(w->ends[0]);
  w->ends[0] = -1;
  expect_code(fst_message_receive(w->ends[1], 1000, &m), FST_ERR_IO);
  expect_code(fst_message_send(w->ends[1], FST_REPLY, FST_OK, NULL, 0, -1), FST_ERR_IO);  // and no SIGPIPE
}

// Every byte of a message changed, and the message cut everywhere: refused, or taken as what it then says.
static void test_damage(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const fst_field fields[] = {{FST_FIELD_PATH, "path", 4}, {FST_FIELD_METHOD, "m", 1}};
  assert_null(fst_message_send(ends[0], FST_REQUEST_DUMP, FST_OK, fields, 2, -1));
  char bytes[256];
  ssize_t len = read(ends[1], bytes, sizeof bytes);
  assert_true(len > 24);
  close(ends[0]);
  close(ends[1]);
  int refused = 0;
  for (ssize_t cut = 0; cut <= len; cut++) {
    for (int flip = 0; flip < 8; flip++) {
      char copy[256];
      memcpy(copy, bytes, sizeof copy);
      if (cut < len) copy[cut] ^= (char)(1 << flip);
      assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
      size_t sent = flip == 7 ? (size_t)cut : (size_t)len;
      assert_int_equal(write(ends[0], copy, sent), (ssize_t)sent);
      close(ends[0]);
      fst_message m;
      fst_status status = fst_message_receive(ends[1], 1000, &m);
      if (status) {
        refused++;
        fst_error_free(status);
      } else {
        for (int id = 0; id < 20; id++) {
          size_t field_len;
          const char *text = fst_message_field(&m, (fst_field_id)id, &field_len);
          if (text) assert_int_equal(text[field_len], 0);
        }
        fst_message_deinit(&m);
      }
      close(ends[1]);
    }
  }
  assert_true(refused > len);
}

#define ON_WIRE(test) cmocka_unit_test_setup_teardown(test, wire_open, wire_close)
int main(void) {
  const struct CMUnitTest tests[] = {ON_WIRE(test_fields), ON_WIRE(test_descriptor), ON_WIRE(test_large), ON_WIRE(test_nobody), cmocka_unit_test(test_damage)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
