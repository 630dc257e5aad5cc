/* Where the fake OS places what it grants. */
#include "allocator/base/check.h"
#include "allocator/os/fake.h"

enum { NEAR_PAGES = 64 }; /* how far KILN_PLACE_RANDOM strays when it stays near something */

uint8_t kiln_os_fake_script_byte(kiln_os_fake_t *fake)
{
    const kiln_os_fake_config_t *config = &fake->config;
    if (config->policy != KILN_PLACE_SCRIPT || fake->script_at >= config->script_bytes) return 0;
    return config->script[fake->script_at++];
}

static bool fits(const kiln_os_fake_t *fake, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_fake_config_t *config = &fake->config;
    if (!kiln_is_aligned(addr, config->phys_bytes)) return false;
    if (addr < config->space_first || addr > config->space_last) return false;
    if (bytes - 1 > config->space_last - addr) return false;
    return kiln_ranges_free(&fake->model.ranges, addr, addr + (bytes - 1));
}

/* The wish, or the lowest gap above it, or the lowest gap of all, or 0. */
static kiln_addr_t first_fit(const kiln_os_fake_t *fake, kiln_addr_t wish, uint64_t bytes)
{
    const kiln_os_fake_config_t *config = &fake->config;
    const kiln_ranges_t *ranges = &fake->model.ranges;
    kiln_addr_t addr;
    if (fits(fake, wish, bytes)) return wish;
    if (wish > config->space_first && wish <= config->space_last &&
        kiln_ranges_gap_up(ranges, wish, config->space_last, bytes, &addr))
        return addr;
    if (kiln_ranges_gap_up(ranges, config->space_first, config->space_last, bytes, &addr))
        return addr;
    return 0;
}

/* The highest gap that ends at `last` or below; without one, the lowest of all. */
static kiln_addr_t highest_below(const kiln_os_fake_t *fake, kiln_addr_t last, uint64_t bytes)
{
    kiln_addr_t addr;
    if (kiln_ranges_gap_down(&fake->model.ranges, fake->config.space_first, last, bytes, &addr))
        return addr;
    return first_fit(fake, 0, bytes);
}

static uint64_t space_pages(const kiln_os_fake_t *fake)
{
    const kiln_os_fake_config_t *config = &fake->config;
    return (config->space_last - config->space_first) / config->phys_bytes + 1;
}

/* Wishes may wrap or lie outside of the space: first_fit sees to it. */
static kiln_addr_t random_wish(kiln_os_fake_t *fake, kiln_addr_t hint, uint64_t bytes)
{
    uint64_t phys_bytes = fake->config.phys_bytes;
    uint64_t drawn = kiln_rng_next(&fake->rng);
    uint64_t far = kiln_rng_below(&fake->rng, space_pages(fake));
    uint64_t pages = drawn >> 32 & (NEAR_PAGES - 1);
    kiln_addr_t near = fake->grant == 0 ? hint : fake->grant_last + 1;

    if (drawn & 1) return fake->config.space_first + far * phys_bytes;
    if (drawn & 2) near = fake->grant - bytes;
    if (drawn & 4) near = hint;
    if (drawn & 8) pages = 0;
    return drawn & 16 ? near + pages * phys_bytes : near - pages * phys_bytes;
}

static kiln_addr_t script_page(kiln_os_fake_t *fake)
{
    uint64_t page_idx = kiln_os_fake_script_byte(fake);
    page_idx |= (uint64_t)kiln_os_fake_script_byte(fake) << 8;
    return fake->config.space_first + page_idx % space_pages(fake) * fake->config.phys_bytes;
}

/* A lie, or 0 when it is not possible to tell one. */
static kiln_addr_t lie(kiln_os_fake_t *fake, kiln_os_fake_place_t policy, uint64_t bytes)
{
    kiln_addr_t addr = fake->grant;
    if (policy == KILN_PLACE_LIE_WRAP) {
        uint64_t pages = bytes / fake->config.phys_bytes;
        if (pages < 2) return 0;
        addr = fake->model.mask - (kiln_round_down(bytes / 2, fake->config.phys_bytes) - 1);
    }
    if (addr != 0) fake->stats.lies++;
    return addr;
}

