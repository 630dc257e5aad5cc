/* Every operator new and delete of C++17 on Kiln, and what happens when memory runs out. */
#include "tests/kiln_test.h"

#include <malloc.h>
#include <map>
#include <new>
#include <stdexcept>
#include <stdint.h>
#include <stdlib.h>
#include <string>
#include <thread>
#include <vector>

/* Volatile: what cannot be foreseen is not folded away. */
static volatile size_t too_big = (size_t)PTRDIFF_MAX + 1;
static volatile size_t many = 1000;
static void *volatile kept;
static const std::align_val_t page_aligned = std::align_val_t(4096);

/* That malloc_usable_size knows the block shows whose it is. */
static void expect_ours(void *block, size_t align, size_t bytes)
{
    EXPECT(block != nullptr);
    EXPECT_EQ((uintptr_t)block % align, 0);
    EXPECT(malloc_usable_size(block) >= bytes);
    memset(block, 0x11, bytes);
}

static void test_every_form_allocates_and_frees(void)
{
    for (size_t bytes : {(size_t)0, (size_t)1, (size_t)24, (size_t)1000, (size_t)100000}) {
        void *block = ::operator new(bytes);
        expect_ours(block, 16, bytes);
        ::operator delete(block);
        ::operator delete(::operator new(bytes), bytes);
        ::operator delete(::operator new(bytes, std::nothrow), std::nothrow);
        block = ::operator new[](bytes);
        expect_ours(block, 16, bytes);
        ::operator delete[](block);
        ::operator delete[](::operator new[](bytes), bytes);
        ::operator delete[](::operator new[](bytes, std::nothrow), std::nothrow);

        block = ::operator new(bytes, page_aligned);
        expect_ours(block, 4096, bytes);
        ::operator delete(block, page_aligned);
        ::operator delete(::operator new(bytes, page_aligned), bytes, page_aligned);
        ::operator delete(::operator new(bytes, page_aligned, std::nothrow), page_aligned,
                          std::nothrow);
        block = ::operator new[](bytes, page_aligned);
        expect_ours(block, 4096, bytes);
        ::operator delete[](block, page_aligned);
        ::operator delete[](::operator new[](bytes, page_aligned), bytes, page_aligned);
        ::operator delete[](::operator new[](bytes, page_aligned, std::nothrow), page_aligned,
                            std::nothrow);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, (size_t)8);
    ::operator delete(nullptr, page_aligned);
}

template <typename F> static bool throws_bad_alloc(F &&call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void test_throwing_forms_throw_bad_alloc(void)
{
    EXPECT(throws_bad_alloc([] { kept = ::operator new(too_big); }));
    EXPECT(throws_bad_alloc([] { kept = ::operator new[](too_big); }));
    EXPECT(throws_bad_alloc([] { kept = ::operator new(too_big, page_aligned); }));
    EXPECT(throws_bad_alloc([] { kept = ::operator new[](too_big, page_aligned); }));
    if (sizeof(void *) == 8) /* 2^31 bytes can be had */
        EXPECT(throws_bad_alloc([] { kept = std::vector<char>(too_big - 1).data(); }));
    EXPECT(!throws_bad_alloc([] { kept = std::vector<char>(many).data(); }));
}

static void test_nothrow_forms_give_null(void)
{
    EXPECT(::operator new(too_big, std::nothrow) == nullptr);
    EXPECT(::operator new[](too_big, std::nothrow) == nullptr);
    EXPECT(::operator new(too_big, page_aligned, std::nothrow) == nullptr);
    EXPECT(::operator new[](too_big, page_aligned, std::nothrow) == nullptr);
}

static volatile int handler_calls;

static void throw_at_the_third_call(void)
{
    if (++handler_calls == 3) throw std::bad_alloc();
}

static void make_the_request_small(void)
{
    handler_calls = handler_calls + 1;
    std::set_new_handler(nullptr);
}

static void throw_something_else(void)
{
    throw std::runtime_error("from the handler");
}

static void test_the_new_handler_is_asked_until_it_throws(void)
{
    std::set_new_handler(throw_at_the_third_call);
    handler_calls = 0;
    bool thrown = throws_bad_alloc([] { kept = ::operator new(too_big); });
    int calls = handler_calls;
    handler_calls = 0;
    bool thrown_aligned = throws_bad_alloc([] { kept = ::operator new(too_big, page_aligned); });
    int calls_aligned = handler_calls;
    std::set_new_handler(nullptr);
    EXPECT(thrown && thrown_aligned);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(calls_aligned, 3);
}

static void test_nothrow_new_asks_the_handler_and_catches(void)
{
    int calls[4];
    void *blocks[4];
    std::set_new_handler(throw_at_the_third_call);
    handler_calls = 0;
    blocks[0] = ::operator new(too_big, std::nothrow);
    calls[0] = handler_calls;
    handler_calls = 0;
    blocks[1] = ::operator new[](too_big, std::nothrow);
    calls[1] = handler_calls;
    handler_calls = 0;
    blocks[2] = ::operator new(too_big, page_aligned, std::nothrow);
    calls[2] = handler_calls;
    handler_calls = 0;
    blocks[3] = ::operator new[](too_big, page_aligned, std::nothrow);
    calls[3] = handler_calls;
    std::set_new_handler(nullptr);
    for (int i = 0; i < 4; i++) {
        EXPECT(blocks[i] == nullptr);
        EXPECT_EQ(calls[i], 3);
    }
}

static void test_a_handler_may_take_itself_away(void)
{
    std::set_new_handler(make_the_request_small);
    handler_calls = 0;
    EXPECT(throws_bad_alloc([] { kept = ::operator new(too_big); }));
    EXPECT_EQ(handler_calls, 1);
}

static void test_other_exceptions_of_a_handler_pass_through(void)
{
    std::string seen;
    std::set_new_handler(throw_something_else);
    try {
        kept = ::operator new(too_big);
    } catch (const std::runtime_error &error) {
        seen = error.what();
    }
    std::set_new_handler(nullptr);
    EXPECT_STR(seen.c_str(), "from the handler");
}

struct alignas(128) Wide {
    char bytes[300];
};

static void test_containers_and_threads(void)
{
    auto work = [] {
        std::map<std::string, std::vector<Wide>> map;
        for (size_t i = 0; i < many; i++) map[std::to_string(i)].resize(1 + i % 7);
        for (auto &entry : map)
            for (auto &wide : entry.second)
                if ((uintptr_t)&wide % 128 != 0) abort();
        Wide *array = new Wide[many];
        delete[] array;
        return map.size();
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back(work);
    for (auto &thread : threads) thread.join();
    EXPECT_EQ(work(), many);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_form_allocates_and_frees),
        KILN_TEST(test_throwing_forms_throw_bad_alloc),
        KILN_TEST(test_nothrow_forms_give_null),
        KILN_TEST(test_the_new_handler_is_asked_until_it_throws),
        KILN_TEST(test_nothrow_new_asks_the_handler_and_catches),
        KILN_TEST(test_a_handler_may_take_itself_away),
        KILN_TEST(test_other_exceptions_of_a_handler_pass_through),
        KILN_TEST(test_containers_and_threads),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
