// A linker for one ELF x86-64 object: from LLVM's relocatable output to a flat image that is mapped
// executable as it is.
//
// The image must run at any address with nothing filled in, so every relocation has to vanish here:
// PC-relative references between kept sections are resolved, references through the global offset table
// are rewritten to direct ones, and whatever would need an absolute address or a symbol from outside is
// refused by name. Objects come from LLVM in our own process, but a damaged one must fail, not crash: all
// offsets are checked before use.
//
// Kept: allocated sections with contents that are executable or read-only (.text*, .rodata*), and
// .data.rel.ro*, whose contents turn out constant. Dropped: unwind tables and notes. Refused: writable
// data, zero-filled data, thread-local data. Layout: header, then executable sections, then the others.
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "base/vec.h"
#include "codegen/codegen.h"

enum { IMAGE_ALIGN = 64 };
#define NOT_PLACED UINT64_MAX

typedef struct linker {
  const char *object;
  size_t object_len;
  const Elf64_Shdr *sections;
  uint32_t section_count;
  const char *section_names;
  size_t section_names_len;
  const Elf64_Sym *symbols;
  size_t symbol_count;
  const char *symbol_names;
  size_t symbol_names_len;
  uint64_t *placed;  // per section: offset in the image, or NOT_PLACED
  char *image;
  uint64_t image_len;
} linker;

static fst_status corrupt(const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "object file: %s", what); }

static bool range_fits(uint64_t offset, uint64_t len, uint64_t total) { return offset <= total && len <= total - offset; }

// Text inside a string table, or NULL when it does not end inside.
static const char *table_text(const char *table, size_t len, uint64_t offset) {
  if (!table || offset >= len || !memchr(table + offset, 0, len - offset)) return NULL;
  return table + offset;
}

static const char *section_name(const linker *ln, uint32_t section) {
  const char *name = table_text(ln->section_names, ln->section_names_len, ln->sections[section].sh_name);
  return name ? name : "?";
}

static bool has_prefix(const char *text, const char *prefix) { return !strncmp(text, prefix, strlen(prefix)); }

static fst_status linker_open_header(linker *ln) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)ln->object;
  if (ln->object_len < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG)) return corrupt("not an ELF file");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64 || header->e_type != ET_REL)
    return corrupt("not a relocatable x86-64 file");
  if (header->e_shentsize != sizeof(Elf64_Shdr) || !header->e_shnum || header->e_shstrndx >= header->e_shnum ||
      header->e_shoff % 8 || !range_fits(header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr), ln->object_len))
    return corrupt("bad section table");
  ln->sections = (const Elf64_Shdr *)(ln->object + header->e_shoff);
  ln->section_count = header->e_shnum;
  for (uint32_t i = 0; i < ln->section_count; i++) {
    const Elf64_Shdr *section = &ln->sections[i];
    if (section->sh_type != SHT_NOBITS && section->sh_type != SHT_NULL &&
        !range_fits(section->sh_offset, section->sh_size, ln->object_len))
      return corrupt("a section lies outside the file");
  }
  const Elf64_Shdr *names = &ln->sections[header->e_shstrndx];
  if (names->sh_type != SHT_STRTAB) return corrupt("no section names");
  ln->section_names = ln->object + names->sh_offset;
  ln->section_names_len = names->sh_size;
  return NULL;
}

static fst_status linker_open_symbols(linker *ln) {
  for (uint32_t i = 0; i < ln->section_count; i++) {
    const Elf64_Shdr *section = &ln->sections[i];
    if (section->sh_type != SHT_SYMTAB) continue;
    if (ln->symbols) return corrupt("two symbol tables");
    if (section->sh_entsize != sizeof(Elf64_Sym) || section->sh_offset % 8 || section->sh_link >= ln->section_count ||
        ln->sections[section->sh_link].sh_type != SHT_STRTAB)
      return corrupt("bad symbol table");
    ln->symbols = (const Elf64_Sym *)(ln->object + section->sh_offset);
    ln->symbol_count = section->sh_size / sizeof(Elf64_Sym);
    ln->symbol_names = ln->object + ln->sections[section->sh_link].sh_offset;
    ln->symbol_names_len = ln->sections[section->sh_link].sh_size;
  }
  return ln->symbols ? NULL : corrupt("no symbol table");
}

static bool section_is_kept(const linker *ln, uint32_t i) {
  const Elf64_Shdr *section = &ln->sections[i];
  if (!(section->sh_flags & SHF_ALLOC) || !section->sh_size) return false;
  return section->sh_type != SHT_NOTE && section->sh_type != SHT_X86_64_UNWIND &&
         !has_prefix(section_name(ln, i), ".eh_frame");
}

