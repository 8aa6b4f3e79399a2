// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What a model's files say of the model: the `config.json` of Hugging Face and the metadata of GGUF, as the
/// numbers of a family. What would change the mathematics and is not implemented here is refused, not ignored.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/hub/config_keys.hpp>
#include <snug/hub/families.hpp>
#include <snug/hub/weight_names.hpp>
#include <snug/io/file.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/json.hpp>
#include <snug/io/size.hpp>
#include <snug/models/family.hpp>
#include <snug/models/numbers.hpp>

namespace snug::SNUG_TARGET::io {

/// The tensors have the same bytes, type and shape.
inline bool are_the_same(file_tensor const& a, file_tensor const& b) {
    return a.type == b.type && a.dimensions == b.dimensions && std::ranges::equal(a.bytes, b.bytes);
}

namespace detail {

inline bool is_among(std::string_view name, std::span<std::string_view const> names) {
    return std::ranges::find(names, name) != names.end();
}
template <std::size_t Count>
harmless_key const* find_among(std::string_view name, harmless_key const (&keys)[Count]) {
    auto const* const found = std::ranges::find(keys, name, &harmless_key::name);
    return found != std::end(keys) ? found : nullptr;
}

inline constexpr std::string_view what_is_known =
    "a key that is understood or means nothing here (docs/weights.md lists them): this one may change the "
    "mathematics";

/// A number that can be a scale of positions, or an epsilon.
inline bool is_positive(double value) { return value > 0 && std::isfinite(value); }

/// Each key-value head serves as many queries, where there are heads.
inline void require_whole_groups(model_numbers const& n, place const& where) {
    if (n.heads != 0 && n.heads % n.kv_heads != 0)
        throw error(where, std::to_string(n.heads) + " heads",
                    "a multiple of the " + std::to_string(n.kv_heads) + " key-value heads");
}

/// Reads a Hugging Face configuration. A missing member has the default of the family's class in transformers.
class config_reader {
  public:
    /// `own`: a family of a user's, besides those that are known.
    explicit config_reader(json const& config, models::model_family const* own = nullptr)
        : config_(config), own_(own) {}

    model_numbers numbers() const {
        if (config_.has("quantization_config"))
            refuse("quantization_config", "the original weights: codes of another library can't be loaded");
        auto const& name = config_.at("model_type").text();
        for (auto const& known : known_types(&models::config_type::with_images, own_))
            if (known.type->with_images == name) return numbers_inside(known);
        auto const [type, family] =
            type_called(name, &models::config_type::model_type, own_,
                        [&](std::string expected) { refuse("model_type", std::move(expected)); });
        require_known_keys(understood_keys(*type));
        return numbers_of(*type, *family);
    }

  private:
    /// Of the text of a model that reads images, too.
    model_numbers numbers_inside(known_type const& known) const {
        require_known_keys({std::begin(keys_beside_text), std::end(keys_beside_text)});
        if (!flag_or("tie_word_embeddings", true)) refuse("tie_word_embeddings", "true");
        config_reader const text(config_.at("text_config"), own_);
        if (auto const& inside = text.config_;
            inside.has("model_type") && inside.at("model_type").text() != known.type->model_type)
            text.refuse("model_type", printable(known.type->model_type));
        text.require_known_keys(understood_keys(*known.type));
        return text.numbers_of(*known.type, *known.family);
    }

    [[noreturn]] void refuse(std::string_view key, std::string expected) const {
        auto const& value = config_.at(key);
        value.refuse(value.what(), std::move(expected));
    }

    /// The value is the one that a list names.
    static bool is(json const& value, std::string_view literal) {
        if (literal == "{}") return value.is_object() && value.members().empty();
        if (value.is_flag()) return literal == (value.flag() ? "true" : "false");
        return value.is_number() && literal != "true" && literal != "false" &&
               value.real() == std::atof(literal.data());
    }
    void require_known_keys(std::vector<std::string_view> const& understood) const {
        for (auto const& [key, value] : config_.members()) {
            if (is_among(key, understood)) continue;
            auto const* const harmless = find_among(key, harmless_in_config);
            // Null is no default of a flag: transformers refuses it or takes it for false.
            bool const is_flag =
                harmless != nullptr && (harmless->values == "true" || harmless->values == "false");
            if (value.is_null() && !is_flag) continue;
            if (harmless == nullptr) value.refuse(value.what(), std::string(what_is_known));
            if (!harmless->values.empty() && !is(value, harmless->values))
                value.refuse(value.what(), std::string(harmless->values) + ": the rest is not implemented");
        }
    }

