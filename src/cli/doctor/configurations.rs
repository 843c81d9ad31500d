//! The files of a program's configuration, found below its directories, within bounds.

use std::path::{Path, PathBuf};

use super::machine::read_plain_file;

/// More directories below one another have no configuration.
const DEEPEST: usize = 4;
/// More files of one proxy are not read.
const MOST_FILES: usize = 500;

/// The texts of all files below the directories, but for what distributions keep there without using it.
pub(super) fn configuration<'a>(
    directories: impl Iterator<Item = &'a Path>,
) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for directory in directories {
        collect(directory, DEEPEST, &mut files);
    }
    let read = |file: PathBuf| Some((file.clone(), read_plain_file(&file).ok()?));
    files.into_iter().filter_map(read).collect()
}

fn collect(directory: &Path, deeper: usize, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .take(MOST_FILES)
        .map(|entry| entry.path())
        .filter(|path| !is_unused(path))
        .collect();
    paths.sort();
    for path in paths {
        if files.len() >= MOST_FILES {
            return;
        }
        if path.is_dir() {
            if let Some(deeper) = deeper.checked_sub(1) {
                collect(&path, deeper, files);
            }
        } else {
            files.push(path);
        }
    }
}

/// What is installed and not switched on, and what editors and packages leave behind.
fn is_unused(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = [
        "-available",
        "~",
        ".bak",
        ".old",
        ".orig",
        ".disabled",
        ".swp",
        ".save",
    ];
    name.contains(".dpkg-") || endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        };
        for name in [
            "nginx.conf",
            "conf.d/a.conf",
            "conf.d/a.conf.bak",
            "conf.d/a.conf.dpkg-old",
            "sites-available/b",
            "1/2/3/4/deepest",
            "1/2/3/4/5/too-deep",
        ] {
            put(name);
        }
        let enabled = directory.path().join("sites-enabled");
        std::fs::create_dir(&enabled).unwrap();
        std::os::unix::fs::symlink("../sites-available/b", enabled.join("b")).unwrap();
        std::os::unix::fs::symlink("..", directory.path().join("conf.d/loop")).unwrap();
        let found = configuration([directory.path()].into_iter());
        let mut found: Vec<_> = found
            .iter()
            .map(|(file, _)| {
                file.strip_prefix(directory.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .filter(|name| !name.contains("loop"))
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "1/2/3/4/deepest",
                "conf.d/a.conf",
                "nginx.conf",
                "sites-enabled/b"
            ]
        );
        for number in 0..2 * MOST_FILES {
            put(&format!("many/{number}"));
        }
        assert!(configuration([directory.path()].into_iter()).len() <= MOST_FILES);
    }
}
