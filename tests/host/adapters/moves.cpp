// SPDX-License-Identifier: Apache-2.0
// What an adapter trains moves, and nothing else does.
#include <boost/mp11/algorithm.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace snug;
namespace mp = boost::mp11;

using model = models::llama<layers<3>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<61>, context<16>,
                            qkv_bias<1>>;

using all_adapters =
    mp::mp_list<adapters::lora<rank<4>>, adapters::dora<rank<4>, targets<"q_proj", "v_proj", "down_proj">>,
                adapters::lora<rank<4>, also_train<norms>>>;
using all_checkpointings =
    mp::mp_list<checkpointing::none, checkpointing::every_block, checkpointing::selective>;
using all_quantizations = mp::mp_list<quantization::none, quantization::nf4<64>, quantization::int8<64>,
                                      quantization::double_quantized<quantization::nf4<64>>>;
using compositions = mp::mp_product<mp::mp_list, all_adapters, all_checkpointings, all_quantizations>;

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::uint64_t seed) {
        for (std::size_t i = 0; i < 32; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 61));
            targets.push_back(static_cast<std::int32_t>(random::bits(seed, 1, i) % 61));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

/// The bytes of every parameter of every block.
template <class Run>
std::map<std::string, std::vector<std::byte>> bytes_of(Run& run) {
    std::map<std::string, std::vector<std::byte>> result;
    for (auto const& entry : Run::composition::parameter_table.entries) {
        if (entry.is_derived()) continue;
        auto const name = entry.name.view();
        auto const all = entry.is_quantized() ? run.stored(name) : std::as_writable_bytes(run.weights(name));
        auto const size = all.size() / static_cast<std::size_t>(entry.copies);
        for (std::size_t copy = 0; copy < static_cast<std::size_t>(entry.copies); ++copy) {
            auto const one = all.subspan(copy * size, size);
            result[std::string(name) + " of block " + std::to_string(copy)].assign(one.begin(), one.end());
        }
    }
    return result;
}

template <class Run>
bool is_trained(std::string_view name) {
    for (auto const& entry : Run::composition::parameter_table.entries)
        if (name.starts_with(entry.name.view()) && name.substr(entry.name.view().size()).starts_with(" of"))
            return entry.is_trained();
    throw error({}, std::string(name), "a parameter");
}

template <class Adapter, class Checkpointing, class Quantization>
void only_what_trains_moves() {
    trainer<model, batch<2, 16>, Adapter, Checkpointing, Quantization> run;
    using type = decltype(run);
    // Decay would move A in the first step. By itself it cannot: its gradient is a multiple of B, which starts at 0.
    run.options.weight_decay = 0;
    run.options.learning_rate = schedule::constant(1e-2);
    auto before = bytes_of(run);
    int trained = 0;
    for (std::uint64_t step = 0; step < 2; ++step) {
        run.step(tokens(step).batch());
        auto const after = bytes_of(run);
        for (auto const& [name, bytes] : after) {
            INFO(name << ", step " << step);
            bool const moves = is_trained<type>(name) && !(step == 0 && name.find("lora_A") != name.npos);
            CHECK((bytes != before[name]) == moves);
            trained += is_trained<type>(name);
        }
        before = after;
    }
    CHECK(trained > 0);
}

}  // namespace

TEST_CASE("after a step every trained tensor has moved and no frozen one has") {
    mp::mp_for_each<mp::mp_transform<mp::mp_identity, compositions>>(
        []<class... Policies>(mp::mp_identity<mp::mp_list<Policies...>>) {
            only_what_trains_moves<Policies...>();
        });
}

namespace {

/// Losses of a few steps, then all weights.
template <class Adapter, class Checkpointing, class Quantization>
std::pair<std::vector<double>, std::map<std::string, std::vector<std::byte>>> history() {
    trainer<model, batch<2, 16>, Adapter, Checkpointing, Quantization> run;
    run.options.learning_rate = schedule::constant(1e-2);
    std::vector<double> losses;
    for (std::uint64_t step = 0; step < 3; ++step) losses.push_back(run.step(tokens(step).batch()).loss);
    return {losses, bytes_of(run)};
}

}  // namespace

TEST_CASE("checkpointing does not change a bit of an adapter's training") {
    mp::mp_for_each<
        mp::mp_transform<mp::mp_identity, mp::mp_product<mp::mp_list, all_adapters, all_quantizations>>>(
        []<class Adapter, class Quantization>(mp::mp_identity<mp::mp_list<Adapter, Quantization>>) {
            auto const plain = history<Adapter, checkpointing::none, Quantization>();
            CHECK((history<Adapter, checkpointing::every_block, Quantization>() == plain));
            CHECK((history<Adapter, checkpointing::selective, Quantization>() == plain));
        });
}