    /// Null is no default: transformers refuses it in these members, too.
    index_t positive_or(std::string_view key, index_t missing) const {
        auto const* const value = config_.find(key);
        if (value == nullptr) return missing;
        if (value->integer() < 1) refuse(key, "at least 1");
        return value->integer();
    }
    /// A member with which null has a meaning of its own.
    index_t positive_or(std::string_view key, index_t missing, index_t null) const {
        auto const* const value = config_.find(key);
        return value != nullptr && value->is_null() ? null : positive_or(key, missing);
    }
    double positive_real_or(std::string_view key, double missing) const {
        auto const* const value = config_.find(key);
        if (value == nullptr) return missing;
        if (!is_positive(value->real())) refuse(key, "a positive number");
        return value->real();
    }
    bool flag_or(std::string_view key, bool missing) const {
        auto const* const value = config_.find(key);
        return value == nullptr ? missing : value->flag();
    }
    void require_activation(models::config_type const& type) const {
        auto const* const value = type.activations.empty() ? nullptr : config_.find(type.activation_key);
        if (value != nullptr && !is_among(value->text(), type.activations))
            refuse(type.activation_key, printable(type.activations.front()));
    }
    /// The heads' equal share of the width.
    index_t share_of(index_t width, index_t heads, std::string_view key) const {
        if (width % heads == 0) return width / heads;
        auto const expected = "a multiple of the " + std::to_string(heads) + " heads";
        if (config_.find(key) != nullptr) refuse(key, expected);
        throw error(config_.where(), "a width of " + std::to_string(width), expected);
    }
    /// A number that may depend on those that were read before it.
    index_t value_of(models::config_number const& number, model_numbers const& found) const {
        auto const depends = number.of != nullptr;
        auto const derived = depends ? (checked(number.times) * found.*number.of).index() : 0;
        auto const missing = number.missing != 0 ? number.missing : derived;
        auto const read = [&](std::string_view key) {
            return depends ? positive_or(key, missing, derived) : positive_or(key, missing);
        };
        auto const result = read(number.key);
        auto const other = number.other_key;
        if (other.empty() || config_.find(other) == nullptr) return result;
        if (config_.find(number.key) != nullptr && read(other) != result)
            refuse(other, "the same number as for " + printable(number.key));
        return read(other);
    }
    /// Its own where a type has a key for it and the file has that, or the type a default, else the heads' equal share
    /// of the width.
    void read_head_width(model_numbers& found, models::config_type const& type) const {
        auto const entry_of = [&](index_t model_numbers::*wanted) {
            auto const number = std::ranges::find(type.numbers, wanted, &models::config_number::number);
            return number != type.numbers.end() ? *number : models::config_number{};
        };
        if (found.heads == 0) return;
        auto const own = entry_of(&model_numbers::head_width);
        auto const is_said = !own.key.empty() && (own.missing != 0 || config_.has(own.key));
        found.head_width = is_said ? positive_or(own.key, own.missing)
                                   : share_of(found.width, found.heads, entry_of(&model_numbers::width).key);
    }

    model_numbers numbers_of(models::config_type const& type, models::model_family const& family) const {
        require_activation(type);
        model_numbers found{.family = family.name};
        for (auto const& trait : type.traits) found.*trait.number = trait.value;
        auto const read = [&](index_t model_numbers::*wanted) {
            for (auto const& number : type.numbers)
                if (number.number == wanted) found.*wanted = value_of(number, found);
        };
        read(&model_numbers::layers);
        read(&model_numbers::heads);
        found.kv_heads = found.heads;
        read(&model_numbers::kv_heads);
        require_whole_groups(found, config_.where());
        read(&model_numbers::width);
        read_head_width(found, type);
        read(&model_numbers::mlp);
        for (auto const& number : type.numbers)
            if (found.*number.number == 0) found.*number.number = value_of(number, found);
        if (type.local_rope_theta != 0) read_frequencies_by_kind(found, type);
        else if (type.is_rotary) read_frequencies(found, type.rope_theta);
        if (type.no_rope_interval != 0)
            found.no_rope_interval = no_rope_interval(type.no_rope_interval, found.layers);
        if (type.window == models::window_rule::all_but_every_nth) {
            auto const interval = full_attention_interval(type.full_attention_interval, found.layers);
            found.full_attention_interval = interval <= found.layers ? interval : 0;
            auto const window = positive_or("sliding_window", 4096);
            found.sliding_window = window < found.context && interval != 1 ? window : 0;
        } else if (type.window != models::window_rule::unknown) {
            auto const [window, is_in_every_layer] = sliding_window(type.window, found.layers);
            if (window != 0 && window < found.context) {
                found.sliding_window = window;
                // Up to its length a window is full attention, in whichever layers it is.
                if (!is_in_every_layer) found.context = window;
            }
        }
        for (auto const& real : type.reals) found.*real.number = positive_real_or(real.key, real.missing);
        for (auto const& flag : type.flags) found.*flag.number = flag_or(flag.key, flag.missing);
        return found;
    }