static fst_status section_check(const linker *ln, uint32_t i) {
  const Elf64_Shdr *section = &ln->sections[i];
  const char *name = section_name(ln, i);
  if (section->sh_flags & SHF_TLS) return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: thread-local section %s", name);
  if (section->sh_type != SHT_PROGBITS) return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: section %s has no fixed contents", name);
  if ((section->sh_flags & SHF_WRITE) && !has_prefix(name, ".data.rel.ro"))
    return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: writable section %s", name);
  if (section->sh_addralign > 4096 || (section->sh_addralign & (section->sh_addralign - 1)))
    return corrupt("bad alignment of a section");
  return NULL;
}

static uint64_t align_up(uint64_t value, uint64_t to) { return to > 1 ? (value + to - 1) & ~(to - 1) : value; }

// Executable sections first, so that code and constants do not alternate in the caches.
static fst_status linker_place(linker *ln, uint32_t entry_count) {
  uint64_t at = align_up(sizeof(fst_code_header) + (uint64_t)entry_count * sizeof(uint64_t), IMAGE_ALIGN);
  for (uint32_t i = 0; i < ln->section_count; i++) ln->placed[i] = NOT_PLACED;
  for (int executable = 1; executable >= 0; executable--) {
    for (uint32_t i = 0; i < ln->section_count; i++) {
      const Elf64_Shdr *section = &ln->sections[i];
      if (!section_is_kept(ln, i) || ((section->sh_flags & SHF_EXECINSTR) != 0) != executable) continue;
      FST_TRY(section_check(ln, i));
      at = align_up(at, section->sh_addralign);
      ln->placed[i] = at;
      at += section->sh_size;
    }
    at = align_up(at, IMAGE_ALIGN);
  }
  ln->image_len = at;
  if (at > INT32_MAX) return FST_FAIL(FST_ERR_RESOURCE, "object file: the image would exceed 2 GB");
  return NULL;
}

static fst_status linker_copy(linker *ln) {
  ln->image = calloc(1, ln->image_len);
  if (!ln->image) return FST_FAIL(FST_ERR_RESOURCE, "out of memory for an image of %llu bytes", (unsigned long long)ln->image_len);
  for (uint32_t i = 0; i < ln->section_count; i++)
    if (ln->placed[i] != NOT_PLACED)
      memcpy(ln->image + ln->placed[i], ln->object + ln->sections[i].sh_offset, ln->sections[i].sh_size);
  return NULL;
}

static const char *symbol_text(const linker *ln, const Elf64_Sym *symbol) {
  if (ELF64_ST_TYPE(symbol->st_info) == STT_SECTION && symbol->st_shndx < ln->section_count)
    return section_name(ln, symbol->st_shndx);
  const char *name = table_text(ln->symbol_names, ln->symbol_names_len, symbol->st_name);
  return name && *name ? name : "?";
}

// Where a symbol lies in the image.
static fst_status symbol_address(const linker *ln, const Elf64_Sym *symbol, int64_t *out_address) {
  const char *name = symbol_text(ln, symbol);
  if (symbol->st_shndx == SHN_UNDEF) return FST_FAIL(FST_ERR_INTERNAL, "generated code refers to %s, which nothing defines", name);
  if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC || ELF64_ST_TYPE(symbol->st_info) == STT_TLS)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: symbol %s needs a dynamic linker", name);
  if (symbol->st_shndx >= ln->section_count) return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: symbol %s lies in no section", name);
  if (ln->placed[symbol->st_shndx] == NOT_PLACED)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: symbol %s lies in section %s, which is not kept", name, section_name(ln, symbol->st_shndx));
  if (symbol->st_value > ln->sections[symbol->st_shndx].sh_size) return corrupt("a symbol lies outside its section");
  *out_address = (int64_t)(ln->placed[symbol->st_shndx] + symbol->st_value);
  return NULL;
}

static fst_status store_pc32(char *at, int64_t value) {
  if (value != (int32_t)value) return corrupt("a 32-bit reference does not reach");
  int32_t narrow = (int32_t)value;
  memcpy(at, &narrow, sizeof narrow);
  return NULL;
}

// A load of an address from the global offset table becomes the address itself: there is no table, and
// the symbol is in the same image. `at` is the 32-bit field; the two opcode bytes lie before it.
static fst_status relocate_got(char *at, uint64_t before, int64_t value) {
  unsigned char *code = (unsigned char *)at;
  if (before < 2) return corrupt("a reference to the global offset table is no instruction");
  if (code[-2] == 0x8b && (code[-1] & 0xc7) == 0x05) {  // mov r, [rip + x] -> lea r, [rip + x]
    code[-2] = 0x8d;
    return store_pc32(at, value);
  }
  if (code[-2] == 0xff && code[-1] == 0x15) {  // call [rip + x] -> addr32 call x
    code[-2] = 0x67;
    code[-1] = 0xe8;
    return store_pc32(at, value);
  }
  if (code[-2] == 0xff && code[-1] == 0x25) {  // jmp [rip + x] -> jmp x; nop: the field moves one byte down
    code[-2] = 0xe9;
    code[3] = 0x90;
    return store_pc32(at - 1, value + 1);
  }
  return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: an instruction reads the global offset table");
}

