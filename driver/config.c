#include "driver/config.h"

#include <string.h>

#include <cjson/cJSON.h>

#include "driver/semver.h"

#define CONFIG_ERROR "Error loading neuropod config! Please check your config file. "

// ---- reading ---------------------------------------------------------------------------------------

static fst_status dim_read(fst_arena *arena, const cJSON *item, fst_config_dim *out) {
  *out = (fst_config_dim){-1, NULL};
  if (cJSON_IsNull(item)) return NULL;
  if (cJSON_IsString(item)) {
    out->symbol = fst_arena_strdup(arena, item->valuestring);
    return NULL;
  }
  // Neuropod takes what fits an int of 32 bits.
  if (!cJSON_IsNumber(item) || item->valuedouble < 1 || item->valuedouble > INT32_MAX || item->valuedouble != (double)(int64_t)item->valuedouble)
    return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "All items in 'shape' must be either null, a string, or a positive integer.");
  out->size = (int64_t)item->valuedouble;
  return NULL;
}

static bool is_dtype(const char *name) {
  static const char *const words[] = {"float32", "float64", "string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(words[i], name)) return true;
  return false;
}

static fst_status spec_read(fst_arena *arena, const cJSON *item, fst_config_spec *out) {
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name"), *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype"), *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
  if (!cJSON_IsString(name)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "'name' must be a string.");
  if (!cJSON_IsString(dtype)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "'dtype' must be a string.");
  if (!is_dtype(dtype->valuestring)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "The specified data type '%s' is invalid.", dtype->valuestring);
  if (!cJSON_IsArray(shape)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "'shape' must be an array. Please check your config file");
  *out = (fst_config_spec){.name = fst_arena_strdup(arena, name->valuestring), .dtype = fst_arena_strdup(arena, dtype->valuestring)};
  const cJSON *dim;
  cJSON_ArrayForEach(dim, shape) {
    if (out->rank == FST_SPEC_RANK_MAX) return FST_FAIL(FST_ERR_UNSUPPORTED, "the spec of '%s' has more than %d dimensions", out->name, FST_SPEC_RANK_MAX);
    FST_TRY(dim_read(arena, dim, &out->dims[out->rank++]));
  }
  return NULL;
}

static fst_status specs_read(fst_arena *arena, const cJSON *list, fst_config_specs *out) {
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    fst_config_spec spec;
    FST_TRY(spec_read(arena, item, &spec));
    fst_vec_push(out, spec);
  }
  return NULL;
}

static fst_status devices_read(const cJSON *devices, fst_config *out) {
  const cJSON *item;
  cJSON_ArrayForEach(item, devices) {
    const char *word = cJSON_IsString(item) ? item->valuestring : "";
    const char *device = !strcmp(word, "GPU") ? "GPU" : !strcmp(word, "CPU") ? "CPU" : NULL;
    if (!device) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "Invalid device type: %s", word);
    for (size_t i = 0; i < out->inputs.len; i++)
      if (item->string && !strcmp(out->inputs.data[i].name, item->string)) out->inputs.data[i].device = device;
  }
  return NULL;
}

static fst_status parsed_specs_read(fst_arena *arena, const cJSON *config, fst_config *out) {
  FST_TRY(specs_read(arena, cJSON_GetObjectItemCaseSensitive(config, "input_spec"), &out->inputs));
  FST_TRY(specs_read(arena, cJSON_GetObjectItemCaseSensitive(config, "output_spec"), &out->outputs));
  return devices_read(cJSON_GetObjectItemCaseSensitive(config, "input_tensor_device"), out);
}

static fst_status version_read(fst_arena *arena, const cJSON *config, fst_config *out) {
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(config, "platform_version_semver");
  bool satisfied;
  out->version_range = cJSON_IsString(range) ? fst_arena_strdup(arena, range->valuestring) : "*";
  if ((range && !cJSON_IsString(range)) || !fst_semver_range(out->version_range, &satisfied))
    return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "The provided platform version (%s) was not a valid semver version or range. See https://semver.org/ and https://docs.npmjs.com/misc/semver#ranges",
                    out->version_range);
  return NULL;
}

static fst_status parsed_read(fst_arena *arena, const cJSON *config, fst_config *out) {
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(config, "name"), *platform = cJSON_GetObjectItemCaseSensitive(config, "platform"), *item;
  if (!cJSON_IsString(name) || !cJSON_IsString(platform)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "'name' and 'platform' must be strings.");
  out->name = fst_arena_strdup(arena, name->valuestring);
  out->platform = fst_arena_strdup(arena, platform->valuestring);
  FST_TRY(version_read(arena, config, out));
  FST_TRY(parsed_specs_read(arena, config, out));
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(config, "custom_ops")) {
    if (!cJSON_IsString(item)) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "'custom_ops' must be a list of strings.");
    const char *op = fst_arena_strdup(arena, item->valuestring);
    fst_vec_push(&out->custom_ops, op);
  }
  return NULL;
}

static fst_status json_read(const char *json, size_t len, fst_arena *arena, fst_status (*read)(fst_arena *, const cJSON *, fst_config *), fst_config *out) {
  char *plain = fst_arena_strndup(arena, json, len);
  cJSON_Minify(plain);  // takes comments out
  cJSON *config = cJSON_Parse(plain);
  if (!config) return FST_FAIL(FST_ERR_CORRUPT, CONFIG_ERROR "Error parsing JSON: '%.40s'", cJSON_GetErrorPtr() ? cJSON_GetErrorPtr() : plain);
  fst_status status = read(arena, config, out);
  cJSON_Delete(config);
  return status;
}

