// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <set>
#include <snug/error.hpp>
#include <snug/io/json.hpp>
#include <string>
#include <string_view>
#include <vector>

/// `adapter_config.json` of PEFT (its `LoraConfig`): what of it is understood. Keys are allowed by list; a key that is not on it,
/// and a value that would change what the adapter computes, is refused by name.
namespace snug::SNUG_TARGET::engine {

/// What is done about the value of a key.
enum class peft_rule {
    read,  ///< compared with the trainer, or followed
    any,   ///< says nothing about what the adapter computes
    off    ///< must be null, false or empty: what it would turn on is not implemented
};

struct peft_key {
    std::string_view name;
    peft_rule rule;
    std::string_view meaning = {};  ///< of what is turned off: "it ..."
};

/// Every key that PEFT up to 0.21 writes for LoRA, in order.
inline constexpr peft_key peft_keys[] = {
    {"alora_invocation_tokens", peft_rule::off, "the update would act only after these tokens"},
    {"alpha_pattern", peft_rule::read},
    {"arrow_config", peft_rule::off, "several adapters would be mixed token by token"},
    {"auto_mapping", peft_rule::any},
    {"base_model_name_or_path", peft_rule::any},
    {"bias", peft_rule::read},
    {"corda_config", peft_rule::off, "the base weights would be changed"},
    {"enable_lora", peft_rule::off, "parts of fused layers would be left out"},
    {"ensure_weight_tying", peft_rule::any},
    {"eva_config", peft_rule::any},
    {"exclude_modules", peft_rule::read},
    {"fan_in_fan_out", peft_rule::any},
    {"inference_mode", peft_rule::any},
    {"init_lora_weights", peft_rule::read},
    {"kasa_config", peft_rule::off, "the base weights would be changed"},
    {"layer_replication", peft_rule::off, "blocks would be run several times"},
    {"layers_pattern", peft_rule::read},
    {"layers_to_transform", peft_rule::read},
    {"loftq_config", peft_rule::off, "the base weights would be changed"},
    {"lora_alpha", peft_rule::read},
    {"lora_bias", peft_rule::off, "the update would have a bias"},
    {"lora_dropout", peft_rule::read},
    {"lora_ga_config", peft_rule::off, "the base weights would be changed"},
    {"megatron_config", peft_rule::off, "layers would be Megatron's"},
    {"megatron_core", peft_rule::any},
    {"merge_weights", peft_rule::any},
    {"modules_to_save", peft_rule::read},
    {"monteclora_config", peft_rule::off, "weights would be drawn at random"},
    {"peft_type", peft_rule::read},
    {"peft_version", peft_rule::any},
    {"qalora_group_size", peft_rule::any},
    {"r", peft_rule::read},
    {"rank_pattern", peft_rule::read},
    {"revision", peft_rule::any},
    {"runtime_config", peft_rule::any},
    {"target_modules", peft_rule::read},
    {"target_parameters", peft_rule::off, "parameters would be adapted that are no module's weight"},
    {"task_type", peft_rule::read},
    {"trainable_token_indices", peft_rule::off, "single rows of the embedding would be replaced"},
    {"use_bdlora", peft_rule::off, "A or B would be block-diagonal"},
    {"use_dora", peft_rule::read},
    {"use_qalora", peft_rule::off, "the update's inputs would be averaged in groups"},
    {"use_rslora", peft_rule::read},
    {"velora_config", peft_rule::off, "gradients would be those of compressed inputs"},
};

static_assert(std::ranges::is_sorted(peft_keys, {}, &peft_key::name));

/// Initialisations that leave the base as it is: of them nothing is left once A and B are in a file.
inline constexpr std::string_view harmless_initialisations[] = {"gaussian", "eva", "orthogonal", "mica"};

/// A trainer's adapter, to be compared with what a file says of its own.
struct adapter_numbers {
    index_t rank = 0;
    index_t alpha = 0;
    bool is_rank_stabilized = false;
    bool has_magnitude = false;
    index_t blocks = 0;                 ///< of the model
    std::string_view blocks_name = {};  ///< of the model's list of blocks, "layers"; empty where nobody knows
    std::vector<std::string> modules{};  ///< the adapted ones: "model.layers.0.self_attn.q_proj"
    std::set<index_t> adapted_blocks{};  ///< `only_in`; empty: all of them
};

/// PEFT's rule for lists of names: the module, or the end of its name after a dot.
inline bool is_module(std::string_view name, std::string_view module) {
    return module.ends_with(name) &&
           (module.size() == name.size() || module[module.size() - name.size() - 1] == '.');
}

/// A key of `rank_pattern` or `alpha_pattern`: a regular expression for a module's name or the end of it after a dot. Those of
/// letters and dots are understood, with ^ before them or $ after them; others are not run: they come from a file.
struct module_pattern {
    explicit module_pattern(std::string_view key) {
        if (key.starts_with('^')) {
            is_whole = true;
            key.remove_prefix(1);
        }
        if (key.ends_with('$')) key.remove_suffix(1);
        for (std::size_t i = 0; i < key.size(); ++i) {
            bool const is_escaped = key[i] == '\\' && i + 1 < key.size() && key[i + 1] == '.';
            if (is_escaped) ++i;
            bool const is_plain = (key[i] >= 'a' && key[i] <= 'z') || (key[i] >= 'A' && key[i] <= 'Z') ||
                                  (key[i] >= '0' && key[i] <= '9') || key[i] == '_' || key[i] == '.';
            is_understood = is_understood && is_plain;
            letters += key[i];
            matches_all += key[i] == '.' && !is_escaped ? '1' : '0';
        }
    }

