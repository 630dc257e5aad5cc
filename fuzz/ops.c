/* ops.c - the bytes of a fuzz input and their text form (ops.h). */
#define _POSIX_C_SOURCE 200809L /* strtok_r */
#include "fuzz/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LINE_BYTES = 100 }; /* of a text; each may take four characters */

void kiln_fuzz_open(kiln_fuzz_input_t *input, const uint8_t *data, size_t size)
{
    if (size > KILN_FUZZ_INPUT_BYTES_MAX) size = KILN_FUZZ_INPUT_BYTES_MAX;
    size_t head = size < KILN_FUZZ_CONFIG_BYTES ? size : KILN_FUZZ_CONFIG_BYTES;
    memset(input->config, 0, sizeof input->config);
    if (head) memcpy(input->config, data, head); /* `data` may be NULL when `size` is 0 */
    input->data = head ? data + head : NULL;
    input->size = size - head;
    input->at = 0;
}

static kiln_fuzz_record_t record_of(const uint8_t *bytes)
{
    return (kiln_fuzz_record_t){.op = bytes[0],
                                .slot = bytes[1],
                                .size = bytes[2],
                                .how = bytes[3],
                                .arg = (uint32_t)bytes[4] | (uint32_t)bytes[5] << 8 |
                                       (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24};
}

bool kiln_fuzz_next(kiln_fuzz_input_t *input, kiln_fuzz_record_t *record)
{
    size_t left = input->size - input->at;
    if (left == 0) return false;
    uint8_t bytes[KILN_FUZZ_RECORD_BYTES] = {0};
    if (left > sizeof bytes) left = sizeof bytes;
    memcpy(bytes, input->data + input->at, left);
    input->at += left;
    *record = record_of(bytes);
    return true;
}

typedef struct kiln_fuzz_writer {
    char *text;
    size_t length, max;
} kiln_fuzz_writer_t;

__attribute__((format(printf, 2, 3))) static void put(kiln_fuzz_writer_t *w, const char *format,
                                                      ...)
{
    size_t room = w->length < w->max ? w->max - w->length : 0;
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(room ? w->text + w->length : NULL, room, format, args);
    va_end(args);
    if (wrote > 0) w->length += (size_t)wrote;
}

static void put_bytes(kiln_fuzz_writer_t *w, const char *word, const uint8_t *data, size_t size)
{
    put(w, "%s", word);
    for (size_t i = 0; i < size; i++) put(w, " %02x", data[i]);
    put(w, "\n");
}

static void put_setting(kiln_fuzz_writer_t *w, const kiln_fuzz_words_t *words, unsigned idx,
                        uint8_t value)
{
    if (words->config[idx])
        put(w, "set %s %u", words->config[idx], value);
    else
        put(w, "set byte%u %u", idx, value);
}

static void put_record(kiln_fuzz_writer_t *w, const kiln_fuzz_words_t *words, const uint8_t *bytes)
{
    kiln_fuzz_record_t record = record_of(bytes);
    put(w, "%s", words->ops[record.op % words->op_count]);
    if (record.op >= words->op_count) put(w, "+%u", record.op / words->op_count);
    if (record.slot) put(w, " slot=%u", record.slot);
    if (record.size) put(w, " size=%u", record.size);
    if (record.how) put(w, " how=%u", record.how);
    if (record.arg) put(w, " arg=0x%x", record.arg);
}

static void put_text(kiln_fuzz_writer_t *w, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool plain = data[i] > ' ' && data[i] < 0x7f && data[i] != '#' && data[i] != '\\';
        if (i % TEXT_LINE_BYTES == 0) put(w, i == 0 ? "text " : "\ntext ");
        put(w, plain ? "%c" : "\\x%02x", data[i]);
    }
    if (size > 0) put(w, "\n");
}

size_t kiln_fuzz_text_of(const kiln_fuzz_words_t *words, const uint8_t *data, size_t size,
                         char *text, size_t text_max)
{
    kiln_fuzz_writer_t w = {text, 0, text_max};
    if (text_max) text[0] = 0;
    if (size < KILN_FUZZ_CONFIG_BYTES) {
        put_bytes(&w, "short", data, size);
        return w.length;
    }
    for (unsigned i = 0; i < KILN_FUZZ_CONFIG_BYTES; i++) {
        if (data[i] == 0) continue;
        put_setting(&w, words, i, data[i]);
        put(&w, "\n");
    }
    size_t at = KILN_FUZZ_CONFIG_BYTES;
    if (words->op_count == 0) {
        put_text(&w, data + at, size - at);
        return w.length;
    }
    for (; size - at >= KILN_FUZZ_RECORD_BYTES; at += KILN_FUZZ_RECORD_BYTES) {
        put_record(&w, words, data + at);
        put(&w, "\n");
    }
    if (at < size) put_bytes(&w, "bytes", data + at, size - at);
    return w.length;
}