    /// A list of layers comes before the interval, as in transformers. 0: every layer rotates.
    index_t no_rope_interval(index_t missing, index_t layers) const {
        constexpr std::string_view key = "no_rope_layers";
        auto interval = positive_or("no_rope_layer_interval", missing);
        if (config_.has(key)) {
            auto const& list = config_.at(key).elements();
            if (static_cast<index_t>(list.size()) != layers)
                refuse(key, "a number for each of the " + std::to_string(layers) + " layers");
            auto const is_plain = [](json const& layer) { return layer.integer() == 0; };
            interval = std::ranges::find_if(list, is_plain) - list.begin() + 1;
            index_t number = 0;
            for (auto const& layer : list)
                if (layer.integer() != index_t{++number % interval != 0})
                    layer.refuse(layer.what() + " in " + printable(key),
                                 "1, and 0 for every so many-th layer");
        }
        return interval <= layers ? interval : 0;
    }

    /// A list of layers comes before the interval, as in transformers. More than the layers: all have the window.
    index_t full_attention_interval(index_t missing, index_t layers) const {
        constexpr std::string_view key = "layer_types";
        auto interval = positive_or("sliding_window_pattern", missing);
        if (!config_.has(key)) return interval;
        auto const& list = config_.at(key).elements();
        if (static_cast<index_t>(list.size()) != layers)
            refuse(key, "a type for each of the " + std::to_string(layers) + " layers");
        auto const is_full = [](json const& layer) { return layer.text() == "full_attention"; };
        interval = std::ranges::find_if(list, is_full) - list.begin() + 1;
        index_t number = 0;
        for (auto const& layer : list)
            if (layer.text() != (++number % interval == 0 ? "full_attention" : "sliding_attention"))
                layer.refuse(layer.what() + " in " + printable(key),
                             "\"sliding_attention\", and \"full_attention\" for every so many-th layer");
        return interval;
    }

    /// The window of the layers that have one (0: none has), and whether all have it.
    std::pair<index_t, bool> sliding_window(models::window_rule rule, index_t layers) const {
        using models::window_rule;
        constexpr index_t usual = 4096;
        auto const is_in_every_layer = rule == window_rule::every_layer;
        auto given = rule == window_rule::none ? 0 : positive_or("sliding_window", usual, 0);
        if (is_in_every_layer && given != 0 && !flag_or("use_sliding_window", true))
            refuse("use_sliding_window", "true, or a \"sliding_window\" of null");
        if (!is_in_every_layer && !flag_or("use_sliding_window", false)) given = 0;
        auto some = given != 0;
        auto all = is_in_every_layer;
        if (config_.has("layer_types")) {
            some = false;
            all = true;
            if (auto const count = static_cast<index_t>(config_.at("layer_types").elements().size());
                count != layers)
                refuse("layer_types", "a type for each of the " + std::to_string(layers) + " layers");
            for (auto const& layer : config_.at("layer_types").elements()) {
                auto const& kind = layer.text();
                if (kind != "full_attention" && (kind != "sliding_attention" || given == 0))
                    layer.refuse(layer.what() + " in \"layer_types\"", "\"full_attention\"");
                some = some || kind == "sliding_attention";
                all = all && kind == "sliding_attention";
            }
            // The class of Mistral does not read them.
            if (is_in_every_layer && some != (given != 0))
                refuse("layer_types", "layers of \"sliding_attention\", as \"sliding_window\" says");
        } else if (rule == window_rule::upper_layers && some) {
            auto const* const first = config_.find("max_window_layers");
            auto const begin = first == nullptr ? 28 : first->integer();
            some = begin < layers;
            all = begin <= 0;
        }
        return {some ? given : 0, all};
    }

