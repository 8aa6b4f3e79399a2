// SPDX-License-Identifier: Apache-2.0
// expected-error: sixteen bytes are wanted
// expected-error: a sentence nobody wrote
#ifdef REFUSED
static_assert(sizeof(char) == 16, "sixteen bytes are wanted");
#endif
