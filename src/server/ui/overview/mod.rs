//! The first page: how the box is, for administrators; for others what is theirs.

mod chart;
mod findings;
mod history;
mod of_box;
mod of_visitor;

use super::Shown;
use super::visit::Visit;

/// `/`.
pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    match visit.is_administrator() {
        true => of_box::show(visit),
        false => of_visitor::show(visit),
    }
}
