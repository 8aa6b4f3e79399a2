// SPDX-License-Identifier: Apache-2.0
#ifdef REFUSED
static_assert(sizeof(char) == 16, "sixteen bytes are wanted");
#endif
