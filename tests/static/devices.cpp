// SPDX-License-Identifier: Apache-2.0
// The table of devices is plausible; the figures themselves are the makers'.
#include <snug/memory/budget.hpp>

namespace {

using namespace snug;

template <class D>
constexpr bool plausible = [] {
    static_assert(memory_budget<D>);
    auto const twice = [](double slow, double fast) {
        return fast == 0 || (fast > 1.5 * slow && fast < 2.5 * slow);
    };
    return D::memory > 7_GiB && D::memory.count % (1_MiB).count == 0 && D::reserve >= 256_MiB &&
           D::reserve < 2_GiB && D::fp32_rate > 1 && D::bandwidth > 100 && D::host_link * 8 < D::bandwidth &&
           D::host_link >= 16 && twice(D::tf32_rate, D::bf16_rate) && twice(D::bf16_rate, D::fp8_rate);
}();

static_assert(plausible<devices::rtx_3070>);
static_assert(plausible<devices::rtx_3090>);
static_assert(plausible<devices::rtx_4090>);
static_assert(plausible<devices::rtx_5090>);
static_assert(plausible<devices::t4>);
static_assert(plausible<devices::l4>);
static_assert(plausible<devices::l40s>);
static_assert(plausible<devices::a100_40gb>);
static_assert(plausible<devices::a100_80gb>);
static_assert(plausible<devices::h100_80gb>);
static_assert(plausible<devices::h200>);
static_assert(plausible<devices::b200>);

// What the driver reports is a little less than what is printed on the box, and never more.
static_assert(devices::rtx_4090::memory <= 24_GiB && devices::rtx_4090::memory > 23_GiB);
static_assert(devices::h100_80gb::memory <= 80_GiB && devices::h100_80gb::memory > 79_GiB);
static_assert(devices::a100_40gb::memory == 40_GiB);

}  // namespace
