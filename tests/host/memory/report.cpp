// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <snug/plan.hpp>
#include <sstream>

using namespace snug;
using Catch::Contains;

namespace {

template <class Sharding, class... Policies>
using job = trainer<models::gpt2_124m, batch<1, 64>, Sharding, Policies...>;
using frozen_base = adapters::lora<rank<8>, alpha<16>, targets<all_linear>>;
template <int Stage, int N>
using zero = sharding::zero<Stage, ranks<N>>;

template <class T>
std::string text_of() {
    std::ostringstream out;
    out << report<T>();
    return out.str();
}

}  // namespace

TEST_CASE("a report of one process says nothing of ranks") {
    CHECK_THAT(text_of<job<sharding::none>>(), !Contains("rank") && !Contains("sent"));
    CHECK(!nlohmann::json::parse(report_json<job<sharding::none>>()).contains("ranks"));
}

TEST_CASE("a report of a sharded trainer is that of a rank, with what it sends in a step") {
    using sharded = job<zero<3, 8>>;
    constexpr auto sent = traffic<sharded>;
    CHECK_THAT(text_of<sharded>(),
               Contains("all of it per rank, of 8") && Contains(std::to_string(sent.gathered.count)) &&
                   Contains(std::to_string(sent.exchanged.count)) &&
                   Contains(std::to_string(sent.agreed.count)) &&
                   Contains(std::to_string(sent.sent_per_step.count)) &&
                   Contains("in " + std::to_string(sent.messages_per_step) + " messages"));
    auto const json = nlohmann::json::parse(report_json<sharded>());
    CHECK(json["ranks"] == 8);
    CHECK(json["gathered"] == sent.gathered.count);
    CHECK(json["exchanged"] == sent.exchanged.count);
    CHECK(json["agreed"] == sent.agreed.count);
    CHECK(json["sent_per_step"] == sent.sent_per_step.count);
    CHECK(json["messages_per_step"] == sent.messages_per_step);
}

TEST_CASE("a report of a mesh says what goes to other replicas") {
    using hybrid = job<sharding::mesh<sharding::data_parallel<ranks<2>>, zero<3, 4>>>;
    constexpr auto sent = traffic<hybrid>;
    CHECK_THAT(text_of<hybrid>(), Contains("of 8: 2 replicas of 4 shares") &&
                                      Contains(std::to_string(sent.between_replicas.count)));
    auto const json = nlohmann::json::parse(report_json<hybrid>());
    CHECK(json["replicas"] == 2);
    CHECK(json["between_replicas"] == sent.between_replicas.count);
}

TEST_CASE("a report notes a sharding that changes nothing, or almost nothing") {
    CHECK_THAT((text_of<job<sharding::data_parallel<ranks<1>>>>()),
               Contains("ranks<1> shards nothing") && !Contains("messages"));
    auto const almost = Contains("most of these are frozen");
    CHECK_THAT((text_of<job<zero<1, 8>, frozen_base>>()), almost && Contains("zero<1, ...> saves a rank"));
    CHECK_THAT((text_of<job<zero<2, 8>, frozen_base>>()), almost && Contains("zero<2, ...> saves a rank"));
    CHECK_THAT((text_of<job<zero<3, 8>, frozen_base>>()), !almost && !Contains("ranks<1>"));
    CHECK_THAT((text_of<job<zero<1, 8>>>()), !almost && !Contains("ranks<1>"));
}
