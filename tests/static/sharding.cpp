// SPDX-License-Identifier: Apache-2.0
// What a rank holds, as constants: figures that a page of arithmetic gives as well, and shares that make up a model.
#include <snug/plan.hpp>

using namespace snug;

namespace {

template <int Stage, int N, class... Options>
using zero = sharding::zero<Stage, ranks<N>, Options...>;
template <int N>
using data_parallel = sharding::data_parallel<ranks<N>>;

// GPT-2 124M in fp32 with AdamW: 124,439,808 parameters. Units: the embedding with its positions, twelve blocks, and the
// norm before the tied head; each padded to 256 elements for every rank.

template <class Sharding>
using gpt2 = trainer<models::gpt2_124m, batch<1, 64>, Sharding>;
template <class T>
constexpr memory_bill bill = footprint<T>;

template <class C>
constexpr index_t parameters_with_padding = [] {
    index_t total = 0;
    for (std::size_t g = 0; g < C::groups.size; ++g)
        total += C::groups.groups[g].copies * C::groups.groups[g].count;
    return total;
}();

/// The bytes of what is declared by this name, all copies.
template <class C>
constexpr index_t declared(std::string_view name) {
    for (auto const& buffer : C::plan.declarations)
        if (buffer.name.view() == name) return buffer.size().count;
    return -1;
}

struct table_row {
    index_t block, embedding, norm, all, share;
    index_t states, gradients, weights;
    index_t gradients_of_two_blocks, gradients_of_the_embedding;
};

template <int N>
constexpr bool has_row(table_row const& expected) {
    using last = typename gpt2<zero<3, N>>::composition;
    auto const& groups = last::groups;
    if (groups.size != 3 || groups.groups[0].name.view() != "embedding" ||
        groups.groups[1].name.view() != "blocks" || groups.groups[2].name.view() != "norm")
        return false;
    constexpr auto one = bill<gpt2<zero<1, N>>>, two = bill<gpt2<zero<2, N>>>, three = bill<gpt2<zero<3, N>>>;
    constexpr auto replicated = bill<gpt2<data_parallel<N>>>;
    bytes const whole{4 * expected.all};
    for (auto const& each : {one, two, three})
        if (each.optimizer_state != bytes{expected.states} || each.master_weights != bytes{}) return false;
    return groups.groups[1].count == expected.block && groups.groups[0].count == expected.embedding &&
           groups.groups[2].count == expected.norm && parameters_with_padding<last> == expected.all &&
           expected.all == N * expected.share &&
           //
           replicated.weights == whole && replicated.gradients == whole &&
           replicated.optimizer_state.count == 2 * whole.count &&
           //
           one.weights == whole && one.gradients == whole && two.weights == whole &&
           two.gradients == bytes{expected.gradients} && three.gradients == two.gradients &&
           three.weights == bytes{expected.weights} &&
           //
           declared<last>("blocks.unit_gradient") == expected.gradients_of_two_blocks &&
           declared<last>("embedding.unit_gradient") == expected.gradients_of_the_embedding &&
           declared<last>("norm.unit_gradient") == 4 * expected.norm &&
           declared<last>("blocks.gathered") == expected.gradients_of_two_blocks &&
           declared<last>("embedding.gathered") == expected.gradients_of_the_embedding;
}
static_assert(has_row<2>({7'088'128, 39'384'064, 1'536, 124'443'136, 62'221'568, 497'772'544, 248'886'272,
                          248'886'272, 56'705'024, 157'536'256}));
static_assert(has_row<4>({7'088'128, 39'384'064, 2'048, 124'443'648, 31'110'912, 248'887'296, 124'443'648,
                          124'443'648, 56'705'024, 157'536'256}));
static_assert(has_row<8>({7'088'128, 39'385'088, 2'048, 124'444'672, 15'555'584, 124'444'672, 62'222'336,
                          62'222'336, 56'705'024, 157'540'352}));
static_assert(has_row<64>({7'094'272, 39'387'136, 16'384, 124'534'784, 1'945'856, 15'566'848, 7'783'424,
                           7'783'424, 56'754'176, 157'548'544}));

// The bytes that Rajbhandari et al. (arXiv 1910.02054, figure 1) give for 7.5 billion parameters on 64 devices, in mixed
// precision: 2 for a weight, 2 for a gradient, 12 for master copy and states. Here a gradient has 4.

/// In gigabytes, by stage: the page's arithmetic.
constexpr std::array<double, 4> states_of_zero(double billions, int ranks, double gradient) {
    return {(2 + gradient + 12) * billions, (2 + gradient + 12.0 / ranks) * billions,
            (2 + (gradient + 12) / ranks) * billions, (2 + gradient + 12) / ranks * billions};
}
constexpr bool is_about(double found, double expected) {
    return found - expected < 0.0051 && expected - found < 0.0051;
}
constexpr bool are_about(std::array<double, 4> const& found, std::array<double, 4> const& expected) {
    for (std::size_t i = 0; i < 4; ++i)
        if (!is_about(found[i], expected[i])) return false;
    return true;
}
static_assert(are_about(states_of_zero(7.5, 64, 2), {120, 31.40625, 16.640625, 1.875}));
static_assert(are_about(states_of_zero(7.5, 64, 4), {135, 46.40625, 16.875, 2.109375}));

template <class Model, class Sharding, class Precision = precision::mixed<bf16>,
          class Optimizer = optimizers::adamw<>>
using large = trainer<Model, batch<1, 64>, Precision, Optimizer, Sharding>;

/// What the model is on a rank, without activations and what travels.
template <class T>
constexpr bytes states =
    bill<T>.weights + bill<T>.master_weights + bill<T>.gradients + bill<T>.optimizer_state;

// The same of a model that there is: 18 bytes a parameter and the padding.
template <int N>
constexpr bool follows_the_paper() {
    using model = models::llama2_7b;
    constexpr index_t all = parameters_with_padding<typename large<model, zero<3, N>>::composition>;
    return states<large<model, data_parallel<N>>>.count == 18 * all &&
           states<large<model, zero<1, N>>>.count == 6 * all + 12 * all / N &&
           states<large<model, zero<2, N>>>.count == 2 * all + 16 * all / N &&
           states<large<model, zero<3, N>>>.count == 18 * all / N;
}
static_assert(follows_the_paper<8>() && follows_the_paper<64>());

// Those and what travels, in GiB: gradients of two blocks and of the largest other unit, as many weights, two buckets. The
// page counts units beside the blocks as if one room were enough for all of them and shared with nothing; the plan has
// one for each, and lays them over each other and over activations. So its communication may be more than the
// page's; what it makes the total greater by is not.

template <class T>
constexpr double gibibytes = [] {
    using C = typename T::composition;
    using sharding = typename C::sharding;
    index_t block = 0, largest = 0, share = 0;
    for (std::size_t u = 0; u < static_cast<std::size_t>(C::groups.unit_count); ++u) {
        index_t count = 0;
        for (std::size_t g = 0; g < C::groups.size; ++g)
            if (C::groups.groups[g].unit == static_cast<int>(u)) count += C::groups.groups[g].count;
        if (C::groups.is_repeated(static_cast<int>(u))) block = count;
        else largest = std::max(largest, count);
        share = std::max(share, count / C::ranks);
    }
    index_t const gradient = sizeof(typename C::precision::gradient),
                  weight = sizeof(typename C::precision::weight);
    auto const bucket = std::min(sharding::bucket.count, (C::ranks - 1) * share * gradient);
    index_t travels = 2 * bucket;
    if (sharding::stage >= 2) travels += gradient * (2 * block + largest);
    if (sharding::stage == 3) travels += weight * ((sharding::prefetch + 1) * block + largest);
    return static_cast<double>(states<T>.count + travels) / (1 << 30);
}();

using gpt2_large = models::gpt2_1558m;
static_assert(are_about({gibibytes<large<gpt2_large, data_parallel<8>>>,
                         gibibytes<large<gpt2_large, zero<1, 8>>>, gibibytes<large<gpt2_large, zero<2, 8>>>,
                         gibibytes<large<gpt2_large, zero<3, 8>>>},
                        {26.18, 10.94, 6.40, 4.13}));
using llama = models::llama2_70b;
using eight_bits = optimizers::adamw<optimizers::states<int8>>;
static_assert(is_about(gibibytes<large<llama, zero<3, 8>>>, 155.63));
static_assert(is_about(gibibytes<large<llama, zero<3, 64>>>, 29.16));
static_assert(is_about(gibibytes<large<llama, zero<3, 16>, precision::mixed<bf16>, eight_bits>>, 59.40));

// A mistake in the number of ranks is found without any of them.
template <int N, class Optimizer = optimizers::adamw<>>
struct run_of : trainer<llama, batch<1, 4096>, precision::mixed<bf16>, Optimizer, checkpointing::every_block,
                        zero<3, N>> {};
static_assert(fits<run_of<64>, devices::h100_80gb>);
static_assert(!fits<run_of<8>, devices::h100_80gb>);
static_assert(!fits<run_of<16>, devices::h100_80gb>);
static_assert(fits<run_of<16, eight_bits>, devices::h100_80gb>);
static_assert(!fits<run_of<8, eight_bits>, devices::h100_80gb>);

// A stage holds no more than the one before it.
template <class Model, int N>
constexpr bool later_stages_hold_less() {
    constexpr auto one = bill<large<Model, zero<1, N>>>.total, two = bill<large<Model, zero<2, N>>>.total,
                   three = bill<large<Model, zero<3, N>>>.total,
                   all = bill<large<Model, data_parallel<N>>>.total;
    return all > one && one > two && two > three;
}
static_assert(later_stages_hold_less<models::gpt2_1558m, 8>());
static_assert(later_stages_hold_less<models::llama2_7b, 8>());
static_assert(later_stages_hold_less<llama, 8>());

// Shares: on any number of ranks up to 64 every element of every parameter is one rank's, and no run of 256 is cut.

/// For eight numbers of ranks: Clang counts the steps of one constant.
template <class T, int First>
constexpr bool shares_of_ranks = [] {
    using C = typename T::composition;
    for (int ranks = First; ranks < First + 8; ++ranks) {
        auto const groups =
            sharding::group_parameters(C::parameter_table.entries, C::model::layers_of_parameters(), ranks,
                                       [](auto const& entry) { return entry.count >= 4096; });
        std::array<index_t, C::parameter_table.entries.size()> behind{};  // of each group, so far
        for (std::size_t p = 0; p < C::parameter_table.entries.size(); ++p) {
            auto entry = C::parameter_table.entries[p];
            auto const [group, position] = groups.members[p];
            if (group < 0) {
                if (!entry.is_derived()) return false;
                continue;
            }
            auto const g = static_cast<std::size_t>(group);
            auto const& its = groups.groups[g];
            auto const share = its.count / ranks;
            if (its.count != share * ranks || share % 256 != 0 || position % 256 != 0 ||
                its.copies != entry.copies || position < behind[g])
                return false;
            auto const size = entry.is_quantized() ? entry.stored_bytes : entry.count;
            behind[g] = position + size;
            if (behind[g] > its.count) return false;
            if (entry.is_quantized()) continue;
            index_t next = 0;  // element, of the first copy: the others are alike
            bool in_order = true;
            entry.copies = 1;
            for (int rank = 0; rank < ranks; ++rank)
                engine::for_each_stretch(entry, {true, position, share}, engine::part::own, rank,
                                         [&](index_t first, index_t count) {
                                             in_order =
                                                 in_order && first == next && count > 0 && first % 256 == 0;
                                             next = first + count;
                                         });
            if (!in_order || next != entry.count) return false;
        }
    }
    return true;
}();
template <class T>
constexpr bool shares_make_up_the_model = [] {
    return []<int... I>(std::integer_sequence<int, I...>) { return (shares_of_ranks<T, 8 * I + 1> && ...); }
    (std::make_integer_sequence<int, 8>{});
}();
template <class... Model>
constexpr bool all_presets = (shares_make_up_the_model<trainer<Model, batch<1, 64>>> && ...);
static_assert(all_presets<models::gpt2_124m, models::gpt2_355m, models::gpt2_774m, models::gpt2_1558m>);
static_assert(all_presets<models::llama2_7b, models::llama2_13b, models::llama2_70b, models::llama3_8b,
                          models::llama3_2_1b, models::smollm2_135m, models::qwen2_5_0_5b>);
static_assert(shares_make_up_the_model<
              trainer<models::llama2_7b, batch<1, 64>, precision::mixed<bf16>, quantization::nf4<64>,
                      adapters::dora<rank<16>, alpha<32>, targets<all_linear>>>>);

// What ranks talk over moves the memory that they compute in, unless another is named.
template <class... Policies>
using world_of = typename trainer<models::gpt2_124m, batch<1, 64>, Policies...>::composition::world;
static_assert(std::is_same_v<world_of<>, distributed::self>);
static_assert(std::is_same_v<world_of<on<cuda>>, distributed::self>);
static_assert(std::is_same_v<world_of<data_parallel<2>>, distributed::mpi>);
static_assert(std::is_same_v<world_of<data_parallel<2>, on<cuda>>, distributed::nccl>);
static_assert(std::is_same_v<world_of<data_parallel<2>, on<cuda>, over<distributed::mpi>>, distributed::mpi>);

}  // namespace