static void put_numbers(kiln_fuzz_writer_t *w, const uint8_t *data, size_t size)
{
    put(w, "   ");
    for (size_t i = 0; i < size; i++) put(w, " 0x%02x,", data[i]);
}

/* The settings that are not 0, by their places; the last place decides the length where no more
 * follows. */
static void put_c_settings(kiln_fuzz_writer_t *w, const kiln_fuzz_words_t *words,
                           const uint8_t *data, bool more)
{
    for (unsigned i = 0; i < KILN_FUZZ_CONFIG_BYTES; i++) {
        bool last = !more && i == KILN_FUZZ_CONFIG_BYTES - 1;
        if (data[i] == 0 && !last) continue;
        put(w, "    [%u] = %u, /* ", i, data[i]);
        put_setting(w, words, i, data[i]);
        put(w, " */\n");
    }
    if (more) put(w, "    [%d] =\n", KILN_FUZZ_CONFIG_BYTES);
}

size_t kiln_fuzz_c_of(const kiln_fuzz_words_t *words, const char *name, const uint8_t *data,
                      size_t size, char *text, size_t text_max)
{
    kiln_fuzz_writer_t w = {text, 0, text_max};
    bool configured = size >= KILN_FUZZ_CONFIG_BYTES;
    size_t at = configured ? KILN_FUZZ_CONFIG_BYTES : 0;
    if (text_max) text[0] = 0;
    put(&w, "/* An input of the fuzz target %s. */\nenum { %s_bytes = %zu };\n", words->target,
        name, size);
    put(&w, "static const uint8_t %s[] = {\n", name);
    if (configured) put_c_settings(&w, words, data, at < size);
    if (size == 0) put(&w, "    0, /* C has no array without an element */\n");
    while (at < size) {
        size_t left = size - at;
        if (left > KILN_FUZZ_RECORD_BYTES) left = KILN_FUZZ_RECORD_BYTES;
        put_numbers(&w, data + at, left);
        if (configured && words->op_count != 0 && left == KILN_FUZZ_RECORD_BYTES) {
            put(&w, " /* ");
            put_record(&w, words, data + at);
            put(&w, " */");
        }
        put(&w, "\n");
        at += left;
    }
    put(&w, "};\n");
    return w.length;
}

typedef struct kiln_fuzz_reader {
    const kiln_fuzz_words_t *words;
    uint8_t *data;
    size_t size, max;
    bool records; /* a record, or text, was read: no setting may follow */
    bool ended;   /* `bytes` or `short` was read: nothing may follow */
} kiln_fuzz_reader_t;

/* number reads a C literal that is the whole word and at most `max`. */
static bool number(const char *word, uint64_t max, uint64_t *out)
{
    char *end;
    if (*word < '0' || *word > '9') return false;
    unsigned long long value = strtoull(word, &end, 0);
    if (*end != 0 || value > max) return false;
    *out = value;
    return true;
}

static const char *read_set(kiln_fuzz_reader_t *r, const char *name, const char *value)
{
    uint64_t byte, at = KILN_FUZZ_CONFIG_BYTES;
    if (!name || !value || !number(value, 255, &byte)) return "want: set NAME 0..255";
    if (r->records) return "a setting after the first operation";
    if (strncmp(name, "byte", 4) == 0 && number(name + 4, KILN_FUZZ_CONFIG_BYTES - 1, &at)) {
        r->data[at] = (uint8_t)byte;
        return NULL;
    }
    for (at = 0; at < KILN_FUZZ_CONFIG_BYTES; at++) {
        if (!r->words->config[at] || strcmp(r->words->config[at], name) != 0) continue;
        r->data[at] = (uint8_t)byte;
        return NULL;
    }
    return "no such setting";
}

static const char *read_bytes(kiln_fuzz_reader_t *r, size_t count_max, char **rest)
{
    const char *word;
    uint64_t byte;
    char literal[8];
    for (size_t i = 0; (word = strtok_r(NULL, " \t", rest)) != NULL; i++) {
        snprintf(literal, sizeof literal, "0x%.4s", word);
        if (strlen(word) != 2 || !number(literal, 255, &byte)) return "want two hex digits a byte";
        if (i == count_max) return "too many bytes for this line";
        if (r->size == r->max) return "the input is too long";
        r->data[r->size++] = (uint8_t)byte;
    }
    r->ended = true;
    return NULL;
}