fst_status fst_config_read(const char *json, size_t len, fst_arena *arena, fst_config *out) { return json_read(json, len, arena, parsed_read, out); }
fst_status fst_config_read_specs(const char *json, size_t len, fst_arena *arena, fst_config *out) { return json_read(json, len, arena, parsed_specs_read, out); }

void fst_config_deinit(fst_config *c) {
  fst_vec_free(&c->inputs);
  fst_vec_free(&c->outputs);
  fst_vec_free(&c->custom_ops);
}

// ---- writing ---------------------------------------------------------------------------------------

// One code point of UTF-8 from `*at`; bytes that are none stand for themselves.
static uint32_t code_point(const unsigned char **at) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  const unsigned char *p = *at;
  int more = *p >= 0xf8 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0, got = 0;
  uint32_t c = more ? *p & (0x3fu >> more) : *p;
  while (got < more && (p[got + 1] & 0xc0) == 0x80) c = c << 6 | (p[++got] & 0x3f);
  bool is_whole = got == more && c >= least[more] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
  *at = p + (is_whole ? more + 1 : 1);
  return is_whole ? c : *p;
}

void fst_config_quote(fst_text *out, const char *text) {
  static const char letters[] = "\b\f\n\r\t", names[] = "bfnrt";
  fst_text_putc(out, '"');
  for (const unsigned char *at = (const unsigned char *)text; *at;) {
    uint32_t c = code_point(&at);
    const char *letter = c < 0x20 ? strchr(letters, (int)c) : NULL;
    if (c == '"' || c == '\\') fst_text_printf(out, "\\%c", (char)c);
    else if (letter) fst_text_printf(out, "\\%c", names[letter - letters]);
    else if (c >= 0x20 && c < 0x7f) fst_text_putc(out, (char)c);
    else if (c < 0x10000) fst_text_printf(out, "\\u%04x", c);
    else fst_text_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
  }
  fst_text_putc(out, '"');
}

static void shape_print(const fst_config_spec *spec, fst_text *out) {
  fst_text_puts(out, "            \"shape\": [");
  for (uint32_t d = 0; d < spec->rank; d++) {
    const fst_config_dim *dim = &spec->dims[d];
    fst_text_puts(out, d ? ",\n                " : "\n                ");
    if (dim->symbol) fst_config_quote(out, dim->symbol);
    else if (dim->size < 0) fst_text_puts(out, "null");
    else fst_text_printf(out, "%lld", (long long)dim->size);
  }
  fst_text_puts(out, spec->rank ? "\n            ]\n" : "]\n");
}

static void specs_print(const char *key, const fst_config_specs *specs, fst_text *out) {
  fst_text_printf(out, "    \"%s\": [", key);
  for (size_t i = 0; i < specs->len; i++) {
    const fst_config_spec *spec = &specs->data[i];
    fst_text_printf(out, "%s\n        {\n            \"dtype\": \"%s\",\n            \"name\": ", i ? "," : "", spec->dtype);
    fst_config_quote(out, spec->name);
    fst_text_puts(out, ",\n");
    shape_print(spec, out);
    fst_text_puts(out, "        }");
  }
  fst_text_puts(out, specs->len ? "\n    ],\n" : "],\n");
}

static const fst_config_spec *next_by_name(const fst_config_specs *specs, const fst_config_spec *after) {
  const fst_config_spec *found = NULL;
  for (size_t i = 0; i < specs->len; i++) {
    const fst_config_spec *s = &specs->data[i];
    if ((!after || strcmp(s->name, after->name) > 0) && (!found || strcmp(s->name, found->name) < 0)) found = s;
  }
  return found;
}

static void devices_print(const fst_config_specs *inputs, fst_text *out) {
  fst_text_puts(out, "    \"input_tensor_device\": {");
  const fst_config_spec *last = NULL;
  for (const fst_config_spec *s; (s = next_by_name(inputs, last)); last = s) {
    fst_text_puts(out, last ? ",\n        " : "\n        ");
    fst_config_quote(out, s->name);
    fst_text_printf(out, ": \"%s\"", s->device ? s->device : "GPU");
  }
  fst_text_puts(out, last ? "\n    },\n" : "},\n");
}

void fst_config_print(const fst_config *config, fst_text *out) {
  fst_text_puts(out, "{\n    \"custom_ops\": [");
  for (size_t i = 0; i < config->custom_ops.len; i++) {
    fst_text_puts(out, i ? ",\n        " : "\n        ");
    fst_config_quote(out, config->custom_ops.data[i]);
  }
  fst_text_puts(out, config->custom_ops.len ? "\n    ],\n" : "],\n");
  specs_print("input_spec", &config->inputs, out);
  devices_print(&config->inputs, out);
  fst_text_puts(out, "    \"name\": ");
  fst_config_quote(out, config->name);
  fst_text_puts(out, ",\n");
  specs_print("output_spec", &config->outputs, out);
  fst_text_puts(out, "    \"platform\": ");
  fst_config_quote(out, config->platform);
  fst_text_puts(out, ",\n    \"platform_version_semver\": ");
  fst_config_quote(out, config->version_range);
  fst_text_puts(out, "\n}");
}
