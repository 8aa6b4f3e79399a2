// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <snug/io/file.hpp>

#include "faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

TEST_CASE("an output file appears at commit, whole") {
    test::scratch directory;
    auto const path = directory / "out";
    {
        output_file file(path);
        file.write("0123456789");
        file.write_at(2, std::as_bytes(std::span("ab", 2)));
        CHECK(file.size() == 10);
        CHECK_FALSE(std::filesystem::exists(path));
        file.commit();
        CHECK(test::read_file(path) == "01ab456789");
    }
    CHECK(test::read_file(path) == "01ab456789");
    CHECK(directory.files() == 1);
}

TEST_CASE("an output file without commit leaves the target untouched") {
    test::scratch directory;
    test::write_file(directory / "out", "old");
    {
        output_file file(directory / "out");
        file.write("new");
    }
    CHECK(test::read_file(directory / "out") == "old");
    CHECK(directory.files() == 1);
}

TEST_CASE("an output file in the working directory needs no slash") {
    test::scratch directory;
    auto const before = std::filesystem::current_path();
    std::filesystem::current_path(directory / "");
    {
        output_file file("plain");
        file.write("x");
        file.commit();
    }
    std::filesystem::current_path(before);
    CHECK(test::read_file(directory / "plain") == "x");
}

TEST_CASE("what can't be a target is refused before anything is written") {
    test::scratch directory;
    CHECK_THAT(test::refusal([&] { output_file(directory / "no/such/out"); }),
               Contains("no such file or directory"));
    std::filesystem::create_directory(directory / "sub");
    CHECK_THAT(test::refusal([&] { output_file(directory / "sub"); }), Contains("a directory"));
    REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
    CHECK_THAT(test::refusal([&] { output_file(directory / "pipe"); }), Contains("not a regular file"));
    CHECK(directory.files() == 2);
}

TEST_CASE("a second writer of one file is refused and does not disturb the first") {
    test::scratch directory;
    auto const path = directory / "out";
    output_file first(path);
    first.write("first");
    CHECK_THAT(test::refusal([&] { output_file second(path); }), Contains("another process"));
    first.commit();
    CHECK(test::read_file(path) == "first");
    output_file third(path);
    third.write("third");
    third.commit();
    CHECK(test::read_file(path) == "third");
    CHECK(directory.files() == 1);
}

TEST_CASE("a partial file left by a kill is taken over") {
    test::scratch directory;
    test::write_file(directory / "out.partial", "what a killed process had written so far");
    output_file file(directory / "out");
    file.write("new");
    file.commit();
    CHECK(test::read_file(directory / "out") == "new");
    CHECK(directory.files() == 1);
}

TEST_CASE("a partial name that is a link is not followed") {
    test::scratch directory;
    test::write_file(directory / "precious", "precious");
    std::filesystem::create_symlink(directory / "precious", directory / "out.partial");
    CHECK_THAT(test::refusal([&] { output_file(directory / "out"); }), Contains("out.partial"));
    CHECK(test::read_file(directory / "precious") == "precious");
}

TEST_CASE("a partial name that is a pipe or another file's name is refused, at once and untouched") {
    test::scratch directory;
    test::write_file(directory / "precious", "precious");
    std::filesystem::create_hard_link(directory / "precious", directory / "out.partial");
    CHECK_THAT(test::refusal([&] { output_file(directory / "out"); }),
               Contains("out.partial: found a file with another name (a hard link)"));
    CHECK(test::read_file(directory / "precious") == "precious");
    CHECK(directory.files() == 2);

    std::filesystem::remove(directory / "out.partial");
    REQUIRE(::mkfifo((directory / "out.partial").c_str(), 0600) == 0);
    CHECK_THAT(test::refusal([&] { output_file(directory / "out"); }),
               Contains("out.partial: found something that is not a regular file"));
    auto const reader = ::open((directory / "out.partial").c_str(), O_RDONLY | O_NONBLOCK);
    CHECK_THAT(test::refusal([&] { output_file(directory / "out"); }), Contains("not a regular file"));
    ::close(reader);
    std::filesystem::remove(directory / "out.partial");
    std::filesystem::create_directory(directory / "out.partial");
    CHECK_FALSE(test::refusal([&] { output_file(directory / "out"); }).empty());
    CHECK(directory.files() == 2);
}

