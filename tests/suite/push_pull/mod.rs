//! Pushing to this box and pulling from it again, beyond what the specification's cases ask: tenants, quotas,
//! uploads over broken connections and restarts, damage, backups, crashes.

mod crash;
mod durability;
mod tenants;
mod uploads;
