//! The images of compose files and Kubernetes manifests: YAML or JSON, one document or several.
//!
//! What a file may make of itself is bounded: nesting, the number of its parts, and what its aliases repeat.

use std::collections::HashMap;

use serde_json::{Map, Value};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::expand::expand;
use super::{Selection, dockerfile};
use crate::error::{Error, Kind, Result, excerpt};

/// How deep values may lie in each other. The largest definitions of custom resources reach 40.
const MAX_DEPTH: usize = 100;
/// Enough for that also without optimization.
const STACK: usize = 32 << 20;
/// The lists of containers in a pod's template.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// `environment` is that of the file `.env` beside a compose file; the process's own goes before it, as for docker compose.
pub(super) fn read(
    text: &str,
    shown: &str,
    environment: &HashMap<String, String>,
    selection: &mut Selection,
) -> Result<()> {
    let documents = parse(text).map_err(|why| not_readable(shown, text, &why))?;
    let (images, mut is_known) = (selection.images.len(), false);
    for document in &documents {
        if let Some(services) = services(document) {
            is_known = true;
            let compose = Compose {
                shown,
                environment,
                selection,
            };
            compose.read(services);
        } else if document.get("kind").is_some() && document.get("apiVersion").is_some() {
            is_known = true;
            containers(document, shown, selection);
        }
    }
    if !is_known {
        let what = format!("{shown} is no Dockerfile, no compose file and no Kubernetes manifest");
        return Err(Error::new(Kind::Usage, what).remedy("name a list of images with --file"));
    }
    if images == selection.images.len() {
        selection.notes.push(format!(
            "{shown}: it names no image that was not named already"
        ));
    }
    Ok(())
}

/// On a thread of its own, because each level of nesting takes some of the stack.
fn parse(text: &str) -> std::result::Result<Vec<Value>, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let parsed = thread
            .spawn_scoped(scope, || parse_here(text))
            .map_err(|error| error.to_string())?;
        let broke_off = |_| Err("its reader broke off".to_owned());
        parsed.join().unwrap_or_else(broke_off)
    })
}

fn parse_here(text: &str) -> std::result::Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: 32 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 250_000,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        null_as_string: true,
        with_snippet: false,
    };
    let parsed = serde_saphyr::from_multiple_with_options(text, options);
    parsed.map_err(|error| excerpt(&error.to_string()))
}

fn not_readable(shown: &str, text: &str, why: &str) -> Error {
    let error = Error::new(
        Kind::Usage,
        format!("{shown} cannot be read as YAML: {why}"),
    );
    match text.contains("{{") {
        true => {
            error.remedy("render a template first: helm template CHART | breakwater warm --from -")
        }
        false => error.remedy(
            "name a Dockerfile, a compose file or a Kubernetes manifest, or a list with --file",
        ),
    }
}

/// The services of a compose file.
fn services(document: &Value) -> Option<&Map<String, Value>> {
    let is_of_kubernetes = document.get("apiVersion").is_some() && document.get("kind").is_some();
    document
        .get("services")
        .filter(|_| !is_of_kubernetes)?
        .as_object()
}

struct Compose<'a> {
    shown: &'a str,
    environment: &'a HashMap<String, String>,
    selection: &'a mut Selection,
}

impl Compose<'_> {
    fn read(mut self, services: &Map<String, Value>) {
        for (name, service) in services {
            let place = format!("{}: service {}", self.shown, excerpt(name));
            match service.get("build").filter(|build| !build.is_null()) {
                Some(build) => self.built(&place, build),
                None => self.pulled(place, service),
            }
        }
    }

    /// What is built has the image's name only afterwards, and what it is built from stands elsewhere.
    fn built(&mut self, place: &str, build: &Value) {
        if let Some(text) = build.get("dockerfile_inline").and_then(Value::as_str) {
            return dockerfile::read(text, place, self.selection);
        }
        let field = |name: &str| build.get(name).and_then(Value::as_str);
        let context = build.as_str().or_else(|| field("context")).unwrap_or(".");
        let file = field("dockerfile").unwrap_or("Dockerfile");
        let note = format!(
            "{place} is built: name its Dockerfile too, --from {}/{}",
            excerpt(context),
            excerpt(file)
        );
        self.selection.notes.push(note);
    }

    fn pulled(&mut self, place: String, service: &Value) {
        let Some(text) = service.get("image").and_then(Value::as_str) else {
            return;
        };
        let value = |name: &str| {
            std::env::var(name)
                .ok()
                .or_else(|| self.environment.get(name).cloned())
        };
        let expanded = |text: &str| expand(text, '$', &value);
        let platform = service.get("platform").and_then(Value::as_str);
        let platform = platform.and_then(|platform| expanded(platform).ok()?.parse().ok());
        match expanded(text) {
            Ok(image) if image.trim().is_empty() => {}
            Ok(image) => self.selection.add(image.trim(), Some(place), platform),
            Err(why) => self.selection.add_unresolved(text, place, why),
        }
    }
}

/// The images of every container below a value, whatever kind of object it lies in, and those that are mounted.
fn containers(value: &Value, shown: &str, selection: &mut Selection) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items.iter().rev()),
            Value::Object(fields) => {
                let mut images = Vec::new();
                for list in CONTAINERS {
                    let list = fields.get(list).and_then(Value::as_array);
                    images.extend(
                        list.into_iter()
                            .flatten()
                            .map(|container| (container, container.get("image"))),
                    );
                }
                if !images.is_empty() {
                    let volumes = fields
                        .get("volumes")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten();
                    images
                        .extend(volumes.map(|volume| (volume, volume.pointer("/image/reference"))));
                }
                for (whole, image) in images {
                    let image = image.and_then(Value::as_str).map(str::trim);
                    if let Some(image) = image.filter(|image| !image.is_empty()) {
                        let name = whole.get("name").and_then(Value::as_str).unwrap_or("?");
                        selection.add(image, Some(format!("{shown}: {}", excerpt(name))), None);
                    }
                }
                left.extend(fields.values().rev());
            }
            _ => {}
        }
    }
}
