#include "allocator/heap/size_class.h"

/* The magic number is 2^32 / slot_bytes rounded up. Its error, below slot_bytes, times an offset in
 * a span (at most 184 KiB) stays below 2^32 / slot_bytes; size_class_test tries every offset. */
#define SLOTS(slot_bytes, pages) ((pages) * KILN_PAGE_BYTES / (slot_bytes))
#define MAGIC(slot_bytes) (uint32_t)(((UINT64_C(1) << 32) + (slot_bytes) - 1) / (slot_bytes))
#define CLASS(slot_bytes, pages, cache)                                                            \
    {slot_bytes, MAGIC(slot_bytes), SLOTS(slot_bytes, pages), pages, cache}

/* Pages: 16 KiB and more for slots up to 256 bytes, 32 KiB up to 1 KiB, 64 KiB up to 4 KiB, 128 KiB
 * above; from there the fewest that leave at most 2 % over. */
const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES] = {
    {0, 0, 0, 0, 0},     CLASS(16, 2, 64),    CLASS(32, 2, 64),    CLASS(48, 2, 64),
    CLASS(64, 2, 64),    CLASS(80, 2, 64),    CLASS(96, 2, 64),    CLASS(112, 2, 64),
    CLASS(128, 2, 64),   CLASS(144, 2, 64),   CLASS(160, 2, 64),   CLASS(176, 2, 64),
    CLASS(192, 2, 64),   CLASS(208, 2, 64),   CLASS(224, 2, 64),   CLASS(240, 2, 64),
    CLASS(256, 2, 64),   CLASS(288, 4, 64),   CLASS(320, 4, 64),   CLASS(352, 4, 64),
    CLASS(384, 4, 64),   CLASS(416, 4, 64),   CLASS(448, 4, 64),   CLASS(480, 4, 64),
    CLASS(512, 4, 64),   CLASS(576, 4, 56),   CLASS(640, 4, 51),   CLASS(704, 4, 46),
    CLASS(768, 4, 42),   CLASS(832, 4, 39),   CLASS(896, 4, 36),   CLASS(960, 4, 34),
    CLASS(1024, 4, 32),  CLASS(1152, 8, 28),  CLASS(1280, 8, 25),  CLASS(1408, 8, 23),
    CLASS(1536, 8, 21),  CLASS(1664, 8, 19),  CLASS(1792, 8, 18),  CLASS(1920, 8, 17),
    CLASS(2048, 8, 16),  CLASS(2304, 8, 14),  CLASS(2560, 10, 12), CLASS(2816, 8, 11),
    CLASS(3072, 8, 10),  CLASS(3328, 9, 9),   CLASS(3584, 8, 9),   CLASS(3840, 8, 8),
    CLASS(4096, 8, 8),   CLASS(4608, 16, 7),  CLASS(5120, 17, 6),  CLASS(5632, 16, 5),
    CLASS(6144, 16, 5),  CLASS(6656, 18, 4),  CLASS(7168, 16, 4),  CLASS(7680, 16, 4),
    CLASS(8192, 16, 4),  CLASS(9216, 16, 3),  CLASS(10240, 19, 3), CLASS(11264, 18, 2),
    CLASS(12288, 18, 2), CLASS(13312, 18, 2), CLASS(14336, 16, 2), CLASS(15360, 17, 2),
    CLASS(16384, 16, 2), CLASS(18432, 16, 2), CLASS(20480, 20, 2), CLASS(22528, 22, 2),
    CLASS(24576, 18, 2), CLASS(26624, 23, 2), CLASS(28672, 21, 2), CLASS(30720, 19, 2),
    CLASS(32768, 16, 2),
};

uint32_t kiln_size_class_aligned(size_t align, size_t bytes)
{
    uint32_t class_idx = kiln_size_class_of(bytes > align ? bytes : align);
    while (!kiln_is_aligned(kiln_size_classes[class_idx].slot_bytes, align)) class_idx++;
    return class_idx;
}
