// SPDX-License-Identifier: Apache-2.0
// expected-error: a_name_in_the_source
#ifdef REFUSED
static_assert(sizeof(char) == 16, "sixteen bytes are wanted");  // a_name_in_the_source
#endif
