// SPDX-License-Identifier: Apache-2.0
// expected-error: the last of many
#ifdef REFUSED
template <int N>
struct many : many<N - 1> {
    static_assert(N < 0, "one of many");
};
template <>
struct many<0> {};
template struct many<40>;
static_assert(sizeof(char) == 16, "the last of many");
#endif