TEST_CASE("a target that is a symbolic link is written through, and stays one") {
    test::scratch directory;
    namespace fs = std::filesystem;
    auto const save = [&](std::string const& path) {
        output_file file(path);
        file.write("new");
        file.commit();
    };
    fs::create_directory(directory / "far");
    test::write_file(directory / "far/real", "old");
    fs::create_symlink("real", directory / "far/second");
    fs::create_symlink("far/second", directory / "first");
    save(directory / "first");
    CHECK(fs::is_symlink(directory / "first"));
    CHECK(fs::is_symlink(directory / "far/second"));
    CHECK(test::read_file(directory / "far/real") == "new");
    {
        output_file first(directory / "far/real");
        CHECK_THAT(test::refusal([&] { output_file second(directory / "first"); }),
                   Contains("another process"));
        CHECK(fs::exists(directory / "far/real.partial"));
    }
    // To a file that is not there yet, by the whole path, and through a folder that is a link.
    fs::create_symlink(directory / "far/later", directory / "dangling");
    save(directory / "dangling");
    CHECK(test::read_file(directory / "far/later") == "new");
    fs::create_directory_symlink("far", directory / "folder");
    fs::create_symlink("../up", directory / "far/to_up");
    save(directory / "folder/to_up");
    CHECK(test::read_file(directory / "up") == "new");
    // Nowhere.
    fs::create_symlink("round", directory / "round");
    CHECK_THAT(test::refusal([&] { save(directory / "round"); }), Contains("a link that leads nowhere"));
    fs::create_symlink("none/none", directory / "broken");
    CHECK_THAT(test::refusal([&] { save(directory / "broken"); }), Contains("no such file"));
    fs::create_symlink("far", directory / "to_folder");
    CHECK_THAT(test::refusal([&] { save(directory / "to_folder"); }), Contains("a directory"));
    test::faults faults;
    faults.fail(test::call::read_link, 1, EACCES);
    CHECK_THAT(test::refusal([&] { save(directory / "first"); }), Contains("readlink"));
}

TEST_CASE("who may read and write a file is kept when it is replaced") {
    test::scratch directory;
    auto const path = directory / "out";
    for (mode_t const mode : {0600u, 0640u, 0644u, 0444u, 0755u}) {
        CAPTURE(mode);
        std::filesystem::remove(path);
        test::write_file(path, "old");
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        test::write_file(directory / "out.partial", "of a writer that was killed");
        output_file file(path);
        struct ::stat status {};
        REQUIRE(::stat((path + ".partial").c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == (mode | 0200));  // from before the first byte on
        file.write("new");
        file.commit();
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == mode);
        CHECK(test::read_file(path) == "new");
    }
    test::faults faults;
    faults.fail(test::call::change_mode, 1, EPERM);
    CHECK_THAT(test::refusal([&] { output_file file(path); }), Contains("chmod"));
}

TEST_CASE("after a failed write nothing can be committed") {
    test::scratch directory;
    test::write_file(directory / "out", "old");
    {
        test::faults faults;
        output_file file(directory / "out");
        file.write("a");
        faults.fail(test::call::write, 1, ENOSPC);
        CHECK_THAT(test::refusal([&] { file.write("b"); }),
                   Contains("No space left on device") && Contains("byte 1"));
        CHECK_THAT(test::refusal([&] { file.commit(); }), Contains("writing failed"));
    }
    CHECK(test::read_file(directory / "out") == "old");
    CHECK(directory.files() == 1);
}

TEST_CASE("bytes that were not written can't be overwritten") {
    test::scratch directory;
    output_file file(directory / "out");
    file.write("abc");
    CHECK_THAT(test::refusal([&] { file.write_at(2, std::as_bytes(std::span("xy", 2))); }),
               Contains("2 bytes"));
}

