//! The README's tables that follow from the code are what the code says. `UPDATE_README=1` writes them anew:
//!
//! ```sh
//! UPDATE_README=1 scripts/test readme
//! ```

use std::path::PathBuf;
use std::sync::Mutex;

use breakwater::telemetry::metrics::CATALOG;

/// Tests of one process take turns in writing it.
static WRITING: Mutex<()> = Mutex::new(());

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// Compares what stands between `<!-- table: NAME -->` and `<!-- end -->`, or writes it.
fn assert_table(name: &str, expected: &str) {
    let _writing = WRITING.lock().unwrap();
    let text = std::fs::read_to_string(readme()).unwrap();
    let marker = format!("<!-- table: {name} -->\n");
    let (before, rest) = text
        .split_once(&marker)
        .unwrap_or_else(|| panic!("README.md has no table `{name}`"));
    let (copy, after) = rest.split_once("<!-- end -->").expect("the table's end");
    if copy == expected {
        return;
    }
    if std::env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{marker}{expected}<!-- end -->{after}");
        std::fs::write(readme(), text).unwrap();
        return;
    }
    assert_eq!(
        copy, expected,
        "README.md's table `{name}` is not what the code says: UPDATE_README=1 scripts/test readme"
    );
}

#[test]
fn the_metrics() {
    let mut table = "| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
    for metric in CATALOG {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        table.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.help.trim_end_matches('.')
        ));
    }
    assert_table("metrics", &table);
}
