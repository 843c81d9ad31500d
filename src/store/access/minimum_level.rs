//! Who must be what, in the words of rules.

use crate::store::statement::words_in_sql;
use crate::words::words;

words! {
    "snake_case"
    /// The least that somebody must be to do what a rule is about. Ordered: the greatest is the strictest.
    #[derive(PartialOrd, Ord)]
    pub enum MinimumLevel {
        Maintainer,
        Owner,
        /// Administrators of the box.
        Admin,
        /// Nobody, administrators included, until the rule changes.
        NoAccess,
    }
}

words_in_sql!(MinimumLevel);