TEST_CASE("whichever call fails, the target is the old or the new file and no partial file stays") {
    test::scratch directory;
    auto const path = directory / "out";
    auto const save = [&] {
        output_file file(path);
        file.write("new ");
        file.write("content");
        file.write_at(0, std::as_bytes(std::span("N", 1)));
        file.commit();
    };
    std::array<int, test::kinds_of_call> made{};
    test::write_file(path, "old");
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    {
        test::faults faults;
        save();
        for (int kind = 0; kind < test::kinds_of_call; ++kind)
            made[static_cast<std::size_t>(kind)] = faults.made(static_cast<test::call>(kind));
    }
    for (auto const needed :
         {test::call::open, test::call::write, test::call::pwrite, test::call::truncate, test::call::sync,
          test::call::rename, test::call::read_link, test::call::change_mode})
        REQUIRE(made[static_cast<std::size_t>(needed)] > 0);
    REQUIRE(made[static_cast<std::size_t>(test::call::sync)] == 2);  // the file, then the directory

    for (int kind = 0; kind < test::kinds_of_call; ++kind) {
        for (int nth = 1; nth <= made[static_cast<std::size_t>(kind)]; ++nth) {
            INFO("call " << kind << ", number " << nth);
            test::write_file(path, "old");
            REQUIRE(::chmod(path.c_str(), 0600) == 0);
            std::string words;
            {
                test::faults faults;
                faults.fail(static_cast<test::call>(kind), nth);
                words = test::refusal(save);
            }
            // Locks and the comparison of names are tried again or done without; the last sync is the
            // directory's.
            auto const is = [&](test::call one) { return kind == static_cast<int>(one); };
            auto const survivable = is(test::call::lock) || is(test::call::close) ||
                                    is(test::call::stat_open) || (is(test::call::stat) && nth == 2);
            CHECK(words.empty() == survivable);
            auto const is_new = survivable || (is(test::call::sync) && nth == 2);
            CHECK(test::read_file(path) == (is_new ? "New content" : "old"));
            CHECK(directory.files() == 1);
        }
    }
}

TEST_CASE("a large file is synced while it is written, so that nobody waits long for the last sync") {
    test::scratch directory;
    static std::size_t syncs = 0;
    auto const calls = snug::io::calls();
    snug::io::calls().write = [](int, void const*, std::size_t count) { return static_cast<ssize_t>(count); };
    snug::io::calls().sync = [](int) {
        ++syncs;
        return 0;
    };
    {
        std::vector<std::byte> const portion(std::size_t{1} << 20);
        snug::io::output_file file(directory / "large");
        for (int i = 0; i < 600; ++i) file.write(portion);
        CHECK(syncs == 2);
        file.commit();
        CHECK(syncs == 4);  // the rest of the file, and the directory
    }
    snug::io::calls() = calls;
}

TEST_CASE("interrupted and partial calls are carried on") {
    test::scratch directory;
    auto const path = directory / "out";
    std::string const content(1000, 'x');
    {
        test::faults faults;
        faults.disturb();
        output_file file(path);
        file.write(content);
        file.write_at(0, std::as_bytes(std::span("0123456789abcdef", 16)));
        file.commit();
        std::array<char, 1000> back{};
        input_file(path).read_at(0, std::as_writable_bytes(std::span(back)));
        CHECK(std::string(back.data(), 20) == "0123456789abcdefxxxx");
        CHECK(faults.made(test::call::write) > 100);
    }
    CHECK(test::read_file(path).size() == 1000);
}

TEST_CASE("an input file is a regular file") {
    test::scratch directory;
    CHECK_THAT(test::refusal([&] { input_file(directory / "missing"); }),
               Contains("missing: found no such file or directory"));
    CHECK_THAT(test::refusal([&] { input_file(directory / ""); }), Contains("a directory"));
    REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
    CHECK_THAT(test::refusal([&] { input_file(directory / "pipe"); }), Contains("not a regular file"));
}

TEST_CASE("reading past the end of a file is refused with the place") {
    test::scratch directory;
    test::write_file(directory / "in", "12345");
    input_file const file(directory / "in");
    CHECK(file.size() == 5);
    std::array<std::byte, 3> to{};
    file.read_at(2, to);
    CHECK(to[2] == std::byte{'5'});
    CHECK_THAT(test::refusal([&] { file.read_at(3, to); }), Contains("byte 5: found the end of the file"));
    test::faults faults;
    faults.fail(test::call::pread, 1);
    CHECK_THAT(test::refusal([&] { file.read_at(0, to); }), Contains("read"));
}

