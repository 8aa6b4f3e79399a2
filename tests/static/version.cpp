// SPDX-License-Identifier: Apache-2.0
// Programs can ask for the version before they use what it brought.
#include <snug/version.hpp>

#if SNUG_VERSION < 100
#error "snug/version.hpp says less than the first version"
#endif

static_assert(SNUG_VERSION == SNUG_VERSION_MAJOR * 10000 + SNUG_VERSION_MINOR * 100 + SNUG_VERSION_PATCH);
