//! Taking and deleting a snapshot of a disk of which every cluster is allocated, against `qemu-img snapshot`.
//!
//! The image is sparse: it has all of its metadata and no data. Elapsed time, opening and closing included, of both in
//! turns. Options: the sizes of the disks, in GiB (default 25 50 100).

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, SnapshotOptions, now_or_never};

const ROUNDS: usize = 5;

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).map(|size| size.parse().expect("GiB")).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("a folder for the image");
    println!("milliseconds, medians of {ROUNDS}: ours / qemu-img");
    for gibibytes in if sizes.is_empty() { vec![25, 50, 100] } else { sizes } {
        let path = folder.join("snapshot.qcow2");
        let size = format!("{gibibytes}G");
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", text(&path), &size]);
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            times[0].push(milliseconds(|| ours(&path, true)));
            times[1].push(milliseconds(|| ours(&path, false)));
            times[2].push(milliseconds(|| qemu_img(&["snapshot", "-c", "theirs", text(&path)])));
            times[3].push(milliseconds(|| qemu_img(&["snapshot", "-d", "theirs", text(&path)])));
        }
        qemu_img(&["check", "-q", text(&path)]);
        let [create, delete, their_create, their_delete] = times.map(median);
        std::fs::remove_file(&path).expect("it is there");
        println!("{gibibytes:4} GiB: create {create:.0} / {their_create:.0}, delete {delete:.0} / {their_delete:.0}");
    }
}

/// Takes the snapshot, or deletes it.
fn ours(path: &Path, takes: bool) {
    let work = async {
        let file = FileStorage::open_writable(path)?;
        let image = Image::open_writable(file, OpenOptions::new()).await.expect("it opens");
        let go_on = |_| ControlFlow::Continue(());
        if takes {
            image.create_snapshot(&SnapshotOptions::new("ours"), go_on).await.expect("there is room");
        } else {
            image.delete_snapshot("ours", go_on).await.expect("it is there");
        }
        std::io::Result::Ok(())
    };
    now_or_never(work).expect("a file is always ready").expect("the image can be opened");
}

fn qemu_img(arguments: &[&str]) {
    let status = Command::new("qemu-img").args(arguments).status().expect("qemu-img runs");
    assert!(status.success(), "qemu-img {arguments:?}");
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name of letters")
}
