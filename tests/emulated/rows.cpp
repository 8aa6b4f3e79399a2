// SPDX-License-Identifier: Apache-2.0
#include "../kernels/rows.hpp"

TEST_CASE("copies keep their promises when the device is behind") {
    emulation::device().deferred = true;
    std::vector<float> x(1000, 1.0f);
    on_device<float> const d_x(1000), d_y(std::vector<float>(1000, 0.0f));
    ops::copy_in<device>(d_x.data(), x.data(), 4000);
    x.assign(1000, 3.0f);  // as soon as the copy returned
    ops::for_each_element<device>(1000,
                                  ops::bound<add_twice>(static_cast<float const*>(d_x.data()), d_y.data()));
    CHECK(d_y.values() == std::vector<float>(1000, 2.0f));
    snug::arena const page(snug::bytes{4000}, ops::paged_memory<device>());
    ops::page_out<device>(0, page.data(), d_y.data(), 4000);
    ops::pages_are_away<device>();
    CHECK(std::isnan(*reinterpret_cast<float*>(page.data())));
    backend::synchronize();
    CHECK(reinterpret_cast<float*>(page.data())[999] == 2.0f);
    backend::zero_on(device{}, d_y.data(), 4000);
    CHECK(d_y.values() == std::vector<float>(1000, 0.0f));
    emulation::device().deferred = false;
}
