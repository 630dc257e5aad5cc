/* report_code.c - tables as compilers write them, and what stands in for the linker and a
 * symbolizer (report_code.h). */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "fuzz/report_code.h"

#include "allocator/api/module.h"
#include "allocator/api/symbolizer.h"
#include "allocator/base/check.h"
#include "fuzz/target.h"

#include <string.h>
#include <sys/mman.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define NOT_OURS(start, bytes) __asan_poison_memory_region(start, bytes)
#define OURS(start, bytes) __asan_unpoison_memory_region(start, bytes)
#endif
#endif
#ifndef OURS
#define NOT_OURS(start, bytes) ((void)0)
#define OURS(start, bytes) ((void)0)
#endif

/* Beside the window of report_heap.c. */
#define MEMORY_HINT ((uintptr_t)(sizeof(void *) == 8 ? UINT64_C(0x530000000000) : 0x68000000))

enum {
    CODE_BYTES = KILN_CODE_FUNCTIONS * KILN_CODE_FUNCTION_BYTES,
    TABLES_BYTES_MAX = 512,
    PAGE_BYTES = 4096,
    WORD_BYTES = sizeof(uintptr_t),
    POINTER = 0x1b, /* four bytes, signed, from where they stand */
};

kiln_code_t kiln_code;

/* --- tables: the DWARF standard's "Call Frame Information" ------------------------------------ */

static unsigned char image[CODE_BYTES + TABLES_BYTES_MAX];
static size_t image_end;

static void put1(unsigned byte)
{
    KILN_CHECK(image_end < sizeof image);
    image[image_end++] = (unsigned char)byte;
}

static void put4(uint32_t number)
{
    for (unsigned i = 0; i < 4; i++) put1(number >> 8 * i & 255);
}

static void put_all(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) put1(bytes[i]);
}

static size_t begin_record(void)
{
    put4(0);
    return image_end;
}

static void end_record(size_t start)
{
    uint32_t bytes;
    while ((image_end - start) % 4 != 0) put1(0);
    bytes = (uint32_t)(image_end - start);
    for (unsigned i = 0; i < 4; i++) image[start - 4 + i] = (unsigned char)(bytes >> 8 * i);
}

/* What is common to functions; it gives where that is. */
static size_t put_common(const char *augmentation)
{
    size_t start = begin_record();
    put4(0);
    put1(1);
    put_all((const unsigned char *)augmentation, strlen(augmentation) + 1);
    put1(1);                 /* the unit of code */
    put1(0x80 - WORD_BYTES); /* of data: minus a word */
    put1(KILN_UNWIND_PC);    /* the return address */
    put1(1);                 /* bytes of augmentation: */
    put1(POINTER);
    put1(0x0c), put1(KILN_UNWIND_SP), put1(WORD_BYTES); /* the frame is at sp + a word */
    put1(0x80 + KILN_UNWIND_PC), put1(1);               /* the return address a word below */
    end_record(start);
    return start - 4;
}

static size_t put_function(size_t common, unsigned function, const unsigned char *rules,
                           size_t count)
{
    size_t start = begin_record();
    put4((uint32_t)(image_end - common));
    put4((uint32_t)(function * KILN_CODE_FUNCTION_BYTES - image_end));
    put4(KILN_CODE_FUNCTION_BYTES);
    put1(0);
    kiln_code.rules_at[function] = image_end;
    put_all(rules, count);
    end_record(start);
    return start - 4;
}

/* A function that pushes its frame pointer; one whose frame's address is computed, as for lazy
 * binding; a signal's; one with the other rules. */