    /// Rotary frequencies: older files have `rope_theta` and, for scaled ones, `rope_scaling`, newer ones have all in
    /// `rope_parameters`. Where there are both they must say the same.
    void read_frequencies(model_numbers& found, double usual) const {
        auto const older = scaling_in(config_.find("rope_scaling"), "rope_scaling", found.context);
        auto const newer = scaling_in(config_.find("rope_parameters"), "rope_parameters", found.context);
        auto const has_older = config_.has("rope_scaling") && !config_.at("rope_scaling").members().empty();
        auto const has_newer =
            config_.has("rope_parameters") && !config_.at("rope_parameters").members().empty();
        if (has_older && has_newer && !(older == newer))
            refuse("rope_scaling", "the same as in \"rope_parameters\"");
        found.rope_scaling = has_older ? older : newer;

        found.rope_theta = positive_real_or("rope_theta", usual);
        auto const* const inside = has_older   ? config_.at("rope_scaling").find("rope_theta")
                                   : has_newer ? config_.at("rope_parameters").find("rope_theta")
                                               : nullptr;
        if (inside != nullptr) found.rope_theta = inside->real();
        if (!is_positive(found.rope_theta)) inside->refuse(inside->what(), "a positive number");
        auto const require_same = [&](json const& other) {
            if (other.real() != found.rope_theta)
                other.refuse(other.what(), "the same number as for the other \"rope_theta\" of this file");
        };
        if (config_.has("rope_theta")) require_same(config_.at("rope_theta"));
        if (has_newer && config_.at("rope_parameters").has("rope_theta"))
            require_same(config_.at("rope_parameters").at("rope_theta"));
    }

    /// The same where layers with a window have frequencies of their own, which are not scaled: newer files have both
    /// kinds in `rope_parameters`.
    void read_frequencies_by_kind(model_numbers& found, models::config_type const& type) const {
        constexpr std::string_view both = "rope_parameters";
        json const* full = nullptr;
        json const* sliding = nullptr;
        if (config_.has(both))
            for (auto const& [name, value] : config_.at(both).members()) {
                if (name == "full_attention") full = &value;
                else if (name == "sliding_attention") sliding = &value;
                else
                    value.refuse(value.what() + " in " + printable(both),
                                 "\"full_attention\" and \"sliding_attention\"");
            }
        auto const newer = scaling_in(full, "rope_parameters", found.context);
        auto const older = scaling_in(config_.find("rope_scaling"), "rope_scaling", found.context);
        auto const has_older = config_.has("rope_scaling");
        if (has_older && full != nullptr && !(older == newer))
            refuse("rope_scaling", "the same as in \"rope_parameters\"");
        found.rope_scaling = has_older ? older : newer;
        if (!(scaling_in(sliding, "rope_parameters", found.context) == rope::scaling{}))
            sliding->refuse(sliding->what(), "\"default\" frequencies: others are not implemented there");
        auto const base = [&](json const* kind, std::string_view key, double usual) {
            auto const* const inside = kind != nullptr ? kind->find("rope_theta") : nullptr;
            if (inside == nullptr) return positive_real_or(key, usual);
            if (!is_positive(inside->real())) inside->refuse(inside->what(), "a positive number");
            if (config_.has(key) && config_.at(key).real() != inside->real())
                refuse(key, "the same number as in \"rope_parameters\"");
            return inside->real();
        };
        found.rope_theta = base(full, "rope_theta", type.rope_theta);
        found.local_rope_theta = base(sliding, "rope_local_base_freq", type.local_rope_theta);
    }

