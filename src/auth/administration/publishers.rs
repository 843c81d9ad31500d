//! Publishers whose images many pull from Docker Hub. A group of such a name takes their images from the mirror, and
//! whoever makes one is warned. The manual has the same list (`hosted`), and a test compares them.

/// What is missing here is warned of too, once it was asked of the mirror.
const KNOWN: &str = "\
    alpine amazon apache aquasec argoproj atlassian bitnami bitnamicharts bitnamilegacy calico chainguard cilium \
    cimg circleci clickhouse cockroachdb confluentinc curlimages cypress datadog debezium docker elastic envoyproxy \
    falcosecurity fluent fluxcd gitea gitlab goharbor grafana hashicorp homeassistant istio jaegertracing jenkins \
    jupyter keycloak kindest kong linuxserver localstack minio moby mongodb natsio netdata nextcloud nginx nginxinc \
    nvidia ollama openpolicyagent openzipkin percona pihole portainer postgis prom prometheus pytorch qdrant rancher \
    redis redpandadata rocm selenium sonatype tensorflow testcontainers thanosio timescale traefik ubuntu \
    vaultwarden zabbix";

pub fn is_known(name: &str) -> bool {
    KNOWN.split_ascii_whitespace().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_the_same_list() {
        let manual = include_str!("../../help/hosted.md");
        let section = manual.split("## Names of groups").nth(1).unwrap();
        let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
        let list = section.split("well-known publishers are ").nth(1).unwrap();
        let list = list.split('.').next().unwrap();
        let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, KNOWN.split_ascii_whitespace().collect::<Vec<_>>());
        assert!(is_known("grafana") && is_known("bitnami"));
        assert!(!is_known("acme") && !is_known("") && !is_known("graf"));
    }
}
