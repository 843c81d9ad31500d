//! Configuration (skeleton).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::oci::RegistryHost;

/// Everything that can be configured, with its defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    pub data: PathBuf,
    pub offline: bool,
    pub server: ServerConfig,
    pub auth: AuthConfig,
    pub cache: CacheConfig,
    /// At least `docker.io`, unless the file says otherwise.
    pub upstreams: Vec<UpstreamConfig>,
    pub mirror: MirrorConfig,
    pub log: LogConfig,
}
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: Vec<SocketAddr>,
    /// Empty: the listener's scheme and the validated Host.
    pub external_url: String,
    pub workers: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
    pub stall_timeout: Duration,
    pub trusted_proxies: Vec<IpNet>,
}
#[derive(Debug, Clone)]
pub struct AuthConfig {
    pub token_ttl: Duration,
    pub issuer: String,
    pub ban_after: u32,
    pub ban_for: Duration,
}
#[derive(Debug, Clone)]
pub struct CacheConfig {
    pub tag_ttl: Duration,
    pub revalidate_timeout: Duration,
    pub negative_ttl: Duration,
}
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    pub name: RegistryHost,
    pub url: String,
    pub username: String,
    /// Read when the upstream is made, not before.
    pub password_file: Option<PathBuf>,
    pub auth_realm: Option<String>,
    pub ca: Option<PathBuf>,
}
#[derive(Debug, Clone)]
pub struct MirrorConfig {
    pub enabled: bool,
    pub group: String,
    pub default: RegistryHost,
}
#[derive(Debug, Clone)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: String,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Json,
    Text,
}
