//! What a topic looks like on a terminal and as a page.

use super::{TOPICS, Topic, roff, text};
use crate::cli::command;

const TOPIC: Topic = Topic {
    name: "tokens",
    text: "\
# Tokens

What they are.

![The page of tokens](pictures/tokens.webp)

A word, `some code`, *another* word
and a line; see [networks](networks.md), [configuration](configuration.md) and [this](https://example.org).

<!-- test: none -->
```sh
breakwater token list   # a line that is much longer than what is filled
.dotted 'quoted' \\back
```

## Its parts

- one
- two, which takes more than a line because it has a good many words
  in it

| key | default | |
|---|---|---|
| `a` | `b \\| c` | short |
| d | | |

| key | default | |
|---|---|---|
| `a.very.long.name.that.is.one.word` | `and-a-default-of-its-own` | what it is for, in a few words |
| `b` | empty | the other |
",
};

#[test]
fn text_is_filled_and_tables_are_laid_out() {
    let expected = "\
Tokens

    What they are.

    A word, `some code`, another word and a line; see
    `breakwater help networks`,
    `breakwater help configuration` and this
    (https://example.org).

        breakwater token list   # a line that is much longer than what is filled
        .dotted 'quoted' \\back

Its parts

    - one
    - two, which takes more than a line because it has a
      good many words in it

    key  default
    ---  -------  -----
    a    b | c    short
    d

    a.very.long.name.that.is.one.word
        default: `and-a-default-of-its-own`
        what it is for, in a few words
    b
        default: empty
        the other
";
    assert_eq!(text::render(TOPIC.text, 58), expected);
}

#[test]
fn cells_that_are_too_wide_take_several_lines() {
    let table = "\
| who | what |
|---|---|
| somebody who has a rather long name | may do one thing and then another thing |
| nobody | nothing |
";
    let expected = "    who                       what
    ------------------------  ------------------------

    somebody who has a        may do one thing and
    rather long name          then another thing

    nobody                    nothing
";
    // 24 for each column and two between them.
    assert_eq!(text::render(table, 54), expected);
    assert!(text::render(table, 53).contains("        what: may do one thing"));
}

#[test]
fn a_page_has_the_same_and_escapes_what_roff_would_take_for_its_own() {
    let page = roff::render(&TOPIC).render();
    for part in [
        ".TH breakwater-tokens 7 \"\" ",
        "breakwater\\-tokens \\- What they are\n",
        "\\fBsome code\\fR, \\fIanother\\fR word and a line",
        "see \\fBbreakwater\\-networks\\fR(7), \\fBbreakwater.toml\\fR(5) and this",
        "\n\\&.dotted \\*(Aqquoted\\*(Aq \\\\back\n",
        ".SS \"Its parts\"\n",
        ".TP\n\\fBa.very.long.name.that.is.one.word\\fR\ndefault: \\fBand\\-a\\-default\\-of\\-its\\-own\\fR\n.br\nwhat it",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    assert!(!page.contains("test: none"), "{page}");
}

#[test]
fn every_topic_begins_with_a_title_and_one_sentence() {
    for topic in TOPICS {
        let name = topic.name;
        let lines: Vec<&str> = topic.text.lines().take(4).collect();
        let [title, "", sentence, ""] = lines.as_slice() else {
            panic!("{name} begins with {lines:?}");
        };
        assert!(title.starts_with("# "), "{name}: {title}");
        assert!(sentence.ends_with('.'), "{name}: {sentence}");
        assert!(sentence.len() <= 100, "{name}: {sentence}");
        assert_eq!(
            topic.text.matches("\n# ").count(),
            0,
            "{name} has two titles"
        );
    }
}

/// `breakwater help NAME` shows one of both.
#[test]
fn no_topic_is_called_as_a_command_is() {
    for topic in TOPICS {
        let name = topic.name;
        assert!(command().find_subcommand(name).is_none(), "{name}");
    }
}

/// On an ordinary terminal, but for what is to be copied as it is.
#[test]
fn every_topic_fits_into_eighty_columns() {
    for topic in TOPICS {
        for line in text::render(topic.text, 80).lines() {
            let is_code = line.starts_with("        ");
            let length = line.chars().count();
            assert!(is_code || length <= 80, "{}: {line}", topic.name);
        }
    }
}