    rope::scaling scaling_in(json const* member, std::string_view key, index_t context) const {
        if (member == nullptr || member->is_null()) return {};
        auto const& given = *member;
        auto const* kind = given.find("rope_type");
        if (kind == nullptr) kind = given.find("type");
        std::string const type = kind == nullptr ? "default" : kind->text();
        if (type != "default" && type != "linear" && type != "llama3")
            kind->refuse(kind->what(),
                         "\"default\", \"linear\" or \"llama3\": other rotary frequencies are "
                         "not implemented");
        auto const number = [&](std::string_view name) {
            auto const& value = given.at(name);
            if (!is_positive(value.real())) value.refuse(value.what(), "a positive number");
            return value.real();
        };
        for (auto const& [name, value] : given.members()) {
            auto const is_known =
                ((name == "rope_type" || name == "type") && value.is_text() && value.text() == type) ||
                name == "rope_theta" || value.is_null() ||
                (name == "partial_rotary_factor" && value.is_number() && value.real() == 1) ||
                (name == "factor" && (type != "default" || (value.is_number() && value.real() == 1))) ||
                (name == "original_max_position_embeddings" && type != "default") ||
                ((name == "low_freq_factor" || name == "high_freq_factor") && type == "llama3");
            if (!is_known)
                value.refuse(value.what(), "nothing of that kind for rotary frequencies of the type " +
                                               printable(type) + ", in " + printable(key));
        }
        if (type == "default") return {};
        rope::scaling found{.factor = number("factor")};
        if (type == "linear") return found;
        found.low_frequency_factor = number("low_freq_factor");
        found.high_frequency_factor = number("high_freq_factor");
        if (found.high_frequency_factor <= found.low_frequency_factor) {
            auto const& value = given.at("high_freq_factor");
            value.refuse(value.what(), "more than \"low_freq_factor\"");
        }
        constexpr std::string_view original = "original_max_position_embeddings";
        auto const outside = positive_or(original, context);
        found.original_context = given.has(original) ? number(original) : static_cast<double>(outside);
        if (given.has(original) && config_.find(original) != nullptr &&
            found.original_context != static_cast<double>(outside))
            refuse(original, "the same number as in " + printable(key));
        return found;
    }

    json const& config_;
    models::model_family const* own_;
};

/// Reads the metadata of a GGUF file.
class gguf_config_reader {
  public:
    explicit gguf_config_reader(gguf const& file, models::model_family const* own = nullptr)
        : file_(file), architecture_(file.text("general.architecture")), own_(own) {}

    model_numbers numbers() const {
        auto const [type, family] =
            type_called(architecture_, &models::config_type::gguf, own_, [&](std::string expected) {
                refuse("the architecture " + printable(architecture_), std::move(expected));
            });
        require_known_keys(understood_keys_of_gguf(*type));
        model_numbers found{.family = family->name};
        for (auto const& trait : type->traits) found.*trait.number = trait.value;
        found.layers = positive("block_count");
        found.heads = positive("attention.head_count");
        found.kv_heads = positive_or("attention.head_count_kv", found.heads);
        require_whole_groups(found, {file_.path()});
        found.width = positive("embedding_length");
        found.head_width = head_width(found);
        found.mlp = positive("feed_forward_length");
        found.context = positive("context_length");
        // 0 says that there is none. Up to its length a window is full attention, in whichever layers it is.
        constexpr std::string_view window = "attention.sliding_window";
        if (!file_.has(key(window))) found.sliding_window = -1;
        else if (file_.number(key(window)) != 0)
            if (auto const length = positive(window); length < found.context) {
                found.sliding_window = length;
                if (type->window == models::window_rule::upper_layers) found.context = length;
            }
        for (auto const& real : type->reals) found.*real.number = positive_real(real.gguf);
        // The number of tokens is not in every file, and an embedding may have rows that no token uses.
        auto const& embedding = file_.tensor("token_embd.weight");
        if (embedding.dimensions.size() != 2)
            throw error(embedding.where(), shape_text(embedding), "a matrix");
        found.vocabulary = embedding.dimensions.front();
        // Converters have written the head of a tied model once more, as a copy of the table.
        found.tied_head =
            !file_.has_tensor(head_in_gguf) || are_the_same(file_.tensor(head_in_gguf), embedding);
        found.qkv_bias = has_biases(*family, found);
        if (type->is_rotary) read_frequencies(found);
        // No key says these: they are in llama.cpp's code.
        if (type->no_rope_interval <= found.layers) found.no_rope_interval = type->no_rope_interval;
        if (type->full_attention_interval <= found.layers)
            found.full_attention_interval = type->full_attention_interval;
        if (type->query_scalar_in_gguf != nullptr) found.query_scalar = type->query_scalar_in_gguf(found);
        if (type->local_rope_theta != 0) {
            constexpr std::string_view local = "rope.freq_base_swa";
            found.local_rope_theta = file_.has(key(local)) ? positive_real(local) : type->local_rope_theta;
        }
        return found;
    }