kiln_addr_t kiln_os_fake_choose(kiln_os_fake_t *fake, kiln_os_fake_place_t policy, kiln_addr_t hint,
                                uint64_t bytes)
{
    const kiln_os_fake_config_t *config = &fake->config;
    uint64_t mask = fake->model.mask;
    uint64_t phys_bytes = config->phys_bytes;
    uint64_t half = kiln_round_down(bytes / 2, phys_bytes);

    hint = kiln_round_down(hint & mask, phys_bytes);
    switch (policy) {
    case KILN_PLACE_LOWEST:
        return first_fit(fake, 0, bytes);
    case KILN_PLACE_HIGHEST:
        return highest_below(fake, config->space_last, bytes);
    case KILN_PLACE_BELOW_ALL:
        return highest_below(
            fake, fake->lowest_grant == 0 ? config->space_last : fake->lowest_grant - 1, bytes);
    case KILN_PLACE_ADJACENT_ABOVE:
        return first_fit(fake, fake->grant == 0 ? hint : (fake->grant_last + 1) & mask, bytes);
    case KILN_PLACE_ADJACENT_BELOW:
        return first_fit(fake, fake->grant == 0 ? hint : (fake->grant - bytes) & mask, bytes);
    case KILN_PLACE_STRADDLE:
        if (half == 0) half = phys_bytes;
        return first_fit(fake, (kiln_round_down(config->straddle_addr, phys_bytes) - half) & mask,
                         bytes);
    case KILN_PLACE_AT_TOP:
        return first_fit(fake, (config->space_last - (bytes - 1)) & mask, bytes);
    case KILN_PLACE_BESIDE_ABOVE:
        return first_fit(fake, (hint + phys_bytes) & mask, bytes);
    case KILN_PLACE_BESIDE_BELOW:
        return first_fit(fake, (hint - phys_bytes) & mask, bytes);
    case KILN_PLACE_RANDOM:
        return first_fit(fake, random_wish(fake, hint, bytes) & mask, bytes);
    case KILN_PLACE_AT_PAGE:
        return first_fit(fake, script_page(fake), bytes);
    case KILN_PLACE_LIE_WRAP:
    case KILN_PLACE_LIE_OCCUPIED: {
        kiln_addr_t addr = config->lying ? lie(fake, policy, bytes) : 0;
        return addr != 0 ? addr : first_fit(fake, hint, bytes);
    }
    default:
        return first_fit(fake, hint, bytes);
    }
}

const char *kiln_os_fake_place_name(kiln_os_fake_place_t policy)
{
    static const char *const names[KILN_PLACES] = {
        [KILN_PLACE_OBEY_HINT] = "obey-hint",
        [KILN_PLACE_LOWEST] = "lowest",
        [KILN_PLACE_HIGHEST] = "highest",
        [KILN_PLACE_BELOW_ALL] = "below-all",
        [KILN_PLACE_ADJACENT_ABOVE] = "adjacent-above",
        [KILN_PLACE_ADJACENT_BELOW] = "adjacent-below",
        [KILN_PLACE_STRADDLE] = "straddle",
        [KILN_PLACE_AT_TOP] = "at-top",
        [KILN_PLACE_BESIDE_ABOVE] = "beside-above",
        [KILN_PLACE_BESIDE_BELOW] = "beside-below",
        [KILN_PLACE_RANDOM] = "random",
        [KILN_PLACE_AT_PAGE] = "at-page",
        [KILN_PLACE_LIE_WRAP] = "lie-wrap",
        [KILN_PLACE_LIE_OCCUPIED] = "lie-occupied",
        [KILN_PLACE_SCRIPT] = "script",
    };
    KILN_CHECK((unsigned)policy < KILN_PLACES);
    return names[policy];
}
