//! What the suites share: the box as a process, a client, and an upstream that does as it is told.

pub(crate) mod appliance;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod fake_upstream;
pub(crate) mod pushing;
pub(crate) mod rows;
pub(crate) mod small_disk;
