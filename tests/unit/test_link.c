// The linker: objects written by hand for each relocation, and damaged ones.
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/abi.h"
#include "codegen/codegen.h"

// One object: .text, one data section, symbols `f` (in .text), `d` (in the data section), `u` (undefined), and
// one relocation of .text.
enum { TEXT_BYTES = 32, DATA_BYTES = 16, F_AT = 8, D_AT = 4 };
typedef struct tiny_object {
  Elf64_Ehdr header;
  Elf64_Shdr sections[7];
  Elf64_Sym symbols[4];
  Elf64_Rela rela;
  unsigned char text[TEXT_BYTES];
  unsigned char data[DATA_BYTES];
  char names[64];
  char section_names[96];
} tiny_object;

enum { SYM_F = 1, SYM_D = 2, SYM_U = 3 };

static uint32_t name_at(char *table, uint32_t *used, const char *name) {
  uint32_t at = *used;
  strcpy(table + at, name);
  *used += (uint32_t)strlen(name) + 1;
  return at;
}

static tiny_object tiny_make(const char *data_name, uint64_t data_flags, uint32_t type, uint32_t symbol, uint64_t offset) {
  tiny_object o = {0};
  memcpy(o.header.e_ident, ELFMAG, SELFMAG);
  o.header.e_ident[EI_CLASS] = ELFCLASS64;
  o.header.e_ident[EI_DATA] = ELFDATA2LSB;
  o.header.e_type = ET_REL;
  o.header.e_machine = EM_X86_64;
  o.header.e_shoff = offsetof(tiny_object, sections);
  o.header.e_shentsize = sizeof(Elf64_Shdr);
  o.header.e_shnum = 7;
  o.header.e_shstrndx = 6;
  uint32_t used = 1, names = 1;
  o.sections[1] = (Elf64_Shdr){name_at(o.section_names, &used, ".text"), SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, offsetof(tiny_object, text), TEXT_BYTES, 0, 0, 16, 0};
  o.sections[2] = (Elf64_Shdr){name_at(o.section_names, &used, data_name), SHT_PROGBITS, data_flags, 0, offsetof(tiny_object, data), DATA_BYTES, 0, 0, 16, 0};
  o.sections[3] = (Elf64_Shdr){name_at(o.section_names, &used, ".symtab"), SHT_SYMTAB, 0, 0, offsetof(tiny_object, symbols), sizeof o.symbols, 5, 1, 8, sizeof(Elf64_Sym)};
  o.sections[4] = (Elf64_Shdr){name_at(o.section_names, &used, ".rela.text"), SHT_RELA, 0, 0, offsetof(tiny_object, rela), sizeof o.rela, 3, 1, 8, sizeof(Elf64_Rela)};
  o.sections[5] = (Elf64_Shdr){name_at(o.section_names, &used, ".strtab"), SHT_STRTAB, 0, 0, offsetof(tiny_object, names), sizeof o.names, 0, 0, 1, 0};
  o.sections[6] = (Elf64_Shdr){name_at(o.section_names, &used, ".shstrtab"), SHT_STRTAB, 0, 0, offsetof(tiny_object, section_names), sizeof o.section_names, 0, 0, 1, 0};
  o.symbols[SYM_F] = (Elf64_Sym){name_at(o.names, &names, "f"), ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1, F_AT, 4};
  o.symbols[SYM_D] = (Elf64_Sym){name_at(o.names, &names, "d"), ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 2, D_AT, 4};
  o.symbols[SYM_U] = (Elf64_Sym){name_at(o.names, &names, "missing_function"), ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0};
  o.rela = (Elf64_Rela){offset, ELF64_R_INFO((uint64_t)symbol, type), -4};
  memset(o.text, 0x90, sizeof o.text);
  for (int i = 0; i < DATA_BYTES; i++) o.data[i] = (unsigned char)(0xa0 + i);
  return o;
}

static const char *const entry_f[] = {"f"};

static fst_code_header *link_ok(const tiny_object *o, size_t *out_len) {
  void *image = NULL;
  fst_status status = fst_link_image(o, sizeof *o, entry_f, 1, &image, out_len);
  if (status) fail_msg("%s", status->message);
  return image;
}

static void link_fails(const tiny_object *o, const char *text) {
  void *image = NULL;
  size_t len = 0;
  fst_status status = fst_link_image(o, sizeof *o, entry_f, 1, &image, &len);
  assert_non_null(status);
  if (!strstr(status->message, text)) fail_msg("expected '%s' in: %s", text, status->message);
  assert_null(image);
  fst_error_free(status);
}

static int64_t field_target(const char *image, uint64_t at) {
  int32_t field;
  memcpy(&field, image + at, sizeof field);
  return (int64_t)at + 4 + field;
}

static uint64_t data_at(const char *image, size_t len) {
  for (size_t i = 0; i + DATA_BYTES <= len; i++)
    if ((unsigned char)image[i] == 0xa0 && (unsigned char)image[i + 15] == 0xaf) return i;
  fail_msg("the data section is not in the image");
  return 0;
}

