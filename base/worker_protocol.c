#define _GNU_SOURCE  // MSG_CMSG_CLOEXEC
#include "base/worker_protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAGIC 0x4d545346u  // "FSTM"
enum { PAYLOAD_MAX = 256 << 20 };

typedef struct message_header {
  uint32_t magic, version, kind, code;
  uint64_t len;
} message_header;

typedef struct field_header { uint32_t id, len; } field_header;  // then the bytes, then a NUL

// ---- sending ---------------------------------------------------------------------------------------

static fst_status socket_error(const char *what) {
  if (errno == EPIPE || errno == ECONNRESET) return FST_FAIL(FST_ERR_IO, "the other process has ended");
  return FST_FAIL(FST_ERR_IO, "%s: %s", what, strerror(errno));
}

// The descriptor rides on the first byte of the header.
static fst_status send_with_fd(int socket, const void *bytes, size_t len, int fd, size_t *out_sent) {
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control;
  struct iovec piece = {(void *)bytes, len};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return socket_error("cannot send");
  *out_sent = (size_t)sent;
  return NULL;
}

static fst_status send_all(int socket, const char *bytes, size_t len, int fd) {
  while (len) {
    size_t sent = 0;
    FST_TRY(send_with_fd(socket, bytes, len, fd, &sent));
    fd = -1;
    bytes += sent;
    len -= sent;
  }
  return NULL;
}

fst_status fst_message_send(int socket, uint32_t kind, fst_code code, const fst_field *fields, size_t count, int fd) {
  message_header header = {MESSAGE_MAGIC, FST_WORKER_PROTOCOL_VERSION, kind, (uint32_t)code, 0};
  for (size_t i = 0; i < count; i++)
    if (fields[i].text) header.len += sizeof(field_header) + fields[i].len + 1;
  if (header.len > PAYLOAD_MAX) return FST_FAIL(FST_ERR_INVALID, "a message of %llu bytes is too long", (unsigned long long)header.len);
  char *bytes = malloc(sizeof header + header.len);
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  char *at = bytes;
  memcpy(at, &header, sizeof header);
  at += sizeof header;
  for (size_t i = 0; i < count; i++) {
    if (!fields[i].text) continue;
    field_header field = {(uint32_t)fields[i].id, (uint32_t)fields[i].len};
    memcpy(at, &field, sizeof field);
    memcpy(at + sizeof field, fields[i].text, fields[i].len);
    at += sizeof field + fields[i].len;
    *at++ = 0;
  }
  fst_status status = send_all(socket, bytes, (size_t)(at - bytes), fd);
  free(bytes);
  return status;
}

// ---- receiving -------------------------------------------------------------------------------------

static fst_status wait_readable(int socket, int timeout_ms) {
  struct pollfd wait = {.fd = socket, .events = POLLIN};
  int ready;
  do ready = poll(&wait, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return FST_FAIL(FST_ERR_IO, "cannot wait: %s", strerror(errno));
  if (ready == 0) return FST_FAIL(FST_ERR_RESOURCE, "no answer within %d ms", timeout_ms);
  return NULL;
}

static void take_descriptor(struct msghdr *message, int *fd) {
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) continue;
    if (*fd >= 0) close(*fd);
    memcpy(fd, CMSG_DATA(head), sizeof *fd);
  }
}

static fst_status receive_all(int socket, int timeout_ms, void *bytes, size_t len, int *fd) {
  char *at = bytes;
  while (len) {
    FST_TRY(wait_readable(socket, timeout_ms));
    union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec piece = {at, len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return socket_error("cannot receive");
    if (got == 0) return FST_FAIL(FST_ERR_IO, "the other process has ended");
    take_descriptor(&message, fd);
    at += got;
    len -= (size_t)got;
  }
  return NULL;
}

// Every field lies within the payload and ends in its NUL.
static fst_status payload_check(const char *payload, size_t len) {
  for (size_t at = 0; at < len;) {
    field_header field;
    if (len - at < sizeof field) return FST_FAIL(FST_ERR_CORRUPT, "a message ends within a field");
    memcpy(&field, payload + at, sizeof field);
    at += sizeof field;
    if (field.len >= len - at || payload[at + field.len] != 0) return FST_FAIL(FST_ERR_CORRUPT, "a message has a wrong field");
    at += (size_t)field.len + 1;
  }
  return NULL;
}

static fst_status message_receive(int socket, int timeout_ms, fst_message *message) {
  message_header header;
  FST_TRY(receive_all(socket, timeout_ms, &header, sizeof header, &message->fd));
  if (header.magic != MESSAGE_MAGIC || header.len > PAYLOAD_MAX) return FST_FAIL(FST_ERR_CORRUPT, "not a message of a compiler worker");
  if (header.version != FST_WORKER_PROTOCOL_VERSION)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "the other process speaks version %u of the worker's protocol, this one %d", header.version, FST_WORKER_PROTOCOL_VERSION);
  message->kind = header.kind;
  message->code = header.code;
  message->len = (size_t)header.len;
  message->payload = malloc(message->len + 1);
  if (!message->payload) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  FST_TRY(receive_all(socket, timeout_ms, message->payload, message->len, &message->fd));
  return payload_check(message->payload, message->len);
}

fst_status fst_message_receive(int socket, int timeout_ms, fst_message *out) {
  fst_message message = {.fd = -1};
  fst_status status = message_receive(socket, timeout_ms, &message);
  if (status) fst_message_deinit(&message);
  else *out = message;
  return status;
}

void fst_message_deinit(fst_message *message) {
  free(message->payload);
  if (message->fd >= 0) close(message->fd);
  *message = (fst_message){.fd = -1};
}

const char *fst_message_field(const fst_message *message, fst_field_id id, size_t *out_len) {
  for (size_t at = 0; at < message->len;) {
    field_header field;
    memcpy(&field, message->payload + at, sizeof field);
    at += sizeof field;
    if (field.id == (uint32_t)id) {
      if (out_len) *out_len = field.len;
      return message->payload + at;
    }
    at += (size_t)field.len + 1;
  }
  return NULL;
}
