//! Breakwater: a dependency proxy for container registries, in one binary.
//!
//! It stands between a build farm and the registries of the world: an image is fetched from its
//! upstream once, kept, and served from then on, also while the upstream is away. Who may read the
//! cache and who may fill it are two different abilities, carried by scoped tokens.
//!
//! # A request's way
//!
//! `http` reads a head without a worker, checks its framing, and hands a [`http::Request`] to
//! [`server::Appliance`]. The router turns the path into types of `oci`; `auth` turns credentials into
//! an identity and, by the pure functions of [`auth::policy`], into a [`auth::Grant`]. With it the
//! handler calls `proxy`, which looks into `store` and, if need be, asks `upstream`; or, for what was
//! pushed to this box, `registry`, which has only `store` below it. The answer goes back
//! as a [`http::Response`], a kept blob by sendfile from its file, a short one from memory.
//!
//! # Code map, from the top floor down: imports only go down
//!
//! | room | what it owns |
//! |---|---|
//! | `cli` | one file a command family; `serve` puts everything together |
//! | `admin` | what can be administered: one file a resource, with its requests, their effect, and its view |
//! | `control` | `DATA/control.sock`, between the command line and the running server: the only place that knows tiny_http |
//! | `server` | what is served: router, token endpoint, registry protocol, REST API, the operator's page, the mapping of errors; knows no socket |
//! | `proxy` | the dependency proxy: which upstream, freshness, single flight, fill, serve-stale, warm |
//! | `registry` | the hosted registry: uploads, mounts, manifests, tags, referrers |
//! | `upkeep` | what happens to content off the request's path: eviction, purge, cleanup of pushed tags, garbage collection, scrub and repair, nightly copies, bundles to be carried to other boxes |
//! | `webhooks` | events to receivers: events are queued, signed and delivered in order, and retried until the receiver takes them |
//! | `auth` | credentials → identity; tokens; policy → grant; the rules for making groups and tokens; sealing of secrets that must be given back |
//! | `upstream` | remote registries: the only place that knows ureq |
//! | `store` | four databases (access, cache, registry, audit) and the blob directory: the only place that knows rusqlite |
//! | `http` | the public port's HTTP/1.1 and TLS; knows no route and no store |
//! | `oci` | digest, reference, manifest, scope: pure |
//! | `recreate` | gzip streams made again from what is in them and a recipe, byte by byte; new content as what of it is not in old: the only place that knows zstd; reads and writes what it is handed |
//! | `spool` | bytes on their way: in memory while they are few, in unlinked files beyond that; who may hold how much |
//! | `config` `telemetry` `metrics` `network` `context` `hops` `human` `priority` `schema` `shared_call` `words` `error` `time` | what every room may use; `telemetry`: logs; `metrics`: counters, and the metrics' names and text; `network`: whose address counts as whose; `context`: for whom a thread works, and whether that client still waits; `hops`: through which boxes its request came; `human`: numbers as people read them; `priority`: threads that let pulls go first; `schema`: how types look in JSON; `words`: enums that are words; `shared_call`: one call for all who wait for its result |
//!
//! # Invariants
//!
//! Those that a test can check are checked by `tests/suite/layering.rs` and the suites beside it.
//!
//! 1. What a request makes happen in `proxy` takes a [`auth::Grant`], and in `registry` a
//!    [`auth::RepositoryGrant`], and only `auth::policy` can build one.
//! 2. One home per dependency, as the code map says.
//! 3. A blob is visible only after hash, fsync, rename, and fsync of the directory. Rows come after files,
//!    deletion goes in reverse: a stray file is harmless, a dangling row is not. Only what is noted as damaged keeps its rows
//!    without a file, until it is fetched again (`store::repairs`).
//! 4. No SQLite transaction spans network IO or the streaming of a body.
//! 5. Every upstream call has timeouts. rayon is for hashing and copying, never for network waits.
//! 6. `oci` and `auth::policy` do no IO and take the time as a parameter.
//! 7. One upstream fetch per upstream, credentials, repository and digest, however many ask; but where the
//!    disk has no room for a blob, each client is passed its own.
//! 8. An outage deletes nothing, but for images that go so that `cache.min_free` holds.
//! 9. What one may not see and what does not exist look the same.
//! 10. No secret in a log, an error, a JWT or a URL.
//! 11. Start-up asks nobody: not the upstream, not DNS.
//! 12. There is no async runtime in the dependency tree: threads, and blocking IO behind deadlines.
//! 13. What is remembered in memory about content is keyed by upstream, credentials and repository as well as by
//!     digest: no tenant's upstream decides anything for another tenant.
//! 14. Content takes its room on the disk before it is written, and leaves what the databases need.
//! 15. The work that a request causes is bounded by what it asks for: what reads many rows waits its turn in a queue of its
//!     own, what changes many rows holds the writer for a moment at a time, and what a client abandons is abandoned.
//!
//! # Glossary
//!
//! Manifest, index, blob, digest, tag, reference, repository, referrer: as in the OCI distribution specification.
//!
//! | term | |
//! |---|---|
//! | upstream | a registry that images are fetched from |
//! | origin | an upstream together with the credentials that it is asked with: what one may see, another may not |
//! | dependency proxy | a group's cache of upstreams, below `GROUP/dependency_proxy/containers` |
//! | mirror | the dependency proxy of the box itself, for docker's `registry-mirrors` |
//! | hosted | pushed to this box, to a repository of a project |
//! | fill | fetch from an upstream and keep; an ability of its own beside reading |
//! | warm | fill with a whole image ahead of its first pull |
//! | pass through | fetch from an upstream for one client and keep nothing |
//! | revalidate | ask the upstream whether a kept tag still points where it did |
//! | stale | kept, and served although the upstream could not confirm it |
//! | link | the row that says that a repository has a blob: who may read a digest is decided by it |
//! | scope, ability | what a token was made with; what each scope allows |
//! | grant | what one request may do with one repository; only the policy makes it |
//! | membership | what somebody is to a group or project: a level, an administrator, a deploy token |
//! | context | for whom a thread works, and until when |
//! | bundle | images in one file, to be carried to a box that has no way to their upstreams |
//! | delta | of a layer what is not in old ones that the other side has, with how the layer is made again from that |
//! | evict | take an image out of the cache for want of room or of pulls; a pinned one stays |
//! | inventory | all rows of what is cached, read at once, to tell what needs what |
//! | notice | something that happened, as it is handed to the webhooks, before it becomes an event in each receiver's queue |
//! | receiver | whom a webhook posts events to |
//! | reserve | the free space that content leaves to the databases |
//! | operation | one thing that can be administered, whether by command, by REST or on the page |
//!
//! # Decisions
//!
//! - **Threads, no async runtime.** A box serves hundreds of clients, not hundreds of thousands, and nearly all of what it
//!   does is to read rows and to send files. A thread for each request reads from top to bottom, waits where it stands,
//!   and is bounded by a number. Idle connections cost no thread: one poller watches them all.
//! - **SQLite in four files**, because they differ in what their loss means: `access` and `registry` cannot be had again and
//!   are synced at each commit; `cache` can be rebuilt; `audit` may grow and be pruned without the others waiting for it.
//! - **An HTTP room of our own for the public port.** What a stranger can send is bounded before a thread is spent on it,
//!   and files go by `sendfile`; [`http`] has what was measured against tiny_http, which serves the control socket, where
//!   only the box's own commands speak.
//! - **One model of content, in two files with a writer each.** `cache` and `registry` have one schema for what they share,
//!   and [`store::Content`] asks both in one statement whether a file is needed. One writer for both would let fills wait
//!   while a push is synced. No transaction writes to both, which a power cut could halve: who adds a file's first row, and
//!   who removes the file, holds the digest's lock (`Store::while_kept`).
//! - **One writer.** The process that holds `DATA/lock` performs what commands ask for: the running server by its control
//!   socket, or else the command itself ([`admin`]). So a change is known to the server when it is made: what it remembers
//!   is of a generation (`AccessDb::generation`), which every change of it moves, and no request looks for what others did.
//! - **What goes from the cache is planned, and then done in steps.** [`upkeep::eviction`] reads the whole inventory, because
//!   what the going of one image frees depends on all others, and decides without IO; rows go a few at a time, each looked
//!   at again, and the files follow. An order kept up to date with each pull was rejected: it makes every pull write.
//! - **The client for whom a thread works is a value of the thread** ([`context`]), not a parameter of every function
//!   between the public port and a statement. Work shared by several requests runs on threads of its own, which have none.
//! - **Files rather than shared buffers** for what waits for slow clients ([`spool`]): varied queries defeat sharing, and
//!   the page cache is not the process's memory.
//! - **Unsafe code in one file**, `cli/serve/system.rs`: two calls of the system that take integers alone and that no kept
//!   crate wraps.
//! - Tried and dropped: `regex` for tag rules (a hundred of them took 170 MB; tables of bounded size made by
//!   `regex-automata` do not), `prometheus-client` (it writes OpenMetrics alone), the `polling` crate (its interface needs
//!   `unsafe`), capping the references of a manifest (it refuses valid content; quotas count them instead).

// A test that cannot go on shall say so where it stands.
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unchecked_time_subtraction,
        clippy::unreachable,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stdout
    )
)]

pub mod admin;
pub mod auth;
pub mod cli;
pub mod config;
pub mod context;
pub mod control;
pub mod error;
pub mod hops;
pub mod http;
pub mod human;
pub mod metrics;
pub mod network;
pub mod oci;
pub mod priority;
pub mod proxy;
pub mod recreate;
pub mod registry;
pub mod schema;
pub mod server;
pub mod shared_call;
pub mod spool;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod upkeep;
pub mod upstream;
pub mod webhooks;
mod words;
