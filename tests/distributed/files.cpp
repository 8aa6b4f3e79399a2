// SPDX-License-Identifier: Apache-2.0
// Files of others, copies and texts of trainings by several ranks: those of a trainer that holds everything.
#include <catch2/catch.hpp>
#include <distributed/acts.hpp>
#include <fstream>

using namespace snug_test;
namespace adapters = snug::adapters;

namespace {

std::string bytes_of(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

template <class Trainer>
std::vector<std::vector<float>> all_weights(Trainer const& trainer) {
    std::vector<std::vector<float>> all;
    for (auto const& entry : Trainer::composition::parameter_table.entries) {
        if (entry.is_quantized() || entry.is_derived()) continue;
        all.emplace_back();
        for (auto const weight : trainer.copy_of_weights(entry.name.view()))
            all.back().push_back(static_cast<float>(weight));
    }
    return all;
}

/// Everything that can be written of a trainer goes there.
template <class Trainer>
void write_all(Trainer& trainer, std::string const& folder) {
    trainer.save_model(folder);
    trainer.save_weights(folder + "/weights");
    if constexpr (requires { Trainer::composition::adapters::rank; })
        trainer.save_adapter(folder + "/adapter", "base");
}

template <class Trainer>
void check_written(temporary_file const& expected, temporary_file const& snapshot) {
    temporary_file folder;
    on_all_ranks<Trainer>([&](Trainer& trainer, int) {
        trainer.resume(snapshot.path);
        write_all(trainer, folder.path);
        return true;
    });
    for (std::string const file : {"/model.safetensors", "/config.json", "/weights",
                                   "/adapter/adapter_model.safetensors", "/adapter/adapter_config.json"})
        if (std::filesystem::exists(expected.path + file)) {
            INFO(file);
            CHECK((bytes_of(folder.path + file) == bytes_of(expected.path + file)));
        }
}

/// A trained model, written by one trainer that holds everything.
template <class Sharded, class Alone>
void write_alone(temporary_file const& folder, temporary_file const& snapshot) {
    on_all_ranks<Sharded>([&](Sharded& trainer, int rank) {
        next_loss(trainer, rank);
        trainer.save(snapshot.path);
        return true;
    });
    Alone alone(3);
    alone.resume(snapshot.path);
    write_all(alone, folder.path);
}

template <class Model, class... Policies>
using plain = snug::trainer<Model, snug::batch<1, tokens>, Policies...>;

using low_rank = adapters::lora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>,
                                snug::also_train<snug::embeddings>>;
using decomposed = adapters::dora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>>;
using stored = snug::quantization::nf4<64>;
using bf16 = snug::precision::mixed<snug::bf16>;

using qlora = job<tiny_llama, zero<3, 4>, 1, stored, decomposed, bf16>;
using lora = job<tiny_gpt2, zero<3, 2>, 1, low_rank>;
using full = job<tiny_llama, zero<3, 4>, 1>;

}  // namespace

TEST_CASE("models and adapters are written to the same bytes by any number of ranks") {
    temporary_file folder, snapshot;
    SECTION("a quantized base, decoded, with a DoRA adapter in it") {
        write_alone<qlora, plain<tiny_llama, stored, decomposed, bf16>>(folder, snapshot);
        check_written<qlora>(folder, snapshot);
        check_written<job<tiny_llama, zero<2, 2>, 1, stored, decomposed, bf16>>(folder, snapshot);
    }
    SECTION("matrices that files hold transposed, and an embedding that trains beside the adapter") {
        write_alone<lora, plain<tiny_gpt2, low_rank>>(folder, snapshot);
        check_written<lora>(folder, snapshot);
    }
    SECTION("weights that all train") {
        write_alone<full, plain<tiny_llama>>(folder, snapshot);
        check_written<full>(folder, snapshot);
    }
}

TEST_CASE("a model and an adapter are read by all ranks, each what it holds") {
    temporary_file model, adapter;
    {
        plain<tiny_gpt2> base(9);
        base.save_model(model.path);
        plain<tiny_gpt2, low_rank> adapted(8);
        adapted.step(part_of_batch(0, 0, 1, 1, 97));
        adapted.save_adapter(adapter.path);
    }
    auto const read = [&](auto& trainer) {
        trainer.load(snug::io::safetensors(model.path + "/model.safetensors"));
        trainer.load_adapter(adapter.path);
        return all_weights(trainer);
    };
    plain<tiny_gpt2, low_rank> alone(3);
    auto const expected = read(alone);
    CHECK((on_all_ranks<lora>([&](lora& trainer, int) { return read(trainer); }) == expected));
    using copies = job<tiny_gpt2, zero<1, 2>, 1, low_rank>;
    CHECK((on_all_ranks<copies>([&](copies& trainer, int) { return read(trainer); }) == expected));

    CHECK(on_all_ranks<lora>([&](lora& trainer, int rank) {
              auto const before = all_weights(trainer);
              auto const words =
                  failed([&] { trainer.load_adapter(rank == 1 ? adapter.path + "/not" : adapter.path); });
              return before == all_weights(trainer) ? words : "something has changed";
          }).starts_with("rank 1: " + adapter.path));
}

TEST_CASE("an adapter merges into a trainer of each rank, and out of it") {
    plain<tiny_gpt2, low_rank> adapted(3);
    plain<tiny_gpt2> expected(4);
    adapted.merge_into(expected);
    auto const merged = all_weights(expected);
    adapted.unmerge_from(expected);
    auto const unmerged = all_weights(expected);
    CHECK((on_all_ranks<lora>([&](lora& trainer, int) {
               plain<tiny_gpt2> into(4);
               trainer.merge_into(into);
               auto const found = all_weights(into);
               trainer.unmerge_from(into);
               return std::pair(found, all_weights(into));
           }) == std::pair(merged, unmerged)));
}

TEST_CASE("copies are whole on every rank, and each keeps what it holds of what is set") {
    std::string const name = "blocks.qkv.weight";
    std::vector<float> values(static_cast<std::size_t>(3 * 64 * 128));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000) / 1e5f;
    auto const set = [&](auto& trainer, int rank) {
        trainer.set_weights(name, values);
        auto const done = trainer.accumulate(part_of_batch(0, rank, 4, 1, 101));
        auto const gradients = trainer.copy_of_gradients(name);
        trainer.update(done);
        return std::pair(trainer.copy_of_weights(name), gradients);
    };
    auto const expected = on_all_ranks<full>(set);
    CHECK(expected.first != values);
    CHECK((on_all_ranks<job<tiny_llama, each<4>, 1>>(set) == expected));
    CHECK((on_all_ranks<job<tiny_llama, zero<2, 4>, 1>>(set) == expected));

