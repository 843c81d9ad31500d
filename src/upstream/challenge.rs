//! Challenges: the `WWW-Authenticate` headers of a 401 (RFC 7235, sections 2.1 and 4.1), read into
//! what this client can answer. Pure: who may be answered with what is decided in `destination.rs`.

/// A challenge that this client knows how to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Username and password with each request.
    Basic,
    /// A token from `realm` (distribution, "Token Authentication Specification").
    Bearer {
        /// Where tokens are issued, as it came.
        realm: String,
        /// For whom; absent at some registries.
        service: Option<String>,
    },
}

/// The challenge to answer among all that the headers name: a token before a password, which then
/// travels less often. `None` where none is known; a `Bearer` without `realm` cannot be answered.
pub(super) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for parsed in headers.into_iter().flat_map(parse) {
        if parsed.scheme.eq_ignore_ascii_case("bearer") {
            if let Some(realm) = parsed.parameter("realm").filter(|realm| !realm.is_empty()) {
                return Some(Challenge::Bearer {
                    realm: realm.to_owned(),
                    service: parsed.parameter("service").map(str::to_owned),
                });
            }
        } else if parsed.scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// One challenge of a header: a scheme and its parameters, quotes taken off.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parsed {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Parsed {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Splits a header into challenges. Whatever does not keep the grammar is skipped up to the next
/// comma: a header with one odd challenge must not hide a good one.
fn parse(header: &str) -> Vec<Parsed> {
    let mut challenges: Vec<Parsed> = Vec::new();
    let mut rest = Scanner(header);
    loop {
        rest.skip(|c| c == ',' || c == ' ' || c == '\t');
        if rest.0.is_empty() {
            return challenges;
        }
        let word = rest.take(is_token);
        if word.is_empty() {
            rest.skip_to_comma();
            continue;
        }
        let spaces = rest.skip(|c| c == ' ' || c == '\t');
        if rest.0.starts_with('=') {
            // A parameter of the challenge before; one that stands before any scheme is dropped.
            rest.skip_one();
            rest.skip(|c| c == ' ' || c == '\t');
            let value = rest.value();
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.push((word.to_owned(), value));
            }
            continue;
        }
        challenges.push(Parsed {
            scheme: word.to_owned(),
            parameters: Vec::new(),
        });
        if spaces > 0 {
            rest.skip_token68();
        }
    }
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// Takes the longest prefix of characters that fit.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !fits(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// As [`Self::take`], giving only the length.
    fn skip(&mut self, fits: impl Fn(char) -> bool) -> usize {
        self.take(fits).len()
    }

    fn skip_one(&mut self) {
        let mut rest = self.0.chars();
        rest.next();
        self.0 = rest.as_str();
    }

    fn skip_to_comma(&mut self) {
        if self.0.starts_with('"') {
            self.value();
        }
        self.take(|c| c != ',' && c != '"');
        if self.0.starts_with('"') {
            self.value();
        }
    }

    /// A token or a quoted string, whose backslashes are taken off.
    fn value(&mut self) -> String {
        if !self.0.starts_with('"') {
            return self.take(|c| c != ',' && c != ' ' && c != '\t').to_owned();
        }
        self.skip_one();
        let mut value = String::new();
        let mut escaped = false;
        let mut rest = self.0.chars();
        for c in rest.by_ref() {
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => break,
                _ => value.push(c),
            }
        }
        self.0 = rest.as_str();
        value
    }

    /// Skips `Negotiate YII==`'s data: a word that is neither followed by `=value` nor by a comma's
    /// next challenge. Left alone if it is the first parameter's name.
    fn skip_token68(&mut self) {
        let word = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
        let (candidate, behind) = self.0.split_at_checked(word).unwrap_or((self.0, ""));
        let data = candidate.trim_end_matches('=');
        let padded = data.len() < candidate.len();
        let before_equals = behind.trim_start_matches([' ', '\t']).starts_with('=');
        let is_parameter = data.contains(['=', '"']) || (!padded && before_equals);
        let is_half_parameter = padded && behind.trim_start().starts_with('"');
        if !candidate.is_empty() && !is_parameter && !is_half_parameter {
            self.0 = behind;
        }
    }
}

/// RFC 7230, section 3.2.6.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        })
    }

    #[test]
    fn challenges_are_chosen_from_one_or_more_headers() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        let cases: &[(&[&str], Option<Challenge>)] = &[
            (&[], None),
            (&[""], None),
            (
                &[hub],
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (&["Basic realm=\"x\""], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &["BASIC realm=x", "bEARER REALM=https://r/t"],
                bearer("https://r/t", None),
            ),
            (
                &[
                    r#"Basic realm="a, Bearer realm=\"no\"", Bearer realm="https://r/t?a=1,2",service="s""#,
                ],
                bearer("https://r/t?a=1,2", Some("s")),
            ),
            (
                &[r#"Bearer realm = "https://r/t" , service = s"#],
                bearer("https://r/t", Some("s")),
            ),
            (
                &[r#"Bearer error="invalid_token", realm="https://r/t""#],
                bearer("https://r/t", None),
            ),
            // Neither a scheme that is not known, nor its data, hides the one that is.
            (&["Negotiate"], None),
            (
                &["Negotiate YIIabc==, Basic realm=x"],
                Some(Challenge::Basic),
            ),
            (&["Negotiate YIIabc, Basic realm=x"], Some(Challenge::Basic)),
            (&["Negotiate, NTLM, Basic"], Some(Challenge::Basic)),
            (
                &[r#"Digest realm="d", nonce="Bearer realm=evil", Basic realm="x""#],
                Some(Challenge::Basic),
            ),
            // A realm within a quoted string of another scheme is no realm.
            (
                &[r#"Digest nonce="x\", Bearer realm=\"https://evil""#],
                None,
            ),
            // A token without a realm cannot be had; a password can.
            (&["Bearer service=x, Basic realm=y"], Some(Challenge::Basic)),
            (&["Bearer"], None),
            (&[r#"Bearer realm="""#], None),
            // Broken ones.
            (&["Bearer realm=\"https://r/t"], bearer("https://r/t", None)),
            (&["=,;\"x\", Basic"], Some(Challenge::Basic)),
            (&["realm=\"x\""], None),
            (&["é, Basic"], Some(Challenge::Basic)),
        ];
        for (headers, expected) in cases {
            assert_eq!(choose(headers.iter().copied()), *expected, "{headers:?}");
        }
    }

    #[test]
    fn any_text_is_parsed_to_its_end() {
        for text in [
            "\"", "\\", ",,,,", "a=\"\\", "a =", "Bearer =", "a b c d", "\"é\"é",
        ] {
            choose([text]);
        }
    }
}
