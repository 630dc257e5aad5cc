/* The malloc family on Kiln: what every function answers, and what it does to errno. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "tests/kiln_test.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>

enum { ERRNO_BEFORE = 4321 };

/* The compiler must not know what these are: it would fold calls whose answer it foresees. */
static void *(*volatile malloc_)(size_t) = malloc;
static void (*volatile free_)(void *) = free;
static void *(*volatile calloc_)(size_t, size_t) = calloc;
static void *(*volatile realloc_)(void *, size_t) = realloc;
static void *(*volatile reallocarray_)(void *, size_t, size_t) = reallocarray;
static void *(*volatile aligned_alloc_)(size_t, size_t) = aligned_alloc;
static void *(*volatile memalign_)(size_t, size_t) = memalign;
static int (*volatile posix_memalign_)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile valloc_)(size_t) = valloc;
static void *(*volatile pvalloc_)(size_t) = pvalloc;

static const size_t too_big[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX - 8192, SIZE_MAX - 15, SIZE_MAX};
static const size_t sizes[] = {0,    1,    15,    16,    17,     100,     128,    1000,
                               4096, 8192, 32767, 32768, 100000, 1000000, 5000000};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define EXPECT_ERRNO(value) EXPECT_EQ(errno, value)

static void expect_bytes(const unsigned char *block, size_t bytes, unsigned char value)
{
    for (size_t i = 0; i < bytes; i++) EXPECT_EQ(block[i], value);
}

static void expect_block(void *block, size_t align, size_t bytes)
{
    EXPECT(block != NULL);
    EXPECT_EQ((uintptr_t)block % align, 0);
    EXPECT(malloc_usable_size(block) >= bytes); /* a hardened heap: exactly */
    memset(block, 0xa5, malloc_usable_size(block));
}

static void test_this_is_kiln(void)
{
    EXPECT(kiln_version()[0] >= '0' && kiln_version()[0] <= '9');
}

static void test_malloc_aligns_to_16_and_gives_what_was_asked(void)
{
    void *blocks[COUNT(sizes)];
    errno = ERRNO_BEFORE;
    for (size_t i = 0; i < COUNT(sizes); i++)
        expect_block(blocks[i] = malloc_(sizes[i]), 16, sizes[i]);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        expect_bytes(blocks[i], sizes[i], 0xa5);
        free_(blocks[i]);
    }
    EXPECT_ERRNO(ERRNO_BEFORE);
}

static void test_size_zero_gives_different_blocks(void)
{
    void *one = malloc_(0), *other = malloc_(0), *third = calloc_(0, 8), *fourth = calloc_(8, 0);
    EXPECT(one && other && third && fourth);
    EXPECT(one != other && one != third && other != third && third != fourth);
    free_(one);
    free_(other);
    free_(third);
    free_(fourth);
}

