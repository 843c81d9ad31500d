//! What the suites share: the stage, not the play.
pub(crate) mod fake_upstream;
