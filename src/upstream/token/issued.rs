//! The answer of a realm, read: a token and how long it lives (distribution, "Token Authentication Specification").

use std::time::Duration;

/// The shortest life that a token is believed to have; less, or nothing, counts as this.
const SHORTEST_LIFE: u64 = 60;
const LONGEST_LIFE: u64 = 24 * 60 * 60;

/// A token as it was issued.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Issued {
    pub(in crate::upstream) token: Box<str>,
    pub(in crate::upstream) life: Duration,
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Issued {
    /// Reads a realm's answer. The error is a phrase that never holds the answer itself: it may be a
    /// token all the same.
    pub(in crate::upstream) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let answer: Answer =
            serde_json::from_slice(body).map_err(|_| "issues tokens that are not JSON")?;
        let token = [answer.token, answer.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .ok_or("issues no token in its answer")?;
        if token.len() > 32 * 1024 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("issues a token that does not fit into a header");
        }
        let seconds = match answer.expires_in {
            Some(serde_json::Value::Number(number)) => number
                .as_u64()
                .or_else(|| number.as_f64().map(|seconds| seconds as u64)),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let seconds = seconds.unwrap_or(0).clamp(SHORTEST_LIFE, LONGEST_LIFE);
        Ok(Self {
            token: token.into(),
            life: Duration::from_secs(seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_answers_are_read() {
        let cases: &[(&str, Result<(&str, u64), ()>)] = &[
            (r#"{"token":"a"}"#, Ok(("a", 60))),
            (r#"{"access_token":"b","expires_in":300}"#, Ok(("b", 300))),
            (
                r#"{"token":"a","access_token":"b","expires_in":10}"#,
                Ok(("a", 60)),
            ),
            (
                r#"{"token":"","access_token":"b","expires_in":"90"}"#,
                Ok(("b", 90)),
            ),
            (r#"{"token":"a","expires_in":-5}"#, Ok(("a", 60))),
            (r#"{"token":"a","expires_in":100.7}"#, Ok(("a", 100))),
            (r#"{"token":"a","expires_in":1e30}"#, Ok(("a", 86_400))),
            (
                r#"{"token":"a","expires_in":null,"issued_at":1}"#,
                Ok(("a", 60)),
            ),
            ("{}", Err(())),
            ("[]", Err(())),
            ("<html>", Err(())),
            ("", Err(())),
            (r#"{"token":"a b"}"#, Err(())),
            (r#"{"token":"a\r\nX: y"}"#, Err(())),
            (r#"{"token":"é"}"#, Err(())),
            (r#"{"token":5}"#, Err(())),
        ];
        for (body, expected) in cases {
            let read = Issued::parse(body.as_bytes()).map_err(|_| ());
            let read = read.as_ref().map(|i| (&*i.token, i.life.as_secs()));
            assert_eq!(read, expected.as_ref().copied(), "{body}");
        }
    }
}