static void test_header(void **state) {
  (void)state;
  tiny_object o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_NONE, 0, 0);
  size_t len = 0;
  fst_code_header *header = link_ok(&o, &len);
  assert_true(header->magic == FST_CODE_MAGIC);
  assert_int_equal(header->abi_version, FST_ABI_VERSION);
  assert_int_equal(header->entry_count, 1);
  assert_int_equal(header->image_bytes, len);
  assert_int_equal((header->entries[0] - F_AT) % 16, 0);
  free(header);
}

static void test_pc_relative(void **state) {
  (void)state;
  const uint32_t types[] = {R_X86_64_PC32, R_X86_64_PLT32};
  for (int i = 0; i < 2; i++) {
    tiny_object o = tiny_make(".rodata.cst16", SHF_ALLOC, types[i], SYM_D, 12);
    size_t len = 0;
    fst_code_header *header = link_ok(&o, &len);
    uint64_t text = header->entries[0] - F_AT;
    assert_int_equal(field_target((char *)header, text + 12), data_at((char *)header, len) + D_AT);
    free(header);
  }
}

static void test_got_rewritten(void **state) {
  (void)state;
  const unsigned char forms[][2] = {{0x8b, 0x05}, {0x8b, 0x3d}, {0xff, 0x15}, {0xff, 0x25}};
  for (int i = 0; i < 4; i++) {
    tiny_object o = tiny_make(".rodata", SHF_ALLOC, i < 2 ? R_X86_64_REX_GOTPCRELX : R_X86_64_GOTPCRELX, SYM_D, 12);
    o.text[10] = forms[i][0];
    o.text[11] = forms[i][1];
    size_t len = 0;
    fst_code_header *header = link_ok(&o, &len);
    const unsigned char *text = (unsigned char *)header + header->entries[0] - F_AT;
    uint64_t text_at = header->entries[0] - F_AT, expected = data_at((char *)header, len) + D_AT;
    if (i < 2) assert_int_equal(text[10], 0x8d);
    if (i == 2) assert_memory_equal(text + 10, "\x67\xe8", 2);
    if (i == 3) assert_int_equal(text[10], 0xe9);
    if (i == 3) assert_int_equal(text[15], 0x90);
    assert_int_equal(field_target((char *)header, text_at + (i == 3 ? 11 : 12)), expected);
    free(header);
  }
  tiny_object o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_GOTPCREL, SYM_D, 12);
  link_fails(&o, "global offset table");
}

static void test_refused(void **state) {
  (void)state;
  tiny_object o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_64, SYM_D, 8);
  link_fails(&o, "absolute address of d");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_32S, SYM_D, 8);
  link_fails(&o, "absolute address of d");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_TLSGD, SYM_D, 8);
  link_fails(&o, "relocation type 19 against d");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PLT32, SYM_U, 8);
  link_fails(&o, "missing_function");
  o = tiny_make(".data", SHF_ALLOC | SHF_WRITE, R_X86_64_PC32, SYM_D, 8);
  link_fails(&o, "writable section .data");
  o = tiny_make(".bss", SHF_ALLOC | SHF_WRITE, R_X86_64_PC32, SYM_D, 8);
  o.sections[2].sh_type = SHT_NOBITS;
  link_fails(&o, ".bss");
  o = tiny_make(".debug", 0, R_X86_64_PC32, SYM_D, 8);
  link_fails(&o, "section .debug, which is not kept");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_NONE, 0, 0);
  o.names[1] = 'g';
  link_fails(&o, "no function f");
}

static void test_bounds(void **state) {
  (void)state;
  tiny_object o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PC32, SYM_D, TEXT_BYTES - 3);
  link_fails(&o, "outside its section");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PC32, 99, 8);
  link_fails(&o, "names no symbol");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PC32, SYM_D, 8);
  o.sections[1].sh_size = 1 << 20;
  link_fails(&o, "outside the file");
  o = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PC32, SYM_D, 8);
  o.symbols[SYM_D].st_value = 1000;
  link_fails(&o, "symbol lies outside");
}

// Every truncation and many flips: a status or an image, never a crash. Sanitizers watch.
static void test_damaged(void **state) {
  (void)state;
  tiny_object good = tiny_make(".rodata", SHF_ALLOC, R_X86_64_PC32, SYM_D, 12);
  int refused = 0;
  for (size_t len = 0; len < sizeof good; len++) {
    char *part = malloc(len ? len : 1);
    memcpy(part, &good, len);
    void *image = NULL;
    size_t image_len = 0;
    fst_status status = fst_link_image(part, len, entry_f, 1, &image, &image_len);
    refused += status != NULL;
    fst_error_free(status);
    if (!status) free(image);
    free(part);
  }
  assert_true(refused > (int)offsetof(tiny_object, names));
  uint32_t seed = 1;
  for (int round = 0; round < 20000; round++) {
    tiny_object o = good;
    for (int k = 0; k < 3; k++) {
      seed = seed * 1664525u + 1013904223u;
      ((unsigned char *)&o)[(seed >> 8) % offsetof(tiny_object, text)] ^= (unsigned char)(1u << (seed >> 29));
    }
    void *image = NULL;
    size_t image_len = 0;
    fst_status status = fst_link_image(&o, sizeof o, entry_f, 1, &image, &image_len);
    fst_error_free(status);
    if (!status) free(image);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_header),   cmocka_unit_test(test_pc_relative), cmocka_unit_test(test_got_rewritten),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),      cmocka_unit_test(test_damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