  private:
    std::string key(std::string_view name) const {
        return std::string(architecture_) + "." + std::string(name);
    }

    [[noreturn]] void refuse(std::string found, std::string expected) const {
        throw error({file_.path()}, std::move(found), std::move(expected));
    }

    void require_known_keys(std::vector<std::string_view> const& understood) const {
        constexpr std::string_view type = "general.type";
        if (file_.has(type) && file_.text(type) != "model")
            refuse("a file of the type " + printable(file_.text(type)), "\"model\"");
        for (auto const name : file_.keys()) {
            if (std::ranges::any_of(harmless_groups_in_gguf,
                                    [&](auto group) { return name.starts_with(group); }))
                continue;
            auto const is_of_family = name.starts_with(key(""));
            auto const rest = is_of_family ? name.substr(architecture_.size() + 1) : name;
            if (is_of_family && (is_among(rest, understood_of_gguf) || is_among(rest, understood))) continue;
            auto const* const harmless = is_of_family ? find_among(rest, harmless_in_gguf) : nullptr;
            if (harmless == nullptr) refuse("the key " + printable(name), std::string(what_is_known));
            auto const values = harmless->values;
            if (values.empty()) continue;
            auto const is_flag = values == "true" || values == "false";
            if (is_flag ? file_.flag(name) != (values == "true") : !is_number(name, std::atof(values.data())))
                refuse("the key " + printable(name) + " with another value",
                       std::string(values) + ": the rest is not implemented");
        }
    }
    /// Of whichever type.
    bool is_number(std::string_view name, double expected) const {
        try {
            return static_cast<double>(file_.number(name)) == expected;
        } catch (error const&) {
            return file_.real(name) == expected;
        }
    }

    index_t positive(std::string_view name) const {
        auto const value = file_.number(key(name));
        if (value < 1) refuse(key(name) + " = " + std::to_string(value), "at least 1");
        return value;
    }
    index_t positive_or(std::string_view name, index_t missing) const {
        return file_.has(key(name)) ? positive(name) : missing;
    }
    double positive_real(std::string_view name) const {
        auto const value = file_.real(key(name));
        if (!is_positive(value)) refuse(key(name) + " = " + std::to_string(value), "a positive number");
        return value;
    }

    /// Biases of queries, keys and values: where the types of a family differ in them, the tensors tell.
    bool has_biases(models::model_family const& family, model_numbers const& found) const {
        if (std::ranges::all_of(family.types, [](models::config_type const& type) {
                return std::ranges::any_of(type.traits, [](models::config_trait const& trait) {
                    return trait.number == &model_numbers::qkv_bias && trait.value;
                });
            }))
            return true;
        auto const pieces = pieces_of(family, found, naming::gguf, "qkv.bias", 0, 0);
        return !pieces.empty() && file_.has_tensor(pieces.front().tensor);
    }

    index_t head_width(model_numbers const& found) const {
        auto const given = file_.has(key("attention.key_length"));
        if (!given && found.width % found.heads != 0)
            refuse("a width of " + std::to_string(found.width),
                   "a multiple of the " + std::to_string(found.heads) + " heads");
        auto const result = given ? positive("attention.key_length") : found.width / found.heads;
        if (auto const values = positive_or("attention.value_length", result); values != result)
            refuse("values of width " + std::to_string(values),
                   "the width of keys, " + std::to_string(result));
        return result;
    }

