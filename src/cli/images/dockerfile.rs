//! The images that a Dockerfile uses, as BuildKit reads it: `# syntax=`, `FROM`, `COPY --from` and `RUN --mount=…from=`.

mod lines;

use std::collections::{HashMap, HashSet};

use super::Selection;
use super::expand::{expand, unquoted};
use crate::oci::Platform;
use lines::{Instruction, Lines};

/// The empty image, which nobody fetches.
const SCRATCH: &str = "scratch";

/// What BuildKit gives a value that depends on the platform for which, or on which, it builds.
const OF_THE_TARGET: [&str; 4] = ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"];
const OF_THE_BUILDER: [&str; 4] = ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"];

/// Whether the first instruction is one that a Dockerfile begins with.
pub(super) fn looks_like_one(text: &str) -> bool {
    let mut lines = Lines::new(text);
    let first = lines.next();
    lines.syntax().is_some()
        || first.is_some_and(|first| match first.word.as_str() {
            "FROM" => true,
            "ARG" => !first.rest.starts_with(':'),
            _ => false,
        })
}

pub(super) fn read(text: &str, shown: &str, selection: &mut Selection) {
    let mut lines = Lines::new(text);
    let mut reader = Reader {
        shown,
        escape: lines.escape(),
        selection,
        arguments: HashMap::new(),
        stages: HashSet::new(),
        has_begun: false,
    };
    if let Some((line, syntax)) = lines.syntax() {
        let (line, syntax) = (*line, syntax.clone());
        reader.take(&syntax, line, None);
    }
    for instruction in &mut lines {
        reader.instruction(&instruction);
    }
    if !reader.has_begun {
        let note = format!("{shown}: there is no FROM in it");
        reader.selection.notes.push(note);
    }
}

struct Reader<'a> {
    shown: &'a str,
    escape: char,
    selection: &'a mut Selection,
    /// Those before the first FROM, which alone hold in a FROM; `None` for one without a value.
    arguments: HashMap<String, Option<String>>,
    /// Names of stages so far, in lower case.
    stages: HashSet<String>,
    has_begun: bool,
}

