// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/bf16.hpp>

#include <boost/mp11/list.hpp>

static_assert(boost::mp11::mp_size<boost::mp11::mp_list<snug::bf16>>::value == 1);
#ifdef _OPENMP
#error "snug::plan must not turn OpenMP on"
#endif

int main() {}