static const char *read_text(kiln_fuzz_reader_t *r, const char *word)
{
    if (!word) return "want: text BYTES, without a blank";
    for (; *word; word++) {
        uint64_t byte = (unsigned char)*word;
        if (*word == '\\') {
            char literal[8];
            snprintf(literal, sizeof literal, "0x%.2s", word[1] == 'x' ? word + 2 : "");
            if (strlen(literal) != 4 || !number(literal, 255, &byte))
                return "want \\xNN after a \\";
            word += 3;
        }
        if (r->size == r->max) return "the input is too long";
        r->data[r->size++] = (uint8_t)byte;
    }
    r->records = true;
    return NULL;
}

static const char *read_field(uint8_t *bytes, char *word)
{
    static const char *const names[] = {"slot", "size", "how"};
    char *value = strchr(word, '=');
    uint64_t n;
    if (!value) return "want NAME=VALUE after the operation";
    *value++ = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(word, names[i]) != 0) continue;
        if (!number(value, 255, &n)) return "slot, size and how are 0..255";
        bytes[1 + i] = (uint8_t)n;
        return NULL;
    }
    if (strcmp(word, "arg") != 0) return "no such field: slot, size, how, arg";
    if (!number(value, UINT32_MAX, &n)) return "arg is 32 bits";
    for (unsigned i = 0; i < 4; i++) bytes[4 + i] = (uint8_t)(n >> (8 * i));
    return NULL;
}

static const char *read_record(kiln_fuzz_reader_t *r, char *word, char **rest)
{
    uint8_t bytes[KILN_FUZZ_RECORD_BYTES] = {0};
    const kiln_fuzz_words_t *words = r->words;
    char *plus = strchr(word, '+');
    uint64_t turns = 0;
    unsigned op = 0;
    if (plus) *plus++ = 0;
    if (plus && !number(plus, 255, &turns)) return "want OPERATION+TURNS";
    while (op < words->op_count && strcmp(words->ops[op], word) != 0) op++;
    if (op == words->op_count) return "no such operation";
    if (op + turns * words->op_count > 255) return "too many turns";
    bytes[0] = (uint8_t)(op + turns * words->op_count);
    while ((word = strtok_r(NULL, " \t", rest)) != NULL) {
        const char *wrong = read_field(bytes, word);
        if (wrong) return wrong;
    }
    if (r->max - r->size < sizeof bytes) return "the input is too long";
    memcpy(r->data + r->size, bytes, sizeof bytes);
    r->size += sizeof bytes;
    r->records = true;
    return NULL;
}

static const char *read_line(kiln_fuzz_reader_t *r, char *line)
{
    char *rest = NULL;
    line[strcspn(line, "#\r")] = 0;
    char *word = strtok_r(line, " \t", &rest);
    if (!word) return NULL;
    if (r->ended) return "nothing may follow bytes or short";
    if (strcmp(word, "bytes") == 0) return read_bytes(r, KILN_FUZZ_RECORD_BYTES - 1, &rest);
    if (strcmp(word, "short") == 0) {
        if (r->records) return "short stands alone";
        r->size = 0;
        return read_bytes(r, KILN_FUZZ_CONFIG_BYTES - 1, &rest);
    }
    if (r->words->op_count == 0 && strcmp(word, "text") == 0)
        return read_text(r, strtok_r(NULL, " \t", &rest));
    if (strcmp(word, "set") != 0) return read_record(r, word, &rest);
    const char *name = strtok_r(NULL, " \t", &rest);
    const char *value = strtok_r(NULL, " \t", &rest);
    return read_set(r, name, value);
}

const char *kiln_fuzz_bytes_of(const kiln_fuzz_words_t *words, const char *text, uint8_t *data,
                               size_t data_max, size_t *out_size, unsigned *out_line)
{
    kiln_fuzz_reader_t r = {words, data, KILN_FUZZ_CONFIG_BYTES, data_max, false, false};
    char line[512];
    if (data_max < KILN_FUZZ_CONFIG_BYTES) return "no room for the configuration";
    memset(data, 0, KILN_FUZZ_CONFIG_BYTES);
    *out_size = 0;
    for (*out_line = 1; *text; ++*out_line) {
        size_t length = strcspn(text, "\n");
        if (length >= sizeof line) return "the line is too long";
        memcpy(line, text, length);
        line[length] = 0;
        const char *wrong = read_line(&r, line);
        if (wrong) return wrong;
        text += length + (text[length] == '\n');
    }
    *out_size = r.size;
    return NULL;
}
