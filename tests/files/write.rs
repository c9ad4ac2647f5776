//! Changes of FAT volumes, checked with fsck.fat and mtools, and through crashes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use qcow2_web_files::fat::{self, Change, Plan};
use qcow2_web_files::fs::{self as volumes, Kind};
use qcow2_web_files::{Code, Error, Result};
use tempfile::TempDir;

use crate::lab::{self, Disk, content, text};

/// 2026-05-06 07:08:10, an even second.
const NOW: i64 = 1_778_051_290;

/// What a volume must contain: directories have no contents.
type Model = BTreeMap<String, Option<Vec<u8>>>;

/// A change with the contents of the file.
#[derive(Clone, Debug)]
enum Step {
    Write(String, Vec<u8>),
    Create(String),
    Delete(String),
}

impl Step {
    fn path(&self) -> &str {
        let (Self::Write(path, _) | Self::Create(path) | Self::Delete(path)) = self;
        path
    }

    fn content(&self) -> &[u8] {
        if let Self::Write(_, content) = self { content } else { &[] }
    }

    fn plan(&self, disk: &Disk) -> Result<Plan> {
        let path = volumes::Path::parse(self.path().as_bytes())?;
        let change = match self {
            Self::Write(_, content) => Change::Write(path, content.len() as u64),
            Self::Create(_) => Change::CreateDirectory(path),
            Self::Delete(_) => Change::Delete(path),
        };
        disk.call(|device| fat::plan(device, &change, NOW))
    }

    fn apply(&self, model: &mut Model) {
        match self {
            Self::Write(path, content) => model.insert(path.clone(), Some(content.clone())),
            Self::Create(path) => model.insert(path.clone(), None),
            Self::Delete(path) => model.remove(path),
        };
    }
}

/// The writes of a plan: for each barrier, those before it.
fn writes(plan: &Plan, content: &[u8]) -> Vec<Vec<(u64, Vec<u8>)>> {
    let mut steps = plan.steps.clone();
    let mut left = content;
    for (at, length) in &plan.content {
        let (now, rest) = left.split_at(usize::try_from(*length).unwrap());
        steps[0].push((*at, now.to_vec()));
        left = rest;
    }
    assert!(left.is_empty(), "the plan has no room for {} bytes", left.len());
    steps
}

fn carry_out(image: &Path, step: &Step) -> Result<()> {
    let disk = Disk::open(image);
    let plan = step.plan(&disk)?;
    let file = OpenOptions::new().write(true).open(image).unwrap();
    for (at, bytes) in writes(&plan, step.content()).into_iter().flatten() {
        file.write_all_at(&bytes, at).unwrap();
    }
    Ok(())
}

/// Reads all that a volume has.
fn read(image: &Path) -> Model {
    let disk = Disk::open(image);
    let mut volume = disk.volume("disk");
    let mut model = Model::new();
    let mut left = vec![String::new()];
    while let Some(path) = left.pop() {
        let mut listing = disk.on(&mut volume, |volume| volume.list(path.as_bytes())).unwrap();
        let entries = disk.on(&mut volume, |volume| volume.next(&mut listing, 100_000)).unwrap();
        for entry in entries {
            let path = format!("{path}/{}", String::from_utf8(entry.name).unwrap());
            if entry.kind == Kind::Directory {
                left.push(path.clone());
                model.insert(path, None);
            } else {
                let bytes = disk.on(&mut volume, |volume| volume.read(path.as_bytes(), 0, 16 << 20)).unwrap();
                model.insert(path, Some(bytes));
            }
        }
    }
    model
}

/// Reads all that a volume has with mtools.
fn read_with_mtools(image: &Path) -> Model {
    let folder = TempDir::new().unwrap();
    let listed = lab::run("mdir", &["-b", "-i", text(image), "::"]);
    if !listed.trim().is_empty() {
        lab::run("mcopy", &["-s", "-m", "-i", text(image), "::*", text(folder.path())]);
    }
    let mut model = Model::new();
    let mut left = vec![folder.path().to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("/{}", text(path.strip_prefix(folder.path()).unwrap()));
            if path.is_dir() {
                model.insert(name, None);
                left.push(path);
            } else {
                model.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    model
}

/// What fsck.fat complains about.
fn complaints(image: &Path) -> String {
    let output =
        Command::new("/usr/sbin/fsck.fat").args(["-n", text(image)]).env("LC_ALL", "C.UTF-8").output().unwrap();
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stdout).into_owned() }
}