static void put_tables(size_t tables[KILN_CODE_FUNCTIONS])
{
    enum { W = WORD_BYTES, SP = KILN_UNWIND_SP, BP = KILN_UNWIND_BP, PC = KILN_UNWIND_PC };
    static const unsigned char pushes[] = {0x41, 0x0e, 2 * W, 0x80 + BP, 2, 0x43,      0x0d, BP,
                                           0x0a, 0x48, 0x0c,  SP,        W, 0xc0 + BP, 0x0b};
    static const unsigned char computes[] = {0x0e, 2 * W,     0x41, 0x0f, 11,   0x70 + SP,
                                             W,    0x70 + PC, 0,    0x3f, 0x1a, 0x3b,
                                             0x2a, 0x33,      0x24, 0x22};
    static const unsigned char signals[] = {0x0f, 2, 0x70 + SP, 0,  0x10, PC,   2,
                                            0x23, W, 0x16,      SP, 2,    0x23, 2 * W};
    static const unsigned char others[] = {
        0x12, SP,   0x7e, 0x14, 3,    1,    0x15, 2,    0x7f, 0x09, 1,    BP, 0x08, 0,    0x11, PC,
        1,    0x16, BP,   1,    0x06, 0x06, 3,    0x07, 3,    0x2e, 0x10, 2,  1,    0x05, 3,    1};
    size_t common = put_common("zR"), signal = put_common("zRS");
    tables[0] = put_function(common, 0, pushes, sizeof pushes);
    tables[1] = put_function(common, 1, computes, sizeof computes);
    tables[2] = put_function(signal, 2, signals, sizeof signals);
    tables[3] = put_function(common, 3, others, sizeof others);
}

/* The table of tables: pairs of a function and its table, from the header on. */
static void put_header(const size_t tables[KILN_CODE_FUNCTIONS], size_t first_table)
{
    size_t header = image_end;
    put1(1), put1(POINTER), put1(0x03), put1(0x3b);
    put4((uint32_t)(first_table - image_end));
    put4(KILN_CODE_FUNCTIONS);
    for (unsigned i = 0; i < KILN_CODE_FUNCTIONS; i++) {
        put4((uint32_t)(i * KILN_CODE_FUNCTION_BYTES - header));
        put4((uint32_t)(tables[i] - header));
    }
}

/* --- begin and end ---------------------------------------------------------------------------- */