    bool matches(std::string_view module) const {
        if (module.size() < letters.size()) return false;
        auto const before = module.size() - letters.size();
        if (before > 0 && (is_whole || module[before - 1] != '.')) return false;
        for (std::size_t i = 0; i < letters.size(); ++i)
            if (matches_all[i] == '0' && module[before + i] != letters[i]) return false;
        return true;
    }

    bool is_understood = true;
    bool is_whole = false;
    std::string letters;
    std::string matches_all;  ///< for each letter '1' where it is a dot that stands for any
};

/// Throws unless `key`, with the exceptions that `pattern_key` makes for some modules, is `wanted` for every adapted module.
inline void check_number(io::json const& config, char const* key, char const* pattern_key, index_t missing,
                         index_t wanted, std::vector<std::string> const& modules) {
    struct exception {
        module_pattern pattern;
        io::json_member const* member;
    };
    std::vector<exception> exceptions;
    if (config.has(pattern_key)) {
        constexpr std::size_t most = 4096;
        auto const& members = config.at(pattern_key).members();
        if (members.size() > most)
            config.at(pattern_key)
                .refuse(std::to_string(members.size()) + " patterns", "at most " + std::to_string(most));
        for (auto const& member : members) exceptions.push_back({module_pattern(member.key), &member});
        // The first that matches counts, in the order of the file.
        std::ranges::sort(exceptions, {}, [](exception const& e) { return e.member->value.offset(); });
    }
    auto const expected = std::to_string(wanted) + ", which this trainer was compiled for";
    auto const is_wanted = [&](io::json const& value) { return value.real() == static_cast<double>(wanted); };
    auto const* const number = config.has(key) ? config.find(key) : nullptr;
    bool const is_general = number != nullptr ? is_wanted(*number) : missing == wanted;
    for (auto const& module : modules) {
        bool is_decided = false;
        for (auto const& [pattern, member] : exceptions) {
            bool const counts = !pattern.is_understood || pattern.matches(module);
            if (counts && !is_wanted(member->value))
                throw error(member->value.where(),
                            "a pattern of " + std::string(pattern_key) + ", " + io::printable(member->key) +
                                ", with " + member->value.what(),
                            expected + ", for every module");
            is_decided = counts && pattern.is_understood;
            if (is_decided) break;
        }
        if (!is_decided && !is_general)
            throw error(number != nullptr ? number->where() : config.where(),
                        std::string(key) + " " + (number != nullptr ? number->what() : "left out"), expected);
    }
}

inline void check_flag(io::json const& config, char const* key, bool expected) {
    if ((config.has(key) && config.at(key).flag()) != expected)
        throw error(config.has(key) ? config.at(key).where() : config.where(),
                    std::string(key) + (expected ? " false" : " true"),
                    std::string(expected ? "true" : "false") + ", which this trainer was compiled for");
}

/// Base weights that are not the base's are what these have in common.
inline void check_initialisation(io::json const& config) {
    if (!config.has("init_lora_weights")) return;
    auto const& how = config.at("init_lora_weights");
    if (how.is_flag()) return;
    for (auto const known : harmless_initialisations)
        if (how.text() == known) return;
    how.refuse(how.what(),
               "true, false, \"gaussian\", \"eva\", \"orthogonal\" or \"mica\", which leave the base weights "
               "as they are. Others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) change them, and this file holds "
               "only the difference to the changed ones: let PEFT turn it into plain LoRA, "
               "save_pretrained(..., path_initial_model_for_weight_conversion=...)");
}

/// A list of names; a single name counts as a list of one.
inline std::vector<std::string_view> names_of(io::json const& config, char const* key) {
    std::vector<std::string_view> names;
    if (!config.has(key)) return names;
    auto const& value = config.at(key);
    if (value.is_text()) return {value.text()};
    for (auto const& name : value.elements()) names.push_back(name.text());
    return names;
}

/// The last name of a module: "q_proj" of "self_attn.q_proj".
inline std::string_view last_name(std::string_view module) {
    auto const dot = module.rfind('.');
    return dot == module.npos ? module : module.substr(dot + 1);
}

/// The modules that the file says it adapts are those that its tensors adapt: PEFT goes by what is said, and passes over tensors of
/// others. A list can be compared; an expression in an untrusted file is not run.
inline void check_targets(io::json const& config, std::vector<std::string> const& modules) {
    constexpr std::size_t most = 65536;
    if (!config.has("target_modules")) {
        // PEFT's own choice for the families that are here.
        for (std::string_view const module : modules)
            if (auto const name = last_name(module); name != "q_proj" && name != "v_proj" && name != "c_attn")
                config.refuse(
                    "no target_modules, which are q_proj and v_proj or c_attn then, and tensors of " +
                        std::string(module),
                    "a list of all modules that are adapted");
    }
    for (auto const* const key : {"target_modules", "exclude_modules"}) {
        if (!config.has(key)) continue;
        auto const& value = config.at(key);
        if (value.is_text()) {
            if (std::string_view(key) == "target_modules" && value.text() == "all-linear") continue;
            value.refuse(value.what(), "a list of names, or \"all-linear\": an expression is not run");
        }
        if (value.elements().size() > most)
            value.refuse(std::to_string(value.elements().size()) + " names",
                         "at most " + std::to_string(most));
        std::set<std::string_view> names;
        for (auto const name : names_of(config, key)) names.insert(name);
        bool const is_wanted = std::string_view(key) == "target_modules";
        for (std::string_view const module : modules) {
            bool is_named = names.contains(module);
            for (auto dot = module.find('.'); dot != module.npos; dot = module.find('.', dot + 1))
                is_named = is_named || names.contains(module.substr(dot + 1));
            if (is_named != is_wanted)
                value.refuse(is_wanted ? "a list without " + std::string(module)
                                       : "a list with " + std::string(module),
                             "what this trainer was compiled to adapt");
        }
    }
}

/// Which blocks are adapted. Where nothing is said, and by an empty list, all are.
inline void check_blocks(io::json const& config, adapter_numbers const& compiled) {
    std::set<index_t> named;
    auto const* const value = config.has("layers_to_transform") ? &config.at("layers_to_transform") : nullptr;
    if (value != nullptr && value->is_array())
        for (auto const& block : value->elements()) named.insert(block.integer());
    else if (value != nullptr) named.insert(value->integer());
    auto const& adapted = compiled.adapted_blocks;
    for (index_t block = 0; block < compiled.blocks; ++block) {
        bool const is_named = named.empty() || named.contains(block);
        bool const is_adapted = adapted.empty() || adapted.contains(block);
        if (is_named == is_adapted) continue;
        auto const expected = adapted.empty() ? std::string("null, or all blocks: every block is adapted")
                                              : "blocks " + std::to_string(*adapted.begin()) + " to " +
                                                    std::to_string(*adapted.rbegin()) +
                                                    ", which this trainer was compiled to adapt (only_in)";
        if (named.empty())
            throw error(value != nullptr ? value->where() : config.where(),
                        "no blocks in layers_to_transform, so all of them", expected);
        value->refuse((is_named ? "a list with block " : "a list without block ") + std::to_string(block),
                      expected);
    }
    for (auto const name : names_of(config, "layers_pattern"))
        if (!name.empty() && name != compiled.blocks_name)
            config.at("layers_pattern")
                .refuse(io::printable(name), "null, or the name of the model's list of blocks");
}

/// Throws unless the configuration is that of this trainer's adapter.
inline void check_adapter_config(io::json const& config, adapter_numbers const& compiled) {
    auto const& kind = config.at("peft_type");
    if (kind.text() != "LORA") kind.refuse(kind.what(), "\"LORA\"");
    for (auto const& [key, value] : config.members()) {
        auto const known = std::ranges::lower_bound(peft_keys, std::string_view(key), {}, &peft_key::name);
        if (known == std::end(peft_keys) || known->name != key)
            throw error(
                value.where(), "the key " + io::printable(key),
                "a key of PEFT's LoraConfig that this library knows: what others change is not known");
        // An object without members is a configuration with all its defaults, but for the one that is so when it is off.
        bool const is_off = value.is_null() || (value.is_flag() && !value.flag()) ||
                            (value.is_array() && value.elements().empty()) ||
                            (value.is_object() && value.members().empty() && key == "loftq_config");
        if (known->rule == peft_rule::off && !is_off)
            value.refuse(value.what(),
                         "null or false: " + std::string(known->meaning) + ", which is not implemented");
    }
    check_number(config, "r", "rank_pattern", 8, compiled.rank, compiled.modules);
    check_number(config, "lora_alpha", "alpha_pattern", 8, compiled.alpha, compiled.modules);
    check_flag(config, "use_rslora", compiled.is_rank_stabilized);
    check_flag(config, "use_dora", compiled.has_magnitude);
    check_initialisation(config);
    if (config.has("bias") && config.at("bias").text() != "none")
        config.at("bias").refuse(config.at("bias").what(), "\"none\": biases are not adapted");
    if (config.has("task_type") && config.at("task_type").text() != "CAUSAL_LM")
        config.at("task_type").refuse(config.at("task_type").what(), "\"CAUSAL_LM\" or null");
    // Of training alone, where this trainer's own counts.
    if (config.has("lora_dropout")) {
        auto const& dropout = config.at("lora_dropout");
        if (!(dropout.real() >= 0 && dropout.real() <= 1))
            dropout.refuse(dropout.what(), "a part from 0 to 1");
    }
    check_blocks(config, compiled);
    check_targets(config, compiled.modules);
}

/// A tied head is one parameter here and two modules there. Where the file has one of them alone, as a copy of its own, the other is
/// as it was: that is another model. (ensure_weight_tying ties nothing then: PEFT ties what it saves as two.)
inline void check_tied_head(io::json const& config, std::string_view embedding, std::string_view head,
                            bool has_embedding, bool has_head) {
    if (has_embedding == has_head) return;
    auto const one = has_embedding ? embedding : head;
    // A module that is named is copied; others are loaded into the base, where the two are one.
    for (auto const name : names_of(config, "modules_to_save"))
        if (one.ends_with(name))
            config.at("modules_to_save")
                .refuse("tensors of " + std::string(one) + " and none of " +
                            std::string(has_embedding ? head : embedding),
                        "both: this model's head is its embedding, and this adapter has replaced the one and "
                        "kept the other. PEFT trains both as one with modules_to_save of both and "
                        "ensure_weight_tying");
}

}  // namespace snug::SNUG_TARGET::engine
