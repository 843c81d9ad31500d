//! Regular expressions of rules about tags, as tables of states: a tag is looked at one byte at a time and each byte
//! costs the same, whatever the expression. Tags are ASCII, and so are classes such as `\w`.
//!
//! Tables instead of the crate `regex`: its automata are built while they match, need a cache for each thread, and fall
//! back to slower ones; `\w{20}` alone took a megabyte and 6 ms, because it is about all of Unicode there.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

/// The most bytes that an expression's table may have, and what it is made from.
const MAX_TABLE: usize = 64 * 1024;
/// The most bytes of work that making it may take besides.
const MAX_WORK: usize = 128 * 1024;
/// The most bytes of tables that are kept: thousands of ordinary ones.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Why an expression cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It cannot be read; with the reason.
    Syntax(String),
    /// Its table would be too large.
    TooLarge,
}

/// A regular expression, ready to be asked.
#[derive(Debug)]
pub(super) struct Expression(dense::DFA<Vec<u32>>);

impl Expression {
    pub(super) fn compile(pattern: &str) -> Result<Self, Unusable> {
        let ascii = syntax::Config::new().unicode(false).utf8(false);
        // The last line says what, those before it show where.
        let parsed = syntax::parse_with(pattern, &ascii).map_err(|error| {
            let said = error.to_string();
            Unusable::Syntax(said.lines().last().unwrap_or_default().to_owned())
        })?;
        let states = thompson::Config::new()
            .utf8(false)
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(MAX_TABLE));
        let states = thompson::Compiler::new()
            .configure(states)
            .build_from_hir(&parsed)
            .map_err(|_| Unusable::TooLarge)?;
        let table = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::All)
            .determinize_size_limit(Some(MAX_WORK))
            .dfa_size_limit(Some(MAX_TABLE));
        dense::Builder::new()
            .configure(table)
            .build_from_nfa(&states)
            .map(Self)
            .map_err(|_| Unusable::TooLarge)
    }

    /// Whether it matches anywhere in `tag`.
    pub(super) fn is_match(&self, tag: &str) -> bool {
        let input = Input::new(tag).earliest(true);
        // A search in a table that has no bytes to give up at does not fail; if it did, the rule would hold.
        !matches!(self.0.try_search_fwd(&input), Ok(None))
    }
}

/// The tables of the expressions that were asked for last, by the expression: it is the only part of a rule's row
/// that they depend on, so that a table outlives every other change.
#[derive(Debug)]
pub struct Expressions {
    /// `None` for one that cannot be used.
    kept: Cache<String, Option<Arc<Expression>>, ByTable>,
    /// Held by whoever makes a table: one at a time.
    making: Mutex<()>,
}

#[derive(Debug, Clone)]
struct ByTable;

impl Weighter<String, Option<Arc<Expression>>> for ByTable {
    fn weight(&self, pattern: &String, table: &Option<Arc<Expression>>) -> u64 {
        let table = table.as_ref().map_or(0, |table| table.0.memory_usage());
        table.saturating_add(pattern.len()).saturating_add(128) as u64
    }
}

impl Default for Expressions {
    fn default() -> Self {
        Self::keeping(KEPT_BYTES)
    }
}

impl Expressions {
    fn keeping(bytes: u64) -> Self {
        Self {
            kept: Cache::with_weighter(1024, bytes, ByTable),
            making: Mutex::default(),
        }
    }

    /// The expression's table; `None` where it cannot be used.
    pub(super) fn get(&self, pattern: &str) -> Option<Arc<Expression>> {
        if let Some(kept) = self.kept.get(pattern) {
            return kept;
        }
        let _making = self.making.lock();
        if let Some(kept) = self.kept.get(pattern) {
            return kept;
        }
        let table = Expression::compile(pattern).ok().map(Arc::new);
        self.kept.insert(pattern.to_owned(), table.clone());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_anywhere_unless_it_is_anchored() {
        struct Case {
            pattern: &'static str,
            tag: &'static str,
            matches: bool,
        }
        let case = |pattern, tag, matches| Case {
            pattern,
            tag,
            matches,
        };
        for case in [
            case("^v[0-9]+$", "v12", true),
            case("^v[0-9]+$", "v12-rc", false),
            case("rc", "v1-rc1", true),
            case("(?i)^PROD", "production", true),
            case(r"\bfoo\b", "a.foo-b", true),
            case(r"\bfoo\b", "food", false),
            case(r"^\d+\.\d+(\.\d+)?$", "1.22", true),
            case(r"^(?:release|hotfix)-.*$", "hotfix-3", true),
            case(r"\w{20}y7", "abcdefghijklmnopqrstuvy7", true),
            case(r"\w{20}y7", "abcdefy7", false),
            case("", "anything", true),
        ] {
            let expression = Expression::compile(case.pattern).unwrap();
            assert_eq!(
                expression.is_match(case.tag),
                case.matches,
                "{} on {}",
                case.pattern,
                case.tag
            );
        }
    }

    #[test]
    fn what_is_costly_is_refused_before_it_costs() {
        for pattern in [
            "(a{1000}){1000}",
            "[ab]*a[ab]{20}c",
            r"(\w{3}|\d{2}|x|.){40}$",
            "((a?){100}){10}",
            "(.?){200}a{200}",
        ] {
            let compiled = Expression::compile(pattern);
            assert!(matches!(compiled, Err(Unusable::TooLarge)), "{pattern}");
        }
        for pattern in ["(", r"\p{Greek}", "a{2,1}"] {
            let compiled = Expression::compile(pattern);
            assert!(
                matches!(compiled, Err(Unusable::Syntax(why)) if !why.is_empty()),
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_table_is_made_once_and_the_kept_ones_have_a_bound() {
        let expressions = Expressions::keeping(1 << 20);
        let once = expressions.get("^v[0-9]").unwrap();
        let again = expressions.get("^v[0-9]").unwrap();
        assert!(Arc::ptr_eq(&once, &again));
        assert!(expressions.get("(").is_none());
        let mut made = 0;
        for number in 0..300 {
            let table = expressions
                .get(&format!("[ab]*a[ab]{{8}}c{number}"))
                .unwrap();
            made += table.0.memory_usage();
        }
        assert!(made > 2 << 20, "only {made} bytes were made");
        assert!(expressions.kept.weight() <= 1 << 20);
    }
}