impl Reader<'_> {
    fn instruction(&mut self, instruction: &Instruction) {
        let Instruction { word, rest, line } = instruction;
        match word.as_str() {
            "ARG" if !self.has_begun => self.arguments_of(rest),
            "FROM" => self.from(rest, *line),
            "COPY" | "ADD" => {
                for flag in flags(rest) {
                    if let Some(from) = flag.strip_prefix("--from=") {
                        self.used(from, *line);
                    }
                }
            }
            "RUN" => {
                for flag in flags(rest) {
                    let fields = flag.strip_prefix("--mount=").into_iter();
                    let fields = fields.flat_map(|mount| mount.split(','));
                    let fields = fields.map(|field| field.trim_matches('"'));
                    if let Some(from) = fields
                        .filter_map(|field| field.strip_prefix("from="))
                        .next()
                    {
                        self.used(from, *line);
                    }
                }
            }
            "ONBUILD" => {
                if let Some(inner) =
                    Instruction::parse(rest, *line).filter(|inner| inner.word != "FROM")
                {
                    self.instruction(&inner);
                }
            }
            _ => {}
        }
    }

    /// `ARG A=1 B="x y" C`, whose values may use those before them.
    fn arguments_of(&mut self, rest: &str) {
        for argument in words(rest) {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(unquoted(value))),
                None => (argument, None),
            };
            let value = value.and_then(|value| {
                let known = |name: &str| self.arguments.get(name).cloned().flatten();
                expand(value, self.escape, &known).ok()
            });
            self.arguments.insert(name.to_owned(), value);
        }
    }

    /// `FROM [--platform=P] IMAGE [AS STAGE]`
    fn from(&mut self, rest: &str, line: usize) {
        self.has_begun = true;
        let words: Vec<&str> = words(rest).collect();
        let mut platform = None;
        let mut others = words
            .iter()
            .filter(|word| match word.strip_prefix("--platform=") {
                Some(value) => {
                    platform = Some((*value).to_owned());
                    false
                }
                None => !word.starts_with("--"),
            });
        let image = others.next().copied();
        let stage = match (others.next(), others.next()) {
            (Some(word), Some(stage)) if word.eq_ignore_ascii_case("as") => {
                Some(stage.to_ascii_lowercase())
            }
            _ => None,
        };
        if let Some(image) = image {
            self.base(unquoted(image), platform.as_deref(), line);
        }
        self.stages.extend(stage);
    }

    /// The image of a FROM, which may be a stage.
    fn base(&mut self, text: &str, platform: Option<&str>, line: usize) {
        // What depends on the builder's platform alone is wanted for every platform that is asked for.
        let platform = platform.filter(|platform| {
            !mentions(platform, &OF_THE_BUILDER) && !mentions(platform, &OF_THE_TARGET)
        });
        let platform = match platform
            .map(|platform| self.expanded(platform, None))
            .transpose()
        {
            Ok(platform) => platform.and_then(|platform| platform.parse::<Platform>().ok()),
            Err(why) => return self.unresolved(text, line, why),
        };
        if !mentions(text, &OF_THE_TARGET) {
            return match self.expanded(text, None) {
                Ok(image) => self.take(&image, line, platform),
                Err(why) => self.unresolved(text, line, why),
            };
        }
        let asked = self.selection.platforms.clone();
        if asked.is_empty() && !self.is_a_stage_for_some(text) {
            let why = "it depends on the platform: say for which with --platform";
            return self.unresolved(text, line, why.to_owned());
        }
        for target in asked {
            match self.expanded(text, Some(&target)) {
                Ok(image) => self.take(&image, line, Some(target)),
                Err(why) => self.unresolved(text, line, why),
            }
        }
    }

    /// Whether the text is a stage for some platform, as in `FROM base-$TARGETARCH`: then it is taken for one on all.
    fn is_a_stage_for_some(&self, text: &str) -> bool {
        let known = [
            "amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64",
        ];
        let targets = known
            .iter()
            .filter_map(|architecture| format!("linux/{architecture}").parse().ok());
        targets.into_iter().any(|target: Platform| {
            let image = self.expanded(text, Some(&target)).unwrap_or_default();
            self.stages.contains(&image.to_ascii_lowercase())
        })
    }

    /// With the arguments from before the first FROM, and what BuildKit supplies for a target.
    fn expanded(&self, text: &str, target: Option<&Platform>) -> Result<String, String> {
        let value = |name: &str| match (self.arguments.get(name), target) {
            (Some(Some(value)), _) => Some(value.clone()),
            (_, Some(target)) => match name {
                "TARGETPLATFORM" => Some(target.to_string()),
                "TARGETOS" => Some(target.os().to_owned()),
                "TARGETARCH" => Some(target.architecture().to_owned()),
                "TARGETVARIANT" => Some(target.variant().unwrap_or_default().to_owned()),
                _ => None,
            },
            _ => None,
        };
        expand(text, self.escape, &value)
    }

    /// The image of a `COPY --from` or a mount, where BuildKit expands no variables; or a stage, by name or number.
    fn used(&mut self, text: &str, line: usize) {
        if text.contains('$') {
            let why = "no variable has a value there, for BuildKit neither";
            return self.unresolved(text, line, why.to_owned());
        }
        let text = unquoted(text);
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return;
        }
        self.take(text, line, None);
    }

    fn take(&mut self, image: &str, line: usize, platform: Option<Platform>) {
        let image = image.trim();
        let lower = image.to_ascii_lowercase();
        if !image.is_empty() && lower != SCRATCH && !self.stages.contains(&lower) {
            let place = format!("{}:{line}", self.shown);
            self.selection.add(image, Some(place), platform);
        }
    }

    fn unresolved(&mut self, text: &str, line: usize, why: String) {
        self.selection
            .add_unresolved(text, format!("{}:{line}", self.shown), why);
    }
}

/// Whether a text uses one of these variables.
fn mentions(text: &str, names: &[&str]) -> bool {
    let is_used = |name: &str| {
        let mut found = text.match_indices(name);
        found.any(|(at, _)| {
            let before = text.get(..at).unwrap_or_default();
            let behind = text
                .get(at.saturating_add(name.len())..)
                .unwrap_or_default();
            let goes_on = behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            (before.ends_with('$') || before.ends_with("${")) && !goes_on
        })
    };
    names.iter().any(|name| is_used(name))
}

/// The words before the first that is no flag.
fn flags(rest: &str) -> impl Iterator<Item = &str> {
    words(rest).take_while(|word| word.starts_with("--"))
}

/// Words, of which one may hold spaces in quotes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut quote = None;
        let end = rest.char_indices().find(|(_, c)| match (quote, *c) {
            (None, '"' | '\'') => {
                quote = Some(*c);
                false
            }
            (Some(open), c) if c == open => {
                quote = None;
                false
            }
            (None, c) => c.is_whitespace(),
            _ => false,
        });
        let end = end.map_or(rest.len(), |(at, _)| at);
        let (word, behind) = rest.split_at_checked(end)?;
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}