static void test_too_big_is_enomem(void)
{
    void *block = malloc_(100);
    memset(block, 7, 100);
    for (size_t i = 0; i < COUNT(too_big); i++) {
        size_t bytes = too_big[i];
        errno = 0;
        EXPECT(malloc_(bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(calloc_(1, bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(realloc_(NULL, bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(realloc_(block, bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(aligned_alloc_(64, bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(memalign_(8192, bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(valloc_(bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
        errno = 0;
        EXPECT(pvalloc_(bytes) == NULL);
        EXPECT_ERRNO(ENOMEM);
    }
    expect_bytes(block, 100, 7);
    free_(block);
}

static bool is_plain(void)
{
    const char *options = getenv("KILN_OPTIONS");
    return options && strstr(options, "profile=fast");
}

static void test_calloc_zeroes_used_memory_and_checks_the_product(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *dirty = malloc_(sizes[i]);
        memset(dirty, 0xff, sizes[i]);
        free_(dirty);
        unsigned char *block = calloc_(sizes[i], 1);
        EXPECT(block != NULL);
        expect_bytes(block, sizes[i], 0);
        free_(block);
    }
    for (size_t bytes = 0; bytes <= 600; bytes++) { /* to the byte, between two others */
        unsigned char *blocks[3];
        for (unsigned i = 0; i < 3; i++) {
            blocks[i] = malloc_(bytes);
            memset(blocks[i], 0xff, malloc_usable_size(blocks[i]));
        }
        size_t has = malloc_usable_size(blocks[1]);
        free_(blocks[1]);
        unsigned char *again = calloc_(bytes, 1);
        if (is_plain()) EXPECT(again == blocks[1]); /* a hardened heap gives another */
        blocks[1] = again;
        expect_bytes(blocks[1], bytes, 0);
        expect_bytes(blocks[0], has, 0xff);
        expect_bytes(blocks[2], has, 0xff);
        for (unsigned i = 0; i < 3; i++) free_(blocks[i]);
    }
    errno = 0;
    EXPECT(calloc_(SIZE_MAX / 2, 3) == NULL);
    EXPECT_ERRNO(ENOMEM);
    errno = 0;
    EXPECT(calloc_((size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4)) == NULL);
    EXPECT_ERRNO(ENOMEM);
}

static void test_realloc_keeps_what_fits(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(sizes); j++) {
            if (sizes[j] == 0) continue;
            unsigned char *block = malloc_(sizes[i]);
            memset(block, 0x3c, sizes[i]);
            block = realloc_(block, sizes[j]);
            EXPECT(block && (uintptr_t)block % 16 == 0);
            EXPECT(malloc_usable_size(block) >= sizes[j]);
            expect_bytes(block, sizes[i] < sizes[j] ? sizes[i] : sizes[j], 0x3c);
            free_(block);
        }
    }
}

static void test_realloc_of_null_and_to_zero(void)
{
    void *block = realloc_(NULL, 50);
    expect_block(block, 16, 50);
    errno = ERRNO_BEFORE;
    EXPECT(realloc_(block, 0) == NULL);
    EXPECT_ERRNO(ERRNO_BEFORE);
    void *empty = realloc_(NULL, 0);
    expect_block(empty, 16, 0);
    EXPECT(reallocarray_(empty, 0, 12) == NULL);
}

static void test_reallocarray_overflow_leaves_the_block(void)
{
    unsigned char *block = reallocarray_(NULL, 10, 12);
    expect_block(block, 16, 120);
    errno = 0;
    EXPECT(reallocarray_(block, SIZE_MAX / 4, 5) == NULL);
    EXPECT_ERRNO(ENOMEM);
    expect_bytes(block, 120, 0xa5);
    block = reallocarray_(block, 100, 12);
    EXPECT(block != NULL);
    expect_bytes(block, 120, 0xa5);
    free_(block);
}

static void test_alignments(void)
{
    for (size_t align = 1; align <= (size_t)1 << 22; align *= 2) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *block = aligned_alloc_(align, sizes[i]), *other = memalign_(align, sizes[i]);
            expect_block(block, align, sizes[i]);
            expect_block(other, align, sizes[i]);
            EXPECT_EQ((uintptr_t)block % 16, 0);
            void *posix = NULL;
            if (align >= sizeof(void *)) {
                EXPECT_EQ(posix_memalign_(&posix, align, sizes[i]), 0);
                expect_block(posix, align, sizes[i]);
            }
            free_(block);
            free_(other);
            free_(posix);
        }
    }
}

static void test_an_alignment_that_is_no_power_of_two(void)
{
    static const size_t wrong[] = {0, 3, 24, 48, 4095, SIZE_MAX};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        errno = 0;
        EXPECT(aligned_alloc_(wrong[i], 100) == NULL);
        EXPECT_ERRNO(EINVAL);
        errno = 0;
        EXPECT(memalign_(wrong[i], 100) == NULL);
        EXPECT_ERRNO(EINVAL);
    }
}

static void test_the_largest_alignment(void)
{
    const size_t align = (size_t)1 << (sizeof(size_t) * 8 - 1);
    void *block = NULL;
    errno = 0;
    void *aligned = aligned_alloc_(align, 1);
    EXPECT_ERRNO(aligned ? 0 : ENOMEM);
    EXPECT_EQ((uintptr_t)aligned % align, 0);
    EXPECT(!aligned || sizeof(void *) == 4); /* there, 0x80000000 may be free */
    free_(aligned);
    EXPECT_EQ(posix_memalign_(&block, align, 1), block ? 0 : ENOMEM);
    EXPECT_EQ((uintptr_t)block % align, 0);
    free_(block);
}

static void test_posix_memalign_answers_without_errno(void)
{
    static const size_t wrong[] = {0, 1, 2, sizeof(void *) / 2, 24, 4095};
    void *block = &block;
    errno = ERRNO_BEFORE;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        EXPECT_EQ(posix_memalign_(&block, wrong[i], 100), EINVAL);
        EXPECT(block == &block);
    }
    for (size_t i = 0; i < COUNT(too_big); i++) {
        EXPECT_EQ(posix_memalign_(&block, 64, too_big[i]), ENOMEM);
        EXPECT(block == &block);
    }
    EXPECT_EQ(posix_memalign_(&block, 4096, 0), 0);
    expect_block(block, 4096, 0);
    free_(block);
    EXPECT_ERRNO(ERRNO_BEFORE);
}

static void test_valloc_and_pvalloc_give_pages(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *block = valloc_(10), *one_page = pvalloc_(0), *two_pages = pvalloc_(page_bytes + 1);
    expect_block(block, page_bytes, 10);
    expect_block(one_page, page_bytes, page_bytes);
    expect_block(two_pages, page_bytes, 2 * page_bytes);
    free_(block);
    free_(one_page);
    free_(two_pages);
}

static void test_free_of_null_and_errno(void)
{
    errno = ERRNO_BEFORE;
    free_(NULL);
    free_sized(NULL, 10);
    free_aligned_sized(NULL, 64, 10);
    cfree(NULL);
    EXPECT_EQ(malloc_usable_size(NULL), 0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = malloc_(sizes[i]);
        errno = ERRNO_BEFORE;
        free_(block);
        EXPECT_ERRNO(ERRNO_BEFORE);
    }
    void *large[100]; /* enough for idle memory to be given back */
    for (size_t i = 0; i < COUNT(large); i++) large[i] = malloc_(4000000);
    errno = ERRNO_BEFORE;
    for (size_t i = 0; i < COUNT(large); i++) free_(large[i]);
    EXPECT_ERRNO(ERRNO_BEFORE);
}

static void test_sized_frees_take_what_was_asked(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        free_sized(malloc_(sizes[i]), sizes[i]);
        free_sized(calloc_(1, sizes[i]), sizes[i]);
        free_sized(realloc_(malloc_(3), sizes[i] + 1), sizes[i] + 1);
        for (size_t align = 1; align <= 65536; align *= 2)
            free_aligned_sized(aligned_alloc_(align, sizes[i]), align, sizes[i]);
    }
    cfree(malloc_(10));
}

static void test_the_c_library_frees_and_grows_its_own_blocks(void)
{
    char *text = NULL;
    size_t room = 0;
    free_(strdup("a"));
    free_(strndup("abc", 2));
    free_(wcsdup(L"wide"));
    EXPECT_EQ(asprintf(&text, "%d %s", 42, "words"), 8);
    free_(text);
    FILE *stream = open_memstream(&text, &room);
    for (int i = 0; i < 100000; i++) fprintf(stream, "%d ", i);
    EXPECT_EQ(fclose(stream), 0);
    EXPECT_EQ(strlen(text), room);
    FILE *again = fmemopen(text, room, "r");
    char *word = malloc_(1); /* grown by the library */
    size_t word_room = 1;
    for (int i = 0; i < 100000; i++) {
        EXPECT(getdelim(&word, &word_room, ' ', again) > 0);
        EXPECT_EQ(atoi(word), i);
    }
    fclose(again);
    free_(word);
    free_(text);
    char *line = NULL;
    size_t line_room = 0;
    FILE *lines = fmemopen((char[]){"one\ntwo\n"}, 8, "r");
    EXPECT_EQ(getline(&line, &line_room, lines), 4);
    fclose(lines);
    EXPECT(malloc_usable_size(line) >= line_room);
    free_(line);
    char *path = realpath("/", NULL);
    EXPECT_STR(path, "/");
    free_(path);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* glibc wants mallinfo2 */
static void test_figures(void)
{
    void *small[1000], *large = malloc_(10000000);
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < COUNT(small); i++) small[i] = malloc_(1000);
    struct mallinfo2 info = mallinfo2();
    struct mallinfo narrow = mallinfo();
    EXPECT(info.uordblks >= before.uordblks + 900000);
    EXPECT_EQ(info.arena, info.uordblks + info.fordblks);
    EXPECT(info.hblks >= 1 && info.hblkhd >= 10000000);
    EXPECT_EQ((size_t)narrow.hblkhd, info.hblkhd);
    EXPECT_EQ((size_t)narrow.arena, info.arena < INT_MAX ? info.arena : INT_MAX);
    for (size_t i = 0; i < COUNT(small); i++) free_(small[i]);
    free_(large);
    malloc_trim(0); /* a hardened heap keeps it a while */
    info = mallinfo2();
    EXPECT(info.hblkhd < 10000000);
    EXPECT(info.fordblks > before.fordblks);
}
#pragma GCC diagnostic pop

static size_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file && fscanf(file, "%lu %lu", &all, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_malloc_trim_gives_memory_back(void)
{
    enum { BYTES = 40000000 };
    malloc_trim(0); /* what other tests left */
    size_t before = resident_bytes();
    void *block = malloc_(BYTES);
    memset(block, 1, BYTES);
    EXPECT(resident_bytes() >= before + BYTES);
    free_(block);
    malloc_trim(0);
    EXPECT(resident_bytes() < before + BYTES / 8);
    malloc_trim(0);               /* what reading the file left */
    EXPECT_EQ(malloc_trim(0), 0); /* nothing is left to give */

    block = malloc_(60000);
    memset(block, 1, 60000);
    free_(block); /* it stays in this thread's cache */
    EXPECT_EQ(malloc_trim(0), 1);
}

/* How many mappings the kernel was asked to give huge pages. */
static unsigned asked_huge(void)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    EXPECT(file != NULL);
    while (fgets(line, sizeof line, file))
        count += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg ") != NULL;
    fclose(file);
    return count;
}

/* A large heap of small blocks asks for huge pages; where memory goes back, no longer, or a kernel
 * makes whole ones again of those that are still in use in part. */
static void test_what_goes_back_is_asked_huge_no_more(void)
{
    enum { BLOCKS = 120000, BYTES = 1000, EVERY = 100, OWN_BYTES = 4 << 20 };
    static void *blocks[BLOCKS];
    void *own = mmap(NULL, OWN_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(own != MAP_FAILED);
    bool can = madvise(own, OWN_BYTES, MADV_HUGEPAGE) == 0;
    (void)munmap(own, OWN_BYTES);
    unsigned others = asked_huge(); /* an emulator's */
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = malloc_(BYTES);
    EXPECT(can || asked_huge() == others);
    EXPECT(!can || asked_huge() > others || sizeof(void *) < 8); /* there blocks lie anywhere */
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % EVERY != 0) free_(blocks[i]);
    malloc_trim(0);
    EXPECT_EQ(asked_huge(), others);
    for (size_t i = 0; i < BLOCKS; i += EVERY) free_(blocks[i]);
    malloc_trim(0);
}

static void test_mallopt_knows_its_parameters(void)
{
    EXPECT_EQ(mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
    EXPECT_EQ(mallopt(M_ARENA_MAX, 1), 1);
    EXPECT_EQ(mallopt(12345, 1), 0);
}

static void test_malloc_info_writes_xml(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    EXPECT_EQ(malloc_info(1, stream), EINVAL);
    EXPECT_EQ(malloc_info(0, stream), 0);
    fclose(stream);
    EXPECT(strncmp(text, "<malloc version=\"1\">\n<heap nr=\"0\">\n", 35) == 0);
    EXPECT(strstr(text, "</heap>\n<total type=\"fast\" "));
    EXPECT(strstr(text, "<system type=\"current\" size=\""));
    EXPECT_STR(text + bytes - 10, "</malloc>\n");
    free_(text);
}

extern void *libc_malloc(size_t) __asm__("__libc_malloc");
extern void *libc_realloc(void *, size_t) __asm__("__libc_realloc");
extern void *libc_calloc(size_t, size_t) __asm__("__libc_calloc");
extern void *libc_memalign(size_t, size_t) __asm__("__libc_memalign");
extern void libc_free(void *) __asm__("__libc_free");

static void test_a_wrapper_by_the_librarys_names_stays_on_kiln(void)
{
    void *block = libc_malloc(100);
    expect_block(block, 16, 100);
    block = libc_realloc(block, 300);
    expect_block(block, 16, 300);
    free_(block);
    free_(libc_calloc(3, 5));
    libc_free(malloc_(10));
    block = libc_memalign(256, 10);
    expect_block(block, 256, 10);
    libc_free(block);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_what_goes_back_is_asked_huge_no_more), /* first: then the heap grows */
        KILN_TEST(test_this_is_kiln),
        KILN_TEST(test_malloc_aligns_to_16_and_gives_what_was_asked),
        KILN_TEST(test_size_zero_gives_different_blocks),
        KILN_TEST(test_too_big_is_enomem),
        KILN_TEST(test_calloc_zeroes_used_memory_and_checks_the_product),
        KILN_TEST(test_realloc_keeps_what_fits),
        KILN_TEST(test_realloc_of_null_and_to_zero),
        KILN_TEST(test_reallocarray_overflow_leaves_the_block),
        KILN_TEST(test_alignments),
        KILN_TEST(test_an_alignment_that_is_no_power_of_two),
        KILN_TEST(test_the_largest_alignment),
        KILN_TEST(test_posix_memalign_answers_without_errno),
        KILN_TEST(test_valloc_and_pvalloc_give_pages),
        KILN_TEST(test_free_of_null_and_errno),
        KILN_TEST(test_sized_frees_take_what_was_asked),
        KILN_TEST(test_the_c_library_frees_and_grows_its_own_blocks),
        KILN_TEST(test_figures),
        KILN_TEST(test_malloc_trim_gives_memory_back),
        KILN_TEST(test_mallopt_knows_its_parameters),
        KILN_TEST(test_malloc_info_writes_xml),
        KILN_TEST(test_a_wrapper_by_the_librarys_names_stays_on_kiln),
    };
    return kiln_test_main(argc, argv, tests, COUNT(tests));
}
