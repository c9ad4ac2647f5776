//! The other side: qemu-img and qemu-io, in a folder of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for one test; removed at its end.
pub struct Lab {
    dir: TempDir,
}

/// A line of `qemu-img map --output=json`.
#[expect(clippy::struct_excessive_bools, reason = "they are QEMU's")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub start: u64,
    pub length: u64,
    pub depth: u64,
    pub present: bool,
    pub zero: bool,
    pub data: bool,
    pub compressed: bool,
    pub offset: Option<u64>,
}

impl Row {
    fn continues_as(&self, next: &Self) -> bool {
        let next_offset = self.offset.map(|offset| offset + self.length);
        let continued = Self { start: next.start, length: next.length, offset: next_offset, ..self.clone() };
        continued == *next
    }
}

impl Lab {
    /// In memory where the system has a place for that: QEMU flushes its files many times.
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { dir: dir.expect("a folder for the test") }
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("the folder is writable");
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).expect("the folder is writable");
    }

    /// Runs `qemu-img`, which has to succeed, and gives what it prints.
    pub fn qemu_img(&self, arguments: &[&str]) -> String {
        let output = self.run("qemu-img", arguments);
        assert!(output.status.success(), "qemu-img {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Makes an empty image; `options` as after `-o`.
    pub fn create(&self, name: &str, options: &str, size: u64) {
        self.qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, name, &size.to_string()]);
    }

    /// Makes an empty image over a backing file, of the size given and not of its size.
    pub fn create_over(&self, name: &str, options: &str, backing: (&str, &str), size: u64) {
        let (base, format) = backing;
        let size = size.to_string();
        let arguments = ["create", "-q", "-f", "qcow2", "-o", options, "-b", base, "-F", format];
        self.qemu_img(&[&arguments[..], &[name, &size]].concat());
    }

    /// Runs the commands in one `qemu-io`; each has to succeed.
    pub fn io(&self, name: &str, commands: &[String]) -> String {
        let mut arguments = vec!["-t", "unsafe", "-f", "qcow2"];
        for command in commands {
            arguments.extend(["-c", command]);
        }
        arguments.push(name);
        let output = self.run("qemu-io", &arguments);
        let (said, complaint) = (text(&output.stdout), text(&output.stderr));
        let failed = !output.status.success() || said.contains("failed") || !complaint.is_empty();
        assert!(!failed, "qemu-io {arguments:?}: {said}{complaint}");
        said
    }

    /// Runs the commands, and then kills `qemu-io` before it can close the image.
    pub fn io_killed(&self, name: &str, commands: &[&str]) {
        let mut arguments = vec!["-t", "unsafe", "-f", "qcow2"];
        for command in commands {
            arguments.extend(["-c", command]);
        }
        let output = self.run("qemu-io", &[&arguments[..], &["-c", "abort", name]].concat());
        assert!(!output.status.success(), "it was killed");
    }

    /// The disk's contents by `qemu-img convert`.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        self.convert(&["-f", "qcow2", name])
    }

    /// The disk's contents by `qemu-img convert`, or its complaint.
    pub fn try_contents(&self, name: &str) -> Result<Vec<u8>, String> {
        let output = self.run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", name, OUT]);
        let bytes = output.status.success().then(|| self.bytes(OUT));
        bytes.ok_or_else(|| text(&output.stderr))
    }

    /// The contents of the snapshot of that name by `qemu-img convert`: always as long as the disk.
    pub fn snapshot_contents(&self, name: &str, snapshot: &str) -> Vec<u8> {
        self.convert(&["-f", "qcow2", "-l", &format!("snapshot.name={snapshot}"), name])
    }

    fn convert(&self, source: &[&str]) -> Vec<u8> {
        self.qemu_img(&[&["convert", "-O", "raw"], source, &[OUT]].concat());
        self.bytes(OUT)
    }

    pub fn snapshot(&self, name: &str, snapshot: &str) {
        self.qemu_img(&["snapshot", "-c", snapshot, name]);
    }

    pub fn resize(&self, name: &str, size: u64) {
        self.qemu_img(&["resize", "-q", "-f", "qcow2", "--shrink", name, &size.to_string()]);
    }

    /// Makes sure that `qemu-img check` finds nothing, for images that a test made by hand.
    pub fn check(&self, name: &str) {
        self.qemu_img(&["check", "-q", "-f", "qcow2", name]);
    }

    pub fn map(&self, name: &str) -> Vec<Row> {
        let said = self.qemu_img(&["map", "-f", "qcow2", "--output=json", name]);
        let rows: Vec<Value> = serde_json::from_str(&said).expect("qemu-img prints JSON");
        // A disk of 0 bytes has one line of length 0.
        without_holes(rows.iter().map(row).filter(|row| row.length > 0))
    }

    pub fn info(&self, name: &str) -> Value {
        let said = self.qemu_img(&["info", "-f", "qcow2", "--output=json", name]);
        serde_json::from_str(&said).expect("qemu-img prints JSON")
    }

    /// Runs a program of QEMU's, whatever comes of it.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.folder())
            .env("LC_ALL", "C")
            .output()
            .unwrap_or_else(|error| panic!("{program} (of the package qemu-utils): {error}"))
    }
}

/// QEMU's map without what it learnt from the host's file system.
///
/// Where an image looks preallocated (fewer clusters in use than the file is long), QEMU also asks the file system
/// for holes, and calls what is allocated in the image but a hole in the file both data and zero. A storage knows of
/// no holes: to us it is data, and so are its neighbours.
fn without_holes(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for mut row in rows {
        row.zero &= !row.data;
        match merged.last_mut() {
            Some(last) if last.continues_as(&row) => last.length += row.length,
            _ => merged.push(row),
        }
    }
    merged
}

/// Where conversions go; one at a time in a folder.
const OUT: &str = "converted.raw";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn row(value: &Value) -> Row {
    let number = |key: &str| value[key].as_u64();
    let flag = |key: &str| value[key].as_bool().unwrap_or_else(|| panic!("{key} in {value}"));
    Row {
        start: number("start").expect("a start"),
        length: number("length").expect("a length"),
        depth: number("depth").expect("a depth"),
        present: flag("present"),
        zero: flag("zero"),
        data: flag("data"),
        compressed: flag("compressed"),
        offset: number("offset"),
    }
}
