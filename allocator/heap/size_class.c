#include "allocator/heap/size_class.h"

#define SLOTS(slot_bytes, pages) ((pages) * KILN_PAGE_BYTES / (slot_bytes))
#define CLASS(slot_bytes, pages, cache) {slot_bytes, SLOTS(slot_bytes, pages), pages, cache}

/* Pages: 16 KiB for slots up to 256 bytes; above, the fewest that hold eight slots (four, above
 * 4 KiB) and leave at most 2 % over. The fewer slots a span has, the sooner all of them are free
 * and its pages can serve another size: long-lived blocks of a size that is no longer common are
 * what keeps memory from being used again. */
const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES] = {
    {0, 0, 0, 0},        CLASS(16, 2, 128),   CLASS(32, 2, 128),   CLASS(48, 2, 128),
    CLASS(64, 2, 128),   CLASS(80, 2, 128),   CLASS(96, 2, 128),   CLASS(112, 2, 128),
    CLASS(128, 2, 128),  CLASS(144, 2, 128),  CLASS(160, 2, 128),  CLASS(176, 2, 128),
    CLASS(192, 2, 128),  CLASS(208, 2, 128),  CLASS(224, 2, 128),  CLASS(240, 2, 128),
    CLASS(256, 2, 128),  CLASS(288, 1, 64),   CLASS(320, 2, 64),   CLASS(352, 1, 64),
    CLASS(384, 1, 64),   CLASS(416, 2, 64),   CLASS(448, 1, 64),   CLASS(480, 1, 64),
    CLASS(512, 1, 64),   CLASS(576, 1, 56),   CLASS(640, 3, 51),   CLASS(704, 2, 46),
    CLASS(768, 2, 42),   CLASS(832, 3, 39),   CLASS(896, 1, 36),   CLASS(960, 2, 34),
    CLASS(1024, 1, 32),  CLASS(1152, 2, 28),  CLASS(1280, 3, 25),  CLASS(1408, 4, 23),
    CLASS(1536, 3, 21),  CLASS(1664, 6, 19),  CLASS(1792, 2, 18),  CLASS(1920, 4, 17),
    CLASS(2048, 2, 16),  CLASS(2304, 4, 14),  CLASS(2560, 5, 12),  CLASS(2816, 7, 11),
    CLASS(3072, 3, 10),  CLASS(3328, 7, 9),   CLASS(3584, 4, 9),   CLASS(3840, 8, 8),
    CLASS(4096, 4, 8),   CLASS(4608, 4, 7),   CLASS(5120, 5, 6),   CLASS(5632, 7, 5),
    CLASS(6144, 3, 5),   CLASS(6656, 9, 4),   CLASS(7168, 7, 4),   CLASS(7680, 15, 4),
    CLASS(8192, 4, 4),   CLASS(9216, 8, 3),   CLASS(10240, 5, 3),  CLASS(11264, 7, 2),
    CLASS(12288, 6, 2),  CLASS(13312, 13, 2), CLASS(14336, 7, 2),  CLASS(15360, 15, 2),
    CLASS(16384, 8, 2),  CLASS(18432, 9, 2),  CLASS(20480, 10, 2), CLASS(22528, 11, 2),
    CLASS(24576, 12, 2), CLASS(26624, 13, 2), CLASS(28672, 14, 2), CLASS(30720, 15, 2),
    CLASS(32768, 16, 2), CLASS(36864, 18, 2), CLASS(40960, 20, 2), CLASS(45056, 22, 2),
    CLASS(49152, 24, 2), CLASS(53248, 26, 2), CLASS(57344, 28, 2), CLASS(61440, 30, 2),
    CLASS(65536, 32, 2),
};

const uint8_t kiln_classes_of_16[KILN_TABLE_BYTES_MAX / 16 + 1] = {
    1,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, /* 256 */
    17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24,     /* 512 */
    25, 25, 25, 25, 26, 26, 26, 26, 27, 27, 27, 27, 28, 28, 28, 28,     /* 768 */
    29, 29, 29, 29, 30, 30, 30, 30, 31, 31, 31, 31, 32, 32, 32, 32,     /* 1024 */
};

uint64_t kiln_slot_inverse(uint32_t slot_bytes)
{
    unsigned twos = (unsigned)__builtin_ctz(slot_bytes);
    uint64_t odd = slot_bytes >> twos, inverse = odd; /* modulo 8 each odd number is its own */
    for (unsigned bits = 3; bits < 64; bits *= 2) inverse *= 2 - odd * inverse; /* Newton's step */
    return inverse << (KILN_SLOT_INDEX_SHIFT - twos);
}

uint32_t kiln_size_class_aligned(size_t align, size_t bytes)
{
    uint32_t class_idx = kiln_size_class_of(bytes > align ? bytes : align);
    while (!kiln_is_aligned(kiln_size_classes[class_idx].slot_bytes, align)) class_idx++;
    return class_idx;
}