#[track_caller]
fn assert_same(found: &Model, expected: &Model) {
    let sizes = |model: &Model| {
        model.iter().map(|(path, content)| (path.clone(), content.as_ref().map(Vec::len))).collect::<Vec<_>>()
    };
    assert_eq!(sizes(found), sizes(expected));
    assert!(found == expected, "the contents differ");
}

/// The kinds of FAT: bits, the size of the volume, and the sectors of a cluster.
const KINDS: [(&str, u64, &str); 3] = [("12", 2 << 20, "2"), ("16", 12 << 20, "4"), ("32", 40 << 20, "1")];

fn empty_volume(folder: &Path, (bits, size, cluster): (&str, u64, &str)) -> std::path::PathBuf {
    let image = lab::empty(folder, &format!("fat{bits}.img"), size);
    lab::run("mkfs.vfat", &["-F", bits, "-s", cluster, "-i", "1234abcd", text(&image)]);
    image
}

/// Every kind of change.
fn changes() -> Vec<Step> {
    let write = |path: &str, seed, length| Step::Write(path.into(), content(seed, length));
    let mut steps = vec![
        write("/SHORT.TXT", 1, 100),
        write("/lower.txt", 2, 0),
        write("/Grüße aus Köln.txt", 3, 5000),
        Step::Create("/A folder with a long name".into()),
        write("/A folder with a long name/many.dots.in.the.name..x", 4, 4096),
        Step::Create("/A folder with a long name/inside".into()),
        write("/A folder with a long name/inside/日本語のファイル.bin", 5, 300_000),
        write("/SHORT.TXT", 6, 70_000),
        write("/SHORT.TXT", 7, 10),
        write("/lower.txt", 8, 1025),
        write("/Grüße aus Köln.txt", 9, 0),
        Step::Delete("/lower.txt".into()),
        Step::Create("/empty".into()),
        Step::Delete("/empty".into()),
        Step::Delete("/A folder with a long name/many.dots.in.the.name..x".into()),
    ];
    // More than a cluster of a directory holds.
    steps.extend(
        (0..30).map(|index| write(&format!("/A folder with a long name/file number {index}"), 20 + index, index)),
    );
    steps
}