    /// Linear scaling is in the metadata, Llama 3's in a tensor of what each frequency is divided by. A file may have
    /// both.
    void read_frequencies(model_numbers& found) const {
        if (auto const turned = positive_or("rope.dimension_count", found.head_width);
            turned != found.head_width)
            refuse("rotary positions in " + std::to_string(turned) + " of a head's elements",
                   "in all " + std::to_string(found.head_width));
        found.rope_theta = file_.has(key("rope.freq_base")) ? positive_real("rope.freq_base") : 10000;

        auto const scaling = key("rope.scaling.type");
        auto const type = file_.has(scaling) ? file_.text(scaling) : "linear";
        if (type != "linear" && type != "none")
            refuse("rotary positions scaled by " + printable(type), "by \"linear\" or \"none\"");
        auto const* const name =
            file_.has(key("rope.scaling.factor")) ? "rope.scaling.factor" : "rope.scale_linear";
        // 0 stands for none.
        if (file_.has(key(name)) && file_.real(key(name)) != 0)
            found.rope_scaling.factor = positive_real(name);
        if (type == "none" && found.rope_scaling.factor != 1)
            refuse("a factor for rotary positions that are scaled by \"none\"", "a factor of 1");

        if (!file_.has_tensor(frequency_factors)) return;
        auto const& tensor = file_.tensor(frequency_factors);
        auto const pairs = found.head_width / 2;
        if (tensor.dimensions != std::vector<index_t>{pairs})
            throw error(tensor.where(), shape_text(tensor),
                        shape_text(tensor.type, std::vector<index_t>{pairs}) +
                            ", a factor for each pair of a head's elements");
        auto& divisors = found.rope_divisors;
        if (pairs > static_cast<index_t>(divisors.size()))
            throw error(tensor.where(), shape_text(tensor),
                        "at most " + std::to_string(divisors.size()) + " factors");
        auto const used = std::span(divisors).first(static_cast<std::size_t>(pairs));
        decode(tensor, 0, used);
        for (auto& divisor : used) {
            auto const whole = static_cast<double>(divisor) * found.rope_scaling.factor;
            constexpr double most = 1e30;
            if (!is_positive(whole) || whole > most)
                throw error(tensor.where(), "a factor of " + std::to_string(whole), "positive numbers");
            divisor = static_cast<float>(whole);
        }
        found.rope_scaling = {};
        if (std::ranges::all_of(used, [](float divisor) { return divisor == 1; })) divisors = {};
    }

    gguf const& file_;
    std::string_view architecture_;
    models::model_family const* own_;
};

/// The rotary frequency of a pair of elements.
inline double frequency_of(model_numbers const& n, std::size_t pair) {
    auto const plain = rope::frequency(n.rope_theta, static_cast<index_t>(pair), n.head_width);
    auto const divisor = pair < n.rope_divisors.size() ? n.rope_divisors[pair] : 0.f;
    return divisor != 0 ? plain / static_cast<double>(divisor) : n.rope_scaling.scaled(plain);
}
/// Files have factors of frequencies in fp32, computed in fp32: those of the same rule are this far apart.
inline bool have_the_same_frequencies(model_numbers const& a, model_numbers const& b) {
    constexpr double most = 4e-6;
    for (std::size_t pair = 0; pair < static_cast<std::size_t>(a.head_width / 2); ++pair)
        if (std::abs(frequency_of(a, pair) / frequency_of(b, pair) - 1) > most) return false;
    return true;
}
/// How frequencies are scaled, in words.
inline std::string scaling_text(model_numbers const& n) {
    auto const& scaling = n.rope_scaling;
    std::ostringstream text;
    text << "rotary frequencies ";
    if (n.rope_divisors[0] != 0)
        text << "divided by " << n.rope_divisors[0] << " to "
             << n.rope_divisors[static_cast<std::size_t>(n.head_width / 2 - 1)] << " (" << frequency_factors
             << ')';
    else if (scaling.original_context != 0)
        text << "scaled as Llama 3's are (factor " << scaling.factor << ", low_freq_factor "
             << scaling.low_frequency_factor << ", high_freq_factor " << scaling.high_frequency_factor
             << ", original_max_position_embeddings " << scaling.original_context << ')';
    else if (scaling.factor != 1) text << "divided by " << scaling.factor;
    else text << "that are not scaled";
    return text.str();
}

/// What attention looks at, in words.
inline std::string attention_text(model_numbers const& n) {
    if (n.sliding_window != 0)
        return "attention within a sliding window of " + std::to_string(n.sliding_window) + " tokens";
    return "attention to a whole context of " + std::to_string(n.context);
}

/// Which blocks have no window where the others have one, in words.
inline std::string full_attention_text(model_numbers const& n) {
    if (n.full_attention_interval == 0) return "one kind of attention in all layers";
    return "full attention in every layer of " + std::to_string(n.full_attention_interval);
}

/// Which blocks rotate, in words.
inline std::string rotated_blocks_text(model_numbers const& n) {
    if (n.no_rope_interval == 0) return "rotary positions in every layer";
    return "rotary positions in all but every layer of " + std::to_string(n.no_rope_interval);
}

/// Two lists, of what differs only.
struct differences {
    std::string found;
    std::string expected;