/* The last bytes of one of two pages; behind each, and before the first, is one that faults. */
static void *memory_of(unsigned number, size_t bytes)
{
    static char *pages;
    if (!pages) {
        pages = mmap((void *)MEMORY_HINT, (size_t)5 * PAGE_BYTES, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        KILN_CHECK(pages != MAP_FAILED);
    }
    char *page = pages + (size_t)(1 + 2 * number) * PAGE_BYTES;
    KILN_CHECK(mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
    NOT_OURS(page, PAGE_BYTES - bytes);
    OURS(page + PAGE_BYTES - bytes, bytes);
    return page + PAGE_BYTES - bytes;
}

static void begin_stack(void)
{
    uintptr_t code = (uintptr_t)kiln_code.bytes, *stack = kiln_code.stack;
    for (unsigned i = 0; i < KILN_CODE_STACK_WORDS; i += 2) {
        unsigned next = i + 4 < KILN_CODE_STACK_WORDS ? i + 4 : 0;
        stack[i] = (uintptr_t)&stack[next];
        stack[i + 1] = i % 5 == 0 ? KILN_CODE_PLAIN_START + i : code + (i * 7 + 5) % CODE_BYTES;
    }
    memset(&kiln_code.frame, 0, sizeof kiln_code.frame);
    kiln_code.frame.registers[KILN_UNWIND_SP] = (uintptr_t)&stack[2];
    kiln_code.frame.registers[KILN_UNWIND_BP] = (uintptr_t)&stack[6];
    kiln_code.frame.registers[KILN_UNWIND_PC] = code + 5;
    kiln_code.frame.exact = true;
}

void kiln_code_begin(size_t cut_bytes, ptrdiff_t header_moved, unsigned symbols)
{
    size_t tables[KILN_CODE_FUNCTIONS];
    memset(image, 0x90, CODE_BYTES);
    image_end = CODE_BYTES;
    put_tables(tables);
    kiln_code.header_at = (ptrdiff_t)image_end + header_moved;
    put_header(tables, CODE_BYTES);
    kiln_code.count = image_end - (cut_bytes < image_end ? cut_bytes : image_end - 1);
    kiln_code.bytes = memory_of(0, kiln_code.count);
    kiln_code.stack = memory_of(1, KILN_CODE_STACK_WORDS * sizeof *kiln_code.stack);
    memcpy(kiln_code.bytes, image, kiln_code.count);
    begin_stack();
    for (unsigned i = 0; i < KILN_CODE_NAMES; i++) memset(kiln_code.names[i], 0, 4);
    memcpy(kiln_code.names[KILN_CODE_PATH], "/lib/x", sizeof "/lib/x");
    memcpy(kiln_code.names[KILN_CODE_FUNCTION], "main", sizeof "main");
    memcpy(kiln_code.names[KILN_CODE_FILE], "main.c", sizeof "main.c");
    kiln_code.symbols = symbols;
}

void kiln_code_put(size_t at, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count && at + i < kiln_code.count; i++)
        kiln_code.bytes[at + i] = bytes[i];
}

void kiln_code_spell(kiln_code_name_t name, size_t at, const unsigned char bytes[4], unsigned times)
{
    char *text = kiln_code.names[name];
    size_t end = strlen(text);
    for (size_t i = 0; i < 4 * (size_t)times && at + i < KILN_CODE_NAME_BYTES - 1; i++) {
        while (end < at + i) text[end++] = '.';
        text[at + i] = (char)bytes[i % 4];
        if (end == at + i) text[++end] = '\0';
    }
}

/* --- the linker and the symbolizer ------------------------------------------------------------ */

static bool is_code(uintptr_t address)
{
    return address - (uintptr_t)kiln_code.bytes < kiln_code.count;
}

bool kiln_module_has(uintptr_t address)
{
    return is_code(address) || address - KILN_CODE_PLAIN_START < KILN_CODE_PLAIN_BYTES;
}

bool kiln_module_find(uintptr_t address, kiln_module_t *out)
{
    uintptr_t code = (uintptr_t)kiln_code.bytes;
    if (!kiln_module_has(address)) return false;
    out->path[0] = '\0';
    out->start = out->bias = is_code(address) ? code : KILN_CODE_PLAIN_START;
    out->end = out->start + (is_code(address) ? kiln_code.count : KILN_CODE_PLAIN_BYTES);
    uintptr_t header = code + (uintptr_t)kiln_code.header_at;
    out->frame_header = is_code(address) ? (const unsigned char *)header : NULL;
    return true;
}

bool kiln_module_find_named(uintptr_t address, kiln_module_t *out)
{
    if (!kiln_module_find(address, out)) return false;
    const char *path = kiln_code.names[out->frame_header ? KILN_CODE_PATH : KILN_CODE_PLAIN_PATH];
    size_t bytes = strlen(path), most = sizeof out->path - 1;
    memcpy(out->path, path, bytes < most ? bytes : most);
    out->path[bytes < most ? bytes : most] = '\0';
    return true;
}

static unsigned answers_left;
static uintptr_t asked_for;

void kiln_symbolizer_ask(const char *module, uintptr_t offset)
{
    answers_left = module[0] == '\0' ? 0 : kiln_code.symbols;
    asked_for = offset;
}

bool kiln_symbolizer_next(kiln_symbol_t *out)
{
    static const size_t function_most = sizeof out->function - 1, file_most = sizeof out->file - 1;
    if (answers_left == 0) return false;
    answers_left--;
    memcpy(out->function, kiln_code.names[KILN_CODE_FUNCTION], function_most);
    memcpy(out->file, kiln_code.names[KILN_CODE_FILE], file_most);
    out->function[function_most] = out->file[file_most] = '\0';
    out->line = asked_for % 5;
    out->column = asked_for % 3;
    return true;
}

/* --- walks ------------------------------------------------------------------------------------ */

void kiln_code_walk(bool as_report, bool may_ask, uintptr_t caller, kiln_stack_t *out)
{
    kiln_unwind_t frame = kiln_code.frame, before;
    uintptr_t start = (uintptr_t)kiln_code.stack;
    kiln_readable_t known = {start, start + KILN_CODE_STACK_WORDS * sizeof(uintptr_t), may_ask};
    if (as_report) {
        kiln_stack_walk(&frame, caller, out);
        KILN_FUZZ_LAW("a stack has a frame, and no more than there is room for",
                      out->count >= 1 && out->count <= KILN_STACK_FRAMES_MAX);
        return;
    }
    memset(out, 0, sizeof *out);
    out->exact = frame.exact;
    out->sp = frame.registers[KILN_UNWIND_SP];
    out->bp = frame.registers[KILN_UNWIND_BP];
    do {
        out->pcs[out->count++] = frame.registers[KILN_UNWIND_PC];
        before = frame;
    } while (out->count < KILN_STACK_FRAMES_MAX && kiln_unwind_step(&frame, &known));
    if (out->count == KILN_STACK_FRAMES_MAX) return;
    KILN_FUZZ_LAW("where no step can be made the frame stays as it was",
                  memcmp(before.registers, frame.registers, sizeof frame.registers) == 0 &&
                      before.exact == frame.exact);
}
