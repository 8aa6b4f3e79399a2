// SPDX-License-Identifier: Apache-2.0
// expected-error: sixteen bytes are [w]anted
// expected-error: static.assert
template <class T>
struct block {
#ifdef REFUSED
    static_assert(sizeof(T) == 16, "sixteen bytes are wanted");
#else
    static_assert(sizeof(T) == 1, "one byte is wanted");
#endif
};
template struct block<char>;