#[test]
fn files_and_directories_are_written_as_other_programs_read_them() {
    let folder = TempDir::new().unwrap();
    for kind in KINDS {
        let image = empty_volume(folder.path(), kind);
        let mut model = Model::new();
        for step in changes() {
            carry_out(&image, &step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
            step.apply(&mut model);
            assert_same(&read(&image), &model);
        }
        assert_eq!(complaints(&image), "");
        assert_same(&read_with_mtools(&image), &model);
        let disk = Disk::open(&image);
        let stat = disk.on(&mut disk.volume("disk"), |volume| volume.stat(b"/SHORT.TXT", true)).unwrap();
        assert_eq!(stat.modified.map(|time| time.seconds), Some(NOW));
    }
}

#[test]
fn a_volume_that_is_full_loses_nothing() {
    let folder = TempDir::new().unwrap();
    for kind in KINDS {
        let image = empty_volume(folder.path(), kind);
        let mut model = Model::new();
        let size = usize::try_from(kind.1).unwrap() / 5;
        let mut refused = 0;
        for index in 0..8 {
            let step = Step::Write(format!("/a file with a long name {index}"), content(index, size));
            let before = fs::read(&image).unwrap();
            match carry_out(&image, &step) {
                Ok(()) => step.apply(&mut model),
                Err(error) => {
                    let expected = format!("there is not enough free space for {}", step.path());
                    assert_eq!(error, Error::Failed(Code::NoSpace, expected));
                    assert!(fs::read(&image).unwrap() == before, "a change that fails changes nothing");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0 && model.len() > 2);
        // A file that is replaced needs its new room before its old one is free.
        let (path, old) = model.iter().next().map(|(path, content)| (path.clone(), content.clone())).unwrap();
        let step = Step::Write(path.clone(), content(99, size * 2));
        assert!(matches!(carry_out(&image, &step), Err(Error::Failed(Code::NoSpace, _))));
        assert_eq!(read(&image)[&path], old);
        assert_same(&read_with_mtools(&image), &model);
        assert_eq!(complaints(&image), "");
    }
}

#[test]
fn a_full_directory_is_refused() {
    let folder = TempDir::new().unwrap();
    let image = lab::empty(folder.path(), "small.img", 1 << 20);
    lab::run("mkfs.vfat", &["-F", "12", "-r", "16", text(&image)]);
    let mut written = 0;
    let error = loop {
        match carry_out(&image, &Step::Write(format!("/file with a long name {written}"), Vec::new())) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Failed(Code::NoSpace, _)), "{error:?}");
    assert_eq!((read(&image).len(), complaints(&image)), (written, String::new()));
}

#[test]
fn what_cannot_be_changed_says_why() {
    let folder = TempDir::new().unwrap();
    let image = empty_volume(folder.path(), KINDS[0]);
    for step in &changes()[..5] {
        carry_out(&image, step).unwrap();
    }
    let before = fs::read(&image).unwrap();
    let code = |step: Step| match carry_out(&image, &step) {
        Err(Error::Failed(code, _)) => code,
        other => panic!("{step:?}: {other:?}"),
    };
    let write = |path: &str| code(Step::Write(path.into(), vec![1]));
    assert_eq!(write("/none/file"), Code::NotFound);
    assert_eq!(write("/SHORT.TXT/file"), Code::NotADirectory);
    assert_eq!(write("/A folder with a long name"), Code::IsADirectory);
    assert_eq!(write("/"), Code::Invalid);
    for name in ["/a:b", "/a?", "/ends with a dot.", "/ends with a space "] {
        assert_eq!(write(name), Code::Invalid, "{name}");
    }
    assert_eq!(write(&format!("/{}", "n".repeat(256))), Code::Invalid);
    assert_eq!(code(Step::Create("/short.txt".into())), Code::Exists);
    assert_eq!(code(Step::Delete("/none".into())), Code::NotFound);
    assert_eq!(code(Step::Delete("/A folder with a long name".into())), Code::NotEmpty);
    assert!(fs::read(&image).unwrap() == before);

    let disk = Disk::open(&image);
    let huge = disk.call(|device| fat::plan(device, &Change::Write(volumes::Path::parse(b"/huge")?, 1 << 32), NOW));
    assert!(matches!(huge, Err(Error::Failed(Code::Invalid, _))));
}

/// Whether fsck.fat has complaints other than those that a crash may leave: clusters of nothing, one copy of the table that is
/// newer, a wrong count of free clusters, and a long name without its file.
fn is_worse(complaints: &str) -> bool {
    ["shared", "cross", "bad ", "beyond", "truncat", "loop", "size is", "chain length", "duplicate", "invalid"]
        .iter()
        .any(|word| complaints.to_lowercase().contains(word))
}

/// Checks a volume after a crash during `step`.
#[track_caller]
fn check_crash(image: &Path, before: &Model, step: &Step) {
    let mut after = before.clone();
    step.apply(&mut after);
    let found = read(image);
    for (path, content) in before {
        if path != step.path() {
            assert!(found.get(path) == Some(content), "{step:?} loses {path}");
        }
    }
    let either = [before.get(step.path()), after.get(step.path())];
    for (path, content) in &found {
        // Without a part of its long name, a file has its short one.
        if path == step.path() || !before.contains_key(path) {
            assert!(either.contains(&Some(content)), "{step:?}: {path} is neither old nor new");
        }
    }
    if let [Some(_), Some(_)] = either {
        assert!(found.contains_key(step.path()), "{step:?} loses its file");
    }
    let complaints = complaints(image);
    assert!(!is_worse(&complaints), "{step:?}: {complaints}");
}

#[test]
fn a_crash_at_any_moment_leaves_every_file_whole() {
    let folder = TempDir::new().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for kind in [KINDS[0], ("16", 5 << 20, "1"), ("32", 33 << 20, "1")] {
        let image = empty_volume(folder.path(), kind);
        let crashed = folder.path().join("crashed.img");
        let mut model = Model::new();
        for step in changes().into_iter().take(22) {
            let disk = Disk::open(&image);
            let plan = step.plan(&disk).unwrap();
            let steps = writes(&plan, step.content());
            for reached in 0..steps.len() {
                // What a barrier separates is there; of the rest, any sectors.
                let sectors: Vec<(u64, &[u8])> =
                    steps[reached].iter().flat_map(|(at, bytes)| (*at..).step_by(512).zip(bytes.chunks(512))).collect();
                for chosen in [0, random(), random()].iter().take(if sectors.is_empty() { 1 } else { 3 }) {
                    lab::run("cp", &["--sparse=always", text(&image), text(&crashed)]);
                    let file = OpenOptions::new().write(true).open(&crashed).unwrap();
                    for (at, bytes) in steps[..reached].iter().flatten() {
                        file.write_all_at(bytes, *at).unwrap();
                    }
                    for (index, (at, bytes)) in sectors.iter().enumerate() {
                        if chosen >> (index % 64) & 1 == 1 {
                            file.write_all_at(bytes, *at).unwrap();
                        }
                    }
                    check_crash(&crashed, &model, &step);
                }
            }
            carry_out(&image, &step).unwrap();
            step.apply(&mut model);
        }
        assert_eq!(complaints(&image), "");
    }
}
