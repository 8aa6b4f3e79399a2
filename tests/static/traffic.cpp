// SPDX-License-Identifier: Apache-2.0
// What a rank sends in a step, as constants: figures that a page of arithmetic gives as well. That they are what is sent
// is for tests/distributed/mpi/traffic.hpp.
#include <snug/plan.hpp>

using namespace snug;

namespace {

template <class Sharding, class... Policies>
using gpt2 = trainer<models::gpt2_124m, batch<1, 64>, Sharding, Policies...>;
template <int N, class... Options>
using data_parallel = sharding::data_parallel<ranks<N>, Options...>;
template <int Stage, int N, class... Options>
using zero = sharding::zero<Stage, ranks<N>, Options...>;

/// Without what ranks say to each other about a step.
template <class T>
constexpr bytes of_parameters = traffic<T>.sent_per_step - traffic<T>.agreed;

// f = (N - 1) / N of all parameters, padded to whole shares: data parallel sends gradients and gathers the sums, stages 1
// and 2 gather weights in their place, which in fp32 are as long. Stage 3 gathers weights forward and backward, and those
// of a tied embedding once more for the head.
template <int N>
constexpr bool sends(bytes replicated, bytes sharded) {
    using each = data_parallel<N, sharding::reduced<sharding::each_micro_batch>>;
    return of_parameters<gpt2<data_parallel<N>>> == replicated && of_parameters<gpt2<each>> == replicated &&
           of_parameters<gpt2<zero<1, N>>> == replicated && of_parameters<gpt2<zero<2, N>>> == replicated &&
           of_parameters<gpt2<zero<3, N>>> == sharded &&
           of_parameters<gpt2<zero<3, N>, checkpointing::every_block>> == sharded;
}
static_assert(sends<2>(bytes{497'772'544}, bytes{732'479'488}));
static_assert(sends<4>(bytes{746'661'888}, bytes{1'098'722'304}));
static_assert(sends<8>(bytes{871'112'704}, bytes{1'281'853'440}));
static_assert(sends<64>(bytes{980'711'424}, bytes{1'443'068'928}));

// Half of it is gradients.
static_assert(traffic<gpt2<zero<2, 8>>>.exchanged == traffic<gpt2<zero<2, 8>>>.gathered);
// With more micro-batches, those that are added at the end are sent once, the others every time.
template <class Sharding, int M>
constexpr auto of_micro_batches = traffic<gpt2<Sharding, accumulation::micro_batches<M>>>;
static_assert(of_micro_batches<zero<1, 8>, 4>.exchanged == of_micro_batches<zero<1, 8>, 1>.exchanged);
static_assert(of_micro_batches<zero<2, 8>, 4>.exchanged.count ==
              4 * of_micro_batches<zero<2, 8>, 1>.exchanged.count);
static_assert(of_micro_batches<zero<2, 8>, 4>.gathered == of_micro_batches<zero<2, 8>, 1>.gathered);
static_assert(of_micro_batches<zero<3, 8>, 4>.gathered.count ==
              4 * of_micro_batches<zero<3, 8>, 1>.gathered.count);
// Segments of several blocks gather each thrice, but for the last of every segment, with which backward goes on.
static_assert(of_parameters<gpt2<zero<3, 2>, checkpointing::every<3>>> - bytes{732'479'488} ==
              bytes{(3 * 12 - 4 - (2 * 12 - 1)) * 7'088'128 / 2 * 4});
// In bf16 the weights are half as long, and gradients too where they are.
static_assert(traffic<gpt2<zero<1, 2>, precision::mixed<bf16>>>.gathered == bytes{497'772'544 / 4});
static_assert(of_parameters<gpt2<zero<1, 2>, precision::mixed<bf16>>> == bytes{497'772'544 / 4 * 3});
static_assert(of_parameters<gpt2<zero<1, 2>, precision::pure<bf16>>> == bytes{497'772'544 / 2});
// A bucket cuts messages and changes no byte. What is gathered ahead may be there when it is asked for again: without,
// the norm before the head comes twice.
using in_pieces = gpt2<zero<2, 4, sharding::bucket<1_MiB>>>;
static_assert(of_parameters<in_pieces> == bytes{746'661'888});
static_assert(traffic<in_pieces>.messages_per_step > traffic<gpt2<zero<2, 4>>>.messages_per_step);
static_assert(of_parameters<gpt2<zero<3, 4, sharding::prefetch<0>>>> ==
              bytes{1'098'722'304 + 3 * 2048 / 4 * 4});
static_assert(of_parameters<gpt2<zero<3, 4, sharding::prefetch<2>>>> == bytes{1'098'722'304});

// Gradients in bf16 are half as long on their way to the ranks that add them. What data parallel gathers are sums.
static_assert(of_parameters<gpt2<data_parallel<8, sharding::wire<bf16>>>> == bytes{871'112'704 / 4 * 3});
static_assert(traffic<gpt2<zero<2, 8, sharding::wire<bf16>>>>.exchanged.count * 2 ==
              traffic<gpt2<zero<2, 8>>>.exchanged.count);
static_assert(footprint<gpt2<zero<2, 8, sharding::wire<bf16>>>>.communication <=
              footprint<gpt2<zero<2, 8>>>.communication + 64_MiB);
// Of GPT-2's norm 1,536 elements are gathered once, after their update, instead of in every walk.
static_assert(
    traffic<gpt2<zero<3, 2, sharding::keep_below<8_KiB>>, accumulation::micro_batches<4>>>.gathered ==
    traffic<gpt2<zero<3, 2>, accumulation::micro_batches<4>>>.gathered - bytes{3 * 1'536 / 2 * 4});
static_assert(footprint<gpt2<zero<3, 2, sharding::keep_below<8_KiB>>>>.weights ==
              footprint<gpt2<zero<3, 2>>>.weights + bytes{1'536 / 2 * 4});

// Shares of gradients go between replicas once a step: 8 replicas of 8 ranks send together what 64 ranks would, and of
// that an eighth of gradients and their sums, 7/8 each, to other replicas.
template <int Stage, class... Policies>
using hybrid = gpt2<sharding::mesh<data_parallel<8>, zero<Stage, 8>>, Policies...>;
static_assert(of_parameters<hybrid<2>> == bytes{980'711'424});
static_assert(traffic<hybrid<2>>.between_replicas == bytes{2 * 124'534'784 / 64 * 7 * 4});
static_assert(traffic<hybrid<1>>.between_replicas == traffic<hybrid<2>>.between_replicas);
static_assert(traffic<hybrid<3, accumulation::micro_batches<4>>>.between_replicas ==
              traffic<hybrid<3>>.between_replicas);
static_assert(of_parameters<hybrid<3>> < of_parameters<gpt2<zero<3, 64>>>);
static_assert(traffic<gpt2<zero<3, 64>>>.between_replicas == bytes{});

// What ranks agree on does not grow with the model: 256 bytes, an exact sum of squares and a loss for each micro-batch,
// to each other rank; and of shares, whether the update went well.
static_assert(traffic<gpt2<data_parallel<2>>>.agreed ==
              bytes{256 + gpt2<data_parallel<2>>::composition::verdict_size});
static_assert(traffic<gpt2<zero<2, 2>>>.agreed ==
              bytes{256 + 8 + gpt2<zero<2, 2>>::composition::verdict_size});
static_assert(traffic<gpt2<zero<2, 2>>>.agreed < 1_KiB);

// One message of every group of each copy to each other rank: embedding, 12 blocks, final norm; two of agreement.
static_assert(traffic<gpt2<data_parallel<2, sharding::bucket<1024_MiB>>>>.messages_per_step == 2 * 14 + 2);
static_assert(traffic<gpt2<data_parallel<4, sharding::bucket<1024_MiB>>>>.messages_per_step ==
              3 * (2 * 14 + 2));

// Nobody is there to send to.
template <class T>
constexpr bool sends_nothing =
    traffic<T>.gathered == bytes{} && traffic<T>.exchanged == bytes{} && traffic<T>.agreed == bytes{} &&
    traffic<T>.sent_per_step == bytes{} && traffic<T>.messages_per_step == 0;
static_assert(sends_nothing<gpt2<sharding::none>>);
static_assert(sends_nothing<gpt2<data_parallel<1>>>);
static_assert(sends_nothing<gpt2<zero<3, 1>>>);

// Of a struct that derives from a trainer too.
struct derived : gpt2<zero<1, 8>> {};
static_assert(traffic<derived>.sent_per_step == traffic<gpt2<zero<1, 8>>>.sent_per_step);
static_assert(std::same_as<decltype(step_traffic::sent_per_step), bytes>);

// As docs/distributed.md says.
struct pretraining : trainer<models::llama2_70b, batch<1, 4096>, precision::mixed<bf16>,
                             checkpointing::every_block, sharding::zero<3, ranks<64>>> {};
static_assert(fits<pretraining, devices::h100_80gb>);
static_assert(traffic<pretraining>.sent_per_step < 504_GiB && traffic<pretraining>.sent_per_step > 503_GiB);

}  // namespace
