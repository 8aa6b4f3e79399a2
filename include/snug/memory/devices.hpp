// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/units.hpp>

namespace snug::SNUG_TARGET {

/// A budget in bytes: `fits<T, budget<24_GiB>>`.
template <bytes Amount>
struct budget {
    static constexpr bytes memory = Amount;
    static constexpr bytes reserve{};
};

/// Real devices as budgets. `memory` is what the driver reports as total (nvidia-smi); `reserve` is what a CUDA context
/// and the library handles take before a trainer allocates anything. The reserve is an allowance here: it becomes a
/// measured figure per device with the CUDA backend. Rates are the dense peaks of the maker's data sheet named beside
/// each device, in 10^12 operations per second; 0 where the device has no such unit. Bandwidth in 10^9 bytes per
/// second, and so that of the link to the host's memory, `host_link`, each way: 16 lanes of PCI Express.
namespace devices {

/// Allowance for context and handles where nothing has been measured.
inline constexpr bytes unmeasured_reserve = 768_MiB;

/// What long calls attain of a device's peaks, in percent.
struct attained_share {
    index_t product = 75;
    index_t attention = 50;
    index_t memory = 85;
    index_t link = 78;
};

struct device {
    static constexpr bytes reserve = unmeasured_reserve;
    static constexpr attained_share attained{};
};
/// Links of three generations.
inline constexpr double pcie_3 = 16, pcie_4 = 32, pcie_5 = 64;

struct geforce : device {
    static constexpr attained_share attained{85, 60, 85};
};
/// The rates of a bare budget: 250 operations of a product for each byte.
struct generic {
    static constexpr double fp32_rate = 250, tf32_rate = 250, bf16_rate = 250, fp8_rate = 250,
                            bandwidth = 1000, host_link = 25;
    static constexpr attained_share attained{100, 60, 100, 100};
};

// GeForce: NVIDIA Ampere GA102 / Ada / Blackwell architecture whitepapers (16-bit rates with fp32 accumulation).
struct rtx_3070 : geforce {
    static constexpr bytes memory = 8192_MiB;
    static constexpr double fp32_rate = 20.3, tf32_rate = 20.3, bf16_rate = 40.6, fp8_rate = 0,
                            bandwidth = 448, host_link = pcie_4;
};
struct rtx_3090 : geforce {
    static constexpr bytes memory = 24576_MiB;
    static constexpr double fp32_rate = 35.6, tf32_rate = 35.6, bf16_rate = 71.0, fp8_rate = 0,
                            bandwidth = 936, host_link = pcie_4;
};
struct rtx_4090 : geforce {
    static constexpr bytes memory = 24564_MiB;
    static constexpr double fp32_rate = 82.6, tf32_rate = 82.6, bf16_rate = 165.2, fp8_rate = 330.3,
                            bandwidth = 1008, host_link = pcie_4;
};
struct rtx_5090 : geforce {
    static constexpr bytes memory = 32607_MiB;
    static constexpr double fp32_rate = 104.8, tf32_rate = 104.8, bf16_rate = 209.5, fp8_rate = 419,
                            bandwidth = 1792, host_link = pcie_5;
};
// Data centre: NVIDIA T4, L4, L40S, A100, H100, H200 and HGX B200 data sheets (SXM where there is a choice).
struct t4 : device {
    static constexpr bytes memory = 15360_MiB;
    static constexpr double fp32_rate = 8.1, tf32_rate = 0, bf16_rate = 0, fp8_rate = 0, bandwidth = 320,
                            host_link = pcie_3;
};
struct l4 : device {
    static constexpr bytes memory = 23034_MiB;
    static constexpr double fp32_rate = 30.3, tf32_rate = 60, bf16_rate = 121, fp8_rate = 242,
                            bandwidth = 300, host_link = pcie_4;
};
struct l40s : device {
    static constexpr bytes memory = 46068_MiB;
    static constexpr double fp32_rate = 91.6, tf32_rate = 183, bf16_rate = 362, fp8_rate = 733,
                            bandwidth = 864, host_link = pcie_4;
};
struct a100_40gb : device {
    static constexpr bytes memory = 40960_MiB;
    static constexpr double fp32_rate = 19.5, tf32_rate = 156, bf16_rate = 312, fp8_rate = 0,
                            bandwidth = 1555, host_link = pcie_4;
};
struct a100_80gb : device {
    static constexpr bytes memory = 81920_MiB;
    static constexpr double fp32_rate = 19.5, tf32_rate = 156, bf16_rate = 312, fp8_rate = 0,
                            bandwidth = 2039, host_link = pcie_4;
};
struct h100_80gb : device {
    static constexpr bytes memory = 81559_MiB;
    static constexpr double fp32_rate = 66.9, tf32_rate = 494.7, bf16_rate = 989.4, fp8_rate = 1978.9,
                            bandwidth = 3350, host_link = pcie_5;
};
struct h200 : device {
    static constexpr bytes memory = 143771_MiB;
    static constexpr double fp32_rate = 66.9, tf32_rate = 494.7, bf16_rate = 989.4, fp8_rate = 1978.9,
                            bandwidth = 4800, host_link = pcie_5;
};
struct b200 : device {
    static constexpr bytes memory = 183359_MiB;
    static constexpr double fp32_rate = 75, tf32_rate = 1100, bf16_rate = 2250, fp8_rate = 4500,
                            bandwidth = 7700, host_link = pcie_5;
};

}  // namespace devices
}  // namespace snug::SNUG_TARGET
