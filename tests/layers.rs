//! The layers within the engine: each imports only from those below it. Between crates, their manifests see to that.

use std::path::{Path, PathBuf};

/// From the lowest to the highest; those in one row are of one layer.
const LAYERS: [&[&str]; 6] =
    [&["blocking", "field", "error", "storage", "ready"], &["codec"], &["format"], &["crypto"], &["meta"], &["image"]];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The examples use the crate from outside.
        if path.ends_with("examples") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/engine")
}

/// The module right under the crate's root that the file belongs to.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(src()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The file without its comments.
fn code_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names of the paths that begin with `crate::`, also of each in braces.
fn imports_of(code: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let is_word = |at: usize| !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let mut names = Vec::new();
    for (at, found) in code.match_indices("crate::").filter(|(at, _)| is_word(*at)) {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => names.push(name(rest)),
            Some(group) => names.extend(top_level_of(group).iter().map(|path| name(path))),
        }
    }
    names
}

/// The parts of a braced list, without looking into braces within it.
fn top_level_of(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut parts = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => parts.push(String::new()),
            _ if depth == 1 => parts.last_mut().unwrap().push(letter),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[test]
fn finds_imports() {
    let code = "use crate::error::{Corrupt, Error};\nuse crate::{image::{open, read}, storage::Storage,\n meta};\n\
                fn f() -> crate::field::X { of_the_crate::<u8>() }";
    assert_eq!(imports_of(code), ["error", "image", "storage", "meta", "field"]);
}

#[test]
fn each_layer_imports_only_from_those_below_it() {
    let mut seen = 0;
    for file in sources(&src()) {
        let module = module_of(&file);
        // The root belongs to no layer.
        if module == "lib" {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{} is in no layer", file.display()));
        for import in imports_of(&code_of(&file)) {
            // Names of the crate's root are for its callers.
            let below = rank(&import).unwrap_or_else(|| panic!("{} imports crate::{import}", file.display()));
            let allowed = below < own || import == module || (own, below) == (0, 0);
            assert!(allowed, "{} imports crate::{import}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "the imports were found: {seen}");
}

#[test]
fn bytes_become_values_without_input_and_output() {
    for layer in ["format", "codec"] {
        for file in sources(&src()).into_iter().filter(|file| module_of(file) == layer) {
            let code = code_of(&file);
            for word in ["async ", ".await", "Rc<", "storage::"] {
                assert!(!code.contains(word), "{} has `{word}`", file.display());
            }
        }
    }
}