    CHECK(on_all_ranks<full>([&](full& trainer, int rank) {
              auto mine = values;
              if (rank == 2) mine[5] = 1;
              return failed([&] { trainer.set_weights(name, mine); });
          }) == "rank 2: found other weights than on rank 0, expected the same on every rank");
    CHECK(on_all_ranks<full>([&](full& trainer, int rank) {
              return failed([&] { trainer.set_weights(rank == 1 ? "qkv" : name, values); });
          }).starts_with("rank 1: found no parameter called qkv"));
    auto const bytes = [](auto& trainer) {
        auto stored_bytes = trainer.copy_of_stored("blocks.qkv.weight");
        stored_bytes[100] ^= std::byte{1};
        trainer.set_stored("blocks.qkv.weight", stored_bytes);
        return stored_bytes == trainer.copy_of_stored("blocks.qkv.weight") ? stored_bytes
                                                                           : std::vector<std::byte>{};
    };
    plain<tiny_llama, stored, decomposed, bf16> alone(3);
    CHECK((on_all_ranks<qlora>([&](qlora& trainer, int) { return bytes(trainer); }) == bytes(alone)));
}

TEST_CASE("a text is the same on all ranks, which are asked for the same") {
    snug::generation_options const how{.tokens = 6, .temperature = 1, .seed = 5};
    std::vector<std::int32_t> const prompt{3, 1, 4};
    plain<tiny_llama> alone(3);
    auto const logits_of = [&](auto& trainer) {
        auto const logits = trainer.next_token_logits(prompt);
        return std::vector<float>(logits.begin(), logits.end());
    };
    auto const expected = std::pair(alone.generate(prompt, how), logits_of(alone));
    CHECK((on_all_ranks<full>([&](full& trainer, int) {
               return std::pair(trainer.generate(prompt, how), logits_of(trainer));
           }) == expected));
    std::string const other =
        "rank 3: found another text or other options than on rank 0, expected the same on every rank";
    CHECK(on_all_ranks<full>([&](full& trainer, int rank) {
              std::vector<std::int32_t> const mine{3, 1, rank == 3 ? 5 : 4};
              auto const words = failed([&] { trainer.generate(mine, how); });
              return words == failed([&] { trainer.next_token_logits(mine); }) ? words : "";
          }) == other);
    auto const words = on_all_ranks<full>([&](full& trainer, int rank) {
        auto mine = how;
        mine.tokens = rank == 2 ? -1 : 6;
        return failed([&] { trainer.generate(prompt, mine); });
    });
    INFO(words);
    CHECK(words.starts_with("rank 2: "));
    CHECK(words.find("tokens = -1") != std::string::npos);
}