    void add(std::string const& in_file, std::string const& wanted) {
        auto const* const comma = found.empty() ? "" : ", ";
        found += comma + in_file;
        expected += comma + wanted;
    }
    void compare(index_t in_file, index_t wanted, std::string const& before, std::string const& after = {}) {
        if (in_file != wanted)
            add(before + std::to_string(in_file) + after, before + std::to_string(wanted) + after);
    }
    /// GGUF has real numbers in fp32.
    void compare(double in_file, double wanted, std::string const& before) {
        if (static_cast<float>(in_file) == static_cast<float>(wanted)) return;
        std::ostringstream a;
        std::ostringstream b;
        a << before << in_file;
        b << before << wanted;
        add(a.str(), b.str());
    }
    void compare(bool in_file, bool wanted, std::string const& yes, std::string const& no) {
        if (in_file != wanted) add(in_file ? yes : no, wanted ? yes : no);
    }
};

}  // namespace detail

/// The numbers of the model that a `config.json` of Hugging Face describes: `path`, or that file in the folder
/// `path`. It knows the `families`, and one of your `own`. Throws for another, and for options that the family
/// has there and not here.
inline model_numbers read_model_config(std::string path, models::model_family const* own = nullptr) {
    if (is_folder(path)) path = in_folder(path, "config.json");
    constexpr std::int64_t most = 1 << 24;
    json_document const config(std::move(path), most);
    return detail::config_reader(config.root(), own).numbers();
}

/// The numbers of the model in a GGUF file of an architecture of these families.
inline model_numbers read_model_config(gguf const& file, models::model_family const* own = nullptr) {
    return detail::gguf_config_reader(file, own).numbers();
}

/// Throws, with all that differs, unless a trainer compiled for `compiled` can run the model `found` in the file at
/// `where`. A context longer than the trainer's is no difference.
inline void require(model_numbers const& compiled, model_numbers const& found, place const& where) {
    detail::differences all;
    if (found.family != compiled.family)
        all.add("a model of the family " + std::string(found.family),
                "the family " + std::string(compiled.family));
    all.compare(found.layers, compiled.layers, "", " layers");
    all.compare(found.heads, compiled.heads, "", " heads");
    all.compare(found.kv_heads, compiled.kv_heads, "", " key-value heads");
    all.compare(found.head_width, compiled.head_width, "heads of width ");
    all.compare(found.width, compiled.width, "a width of ");
    all.compare(found.mlp, compiled.mlp, "an inner width of ");
    all.compare(found.vocabulary, compiled.vocabulary, "a vocabulary of ");
    auto const ends_at_a_window = found.sliding_window == found.context;
    if (found.context < compiled.context && !ends_at_a_window)
        all.compare(found.context, compiled.context, "a context of ");
    // A window beyond the sequences that the trainer is for is none.
    auto const window_of = [&](model_numbers const& n) {
        return n.sliding_window < compiled.context ? n.sliding_window : 0;
    };
    if (found.sliding_window >= 0 &&
        (window_of(found) != window_of(compiled) || (ends_at_a_window && window_of(found) != 0)))
        all.add(detail::attention_text(found) + (ends_at_a_window ? " in some layers" : ""),
                detail::attention_text(compiled));
    if (found.full_attention_interval != compiled.full_attention_interval)
        all.add(detail::full_attention_text(found), detail::full_attention_text(compiled));
    all.compare(found.query_scalar, compiled.query_scalar, "scores divided by the root of ");
    all.compare(found.rope_theta, compiled.rope_theta, "a rotary base of ");
    all.compare(found.local_rope_theta, compiled.local_rope_theta, "a rotary base within the window of ");
    if (found.head_width == compiled.head_width && found.rope_theta == compiled.rope_theta &&
        !detail::have_the_same_frequencies(found, compiled))
        all.add(detail::scaling_text(found), detail::scaling_text(compiled));
    if (found.no_rope_interval != compiled.no_rope_interval)
        all.add(detail::rotated_blocks_text(found), detail::rotated_blocks_text(compiled));
    all.compare(found.norm_epsilon, compiled.norm_epsilon, "a norm epsilon of ");
    all.compare(found.tied_head, compiled.tied_head, "a head tied to the embedding", "a head of its own");
    all.compare(found.qkv_bias, compiled.qkv_bias, "biases of queries, keys and values",
                "no biases of queries, keys and values");
    if (!all.found.empty())
        throw error(where, all.found + " in the file",
                    all.expected + ", which this trainer was compiled for");
}

}  // namespace snug::SNUG_TARGET::io
