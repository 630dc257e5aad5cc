/* What the core must not do: call the C library, and keep thread-local state. */
#include <string.h>

__attribute__((visibility("default"))) _Thread_local size_t planted_tls;

__attribute__((visibility("default"))) void planted_call(const char *text);

void planted_call(const char *text)
{
    planted_tls = strlen(text);
}