TEST_CASE("a mapping shows the file and refuses what is outside") {
    test::scratch directory;
    test::write_file(directory / "in", "12345");
    mapping file(directory / "in");
    CHECK(file.size() == 5);
    CHECK(file.bytes(1, 4)[3] == std::byte{'5'});
    CHECK(file.bytes(5, 0).empty());
    file.forget();
    CHECK(file.bytes()[0] == std::byte{'1'});
    CHECK_THAT(test::refusal([&] { file.bytes(2, 4); }), Contains("4 bytes from byte 2"));
    CHECK_THAT(test::refusal([&] { file.bytes(6, 0); }), Contains("from byte 6"));
    CHECK_THAT(test::refusal([&] { file.bytes(1, ~std::uint64_t{0}); }), Contains("a file of 5 bytes"));
    mapping moved(std::move(file));
    CHECK(moved.bytes()[4] == std::byte{'5'});

    test::write_file(directory / "empty", "");
    mapping const empty(directory / "empty");
    CHECK(empty.bytes().empty());
    empty.forget();
}

TEST_CASE("a mapping that fails leaves nothing open") {
    test::scratch directory;
    test::write_file(directory / "in", "12345");
    for (auto const kind : {test::call::open, test::call::stat_open, test::call::map}) {
        test::faults faults;
        faults.fail(kind, 1);
        CHECK_FALSE(test::refusal([&] { mapping(directory / "in"); }).empty());
        CHECK(faults.made(test::call::close) == (kind == test::call::open ? 0 : 1));
    }
}

TEST_CASE("an append file goes on behind what is there") {
    test::scratch directory;
    append_file(directory / "log").write("one\n");
    append_file(directory / "log").write("two\n");
    CHECK(test::read_file(directory / "log") == "one\ntwo\n");
    CHECK_FALSE(test::refusal([&] { append_file(directory / "no/log"); }).empty());
    REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
    CHECK_THAT(test::refusal([&] { append_file(directory / "pipe"); }), Contains("not a regular file"));
    auto const reader = ::open((directory / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
    CHECK_THAT(test::refusal([&] { append_file(directory / "pipe"); }), Contains("not a regular file"));
    ::close(reader);
    CHECK_THAT(test::refusal([&] { append_file(directory / ""); }), Contains("directory"));
}

TEST_CASE("text of a file can't break a message") {
    CHECK(printable("wte") == "\"wte\"");
    CHECK(printable("a\n\"\x1b[31m\\\x7f") == R"("a\x0a\x22\x1b[31m\x5c\x7f")");
    CHECK(printable(std::string(500, 'a')).size() < 130);
    CHECK(printable("\u00e9\u4e2d\U0001f600 \xff\xc3") == "\"\u00e9\u4e2d\U0001f600 \\xff\\xc3\"");
    CHECK(printable("a\u202e\u2028\u0085\u200b\U000e0041z") ==
          R"("a\xe2\x80\xae\xe2\x80\xa8\xc2\x85\xe2\x80\x8b\xf3\xa0\x81\x81z")");
    CHECK(printable("\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80") == R"("\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80")");
    std::string many = "x";
    for (int i = 0; i < 100; ++i) many += "\u4e2d";
    CHECK(printable(many).find("\\x") == std::string::npos);
}

TEST_CASE("the name of a file can't break a message") {
    test::scratch directory;
    std::string const name = "a\nb\x1b[31m\u202e\xff";
    auto const path = directory / name;
    auto const check = [&](std::string const& refused) {
        CAPTURE(refused);
        CHECK_THAT(refused, Contains(R"(a\x0ab\x1b[31m\xe2\x80\xae\xff)"));
        CHECK(refused.find_first_of("\n\x1b") == std::string::npos);
    };
    check(test::refusal([&] { input_file file(path); }));
    check(test::refusal([&] { make_folder(directory / "none" + "/" + name); }));
    check(test::refusal([&] { append_file file(path + "/x"); }));
    std::filesystem::create_directory(path);
    check(test::refusal([&] { output_file file(path); }));
    // What is wrong and where stay as they are for programs.
    snug::error const refused({path, 4, name}, "a\rb", "c\td");
    CHECK(refused.where().file == path);
    CHECK(refused.where().tensor == name);
    CHECK(refused.found() == "a\rb");
    CHECK_THAT(refused.what(), Contains(R"(found a\x0db, expected c\x09d)"));
}
