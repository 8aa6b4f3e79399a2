// SPDX-License-Identifier: Apache-2.0
// expected-error: sixteen bytes are wanted
static_assert(sizeof(char) == 1, "one byte is wanted");
