# SPDX-License-Identifier: Apache-2.0
"""What transformers makes of conversations with the templates of chat_templates/.

    python3 -m venv venv && venv/bin/pip install transformers jinja2
    venv/bin/python tests/reference/make_chat_fixtures.py             # writes chat_templates/renderings.json
    venv/bin/python tests/reference/make_chat_fixtures.py --check PROGRAM TEMPLATE...

The templates are snug's own, in the style of published ones. The second form compares any other template, which stays out
of the repository: PROGRAM is tests/reference/render_chats.cpp, compiled by hand. It gets the file of a template as its
argument and a line of JSON for each conversation, the template's variables, and answers each with
{"text": ..., "spans": [[begin, end], ...]}, in bytes, or {"error": ...}.
"""
import datetime
import json
import os
import random
import subprocess
import sys

import transformers.utils.chat_template_utils as utils

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_templates")
TOOL = {"type": "function", "function": {
    "name": "count", "description": "counts \"boats\" é <b>",
    "parameters": {"type": "object", "properties": {
        "sea": {"type": "string", "enum": ["north", "south"]}, "least": {"type": "number", "minimum": 0.5}},
        "required": ["sea"]}}}
PARTS = ["hello", "  two spaces", "line\nbreak\n", "", "Ünïcödé ✓", "日本語", "<think>\nhm\n</think>\n\nyes", "</think> odd",
         "{\"a\": 1}", "<|im_end|>", "tab\t", "'q' \"dq\"", "\u00a0no break\u00a0", "a" * 50, "\n\n", "boat 🛶"]


class noon(datetime.datetime):
    @classmethod
    def now(cls, *_):
        return cls(2026, 11, 28, 12, 0, 0)


utils.datetime = noon


def conversations(seed, count, extras):
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choice(PARTS) for _ in range(draw.randint(0, 4)))

    for _ in range(count):
        messages = [{"role": "system", "content": text()}] if draw.random() < .5 else []
        turns = draw.randint(1, 4)
        for turn in range(turns):
            messages.append({"role": "user", "content": text()})
            if turn == turns - 1 and draw.random() < .3:
                break
            reply = {"role": "assistant", "content": text()}
            if extras and draw.random() < .15:
                reply["reasoning_content"] = text()
            if extras and draw.random() < .15:
                reply["tool_calls"] = [{"type": "function", "function": {
                    "name": "count", "arguments": {"least": 1.5, "sea": "é\n"}}}]
                messages.append(reply)
                messages.append({"role": "tool", "content": text(), "name": "count"})
                reply = {"role": "assistant", "content": text()}
            messages.append(reply)
        if draw.random() < .1:
            draw.shuffle(messages)
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": draw.random() < .5,
                 "bos_token": "<s>", "eos_token": "</s>"}
        if extras and draw.random() < .15:
            given["tools"] = [TOOL, TOOL][:draw.randint(1, 2)]
        if extras and draw.random() < .2:
            given["enable_thinking"] = draw.random() < .5
        if not extras and draw.random() < .3:
            given[draw.choice(["thinking", "greeting", "date"])] = draw.choice([False, "Ahoy"])
        yield given


def render(source, given):
    more = {key: one for key, one in given.items() if key not in ("messages", "tools", "documents",
                                                                  "add_generation_prompt")}
    try:
        texts, spans = utils.render_jinja_template(
            [given["messages"]], tools=given["tools"], chat_template=source,
            add_generation_prompt=given["add_generation_prompt"],
            return_assistant_tokens_mask="endgeneration" in source, **more)
    except Exception as refused:  # jinja2's, and Python's own from inside of it
        return {"error": str(refused)}
    text = texts[0]
    ends = [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in (spans[0] if spans else [])]
    return {"text": text, "spans": ends}


def make():
    result = {"conversations": list(conversations(1, 200, False)), "templates": {}}
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".jinja"):
            source = open(os.path.join(HERE, name), encoding="utf-8").read()
            # What constructs.jinja writes is long, and little of it is of the conversation.
            some = result["conversations"][:20] if name == "constructs.jinja" else result["conversations"]
            result["templates"][name[:-6]] = [render(source, one) for one in some]
    with open(os.path.join(HERE, "renderings.json"), "w", encoding="utf-8") as out:
        out.write("{\"conversations\": [\n" + ",\n".join(
            json.dumps(one, ensure_ascii=False) for one in result["conversations"]) + "],\n\"templates\": {\n" + ",\n".join(
            json.dumps(name) + ": [\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in all) + "]"
            for name, all in result["templates"].items()) + "}}\n")


def check(program, paths):
    given = list(conversations(5, 300, True))
    lines = "".join(json.dumps(one) + "\n" for one in given)
    for path in paths:
        source = open(path, encoding="utf-8").read()
        theirs = [render(source, one) for one in given]
        ours = [json.loads(line) for line in subprocess.run(
            [program, path], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()]
        same = sum(a == b for a, b in zip(theirs, ours) if "text" in a)
        both = sum("error" in a and "error" in b for a, b in zip(theirs, ours))
        refused = [b["error"] for a, b in zip(theirs, ours) if "text" in a and "error" in b]
        taken = sum("error" in a and "text" in b for a, b in zip(theirs, ours))
        print(f"{os.path.basename(path)}: {len(ours)} conversations, {same} the same, {both} refused by both, "
              f"{len(refused)} by snug alone, {taken} by transformers alone, "
              f"{len(ours) - same - both - len(refused) - taken} different")
        for why in sorted(set(refused))[:3]:
            print("   ", why)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2], sys.argv[3:])
    else:
        make()
