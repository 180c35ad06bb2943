"""Lines of `rumpfs sh` as words: the rules are those of sh(1)."""

from __future__ import annotations

import pytest

from rumpfs.cli.shwords import Unfinished, last, quote, split

#: names that a shell has to be careful with
STRANGE = [
    "a b",
    "it's",
    'x"y',
    "back\\slash",
    "st*r",
    "q?",
    "[c]",
    "semi;colon",
    "#hash",
    "!bang",
    "ümlaut",
    "$x",
]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("", []),
        ("  \n ; ;\n", []),
        ("ls", [["ls"]]),
        ("ls -l  a\tb", [["ls", "-l", "a", "b"]]),
        ("a; b ;c\nd", [["a"], ["b"], ["c"], ["d"]]),
        ("ls 'a b' \"c d\" e\\ f", [["ls", "a b", "c d", "e f"]]),
        ("ls a'b 'c\"d \"e", [["ls", "ab cd e"]]),
        ("ls ''", [["ls", ""]]),
        ('ls \'\\\' "\\\\" "\\n" "\\""', [["ls", "\\", "\\", "\\n", '"']]),
        ("ls 'a;b#c' a#b # rest; of it", [["ls", "a;b#c", "a#b"]]),
        ("# nothing\nls", [["ls"]]),
        ("ls a\\\nb", [["ls", "ab"]]),
        ("!echo 'x; y' | cat\nls", [["!", "echo 'x; y' | cat"], ["ls"]]),
        ("ls; ! date ", [["ls"], ["!", "date"]]),
        ("ls a!b", [["ls", "a!b"]]),
        ("ls '|' \\> a|b", [["ls", "|", ">", "a|b"]]),
    ],
)
def test_words(text: str, commands: list[list[str]]) -> None:
    assert split(text) == commands


@pytest.mark.parametrize("text", ["'a", 'ls "b', "ls b\\", "ls 'a\nls"])
def test_a_quotation_that_is_not_closed(text: str) -> None:
    with pytest.raises(Unfinished):
        split(text)


@pytest.mark.parametrize("text", ["ls | x", "ls > x", "a && b", "a & b", "cat < x"])
def test_what_belongs_to_a_shell_of_the_host(text: str) -> None:
    with pytest.raises(ValueError, match="! is a command of the host"):
        split(text)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a*", "a*"), ("'a*'", None), ("a\\*", None), ("a'*'?", "a[*]?"), ("[ab]\\[", "[ab][[]"),
        ("plain", None),
    ],
)  # fmt: skip
def test_patterns_are_what_is_not_quoted(text: str, pattern: str | None) -> None:
    ((word,),) = split(text)
    assert word.pattern == pattern


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_quoted_is_one_word_again(name: str) -> None:
    ((first, word),) = split(f"x {quote(name)}")
    assert (first, word, word.pattern) == ("x", name, None)


@pytest.mark.parametrize(
    ("text", "words", "start"),
    [
        ("", [""], 0), ("l", ["l"], 0), ("ls ", ["ls", ""], 3), ("ls a\\ ", ["ls", "a "], 3),
        ("ls 'a b", ["ls", "a b"], 3), ("x; ls a", ["ls", "a"], 6),
    ],
)  # fmt: skip
def test_the_word_that_is_being_typed(text: str, words: list[str], start: int) -> None:
    found = last(text)
    assert (found, found[-1].start) == (words, start)