static fst_status relocate_one(linker *ln, uint32_t section, const Elf64_Rela *rela) {
  uint32_t type = ELF64_R_TYPE(rela->r_info);
  uint64_t index = ELF64_R_SYM(rela->r_info), size = ln->sections[section].sh_size;
  if (type == R_X86_64_NONE) return NULL;
  if (index >= ln->symbol_count) return corrupt("a relocation names no symbol");
  uint64_t width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
  if (!range_fits(rela->r_offset, width, size)) return corrupt("a relocation lies outside its section");
  // Addends of real code are small; this bound keeps the sums below from overflowing.
  if (rela->r_addend > INT32_MAX || rela->r_addend < INT32_MIN) return corrupt("an addend is out of range");
  const Elf64_Sym *symbol = &ln->symbols[index];
  int64_t target = 0;
  FST_TRY(symbol_address(ln, symbol, &target));
  char *at = ln->image + ln->placed[section] + rela->r_offset;
  int64_t value = target + rela->r_addend - (int64_t)(ln->placed[section] + rela->r_offset);
  switch (type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32: return store_pc32(at, value);
    case R_X86_64_PC64: memcpy(at, &value, sizeof value); return NULL;
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX: return relocate_got(at, rela->r_offset, value);
    case R_X86_64_64:
    case R_X86_64_32:
    case R_X86_64_32S:
      return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: section %s holds the absolute address of %s", section_name(ln, section), symbol_text(ln, symbol));
    default: return FST_FAIL(FST_ERR_UNSUPPORTED, "object file: relocation type %u against %s", type, symbol_text(ln, symbol));
  }
}

static fst_status linker_relocate(linker *ln) {
  for (uint32_t i = 0; i < ln->section_count; i++) {
    const Elf64_Shdr *section = &ln->sections[i];
    if (section->sh_type != SHT_RELA && section->sh_type != SHT_REL) continue;
    if (section->sh_info >= ln->section_count) return corrupt("relocations of no section");
    if (ln->placed[section->sh_info] == NOT_PLACED) continue;
    if (section->sh_type == SHT_REL || section->sh_entsize != sizeof(Elf64_Rela) || section->sh_offset % 8)
      return corrupt("bad relocation table");
    const Elf64_Rela *relas = (const Elf64_Rela *)(ln->object + section->sh_offset);
    for (size_t k = 0; k < section->sh_size / sizeof *relas; k++) FST_TRY(relocate_one(ln, section->sh_info, &relas[k]));
  }
  return NULL;
}

static fst_status entry_address(const linker *ln, const char *name, uint64_t *out_offset) {
  for (size_t i = 0; i < ln->symbol_count; i++) {
    const Elf64_Sym *symbol = &ln->symbols[i];
    const char *text = table_text(ln->symbol_names, ln->symbol_names_len, symbol->st_name);
    if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || !text || strcmp(text, name)) continue;
    int64_t address = 0;
    FST_TRY(symbol_address(ln, symbol, &address));
    *out_offset = (uint64_t)address;
    return NULL;
  }
  return FST_FAIL(FST_ERR_NOT_FOUND, "object file: no function %s", name);
}

static fst_status linker_write_header(linker *ln, const char *const *names, uint32_t count) {
  fst_code_header *header = (fst_code_header *)ln->image;
  header->magic = FST_CODE_MAGIC;
  header->abi_version = FST_ABI_VERSION;
  header->entry_count = count;
  header->image_bytes = ln->image_len;
  for (uint32_t i = 0; i < count; i++) FST_TRY(entry_address(ln, names[i], &header->entries[i]));
  return NULL;
}

static fst_status linker_run(linker *ln, const char *const *entry_names, uint32_t entry_count) {
  FST_TRY(linker_open_header(ln));
  FST_TRY(linker_open_symbols(ln));
  ln->placed = calloc(ln->section_count, sizeof *ln->placed);
  if (!ln->placed) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  FST_TRY(linker_place(ln, entry_count));
  FST_TRY(linker_copy(ln));
  FST_TRY(linker_relocate(ln));
  return linker_write_header(ln, entry_names, entry_count);
}

fst_status fst_link_image(const void *object, size_t object_len, const char *const *entry_names, uint32_t entry_count, void **out_image, size_t *out_len) {
  // Section tables are read in place, which needs an aligned copy of what may be any buffer.
  linker ln = {.object_len = object_len};
  char *copy = malloc(object_len ? object_len : 1);
  if (!copy) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  memcpy(copy, object, object_len);
  ln.object = copy;
  fst_status status = linker_run(&ln, entry_names, entry_count);
  free(ln.placed);
  free(copy);
  if (status) {
    free(ln.image);
    return status;
  }
  *out_image = ln.image;
  *out_len = ln.image_len;
  return NULL;
}
