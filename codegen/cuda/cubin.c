// Reading a cubin's ELF: `.text.NAME` is a kernel, `.nv.info` holds what the assembler found out about each,
// `.nv.shared.NAME` has the size of its static shared memory.
#include "codegen/cuda/cubin.h"

#include <elf.h>
#include <string.h>

// Entries of .nv.info: a format, an attribute, and either 16 bits or so many bytes: here a symbol and a number.
enum { FORMAT_SIZED = 4, ATTRIBUTE_REGISTERS = 0x2f, ATTRIBUTE_FRAME = 0x11 };

typedef struct reader {
  const char *bytes;
  size_t len;
  const Elf64_Shdr *sections;
  uint32_t count;
  const char *names;
  size_t names_len;
} reader;

static fst_status corrupt(const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "cubin: %s", what); }

static bool fits(const reader *r, uint64_t offset, uint64_t len) { return offset <= r->len && len <= r->len - offset; }

static const char *text_at(const char *table, size_t len, uint64_t at) { return at < len && memchr(table + at, 0, len - at) ? table + at : ""; }

static const char *section_name(const reader *r, uint32_t i) { return text_at(r->names, r->names_len, r->sections[i].sh_name); }

static fst_status reader_open(reader *r, fst_arena *arena) {
  Elf64_Ehdr header;
  if (r->len < sizeof header || memcmp(r->bytes, ELFMAG, SELFMAG)) return corrupt("not an ELF file");
  memcpy(&header, r->bytes, sizeof header);
  if (header.e_shentsize != sizeof(Elf64_Shdr) || !fits(r, header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr))) return corrupt("its sections lie outside");
  r->sections = fst_arena_memdup(arena, r->bytes + header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr));  // they may lie at an odd address
  r->count = header.e_shnum;
  for (uint32_t i = 0; i < r->count; i++)
    if (r->sections[i].sh_type != SHT_NOBITS && !fits(r, r->sections[i].sh_offset, r->sections[i].sh_size)) return corrupt("a section lies outside");
  if (header.e_shstrndx >= r->count) return corrupt("its sections have no names");
  r->names = r->bytes + r->sections[header.e_shstrndx].sh_offset;
  r->names_len = r->sections[header.e_shstrndx].sh_size;
  return NULL;
}

static fst_cubin_kernel *kernel_named(fst_cubin_kernels *out, const char *name) {
  for (size_t i = 0; i < out->len; i++)
    if (!strcmp(out->data[i].name, name)) return &out->data[i];
  return NULL;
}

static const char *symbol_name(const reader *r, uint32_t number) {
  for (uint32_t i = 0; i < r->count; i++) {
    const Elf64_Shdr *s = &r->sections[i];
    Elf64_Sym symbol;
    if (s->sh_type != SHT_SYMTAB || s->sh_link >= r->count || ((uint64_t)number + 1) * sizeof symbol > s->sh_size) continue;
    memcpy(&symbol, r->bytes + s->sh_offset + number * sizeof symbol, sizeof symbol);
    return text_at(r->bytes + r->sections[s->sh_link].sh_offset, r->sections[s->sh_link].sh_size, symbol.st_name);
  }
  return "";
}

static void read_info(const reader *r, const Elf64_Shdr *info, fst_cubin_kernels *out) {
  const unsigned char *at = (const unsigned char *)r->bytes + info->sh_offset, *end = at + info->sh_size;
  while (end - at >= 4) {
    uint8_t format = at[0], attribute = at[1];
    uint16_t size;
    uint32_t pair[2];
    memcpy(&size, at + 2, sizeof size);
    at += 4;
    if (format != FORMAT_SIZED) continue;
    if (size > end - at) return;
    if (size >= sizeof pair && (attribute == ATTRIBUTE_REGISTERS || attribute == ATTRIBUTE_FRAME)) {
      memcpy(pair, at, sizeof pair);
      fst_cubin_kernel *kernel = kernel_named(out, symbol_name(r, pair[0]));
      if (kernel && attribute == ATTRIBUTE_REGISTERS) kernel->registers = pair[1];
      else if (kernel) kernel->local_bytes = pair[1];
    }
    at += size;
  }
}

fst_status fst_cubin_read(const void *bytes, size_t len, fst_arena *arena, fst_cubin_kernels *out) {
  reader r = {.bytes = bytes, .len = len};
  FST_TRY(reader_open(&r, arena));
  for (uint32_t i = 0; i < r.count; i++) {
    const char *name = section_name(&r, i);
    if (strncmp(name, ".text.", 6)) continue;
    fst_cubin_kernel kernel = {.name = fst_arena_strdup(arena, name + 6), .code_bytes = (uint32_t)r.sections[i].sh_size};
    fst_vec_push(out, kernel);
  }
  for (uint32_t i = 0; i < r.count; i++) {
    const char *name = section_name(&r, i);
    if (!strcmp(name, ".nv.info")) read_info(&r, &r.sections[i], out);
    fst_cubin_kernel *kernel = strncmp(name, ".nv.shared.", 11) ? NULL : kernel_named(out, name + 11);
    if (kernel) kernel->shared_bytes = (uint32_t)r.sections[i].sh_size;
  }
  return NULL;
}

void fst_cubin_print(const fst_cubin_kernels *kernels, fst_text *out) {
  for (size_t i = 0; i < kernels->len; i++) {
    const fst_cubin_kernel *k = &kernels->data[i];
    fst_text_printf(out, "%s: %u registers, %u bytes of local memory, %u of shared memory, %u of code\n", k->name, k->registers, k->local_bytes, k->shared_bytes, k->code_bytes);
  }
}
